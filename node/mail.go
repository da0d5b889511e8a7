package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// Mail are the queues and dead letters of a store, as the console and the command
// line see them. It implements [console.Mail] and is safe for concurrent use.
type Mail struct {
	engine  string
	store   store.Store
	types   *wire.Registry
	letters *durable.Letters
	parent  actor.Parent // of the redrives

	figures  figures
	redrives redrives

	mu    sync.Mutex
	hosts map[store.Queue]host // by the queue, or by the prefix of entities' queues
}

// A host is the actor that handles a queue, or queues with a prefix.
type host struct {
	path     string
	prefix   bool
	rehearse func(context.Context, []store.Letter) ([]durable.Rehearsal, error)
}

// newMail returns the mail of a store. Redrives are children of parent.
func newMail(engine string, s store.Store, types *wire.Registry, parent actor.Parent) *Mail {
	return &Mail{
		engine: engine, store: s, types: types, letters: durable.NewLetters(s, types), parent: parent,
		hosts: map[store.Queue]host{},
	}
}

// register makes the actor of a queue known. A later one takes the place of an
// earlier one, as after a restart.
func (m *Mail) register(q store.Queue, h host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts[q] = h
}

// hostOf finds the actor of a queue on this node.
func (m *Mail) hostOf(q store.Queue) (host, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h, ok := m.hosts[q]; ok && !h.prefix {
		return h, true
	}
	for i := len(q) - 1; i >= 0; i-- {
		if q[i] != '/' {
			continue
		}
		if h, ok := m.hosts[q[:i+1]]; ok && h.prefix {
			return h, true
		}
	}
	return host{}, false
}

// Overview implements [console.Mail].
func (m *Mail) Overview(ctx context.Context) (console.MailOverview, error) {
	f, err := m.figures.read(ctx, m.store)
	o := console.MailOverview{
		Engine: m.engine, DeadLetters: f.letters, Newest: m.figures.changes.Load(), More: f.more,
		Queues: []console.Queue{}, Redrives: m.redrives.list(),
	}
	if err != nil {
		o.Error = err.Error()
	}
	for _, q := range m.withHosted(f) {
		line := console.Queue{Name: q.Queue, Ready: q.Ready, Held: q.Held, Delayed: q.Delayed, Oldest: q.Oldest}
		m.figures.add(&line)
		if h, ok := m.hostOf(q.Queue); ok {
			line.Actor, line.CanTry = h.path, true
		}
		o.Queues = append(o.Queues, line)
	}
	return o, nil
}

// withHosted are the queues that the store knows, and those that have an actor on
// this node and no message: the store may not list them.
func (m *Mail) withHosted(f storeFigures) []store.QueueInfo {
	queues := slices.Clone(f.queues)
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, h := range m.hosts {
		known := slices.ContainsFunc(f.queues, func(q store.QueueInfo) bool { return q.Queue == name })
		if !h.prefix && !known && len(queues) < console.QueuesShown {
			queues = append(queues, store.QueueInfo{Queue: name})
		}
	}
	slices.SortFunc(queues, func(a, b store.QueueInfo) int { return cmp.Compare(a.Queue, b.Queue) })
	return queues
}

// Letters implements [console.Mail].
func (m *Mail) Letters(ctx context.Context, q console.LetterQuery) (console.LetterPage, error) {
	limit := cmp.Or(q.Limit, console.LettersDefault)
	f := q.Store()
	f.After, f.Limit = q.After, limit
	page := console.LetterPage{Letters: []console.LetterSummary{}}
	letters, err := m.letters.List(ctx, f)
	if err != nil {
		return page, err
	}
	for i := range letters {
		page.Letters = append(page.Letters, console.SummaryOf(&letters[i]))
	}
	if len(letters) == limit {
		page.Next = letters[limit-1].ID
	}
	page.Total, err = m.letters.Count(ctx, f)
	return page, err
}

// Letter implements [console.Mail].
func (m *Mail) Letter(ctx context.Context, id store.LetterID) (console.Letter, error) {
	in, err := m.letters.Inspect(ctx, id)
	if err != nil {
		return console.Letter{}, err
	}
	l := console.LetterOf(&in)
	_, l.CanTry = m.hostOf(in.Queue)
	l.TypeNames = m.types.Names()
	return l, nil
}

// EditLetter implements [console.Mail].
func (m *Mail) EditLetter(ctx context.Context, id store.LetterID, e console.LetterEdit) (console.Letter, error) {
	_, err := m.letters.Edit(ctx, id, func(l *store.Letter) error {
		if e.Version != 0 && l.Version != e.Version {
			return store.LetterConflict(id, e.Version, l.Version)
		}
		return m.change(l, e)
	})
	if err != nil {
		return console.Letter{}, err
	}
	m.figures.changed()
	return m.Letter(ctx, id)
}

// change applies an edit to a letter.
func (m *Mail) change(l *store.Letter, e console.LetterEdit) error {
	const op = "node.EditLetter"
	switch {
	case e.Payload != nil && e.Hex != "":
		return fault.New(fault.InvalidArgument, op, "payload and hex are given; expected one of them")
	case e.Payload == nil && e.Hex == "" && e.Queue == "" && e.Type == "":
		return fault.New(fault.InvalidArgument, op, "nothing is changed; expected payload, hex, type or queue")
	}
	if e.Queue != "" {
		l.Queue = e.Queue
	}
	if e.Payload != nil {
		return m.letters.SetJSON(l, e.Type, e.Payload)
	}
	if e.Type != "" {
		l.Type = e.Type
	}
	if e.Hex != "" {
		data, err := hex.DecodeString(e.Hex)
		if err != nil {
			return fault.New(fault.InvalidArgument, op, "hex is not hexadecimal: %v", err)
		}
		l.Data = data
	}
	return nil
}

// DeleteLetters implements [console.Mail].
func (m *Mail) DeleteLetters(ctx context.Context, d console.LetterDelete) (int, error) {
	if err := d.Check(); err != nil {
		return 0, err
	}
	if len(d.IDs) == 0 {
		n, err := m.letters.DeleteWhere(ctx, d.Filter.Store(), d.DryRun)
		m.figures.changed()
		return n, err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(d.IDs)))
	b := &store.Batch{}
	for _, id := range ids {
		if _, err := m.store.Letter(ctx, id); err != nil {
			return 0, err
		}
		b.LetterDeletes = append(b.LetterDeletes, store.LetterDelete{ID: id, Version: d.Version})
	}
	if d.DryRun {
		return len(ids), nil
	}
	if _, err := m.store.Commit(ctx, b); err != nil {
		return 0, err
	}
	m.figures.changed()
	return len(ids), nil
}

// Rehearse implements [console.Mail].
func (m *Mail) Rehearse(ctx context.Context, ids []store.LetterID) ([]console.Rehearsal, error) {
	done := make([]console.Rehearsal, 0, len(ids))
	for _, id := range ids {
		letter, err := m.store.Letter(ctx, id)
		if err != nil {
			return done, err
		}
		h, ok := m.hostOf(letter.Queue)
		if !ok {
			return done, &fault.Error{
				Code: fault.FailedPrecondition, Op: "node.Rehearse", Target: fmt.Sprintf("letter %d", id),
				Message: fmt.Sprintf("the handler of the queue %q is not part of this program", letter.Queue),
				Hint:    "rehearse through a running node that hosts it, with --node",
			}
		}
		rehearsed, err := h.rehearse(ctx, []store.Letter{letter})
		if err != nil {
			return done, err
		}
		for i := range rehearsed {
			done = append(done, m.rehearsal(&rehearsed[i]))
		}
	}
	return done, nil
}

// rehearsal is a rehearsal as the console shows it.
func (m *Mail) rehearsal(r *durable.Rehearsal) console.Rehearsal {
	v := console.Rehearsal{Letter: r.Letter, Events: []console.Effect{}, Outputs: []console.Effect{}}
	if r.Err != nil {
		v.Error, v.Code = r.Err.Error(), fault.CodeOf(r.Err).String()
	}
	for _, e := range r.Events {
		codec, name, _ := strings.Cut(e.Type, ":")
		shown, err := m.types.JSON(wire.Message{Codec: codec, Type: name, Data: e.Data})
		v.Events = append(v.Events, effect(string(e.Stream), name, e.Data, shown, err))
	}
	for i := range r.Outputs {
		p := &r.Outputs[i]
		shown, err := m.letters.JSON(&p.Envelope)
		v.Outputs = append(v.Outputs, effect(string(p.Queue), p.Type, p.Data, shown, err))
	}
	switch codec, name, _ := strings.Cut(r.AnswerType, ":"); {
	case r.AnswerType == "":
	case codec == "fault":
		v.Answer = &console.Effect{Type: "rejection", Payload: r.Answer}
	default:
		shown, err := m.types.JSON(wire.Message{Codec: codec, Type: name, Data: r.Answer})
		answer := effect("", name, r.Answer, shown, err)
		v.Answer = &answer
	}
	return v
}

// effect shows what a handler would do, in hexadecimal if it does not decode.
func effect(to, name string, data, shown []byte, err error) console.Effect {
	e := console.Effect{To: to, Type: name, Payload: shown}
	if err != nil {
		e.Payload, e.Hex = nil, hex.EncodeToString(data[:min(len(data), console.HexMax)])
	}
	return e
}
