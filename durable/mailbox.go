package durable

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// DefaultDedup is how long a request id is remembered after its message is done.
const DefaultDedup = 24 * time.Hour

// MailboxSpec says where a mailbox is and what is in it.
type MailboxSpec[M any] struct {
	// Queue is the name of the mailbox in its store. Required.
	Queue store.Queue

	// Codec turns messages into bytes: a [wire.Type], or a [Union] for an
	// interface. Required.
	Codec Codec[M]

	// Priority says which messages go first. It must be safe for concurrent use.
	// Nil: all are [store.Normal]. [Post.Priority] is above it.
	Priority func(M) store.Priority

	// Dedup is how long the request id of a [Post] is remembered after its message
	// is done, with the answer. Default [DefaultDedup], at most the store's
	// [store.Limits.DedupMax]; negative: request ids do not make unique.
	Dedup time.Duration
}

// A Mailbox is a queue in a store for messages of type M. It is the sender's
// side, and can be used whether or not the actor is in this process; [Spawn]
// makes the actor. It starts nothing and needs no closing.
//
// A Mailbox is an [actor.Target]; [Mailbox.Ref] is the reference to it.
type Mailbox[M any] struct {
	store store.Store
	spec  MailboxSpec[M]
	*local[M]
}

// local is what mailboxes share with their actors in the same process.
type local[M any] struct {
	serving atomic.Int32 // actors in this process
	live    liveMessages[M]
	waiters waiters
}

func newLocal[M any]() *local[M] {
	l := &local[M]{}
	l.live.never = neverReplies[M]()
	return l
}

// NewMailbox returns the mailbox of a queue. The error, INVALID_ARGUMENT, tells
// what is wrong with the spec.
func NewMailbox[M any](s store.Store, spec MailboxSpec[M]) (*Mailbox[M], error) {
	return newMailbox(s, spec, newLocal[M]())
}

func newMailbox[M any](s store.Store, spec MailboxSpec[M], l *local[M]) (*Mailbox[M], error) {
	const op = "durable.NewMailbox"
	if s == nil {
		return nil, invalid(op, string(spec.Queue), "there is no store")
	}
	if err := store.CheckName(op, "Queue", string(spec.Queue), store.Limits{NameBytes: 4096}); err != nil {
		return nil, err
	}
	if spec.Codec == nil {
		return nil, invalid(op, string(spec.Queue), "there is no Codec, such as wire.CBOR[Order](%q)", "shop.Order")
	}
	if spec.Dedup == 0 {
		spec.Dedup = DefaultDedup
	}
	return &Mailbox[M]{store: s, spec: spec, local: l}, nil
}

// A Post is a message with what a plain Tell does not say.
type Post[M any] struct {
	Message M

	// RequestID makes the message unique in its mailbox: a second one with the
	// same id adds nothing. See [MailboxSpec.Dedup].
	RequestID string

	// Sender is whose order is kept. Default: the actor whose handler's context
	// is used, or who [WithSender] names, or else one sender for all the rest of
	// the world. While a message waits for its next attempt those behind it, of
	// the same sender and priority, wait too.
	Sender string

	// CallerID is who asks, for people. Default Sender.
	CallerID string

	// Subject says what the message is about, beside its type: the method that it
	// calls, for example. Its handler and people get it. Default "".
	Subject string

	// Priority puts the message before those of lower priority. Default: what
	// [MailboxSpec.Priority] says.
	Priority store.Priority

	// Delay is how long the message is held back, in milliseconds. Default 0.
	Delay time.Duration

	// Origin makes the message unique by a number of its producer, for a sender
	// that keeps no request ids but repeats itself in order. Its producer is the
	// default of Sender.
	Origin Origin
}

// An Origin is the number of a message in what a producer sends to one mailbox.
// The numbers rise; a message whose number is not above that of the last one
// of its priority taken in was taken in before and is dropped. The number is taken
// in by the commit in which the message's effects are. As it takes their order,
// the sender of all of them is the producer. See [Mailbox.Forget].
type Origin struct {
	Producer store.Producer // the sender with its incarnation
	Seq      uint64         // from 1
}

// Posted tells what became of a [Post].
type Posted struct {
	ID        store.MessageID // of this message, or of the first with the request id
	Duplicate bool            // there was one with the request id already
	Done      bool            // a duplicate's first is done: handled, or a dead letter
}

// Queue is the name of the mailbox in its store.
func (b *Mailbox[M]) Queue() store.Queue { return b.spec.Queue }

// Ref returns the mailbox as a reference, to Tell and Ask as any other actor.
// TryTell returns [ErrWaits].
func (b *Mailbox[M]) Ref() actor.Ref[M] { return actor.NewRef[M](b) }

// Tell adds a message and returns when it is committed. Errors: INVALID_ARGUMENT
// for a message that can't be encoded, [ErrNobodyHere], [actor.ErrMailboxFull],
// and those of the store; after [store.ErrOutcomeUnknown] the message may be in
// the mailbox: send it again with a request id that does not change.
func (b *Mailbox[M]) Tell(ctx context.Context, m M) error {
	_, err := b.Send(ctx, Post[M]{Message: m})
	return err
}

// Send adds a message, as Tell does, with all that can be said about it.
func (b *Mailbox[M]) Send(ctx context.Context, p Post[M]) (Posted, error) {
	result, err := b.send(ctx, &p)
	return Posted{ID: result.ID, Duplicate: result.Duplicate, Done: result.Answer.Done}, err
}

func (b *Mailbox[M]) send(ctx context.Context, p *Post[M]) (store.PutResult, error) {
	var keep uint64
	live := ""
	if replies := b.live.repliesOf(p.Message); replies != nil {
		if b.serving.Load() == 0 {
			return store.PutResult{}, ErrNobodyHere.WithTarget(string(b.spec.Queue))
		}
		keep, live = b.live.add(p.Message, replies)
	}
	put, err := b.put(ctx, p, live)
	if err == nil {
		var r store.Result
		if r, err = b.store.Commit(ctx, &store.Batch{Puts: []store.Put{put}}); err == nil {
			if r.Puts[0].Duplicate && keep != 0 {
				b.live.take(keep).fail(errRepeated.WithTarget(string(b.spec.Queue)))
			}
			return r.Puts[0], nil
		}
		err = full(b.spec.Queue, err)
	}
	b.live.drop(keep)
	return store.PutResult{}, err
}

// put is a post as the store takes it.
func (b *Mailbox[M]) put(ctx context.Context, p *Post[M], live string) (store.Put, error) {
	encoded, err := b.spec.Codec.Encode(p.Message)
	if err != nil {
		return store.Put{}, err
	}
	if o := p.Origin; o.Producer != "" && p.Sender != "" && p.Sender != string(o.Producer) {
		return store.Put{}, invalid("durable.Send", string(b.spec.Queue), "the Sender is %q and the producer of the Origin is %q; they are the same, or Sender is empty", p.Sender, o.Producer)
	}
	m := meta{codec: encoded.Codec, origin: p.Origin, live: live, subject: p.Subject}
	put := store.Put{
		Queue: b.spec.Queue, Key: b.senderOf(ctx, p), Delay: p.Delay, Priority: p.Priority,
		Envelope: store.Envelope{
			Type: encoded.Type, Data: encoded.Data,
			RequestID: p.RequestID, CallerID: p.CallerID, TargetID: string(b.spec.Queue),
		},
	}
	if put.Priority == store.Normal && b.spec.Priority != nil {
		put.Priority = b.spec.Priority(p.Message)
	}
	if put.CallerID == "" && put.Key != anonymous {
		put.CallerID = put.Key
	}
	if p.RequestID != "" && b.spec.Dedup > 0 {
		put.Dedup = b.spec.Dedup
	}
	if t, ok := actor.TraceFrom(ctx); ok {
		put.TraceID, put.SpanID, m.flags = t.TraceID(), t.SpanID(), t.Flags
	}
	put.Meta = m.encode()
	return put, nil
}

// anonymous is the sender of messages from nowhere. It is a key like any other,
// as order is promised to those who do not give a name, too.
const anonymous = "anonymous"

func (b *Mailbox[M]) senderOf(ctx context.Context, p *Post[M]) string {
	if p.Sender != "" {
		return p.Sender
	}
	if p.Origin.Producer != "" {
		return string(p.Origin.Producer)
	}
	switch c := ctx.(type) {
	case interface{ sender() string }:
		return c.sender()
	case interface{ Address() actor.Address }:
		a := c.Address()
		return a.System + ":" + a.Path
	}
	if name, ok := ctx.Value(senderKey{}).(string); ok {
		return name
	}
	return anonymous
}

type senderKey struct{}

// WithSender returns a context that names the sender of what is told with it, see
// [Post.Sender]. Goroutines that should not wait for each other's failures have
// names of their own.
func WithSender(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, senderKey{}, name)
}

// Forget removes what is remembered of a producer: see [Origin]. It is for one
// that will not send any more.
func (b *Mailbox[M]) Forget(ctx context.Context, p store.Producer) error {
	batch := &store.Batch{}
	for _, priority := range [...]store.Priority{store.Normal, store.High} {
		batch.Cursors = append(batch.Cursors, store.Cursor{Scope: b.scope(priority), Producer: p, Forget: true})
	}
	_, err := b.store.Commit(ctx, batch)
	return err
}

// scope is the name under which numbers of producers are remembered. Messages of
// different priorities overtake each other, so each has numbers of its own.
func (b *Mailbox[M]) scope(p store.Priority) string {
	if p == store.High {
		return "queue-high/" + string(b.spec.Queue)
	}
	return "queue/" + string(b.spec.Queue)
}

// Stats tells how many messages are in the mailbox and when the oldest was put,
// as the store knows it at the moment. The store keeps count: it does not look at
// the messages for it.
func (b *Mailbox[M]) Stats(ctx context.Context) (store.QueueInfo, error) {
	none := store.QueueInfo{Queue: b.spec.Queue}
	// Of all names that begin with this one it is the first itself.
	found, err := b.store.QueueStats(ctx, store.QueueFilter{Prefix: b.spec.Queue, Limit: 1})
	if err != nil || len(found) == 0 || found[0].Queue != b.spec.Queue {
		return none, err
	}
	return found[0], nil
}

// Deliver makes a Mailbox an [actor.Target]. It is Tell, but for a context that
// has ended: that asks not to wait at all, which is [ErrWaits].
func (b *Mailbox[M]) Deliver(ctx context.Context, m M) error {
	switch err := ctx.Err(); {
	case errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil:
		return &fault.Error{Code: fault.FailedPrecondition, Op: "durable.Tell", Target: string(b.spec.Queue), Cause: errors.Join(ErrWaits, err)}
	}
	return b.Tell(ctx, m)
}

// Address makes a Mailbox an [actor.Target]. The path is the queue's name.
func (b *Mailbox[M]) Address() actor.Address { return actor.Address{Path: string(b.spec.Queue)} }

// decode turns a message of the store into a value. The error is POISON.
func (b *Mailbox[M]) decode(msg *store.Message) (value M, m meta, err error) {
	m, err = parseMeta(msg.Meta)
	encoded := wire.Message{Type: msg.Type, Codec: m.codec, Data: msg.Data}
	if err != nil {
		return value, m, &wire.PoisonError{Message: encoded, Cause: err}
	}
	value, err = b.spec.Codec.Decode(encoded)
	return value, m, err
}
