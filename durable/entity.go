package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// An Entity is an actor whose state is what its events add up to. C are its
// commands, E its events.
//
//	func (a *Account) Decide(ctx *durable.Context[Command], c Command) ([]Event, error) {
//		switch c := c.(type) {
//		case Withdraw:
//			if a.balance < c.Cents {
//				durable.Reject(ctx, ErrNoFunds)
//				return nil, nil
//			}
//			return []Event{Withdrawn{c.Cents}}, nil
//		…
//
//	func (a *Account) Apply(e Event) {
//		switch e := e.(type) {
//		case Withdrawn:
//			a.balance -= e.Cents
//		…
//
// The state after Apply can be seen by the next Decide before it is committed;
// answers, outputs and [Context.Then] are held back until it is. When a commit
// fails the entity is made anew, from what was committed, and decides again.
type Entity[C, E any] interface {
	// Decide says what follows from a command, and through ctx what to answer and
	// to send on. It must not change the state. An error is a failure of the
	// command, see [Behavior]; to refuse one, [Reject] it and return no event.
	Decide(ctx *Context[C], c C) ([]E, error)

	// Apply changes the state by an event. It has no other effect and depends on
	// nothing but the state and the event, as it is called again in each recovery.
	Apply(e E)
}

// Snapshotter is an entity that can save its state, so that recovery need not
// read all of its events.
type Snapshotter interface {
	// Snapshot encodes the state.
	Snapshot() (wire.Message, error)
	// Restore sets the state of a new entity. An error means that the snapshot is
	// of no use, of an old form for example: recovery reads all events instead.
	Restore(m wire.Message) error
}

// entity is an Entity as the handler of a worker.
type entity[C, E any] struct {
	w      *worker[C]
	spec   *EntitySpec[C, E]
	key    string
	stream store.Stream
	fence  *fence

	state     Entity[C, E] // nil: not recovered, or of no use any more
	pos       store.Position
	applied   store.Position // by the events of the batch at hand as well
	snapshot  store.Position
	epoch     store.Fence
	confirmed bool // no handler is in the middle of changing the state
}

func (e *entity[C, E]) start(*Context[C]) error { return nil }
func (e *entity[C, E]) stop(*Context[C]) error  { return nil }

// ready recovers the state, here rather than in start so that many entities
// recover at once.
func (e *entity[C, E]) ready(ctx context.Context) error {
	if e.state != nil {
		return nil
	}
	f, err := e.fence.current(ctx)
	if errors.Is(err, store.ErrLeaseHeld) { // the host goes on when it has the lease
		e.w.standBack()
		return actor.ErrStop
	}
	if err == nil {
		e.epoch = f
		err = e.recover(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRecovery, err)
	}
	return nil
}

func (e *entity[C, E]) recover(ctx context.Context) error {
	state := e.spec.New(e.key)
	if state == nil {
		return fault.New(fault.Internal, "durable.SpawnEntities", "New(%q) of kind %s returned nil", e.key, e.spec.Kind)
	}
	pos, err := e.restore(ctx, state)
	if err != nil {
		return err
	}
	if pos < 0 { // the snapshot is of no use, and may have left its marks
		state, pos = e.spec.New(e.key), 0
	}
	e.snapshot = pos
	for event, err := range e.w.store.Read(ctx, e.stream, pos+1) {
		switch {
		case errors.Is(err, store.ErrUnknownStream):
			continue
		case err != nil:
			return e.unrecovered(pos, err)
		}
		value, err := decodeEvent(e.spec.Events, &event)
		if err != nil {
			return e.unrecovered(event.Position, err)
		}
		state.Apply(value)
		pos = event.Position
	}
	e.state, e.pos, e.applied, e.confirmed = state, pos, pos, true
	return nil
}

// restore sets the state by the snapshot and returns its position, 0 without
// one and -1 for one that is of no use.
func (e *entity[C, E]) restore(ctx context.Context, state Entity[C, E]) (store.Position, error) {
	s, ok := state.(Snapshotter)
	if !ok {
		return 0, nil
	}
	saved, err := e.w.store.Snapshot(ctx, e.stream)
	switch {
	case errors.Is(err, store.ErrNoSnapshot):
		return 0, nil
	case err != nil:
		return 0, e.unrecovered(0, err)
	}
	codec, name := splitKind(saved.Type)
	if err := s.Restore(wire.Message{Type: name, Codec: codec, Data: saved.Data}); err != nil {
		return -1, nil //nolint:nilerr // the events are still there
	}
	return saved.Position, nil
}

func (e *entity[C, E]) unrecovered(at store.Position, err error) error {
	return &fault.Error{
		Code: fault.CodeOf(err), Op: "durable.recover", Target: string(e.stream),
		Message: fmt.Sprintf("the state can't be recovered: position %d", at),
		Hint:    "for a form of events that is gone, add a durable.Upcast to the union of the events", Cause: err,
	}
}

// receive decides on a command and applies what was decided.
func (e *entity[C, E]) receive(x *Context[C], c C) error {
	if e.state == nil { // an own message, before the first command
		if err := e.ready(x); err != nil {
			return err
		}
	}
	e.confirmed = false
	events, err := e.state.Decide(x, c)
	if err != nil {
		e.confirmed = true
		return err
	}
	encoded := make([]store.Event, len(events))
	for i := range events {
		m, err := e.spec.Events.Encode(events[i])
		if err != nil {
			e.confirmed = true
			return err
		}
		encoded[i] = store.Event{Type: joinKind(m), Data: m.Data}
		if x.part.msg != nil {
			encoded[i].Meta = causeOf(x.part.msg)
		}
	}
	for i := range events {
		e.state.Apply(events[i])
	}
	x.part.events = encoded
	e.applied += store.Position(len(encoded))
	e.confirmed = true
	return nil
}

// stage adds the events, which must follow what this entity knows, and the fence.
func (e *entity[C, E]) stage(b *store.Batch, parts []*part) {
	var events []store.Event
	for _, p := range parts {
		events = append(events, p.events...)
	}
	b.Fence = e.epoch
	if len(events) > 0 {
		b.Appends = append(b.Appends, store.Append{Stream: e.stream, Expected: e.pos, Events: events})
	}
}

// settled notes what was committed, and saves the state now and then.
func (e *entity[C, E]) settled(ctx context.Context, b *store.Batch) {
	for _, a := range b.Appends {
		e.pos += store.Position(len(a.Events))
	}
	every := store.Position(e.spec.SnapshotEvery)
	if every > 0 && e.pos-e.snapshot >= every && e.confirmed && e.applied == e.pos {
		e.save(ctx)
	}
	e.fence.keep(ctx)
}

// save saves the state. It is a commit of its own, as a snapshot that fails must
// not take the events along.
func (e *entity[C, E]) save(ctx context.Context) {
	s, ok := e.state.(Snapshotter)
	if !ok {
		return
	}
	e.snapshot = e.pos // whatever becomes of it: the next try is as far away
	m, err := s.Snapshot()
	if err == nil {
		_, err = e.w.store.Commit(ctx, &store.Batch{Fence: e.epoch, Snapshots: []store.Snapshot{{
			Stream: e.stream, Position: e.pos, Type: joinKind(m), Data: m.Data,
		}}})
	}
	if err != nil {
		e.w.log().LogAttrs(ctx, slog.LevelWarn, "the snapshot of an entity was not saved",
			append([]slog.Attr{slog.String("stream", string(e.stream))}, fault.Attrs(err)...)...)
	}
}

// undone forgets the state, which is ahead of what is committed.
func (e *entity[C, E]) undone(err error) bool {
	e.state = nil
	if errors.Is(err, store.ErrStaleEpoch) {
		e.fence.lost(e.epoch)
	}
	return true
}

// decodeEvent turns a stored event into a value.
func decodeEvent[E any](codec Codec[E], event *store.Event) (E, error) {
	c, name := splitKind(event.Type)
	return codec.Decode(wire.Message{Type: name, Codec: c, Data: event.Data})
}
