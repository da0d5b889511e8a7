package workflow

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

// The scheduler is the actor that has all schedules in memory. It is the only one
// that writes them, under the engine's fence: what it has is what is stored. One
// job at a time works on a schedule, on a goroutine of its own; jobs on different
// schedules share commits of the store.

// scheduleEntry is a schedule as it is stored. It is not changed: a job makes
// another one.
type scheduleEntry struct {
	plan     *schedulePlan
	revision int64 // version of the schedule's entry in the store
	state    *scheduleState
	position int64 // version of the state's entry
}

// scheduleJob works on a schedule, nil if there is none, and returns what it is
// then. With an error it is what it was; the error goes to whoever asked.
type scheduleJob struct {
	do    func(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error)
	reply actor.Reply[*scheduleEntry]
	asked bool // somebody waits for the reply
}

// schedulerMessage is what the scheduler is told.
type schedulerMessage interface{ isSchedulerMessage() }

type (
	loadSchedules struct{}
	schedulesDue  struct{}
	// workOn has a job done.
	workOn struct {
		name string
		job  scheduleJob
	}
	worked struct {
		name  string
		entry *scheduleEntry
		err   error
		job   scheduleJob
		by    *scheduler // that began with it; another one after a failure
	}
	// scheduledEnded says that a run of a schedule has ended.
	scheduledEnded struct {
		name, run string
		at        time.Time
	}
	listSchedules struct {
		filter ScheduleFilter
		reply  actor.Reply[[]*scheduleEntry]
	}
)

func (loadSchedules) isSchedulerMessage()  {}
func (schedulesDue) isSchedulerMessage()   {}
func (workOn) isSchedulerMessage()         {}
func (worked) isSchedulerMessage()         {}
func (scheduledEnded) isSchedulerMessage() {}
func (listSchedules) isSchedulerMessage()  {}

// scheduleSlot is the place of a schedule in the scheduler.
type scheduleSlot struct {
	name  string
	entry *scheduleEntry // nil: there is no such schedule (yet)
	busy  bool
	jobs  []scheduleJob
	ended []scheduledEnded // while it was busy
	fails int              // jobs in a row that failed by themselves
	due   time.Time        // zero: at no time
	index int              // in the heap; -1: not in it
}

// scheduler is the behaviour of the actor.
type scheduler struct {
	engine *Engine
	slots  map[string]*scheduleSlot
	due    dueHeap
	active int // jobs of due schedules under way
	timer  actor.Timer
	armed  time.Time
	loaded bool
	held   []schedulerMessage // came before the schedules were loaded
}

const (
	// schedulerJobs bounds the due schedules that are worked on at a time.
	schedulerJobs = 64
	// clockCheck is the longest time without a look at the wall clock, which may
	// have been set, or have gone on while the machine slept.
	clockCheck = 30 * time.Second
)

// scheduleRetry is when what failed by itself is tried again.
var scheduleRetry = retry.Policy{Initial: time.Second, Cap: time.Minute, Multiplier: 2}

// Start has the schedules read.
func (a *scheduler) Start(ctx *actor.Context[schedulerMessage]) error {
	a.slots = map[string]*scheduleSlot{}
	a.load(ctx)
	return nil
}

type schedulesLoaded struct {
	entries []*scheduleEntry
	err     error
}

func (schedulesLoaded) isSchedulerMessage() {}

func (a *scheduler) load(ctx *actor.Context[schedulerMessage]) {
	ctx.Pipe(func(ctx context.Context) schedulerMessage {
		a.engine.whenStaffed(ctx)
		entries, err := a.engine.loadSchedules(ctx)
		return schedulesLoaded{entries, err}
	})
}

// Receive handles one message.
func (a *scheduler) Receive(ctx *actor.Context[schedulerMessage], m schedulerMessage) error {
	switch m := m.(type) {
	case loadSchedules:
		a.load(ctx)
		return nil
	case schedulesLoaded:
		a.take(ctx, m)
		return nil
	}
	if !a.loaded {
		a.held = append(a.held, m)
		return nil
	}
	a.handle(ctx, m)
	a.pump(ctx)
	return nil
}

// take takes in the schedules that were stored.
func (a *scheduler) take(ctx *actor.Context[schedulerMessage], m schedulesLoaded) {
	if m.err != nil {
		a.engine.log.Error("the schedules cannot be read; it is tried again", "error", m.err)
		ctx.After(wakeAgain, loadSchedules{})
		return
	}
	for _, entry := range m.entries {
		s := a.slot(entry.plan.Name)
		s.entry = entry
		a.settle(s)
		if entry.plan.Overlap == OverlapCancel && len(entry.state.Queue) > 0 {
			a.enqueue(s, time.Now()) // the process may have died before it cancelled
		}
	}
	a.loaded = true
	for _, held := range a.held {
		a.handle(ctx, held)
	}
	a.held = nil
	a.pump(ctx)
}

func (a *scheduler) handle(ctx *actor.Context[schedulerMessage], m schedulerMessage) {
	switch m := m.(type) {
	case schedulesDue:
		a.armed = time.Time{}
	case workOn:
		s := a.slot(m.name)
		s.jobs = append(s.jobs, m.job)
		a.next(ctx, s)
	case worked:
		a.worked(ctx, m)
	case scheduledEnded:
		s := a.slots[m.name]
		switch {
		case s == nil:
		case s.busy:
			s.ended = append(s.ended, m)
		case s.entry != nil:
			a.runEnded(s, m)
			a.settle(s)
		}
	case listSchedules:
		m.reply.Send(a.list(m.filter))
	}
}

func (a *scheduler) slot(name string) *scheduleSlot {
	s := a.slots[name]
	if s == nil {
		s = &scheduleSlot{name: name, index: -1}
		a.slots[name] = s
	}
	return s
}

// runEnded takes in the end of a run. It is stored with the next change; the next
// process finds it out by itself.
func (a *scheduler) runEnded(s *scheduleSlot, m scheduledEnded) {
	state := s.entry.state.clone()
	if state.ended(m.run, m.at) {
		entry := *s.entry
		entry.state = state
		s.entry = &entry
		a.engine.changed(scheduleTrigger+s.name, nil)
	}
}

// next begins with the next job of a schedule.
func (a *scheduler) next(ctx *actor.Context[schedulerMessage], s *scheduleSlot) {
	if s.busy || len(s.jobs) == 0 {
		return
	}
	job := s.jobs[0]
	s.jobs = s.jobs[1:]
	a.begin(ctx, s, job)
}

func (a *scheduler) begin(ctx *actor.Context[schedulerMessage], s *scheduleSlot, job scheduleJob) {
	s.busy = true
	a.enqueue(s, time.Time{})
	name, entry := s.name, s.entry
	ctx.Pipe(func(ctx context.Context) schedulerMessage {
		after, err := job.do(ctx, entry)
		if err != nil {
			after = entry
		}
		return worked{name, after, err, job, a}
	})
}

// worked takes in what a job has done.
func (a *scheduler) worked(ctx *actor.Context[schedulerMessage], m worked) {
	switch {
	case !m.job.asked:
	case m.err != nil:
		m.job.reply.Fail(m.err)
	default:
		m.job.reply.Send(m.entry)
	}
	if m.by != a {
		return // what it did was read from the store
	}
	s := a.slots[m.name]
	s.busy, s.entry = false, m.entry
	retryAt := time.Time{}
	if !m.job.asked {
		a.active--
		s.fails++
		if m.err == nil {
			s.fails = 0
		} else if !a.engine.isClosing() {
			delay := scheduleRetry.Delay(s.fails)
			retryAt = time.Now().Add(delay)
			a.engine.log.Error("a schedule cannot be worked on at present; it is tried again", slog.String("schedule", m.name), slog.Duration("delay", delay), slog.Any("error", m.err))
		}
	}
	if s.entry != nil {
		for _, end := range s.ended {
			a.runEnded(s, end)
		}
	}
	s.ended = nil
	if m.err == nil {
		a.engine.changed(scheduleTrigger+s.name, nil)
	}
	if a.next(ctx, s); s.busy {
		return
	}
	if s.entry == nil {
		a.enqueue(s, time.Time{})
		delete(a.slots, m.name)
		return
	}
	if a.settle(s); !retryAt.IsZero() && !s.due.IsZero() && s.due.Before(retryAt) {
		a.enqueue(s, retryAt)
	}
}

// settle puts a schedule where it belongs in the heap.
func (a *scheduler) settle(s *scheduleSlot) {
	a.enqueue(s, s.entry.plan.wake(s.entry.state, time.Now()))
}

func (a *scheduler) enqueue(s *scheduleSlot, due time.Time) {
	s.due = due
	switch {
	case due.IsZero() && s.index >= 0:
		heap.Remove(&a.due, s.index)
	case due.IsZero():
	case s.index >= 0:
		heap.Fix(&a.due, s.index)
	default:
		heap.Push(&a.due, s)
	}
}

// pump begins with what is due, and sets the timer for what is due next.
func (a *scheduler) pump(ctx *actor.Context[schedulerMessage]) {
	now := time.Now()
	for a.active < schedulerJobs && len(a.due) > 0 && !a.due[0].due.After(now) {
		a.active++
		a.begin(ctx, a.due[0], scheduleJob{do: a.engine.fire})
	}
	if len(a.due) == 0 || a.active >= schedulerJobs {
		a.timer.Cancel()
		a.armed = time.Time{}
		return
	}
	next := a.due[0].due
	if limit := now.Add(clockCheck); next.After(limit) {
		next = limit
		if !a.armed.IsZero() && a.armed.Before(next) {
			return
		}
	}
	if a.armed.Equal(next) {
		return
	}
	a.timer.Cancel()
	a.armed = next
	a.timer = ctx.After(max(next.Sub(now), 0), schedulesDue{})
}

// list gives the schedules that a filter lets through, by name.
func (a *scheduler) list(f ScheduleFilter) []*scheduleEntry {
	var out []*scheduleEntry
	for name, s := range a.slots {
		if s.entry != nil && name > f.After && (f.Workflow == "" || s.entry.plan.Workflow == f.Workflow) {
			out = append(out, s.entry)
		}
	}
	return out
}

// dueHeap has the schedule that is due first at its top.
type dueHeap []*scheduleSlot

// Len is that of sort.Interface.
func (h dueHeap) Len() int { return len(h) }

// Less is that of sort.Interface.
func (h dueHeap) Less(i, k int) bool { return h[i].due.Before(h[k].due) }

// Swap is that of sort.Interface.
func (h dueHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].index, h[k].index = i, k
}

// Push is that of heap.Interface.
func (h *dueHeap) Push(x any) {
	s := x.(*scheduleSlot) //nolint:forcetypeassert // heap.Push is called with nothing else
	s.index = len(*h)
	*h = append(*h, s)
}

// Pop is that of heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	s.index = -1
	return s
}

// startScheduler makes the actors of schedules and triggers.
func (e *Engine) startScheduler(ctx *actor.Context[engineMessage]) (err error) {
	e.scheduler, err = actor.Spawn(ctx, actor.Spec[schedulerMessage]{
		Name: "schedules", Type: "workflow.schedules",
		New:     func() actor.Behavior[schedulerMessage] { return &scheduler{engine: e} },
		Mailbox: actor.Mailbox{Capacity: actor.Unbounded}, // those who wait for an answer and the runs bound it
	})
	if err != nil {
		return err
	}
	e.tended, err = actor.Spawn(ctx, actor.Spec[triggerMessage]{
		Name: "triggers", Type: "workflow.triggers",
		New: func() actor.Behavior[triggerMessage] { return &triggerKeeper{engine: e} },
	})
	return err
}

// tellEnded tells the scheduler that a run has ended, if a schedule started it, and
// the keeper of rollouts, if one chose its version.
func (e *Engine) tellEnded(r *runState) {
	if r.start.Rollout != "" {
		e.tendRollout(r.definition.Name)
	}
	if name, ok := strings.CutPrefix(r.start.Trigger, scheduleTrigger); ok {
		_ = e.scheduler.TryTell(scheduledEnded{name, r.id, r.ended}) // it has ended: the next process finds it out
	}
}

// onSchedule has a job done on a schedule, after those that came before it.
func (e *Engine) onSchedule(ctx context.Context, name string, do func(ctx context.Context, entry *scheduleEntry) (*scheduleEntry, error)) (*scheduleEntry, error) {
	entry, err := actor.Ask(ctx, e.scheduler, func(r actor.Reply[*scheduleEntry]) schedulerMessage {
		return workOn{name, scheduleJob{do: do, reply: r, asked: true}}
	})
	if errors.Is(err, actor.ErrStopped) {
		return nil, fault.New(fault.Unavailable, "workflow.Engine", "the engine is stopping")
	}
	return entry, err
}
