package durable

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// commit commits parts together, with what the handler adds to them.
func (s *shift[M]) commit(ctx context.Context, parts []*part) error {
	b := s.w.batchOf(parts)
	s.h.stage(b, parts)
	if b.Empty() {
		return nil
	}
	if err := s.w.commit(ctx, b); err != nil {
		return err
	}
	s.h.settled(ctx, b)
	return nil
}

func (w *worker[M]) batchOf(parts []*part) *store.Batch {
	b := &store.Batch{}
	for _, p := range parts {
		p.addTo(b, w.box.scope)
	}
	return b
}

// commit commits a batch whether or not the actor must end: what is done is done,
// and not to say so would be to do it again.
func (w *worker[M]) commit(ctx context.Context, b *store.Batch) error {
	_, err := w.store.Commit(context.WithoutCancel(ctx), b)
	return err
}

// settle ends messages. The error is a failure of the actor: what its handler did
// could not be committed, and its state is of no use.
func (s *shift[M]) settle(ctx *actor.Context[item[M]], parts []*part) error {
	return s.conclude(ctx, parts, s.commit(ctx, parts))
}

// flight is a commit under way.
type flight struct {
	parts []*part
	batch *store.Batch
	wait  func() (store.Result, error)
	letGo func() // ends the holding on to its messages
}

// launch begins to end messages; the look that is in the mailbox lands it. A store
// whose calls do not take their turns would find nothing for that look while all
// senders have a message that is being ended: there it is settle.
func (s *shift[M]) launch(ctx *actor.Context[item[M]], parts []*part, letGo func()) error {
	inTurn, ok := s.w.store.(store.Submitter)
	if !ok {
		defer letGo()
		return s.settle(ctx, parts)
	}
	f := &flight{parts: parts, batch: s.w.batchOf(parts), letGo: letGo}
	s.h.stage(f.batch, parts)
	f.wait = inTurn.Submit(f.batch)
	s.flying = f
	return nil
}

// land waits for the commit under way, if there is one. The error is that of
// settle.
func (s *shift[M]) land(ctx *actor.Context[item[M]]) error {
	f := s.flying
	if f == nil {
		return nil
	}
	s.flying = nil
	_, err := f.wait()
	f.letGo()
	if err == nil {
		s.h.settled(ctx, f.batch)
	}
	return s.conclude(ctx, f.parts, err)
}

// conclude draws the conclusions from a commit.
func (s *shift[M]) conclude(ctx *actor.Context[item[M]], parts []*part, err error) error {
	if err == nil {
		s.after(parts)
		return nil
	}
	clear(s.w.cursors[:]) // some were noted as taken in
	switch {
	case s.h.undone(err):
		s.giveUp(parts, err)
		return fmt.Errorf("%w: %w", ErrCommit, err)
	case later(err):
		s.w.late = parts
		s.w.storeFailed(ctx, "settle", err)
	default:
		s.settleEach(ctx, parts)
	}
	return nil
}

// later reports whether a commit may succeed when the store has recovered.
func later(err error) bool {
	if errors.Is(err, store.ErrQueueFull) {
		return false // the others need not wait for that
	}
	return fault.CodeOf(err).Transient() || errors.Is(err, store.ErrReadOnly) || errors.Is(err, store.ErrDiskFull)
}

// giveUp takes back what was done for messages whose handler's state is lost.
// They are given back by the next look, when the store may be well again.
func (s *shift[M]) giveUp(parts []*part, err error) {
	single := len(parts) == 1 && parts[0].end == acked
	for _, p := range parts {
		switch p.end {
		case acked:
			p.giveBack()
		case buried:
			p.meta.origin = Origin{} // those of its producer that come again are not known
		case givenBack:
		}
	}
	if single && !later(err) {
		parts[0].blame(err)
	}
	s.w.alone = s.w.alone || !single && !later(err)
	s.w.late = parts
}

// blame ends a message, whose effects alone could not be committed, by why.
func (p *part) blame(err error) {
	p.drop()
	switch {
	case errors.Is(err, store.ErrQueueFull): // of an output
		p.end, p.delay = givenBack, store.Nack{Uncounted: true, Delay: time.Second, Reason: store.CleanText(err.Error(), store.ReasonBytes)}
	case errors.Is(err, store.ErrInvalid), errors.Is(err, store.ErrTooLarge):
		p.end, p.reason = buried, err
	case errors.Is(err, store.ErrDuplicate):
		p.end, p.meta.origin = acked, Origin{}
	}
}

// settleEach ends messages one by one, to find those that can't be. It is for
// parts without events. What comes behind one that comes again, and must not be
// there before it, is given back.
func (s *shift[M]) settleEach(ctx *actor.Context[item[M]], parts []*part) {
	again := map[lane]bool{}
	for i, p := range parts {
		if p.msg != nil && again[p.lane()] && p.end != givenBack {
			p.giveBack()
		}
		err := s.w.commit(ctx, s.w.batchOf(parts[i:i+1]))
		if err != nil && !later(err) && !errors.Is(err, store.ErrReceiptLost) {
			p.blame(err)
			err = s.w.commit(ctx, s.w.batchOf(parts[i:i+1]))
		}
		switch {
		case err == nil:
			s.after(parts[i : i+1])
		case later(err):
			for _, p := range parts[i:] {
				if p.msg != nil && again[p.lane()] && p.end != givenBack {
					p.giveBack()
				}
			}
			s.w.late = parts[i:]
			s.w.storeFailed(ctx, "settle", err)
			return
		default:
			s.lost(ctx, p, err)
		}
		if p.msg != nil && (err != nil || p.end == givenBack) {
			again[p.lane()] = true
		}
	}
}

// settleLate ends the messages that could not be ended before. They are ended as
// they are: a handler with a state has taken back what it did for them, and need
// not be ready. The error is that of a store which has not recovered.
func (s *shift[M]) settleLate(ctx *actor.Context[item[M]]) error {
	late := s.w.late
	if len(late) == 0 {
		return nil
	}
	err := s.w.commit(ctx, s.w.batchOf(late))
	switch {
	case err == nil:
		s.w.late = nil
		s.after(late)
		return nil
	case later(err):
		return err
	}
	s.w.late = nil
	s.settleEach(ctx, late)
	return nil
}

// lost reports a message that can't be ended here: it was held too long and
// somebody else has it.
func (s *shift[M]) lost(ctx *actor.Context[item[M]], p *part, err error) {
	if p.msg == nil {
		return
	}
	s.w.box.live.drop(p.keep)
	ctx.Log().LogAttrs(ctx, slog.LevelWarn, "a message was handled but could not be ended; it will be handled again",
		fault.Attrs(p.record(err))...)
}

// after tells everybody that messages have ended.
func (s *shift[M]) after(parts []*part) {
	box := s.w.box
	handled := 0
	for _, p := range parts {
		if p.msg == nil || s.w.rehearsal {
			continue
		}
		switch p.end {
		case acked:
			handled++
			box.live.drop(p.keep)
			box.waiters.tell(box.waiterKey(p.msg.RequestID), s.outcome(p))
		case buried:
			err := buriedError(box.spec.Queue, p.msg.RequestID, p.reason)
			box.live.take(p.keep).fail(err)
			box.waiters.tell(box.waiterKey(p.msg.RequestID), outcome{err: err})
			if h := s.w.opts.hooks.Buried; h != nil {
				h(box.spec.Queue, p.record(p.reason))
			}
		}
	}
	if h := s.w.opts.hooks.Handled; h != nil && handled > 0 {
		h(box.spec.Queue, handled)
	}
	for _, p := range parts {
		if !s.w.rehearsal {
			run(p.then)
		}
	}
}

func (s *shift[M]) outcome(p *part) outcome {
	if p.answerKind != "" {
		return outcome{kind: p.answerKind, data: p.answer}
	}
	e := ErrNoAnswer.WithTarget(string(s.w.box.spec.Queue))
	e.RequestID = p.msg.RequestID
	return outcome{err: e}
}

// commitOwn commits what was done about something that is no message.
func (s *shift[M]) commitOwn(ctx *actor.Context[item[M]], p *part) error {
	if err := s.commit(ctx, []*part{p}); err != nil {
		s.h.undone(err)
		return fmt.Errorf("%w: %w", ErrCommit, err)
	}
	s.after([]*part{p})
	return nil
}

func run(then []func()) {
	for _, f := range then {
		f()
	}
}

// withTrace adds the trace of a message to a context.
func withTrace(ctx context.Context, id, span string, flags byte) context.Context {
	t := actor.Trace{Flags: flags}
	if len(id) != 2*len(t.ID) || len(span) != 2*len(t.Span) {
		return ctx
	}
	if _, err := hex.Decode(t.ID[:], []byte(id)); err != nil {
		return ctx
	}
	if _, err := hex.Decode(t.Span[:], []byte(span)); err != nil {
		return ctx
	}
	return actor.WithTrace(ctx, t)
}
