package durable

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// Answer answers the request being handled: the answer is committed together with
// its end, and whoever asks with the same request id gets it for as long as the
// mailbox remembers ([MailboxSpec.Dedup]). Without a request id nobody can ask for
// it, and it is dropped. The last answer counts.
func Answer[M, R any](ctx *Context[M], codec Codec[R], answer R) error {
	encoded, err := codec.Encode(answer)
	if err != nil {
		return err
	}
	ctx.part.answerKind = joinKind(encoded)
	ctx.part.answer = encoded.Data
	return nil
}

// Reject answers the request being handled with an application's error. It is
// neither retried nor made a dead letter. The asker gets a [*fault.Error] with its
// code and text; data that the asker must have is better an answer of its own.
func Reject[M any](ctx *Context[M], err error) {
	if err == nil {
		err = fault.New(fault.Internal, "durable.Reject", "the handler rejected the request with a nil error")
	}
	text, failed := json.Marshal(fault.From(err))
	if failed != nil {
		text, _ = json.Marshal(fault.New(fault.CodeOf(err), "durable.Reject", "%s", err.Error()))
	}
	ctx.part.answerKind, ctx.part.answer = faultAnswer, text
}

// faultAnswer is the kind of an answer that is an error.
const faultAnswer = "fault:"

// Ask sends a request and waits for its answer, which the handler gives by
// [Answer] or [Reject]. The request and the answer are stored: if this process
// dies, or ctx ends, asking again with the same request id makes nothing happen
// twice and returns the answer of the first time. Without a request id one is
// made up.
//
// Errors: what the handler rejected the request with; [ErrNoAnswer];
// [ErrBuried]; INTERNAL if the mailbox can't be read at present, though the request
// stays in it; those of [Mailbox.Send]; DEADLINE_EXCEEDED or CANCELED with ctx.
//
// An answer given in this process, with this Mailbox, arrives at once; one given
// elsewhere is looked for in the store, every 20 ms at first and every second later.
func Ask[R, M any](ctx context.Context, to *Mailbox[M], answers Codec[R], p Post[M]) (R, error) {
	var none R
	if to.spec.Dedup < 0 {
		return none, invalid("durable.Ask", string(to.spec.Queue), "the mailbox keeps no answers, as its Dedup is negative")
	}
	if p.RequestID == "" {
		p.RequestID = rand.Text()
	}
	wait := to.waiters.add(to.waiterKey(p.RequestID))
	defer to.waiters.remove(to.waiterKey(p.RequestID), wait)
	put, err := to.send(ctx, &p)
	if err != nil {
		return none, err
	}
	o := outcome{kind: put.Answer.Type, data: put.Answer.Data}
	switch {
	case put.Duplicate && put.Answer.Done:
		if o.kind == "" {
			o.err = to.whyNoAnswer(ctx, p.RequestID)
		}
	default:
		o = to.await(ctx, p.RequestID, wait)
	}
	if o.err != nil {
		return none, o.err
	}
	return decodeAnswer(answers, o)
}

const (
	lookFirst = 20 * time.Millisecond
	lookLast  = time.Second
)

// await waits until a request is done.
func (b *Mailbox[M]) await(ctx context.Context, id string, wait <-chan outcome) outcome {
	pause := lookFirst
	if b.serving.Load() > 0 {
		pause = lookLast // it will be told; this is for an actor that moves away
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case o := <-wait:
			return o
		case <-ctx.Done():
			select {
			case o := <-wait: // it came first
				return o
			default:
			}
			return outcome{err: &fault.Error{
				Code: fault.CodeOf(ctx.Err()), Op: "durable.Ask", Target: string(b.spec.Queue), RequestID: id,
				Message: "no answer in time", Hint: "the request stays in the mailbox; ask again with its id", Cause: ctx.Err(),
			}}
		case <-timer.C:
		}
		a, err := b.store.Answer(ctx, b.spec.Queue, id)
		switch {
		case err != nil && ctx.Err() == nil && !fault.CodeOf(err).Transient():
			return outcome{err: err}
		case err == nil && a.Done && a.Type == "":
			return outcome{err: b.whyNoAnswer(ctx, id)}
		case err == nil && a.Done:
			return outcome{kind: a.Type, data: a.Data}
		}
		pause = min(2*pause, lookLast)
		timer.Reset(pause)
	}
}

// whyNoAnswer tells a request that is a dead letter from one that was handled
// without an answer.
func (b *Mailbox[M]) whyNoAnswer(ctx context.Context, id string) error {
	letters, err := b.store.Letters(ctx, store.LetterFilter{Queue: b.spec.Queue, RequestID: id, Limit: 1})
	if err != nil {
		return err
	}
	if len(letters) > 0 {
		code, _ := fault.ParseCode(letters[0].ErrorType)
		return buriedError(b.spec.Queue, id, &fault.Error{Code: code, Message: letters[0].ErrorMessage})
	}
	e := ErrNoAnswer.WithTarget(string(b.spec.Queue))
	e.RequestID = id
	return e
}

func buriedError(q store.Queue, id string, cause error) error {
	e := ErrBuried.WithTarget(string(q))
	e.RequestID, e.Cause = id, cause
	return e
}

func decodeAnswer[R any](answers Codec[R], o outcome) (R, error) {
	var none R
	if o.kind == faultAnswer {
		e := &fault.Error{}
		if err := json.Unmarshal(o.data, e); err != nil {
			return none, &wire.PoisonError{Message: wire.Message{Type: "fault.Error", Codec: "json", Data: o.data}, Cause: err}
		}
		return none, e
	}
	codec, name := splitKind(o.kind)
	return answers.Decode(wire.Message{Type: name, Codec: codec, Data: o.data})
}
