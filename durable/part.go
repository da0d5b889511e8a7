package durable

import (
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// part is what one message contributes to a commit: how it ends, and what was
// done about it.
type part struct {
	msg  *store.Message // nil for what an actor sends to itself
	meta meta
	keep uint64 // of the live value, 0 for none

	end    ending
	delay  store.Nack // of given back, without its receipt
	reason error      // of given back and buried

	answerKind string
	answer     []byte
	puts       []store.Put
	events     []store.Event
	then       []func()
}

// ending is how a message ends.
type ending uint8

const (
	acked ending = iota
	givenBack
	buried
)

// addTo adds the part to a batch; scope is that of the mailbox's cursors. Events
// are the handler's affair.
func (p *part) addTo(b *store.Batch, scope func(store.Priority) string) {
	b.Puts = append(b.Puts, p.puts...)
	if p.msg == nil {
		return
	}
	switch p.end {
	case acked:
		b.Acks = append(b.Acks, store.Ack{Receipt: p.msg.Receipt, AnswerType: p.answerKind, Answer: p.answer})
	case givenBack:
		n := p.delay
		n.Receipt = p.msg.Receipt
		b.Nacks = append(b.Nacks, n)
		return
	case buried:
		b.Buries = append(b.Buries, store.Bury{
			Receipt: p.msg.Receipt, Code: fault.CodeOf(p.reason).String(),
			Reason: store.CleanText(p.reason.Error(), reasonBytes),
		})
	}
	if o := p.meta.origin; o.Producer != "" {
		b.Cursors = append(b.Cursors, store.Cursor{Scope: scope(p.msg.Priority), Producer: o.Producer, Seq: o.Seq})
	}
}

// reasonBytes is how much of an error a dead letter keeps.
const reasonBytes = 4096

// drop takes back what the handler did.
func (p *part) drop() {
	p.puts, p.events, p.then, p.answerKind, p.answer = nil, nil, nil, "", nil
}

// giveBack ends a part as not tried, whatever was done about it.
func (p *part) giveBack() {
	p.drop()
	p.end, p.delay = givenBack, store.Nack{Uncounted: true}
}

// A lane is whose order is kept: a sender within a priority.
type lane struct {
	key      string
	priority store.Priority
}

func (p *part) lane() lane { return lane{p.msg.Key, p.msg.Priority} }

// untried ends a part as not tried.
func untried(msg *store.Message) *part {
	return &part{msg: msg, end: givenBack, delay: store.Nack{Uncounted: true}}
}

// record is what a log and a hook are told of a failed message.
func (p *part) record(err error) *fault.Error {
	return &fault.Error{
		Code: fault.CodeOf(err), Op: "durable.Receive", Target: p.msg.TargetID,
		RequestID: p.msg.RequestID, CallerID: p.msg.CallerID, TraceID: p.msg.TraceID, SpanID: p.msg.SpanID,
		RetryCount: p.msg.Attempts - 1, Cause: err,
	}
}
