package console

import (
	"context"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

const (
	// livePatience is how long a stream waits for the store. Without an answer in
	// time it says what there was before.
	livePatience = time.Second
	// liveSpan is the shortest time between two looks at the store, whatever
	// happens and however many clients there are.
	liveSpan = 200 * time.Millisecond
	// liveAge is how old a list of workflows may be: nobody tells of those that
	// were deployed by the program itself.
	liveAge = 5 * time.Second
)

// liveRuns is what streams show of runs and workflows. It is read again when
// something has changed, once for all clients.
type liveRuns struct {
	mu        sync.Mutex
	engine    *workflow.Engine // whose changes are watched
	changed   <-chan struct{}
	unwatch   func()
	stale     bool
	closed    bool
	changes   uint64
	runs      RunList
	workflows WorkflowList
	schedules ScheduleChanges
	read      time.Time
}

// close ends the watch.
func (l *liveRuns) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.watch(nil)
}

// watch has changes of an engine told, and of no other.
func (l *liveRuns) watch(engine *workflow.Engine) {
	if engine == l.engine {
		return
	}
	if l.unwatch != nil {
		l.unwatch()
	}
	l.engine, l.changed, l.unwatch, l.stale = engine, nil, nil, true
	if engine != nil {
		l.changed, l.unwatch = engine.Watch("")
	}
}

// touch has the lists read again: the console has changed something itself.
func (c *Console) touch() {
	c.live.mu.Lock()
	defer c.live.mu.Unlock()
	c.live.stale = true
}

// liveLists are the newest runs, the workflows, and what there is of schedules.
func (c *Console) liveLists() (RunList, WorkflowList, ScheduleChanges) {
	l := &c.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.opts.Runs == nil || l.closed {
		return RunList{Runs: []workflow.RunSummary{}}, WorkflowList{Workflows: []workflow.Version{}}, ScheduleChanges{}
	}
	l.watch(c.opts.Runs.Engine())
	select {
	case <-l.changed:
		l.stale = true
	default:
	}
	age := time.Since(l.read)
	if l.runs.Runs == nil || age >= liveSpan && l.stale || age >= liveAge {
		ctx, cancel := context.WithTimeout(context.Background(), livePatience)
		defer cancel()
		c.readLists(ctx, l)
	}
	return l.runs, l.workflows, l.schedules
}

// readLists reads the lists; l is locked. What cannot be read stays as it was.
func (c *Console) readLists(ctx context.Context, l *liveRuns) {
	changed := l.stale
	l.stale, l.read = false, time.Now()
	runs, err := c.runPage(ctx, workflow.RunFilter{Limit: RunsShown})
	if err == nil || l.runs.Runs == nil {
		if changed {
			l.changes++
		}
		runs.Changes = l.changes
		l.runs = runs
	}
	workflows, listed := c.workflowPage(ctx, PageQuery{Limit: RunsMax})
	if listed == nil || l.workflows.Workflows == nil {
		l.workflows = workflows
	}
	if schedules, err := c.scheduleChanges(ctx); err == nil {
		l.schedules = schedules
	}
	if l.engine != nil && (err != nil || listed != nil) {
		l.stale = true
	}
}

// liveRun is the run that one client looks at.
type liveRun struct {
	id      string
	run     *workflow.Run
	changed <-chan struct{}
	unwatch func()
	info    workflow.RunInfo
	stale   bool
}

// close ends the watch.
func (l *liveRun) close() {
	if l.unwatch != nil {
		l.unwatch()
		l.unwatch = nil
	}
}

// show brings a client's run up to date: the one it asked for, else the newest.
// It returns nil if there is none.
func (c *Console) show(l *liveRun, wanted string, newest []workflow.RunSummary) *workflow.RunInfo {
	if c.opts.Runs == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), livePatience)
	defer cancel()
	if wanted != "" && c.see(ctx, l, wanted) {
		return &l.info
	}
	if len(newest) > 0 && newest[0].ID != wanted && c.see(ctx, l, newest[0].ID) {
		return &l.info
	}
	return nil
}

// see reads a run if it may have changed: a run that has ended, or only waits, is
// not in memory, and its history may be long.
func (c *Console) see(ctx context.Context, l *liveRun, id string) bool {
	if l.id != id || l.run == nil {
		run, err := c.run(ctx, id)
		if err != nil {
			return false
		}
		l.close()
		*l = liveRun{id: id, run: run, stale: true}
		l.changed, l.unwatch = run.Changes()
	}
	select {
	case <-l.changed:
		l.stale = true
	default:
	}
	if !l.stale && !moving(&l.info) {
		return true
	}
	info, err := l.run.Info(ctx)
	if err != nil {
		return l.info.ID != "" // as it was
	}
	l.info, l.stale = info, false
	return true
}

// moving reports whether figures of a run may change without an event.
func moving(info *workflow.RunInfo) bool {
	if info.State.Final() {
		return false
	}
	for i := range info.Nodes {
		if info.Nodes[i].State == workflow.StateRunning {
			return true
		}
	}
	return info.State == workflow.StateStopping
}
