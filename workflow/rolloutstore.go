package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// How rollouts lie in a store:
//
//	entry  wf/rollout/NAME        the last rollout of a workflow, with its figures
//	entry  wf/rolled/ID/RUN       how a run of the rollout ID ended; it goes with the
//	                              run's end, in one commit, and away with the commit
//	                              that counts it: so each run is counted once,
//	                              whatever dies

const (
	rolloutPrefix = "wf/rollout/"
	rolledPrefix  = "wf/rolled/"
	// rolloutFold is how many ends of runs are counted in one commit.
	rolloutFold = 1000
)

// rolloutEntry is a rollout as it is stored. It is not changed.
type rolloutEntry struct {
	state   *rolloutState
	version int64 // of the entry; store.Absent if there is none
}

// ended is the state of a rollout that somebody has ended.
func (entry *rolloutEntry) ended(reason string) *rolloutState {
	if entry.state.State != RolloutActive {
		return entry.state
	}
	s := entry.state.clone()
	s.apply(RolloutChange{At: rolloutNow(), State: RolloutEnded, Reason: reason})
	return s
}

// rollouts are those of all workflows. Only the engine writes them, so what it has
// is what is stored.
type rollouts struct {
	changing sync.Mutex // held while one is changed, also around the store

	mu     sync.RWMutex
	byName map[string]*rolloutEntry
}

func (r *rollouts) get(workflow string) *rolloutEntry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[workflow]
}

func (r *rollouts) put(workflow string, entry *rolloutEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName == nil {
		r.byName = map[string]*rolloutEntry{}
	}
	r.byName[workflow] = entry
}

// loadRollouts reads all rollouts when the engine begins, and forgets the ends of
// runs that are of none of them.
func (e *Engine) loadRollouts(ctx context.Context) error {
	ids := map[string]bool{}
	err := e.eachEntry(ctx, rolloutPrefix, func(stored store.Entry) error {
		name := strings.TrimPrefix(stored.Key, rolloutPrefix)
		state, err := decodeRollout(stored.Value)
		if err != nil {
			// A rollout that cannot be read holds nothing up: the active version gets all runs.
			e.log.Error("a rollout cannot be read; the active version gets all runs", "workflow", name, "error", err)
			return nil
		}
		ids[state.ID] = true
		e.rollouts.put(name, &rolloutEntry{state, stored.Version})
		return nil
	})
	if err != nil {
		return err
	}
	return e.eachEntry(ctx, rolledPrefix, func(stored store.Entry) error {
		id, _, _ := strings.Cut(strings.TrimPrefix(stored.Key, rolledPrefix), "/")
		if ids[id] {
			return nil
		}
		_, err := e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: []store.Set{{Key: stored.Key, Delete: true, Expected: store.AnyVersion}}})
		return err
	})
}

func (e *Engine) eachEntry(ctx context.Context, prefix string, f func(store.Entry) error) error {
	filter := store.EntryFilter{Prefix: prefix, Limit: 1000}
	for {
		entries, err := e.store.Entries(ctx, filter)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, entry := range entries {
			if err := f(entry); err != nil {
				return err
			}
		}
		filter.After = entries[len(entries)-1].Key
	}
}

func decodeRollout(data []byte) (*rolloutState, error) {
	s := &rolloutState{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fault.Wrap(fault.DataLoss, "workflow.Engine", err)
	}
	if !s.valid() {
		return nil, fault.New(fault.DataLoss, "workflow.Engine", "the rollout %.40q is not one", s.ID)
	}
	return s, nil
}

// changeRollout stores what f makes of a rollout, which is nil if there is none.
// If active is not 0, it becomes the active version of the workflow in the same
// commit.
func (e *Engine) changeRollout(ctx context.Context, workflow string, f func(*rolloutEntry) (next *rolloutState, active int64, err error)) (*rolloutEntry, error) {
	e.rollouts.changing.Lock()
	defer e.rollouts.changing.Unlock()
	entry := e.rollouts.get(workflow)
	next, active, err := f(entry)
	if err != nil {
		return entry, err
	}
	if entry != nil && next == entry.state {
		return entry, nil
	}
	return e.storeRollout(ctx, workflow, entry, next, active, nil)
}

// storeRollout commits a rollout with what goes with it.
func (e *Engine) storeRollout(ctx context.Context, workflow string, entry *rolloutEntry, next *rolloutState, active int64, also []store.Set) (*rolloutEntry, error) {
	set, err := rolloutSet(workflow, entry, next)
	if err != nil {
		return entry, err
	}
	batch := &store.Batch{Fence: e.fence, Sets: append(also, set)}
	if active != 0 {
		value, err := json.Marshal(activeVersion{Version: active})
		if err != nil {
			return entry, err
		}
		owed, err := e.owe(ctx, workflow, active)
		if err != nil {
			return entry, err
		}
		batch.Sets = append(batch.Sets, owed...)
		batch.Sets = append(batch.Sets, store.Set{Key: activePrefix + workflow, Value: value, Expected: store.AnyVersion})
	}
	if _, err := e.store.Commit(ctx, batch); err != nil {
		return entry, errors.Join(err, e.rereadRollout(ctx, workflow))
	}
	if active != 0 {
		e.cache.setActive(workflow, active)
	}
	return e.rolloutStored(workflow, set, next), nil
}

// rereadRollout reads a rollout after a commit that may or may not have come
// about.
func (e *Engine) rereadRollout(ctx context.Context, workflow string) error {
	stored, err := e.store.Entry(context.WithoutCancel(ctx), rolloutPrefix+workflow)
	if errors.Is(err, store.ErrNoEntry) {
		return nil
	}
	if err != nil {
		return err
	}
	state, err := decodeRollout(stored.Value)
	if err != nil {
		return err
	}
	e.rollouts.put(workflow, &rolloutEntry{state, stored.Version})
	e.cache.forgetActive(workflow)
	return nil
}

func rolloutSet(workflow string, entry *rolloutEntry, next *rolloutState) (store.Set, error) {
	value, err := json.Marshal(next)
	set := store.Set{Key: rolloutPrefix + workflow, Value: value, Expected: store.Absent}
	if entry != nil {
		set.Expected = entry.version
	}
	return set, err
}

func (e *Engine) rolloutStored(workflow string, set store.Set, next *rolloutState) *rolloutEntry {
	entry := &rolloutEntry{next, set.Expected + 1}
	e.rollouts.put(workflow, entry)
	e.changed("", nil)
	return entry
}

// endsWith ends a rollout that is active as another version is made the active
// one: the change goes with that commit, and stored is called after it. The
// caller holds rollouts.changing.
func (e *Engine) endsWith(workflow, reason string) (sets []store.Set, stored func(), err error) {
	entry := e.rollouts.get(workflow)
	if entry == nil || entry.state.State != RolloutActive {
		return nil, func() {}, nil
	}
	next := entry.ended(reason)
	set, err := rolloutSet(workflow, entry, next)
	return []store.Set{set}, func() { e.rolloutStored(workflow, set, next) }, err
}

// assign says which version a run gets that was started without one, and the
// rollout that says so.
func (e *Engine) assign(workflow, key, runID string) (version int64, rollout string) {
	entry := e.rollouts.get(workflow)
	if entry == nil {
		return 0, ""
	}
	if version = entry.state.choose(workflow, key, runID); version == 0 {
		return 0, ""
	}
	return version, entry.state.ID
}

// rolled is what tells how a run of a rollout ended, to go with its end.
func (e *Engine) rolled(r *runState) (store.Set, bool, error) {
	if r.start.Rollout == "" || r.ends != 1 {
		return store.Set{}, false, nil
	}
	entry := e.rollouts.get(r.definition.Name)
	if entry == nil || entry.state.ID != r.start.Rollout {
		return store.Set{}, false, nil
	}
	value, err := json.Marshal(rolloutEnd{Version: r.start.Version, State: r.state, Duration: r.ended.Sub(r.started)})
	return store.Set{Key: rolledPrefix + r.start.Rollout + "/" + r.id, Value: value, Expected: store.AnyVersion}, true, err
}

// refused counts a start that only the candidate refused as a run of it that
// failed.
func (e *Engine) refused(ctx context.Context, workflow, rollout, runID string, version int64) error {
	value, err := json.Marshal(rolloutEnd{Version: version, State: StateFailed})
	if err != nil {
		return err
	}
	_, err = e.store.Commit(ctx, &store.Batch{
		Fence: e.fence, Sets: []store.Set{{Key: rolledPrefix + rollout + "/" + runID, Value: value, Expected: store.AnyVersion}},
	})
	e.tendRollout(workflow)
	return err
}

// tend counts the runs of a workflow's rollout that have ended, and does what
// follows.
func (e *Engine) tend(ctx context.Context, workflow string) (*rolloutEntry, error) {
	if err := e.settleOrTell(ctx, workflow); err != nil {
		return nil, err
	}
	entry, err := e.count(ctx, workflow)
	if err != nil {
		return entry, err
	}
	return entry, e.settleOrTell(ctx, workflow)
}

// count counts the runs of a rollout that have ended.
func (e *Engine) count(ctx context.Context, workflow string) (*rolloutEntry, error) {
	e.rollouts.changing.Lock()
	defer e.rollouts.changing.Unlock()
	for {
		entry := e.rollouts.get(workflow)
		if entry == nil {
			return nil, noRollout(workflow)
		}
		ends, err := e.store.Entries(ctx, store.EntryFilter{Prefix: rolledPrefix + entry.state.ID + "/", Limit: rolloutFold})
		if err != nil {
			return entry, err
		}
		next := entry.state.clone()
		var counted []store.Set
		for _, stored := range ends {
			var end rolloutEnd
			if err := json.Unmarshal(stored.Value, &end); err != nil {
				e.log.Error("the end of a run in a rollout cannot be read; it is not counted", "workflow", workflow, "entry", stored.Key, "error", err)
			}
			next.count(end)
			counted = append(counted, store.Set{Key: stored.Key, Delete: true, Expected: stored.Version})
		}
		change := next.decide(rolloutNow())
		if change == nil && len(counted) == 0 {
			return entry, nil
		}
		var active int64
		if change != nil {
			next.apply(*change)
			if change.State == RolloutCompleted {
				active = next.Candidate
			}
			e.log.Info("a rollout goes on", "workflow", workflow, "state", change.State, "percent", change.Percent, "reason", change.Reason)
		}
		if entry, err = e.storeRollout(ctx, workflow, entry, next, active, counted); err != nil {
			return entry, err
		}
	}
}

// rolloutMessage is what the keeper of rollouts is told.
type rolloutMessage interface{ isRolloutMessage() }

type (
	tendSoon struct{ workflow string }
	tendNow  struct{ workflow string }
	tended   struct {
		workflow string
		due      time.Time
		err      error
	}
)

func (tendSoon) isRolloutMessage() {}
func (tendNow) isRolloutMessage()  {}
func (tended) isRolloutMessage()   {}

// rolloutKeeper is the actor that tends rollouts when runs of them have ended, and
// when a step is due, and settles what an earlier process owed. Ends that come together are counted together.
type rolloutKeeper struct {
	engine *Engine
	soon   map[string]bool // a timer runs
	busy   map[string]bool
	due    map[string]actor.Timer
}

const (
	// tendPause is how long ends of runs are gathered before they are counted.
	tendPause = 50 * time.Millisecond
	// tendAgain is when it is tried again after an error.
	tendAgain = time.Second
)

// Start has all rollouts looked after that an earlier process left.
func (k *rolloutKeeper) Start(ctx *actor.Context[rolloutMessage]) error {
	k.soon, k.busy, k.due = map[string]bool{}, map[string]bool{}, map[string]actor.Timer{}
	k.engine.rollouts.mu.RLock()
	defer k.engine.rollouts.mu.RUnlock()
	for name := range k.engine.rollouts.byName {
		k.later(ctx, name, 0)
	}
	for _, name := range k.engine.settling.all() {
		k.later(ctx, name, 0)
	}
	return nil
}

func (k *rolloutKeeper) later(ctx *actor.Context[rolloutMessage], workflow string, pause time.Duration) {
	if !k.soon[workflow] {
		k.soon[workflow] = true
		ctx.After(pause, tendNow{workflow})
	}
}

// Receive handles one message.
func (k *rolloutKeeper) Receive(ctx *actor.Context[rolloutMessage], m rolloutMessage) error {
	switch m := m.(type) {
	case tendSoon:
		k.later(ctx, m.workflow, tendPause)
	case tendNow:
		k.soon[m.workflow] = false
		if k.busy[m.workflow] {
			k.later(ctx, m.workflow, tendPause)
			return nil
		}
		k.busy[m.workflow] = true
		ctx.Pipe(func(ctx context.Context) rolloutMessage {
			k.engine.whenStaffed(ctx)
			entry, err := k.engine.tend(ctx, m.workflow)
			t := tended{workflow: m.workflow, err: err}
			if entry != nil && entry.state.State == RolloutActive && len(entry.state.Split) == 0 {
				t.due = entry.state.due()
			}
			return t
		})
	case tended:
		k.busy[m.workflow] = false
		if timer, ok := k.due[m.workflow]; ok {
			timer.Cancel()
			delete(k.due, m.workflow)
		}
		if m.err != nil && fault.CodeOf(m.err) != fault.NotFound {
			k.engine.log.Error("a rollout cannot be looked after; it is tried again", "workflow", m.workflow, "error", m.err)
			k.later(ctx, m.workflow, tendAgain)
		}
		if wait := time.Until(m.due); !m.due.IsZero() && wait > 0 { // when it is over, the next end of a run decides
			k.due[m.workflow] = ctx.After(wait+time.Millisecond, tendSoon{m.workflow})
		}
	}
	return nil
}

// tendRollout has a rollout looked after.
func (e *Engine) tendRollout(workflow string) {
	_ = e.keeper.TryTell(tendSoon{workflow}) // if it has ended, the next process does it
}
