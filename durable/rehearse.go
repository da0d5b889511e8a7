package durable

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// Rehearsal is what would happen to a dead letter if it were redriven now.
type Rehearsal struct {
	Letter  store.LetterID
	Err     error         // why it would fail; nil: it would be handled
	Events  []store.Event // that an entity would record
	Outputs []store.Put   // messages that would be sent on
	// Answer is what the request would be answered with, and AnswerType its codec
	// and type as "codec:type". An AnswerType of "fault:" is a rejection, in JSON.
	AnswerType string
	Answer     []byte
}

// Rehearse hands dead letters of a mailbox to a new behaviour and tells what would
// happen: nothing of it does. What goes through the package is held back: the end
// of the message, what is emitted and answered, and [Context.Then]. A handler that
// acts on the world by itself must ask [Context.Rehearsal] first.
//
// Each letter meets a behaviour of its own, in an actor system of its own, and
// is tried once. The error is that of letters of another queue, of a behaviour
// that does not start, or of ctx, with the rehearsals done so far.
func Rehearse[M any](ctx context.Context, box *Mailbox[M], spec Spec[M], letters []store.Letter) ([]Rehearsal, error) {
	if spec.New == nil {
		return nil, invalid("durable.Rehearse", string(box.spec.Queue), "there is no New; it must return a new behaviour")
	}
	work, err := spec.worker("durable.Rehearse")
	if err != nil {
		return nil, err
	}
	return rehearse(ctx, box.store, letters, func(s store.Store) *host[M] {
		copied := *box
		copied.local = newLocal[M]()
		return &host[M]{
			store: s, local: copied.local, work: work, opts: spec.Options, only: box.spec.Queue,
			mailbox: func(store.Queue) (*Mailbox[M], error) { return &copied, nil },
			refOf:   func(b *Mailbox[M]) actor.Ref[M] { return b.Ref() },
			make:    func(*worker[M]) handler[M] { return &plain[M]{behavior: spec.New()} },
		}
	})
}

// Rehearse is [Rehearse] for dead letters of entities: each meets its entity as it
// is committed now.
func (e *Entities[C]) Rehearse(ctx context.Context, letters []store.Letter) ([]Rehearsal, error) {
	return rehearse(ctx, e.store, letters, e.rehearsal)
}

func rehearse[M any](ctx context.Context, s store.Store, letters []store.Letter, build func(store.Store) *host[M]) ([]Rehearsal, error) {
	var done []Rehearsal
	for i := range letters {
		r, err := rehearseOne(ctx, s, &letters[i], build)
		if err != nil {
			return done, err
		}
		done = append(done, r)
	}
	return done, nil
}

func rehearseOne[M any](ctx context.Context, s store.Store, letter *store.Letter, build func(store.Store) *host[M]) (Rehearsal, error) {
	stage := &stage{Store: s, letter: letter, over: make(chan struct{})}
	h := build(stage)
	if letter.Queue != h.only && !(h.only == "" && strings.HasPrefix(string(letter.Queue), string(h.prefix)) && letter.Queue != h.prefix) {
		return Rehearsal{}, invalid("durable.Rehearse", string(letter.Queue), "letter %d is not for %q", letter.ID, h.only+h.prefix)
	}
	h.rehearsal, h.work.hooks, h.opts.Name = true, Hooks{}, "rehearsal"
	sys := actor.NewSystem(actor.Options{
		Name: "rehearsal", Logger: slog.New(slog.DiscardHandler),
		Hooks: []actor.Hooks{{Failed: func(_ actor.Address, err error, _ actor.Directive) { stage.failed(err) }}},
	})
	defer func() { _ = sys.Stop(context.WithoutCancel(ctx)) }() // bounded by the system's own timeout
	if err := h.spawn(sys); err != nil {
		return Rehearsal{}, err
	}
	select {
	case <-stage.over:
		return stage.result(), nil
	case <-ctx.Done():
		return Rehearsal{}, ctx.Err()
	}
}

// stage is a store on which one letter is rehearsed: it reads what there is, hands
// out the letter, and keeps what is committed to itself.
type stage struct {
	store.Store
	letter *store.Letter

	mu    sync.Mutex
	given bool
	batch *store.Batch // that ended the letter
	err   error        // why there is none
	over  chan struct{}
}

// rehearsed is the receipt of the letter.
var rehearsed = store.Receipt{ID: 1, Grant: 1}

func (s *stage) Receive(context.Context, store.ReceiveRequest) ([]store.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given {
		return nil, nil
	}
	s.given = true
	put, err := redrivePut(s.letter)
	if err != nil {
		return nil, err
	}
	return []store.Message{{
		ID: rehearsed.ID, Queue: put.Queue, Priority: put.Priority, Key: put.Key, Time: time.Now(),
		Attempts: 1, Receipt: rehearsed, Envelope: put.Envelope,
	}}, nil
}

func (s *stage) Commit(_ context.Context, b *store.Batch) (store.Result, error) {
	if err := b.Validate(store.Limits{}); err != nil {
		return store.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b.Acks)+len(b.Nacks)+len(b.Buries) > 0 {
		s.end(b, nil)
	}
	return store.Result{
		Heads: make([]store.Position, len(b.Appends)), Puts: make([]store.PutResult, len(b.Puts)),
		Versions: make([]int64, len(b.Sets)), Letters: make([]store.LetterID, len(b.LetterAdds)),
	}, nil
}

// end keeps the first outcome; the lock is held.
func (s *stage) end(b *store.Batch, err error) {
	if s.batch == nil && s.err == nil {
		s.batch, s.err = b, err
		close(s.over)
	}
}

// failed is told of a failure of an actor. One that ended the letter has a batch.
func (s *stage) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(nil, err)
}

func (s *stage) result() Rehearsal {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Rehearsal{Letter: s.letter.ID, Err: s.err}
	if s.batch == nil {
		return r
	}
	switch b := s.batch; {
	case len(b.Buries) > 0:
		code, _ := fault.ParseCode(b.Buries[0].Code)
		r.Err = fault.New(code, "durable.Rehearse", "%s", b.Buries[0].Reason)
	case len(b.Nacks) > 0:
		r.Err = errors.New(b.Nacks[0].Reason)
	default:
		r.Outputs, r.AnswerType, r.Answer = b.Puts, b.Acks[0].AnswerType, b.Acks[0].Answer
		for i := range b.Appends {
			r.Events = append(r.Events, b.Appends[i].Events...)
		}
	}
	return r
}

func (s *stage) Ready(ctx context.Context, _ store.Queue) iter.Seq2[store.Queue, error] {
	return func(yield func(store.Queue, error) bool) {
		if !yield(s.letter.Queue, nil) {
			return
		}
		<-ctx.Done()
		yield("", ctx.Err())
	}
}

func (s *stage) Extend(context.Context, time.Duration, ...store.Receipt) error { return nil }

func (s *stage) Acquire(_ context.Context, name store.LeaseName, owner string, ttl time.Duration) (store.Lease, error) {
	return store.Lease{Name: name, Owner: owner, Epoch: 1, Until: time.Now().Add(ttl)}, nil
}

func (s *stage) Renew(_ context.Context, l store.Lease, _ time.Duration) (store.Lease, error) {
	return l, nil
}

func (s *stage) Release(context.Context, store.Lease) error { return nil }

func (s *stage) Close() error { return nil }
