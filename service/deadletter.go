package service

import (
	"context"
	"encoding/base64"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// DeadLetters is where requests go that will not be handled, so that somebody can
// look at them and send them again. It must be safe for concurrent use.
type DeadLetters interface {
	Put(ctx context.Context, l Letter) error
}

// Letter is a request that will not be handled.
type Letter struct {
	RequestID, CallerID, TargetID string // "" where they could not be read
	TraceID, SpanID               string
	Method                        string // "service/method"
	Queue                         string // where a redrive puts it: that of the service's [Mailbox] if the method is durable
	PayloadType                   string // the name of the message's type
	Codec                         string
	Raw                           []byte // the message, or the frame if that did not decode
	Err                           error
	RetryCount                    int
}

// KeepLetters puts requests into the dead letters of a store, with all that is
// known of them. The payload of one whose type is registered can be mended there
// as JSON. One for a durable method can then be redriven; another has no queue to
// go to, as its caller has been told and waits no longer.
func KeepLetters(l *durable.Letters) DeadLetters { return keptLetters{l} }

type keptLetters struct{ letters *durable.Letters }

// Put keeps a letter. What comes from a peer may be anything: it is made fit for
// the table first.
func (k keptLetters) Put(ctx context.Context, l Letter) error {
	_, err := k.letters.Add(ctx, store.Letter{
		Queue: store.Queue(l.Queue), Key: name(l.CallerID),
		Envelope: store.Envelope{
			Type: name(l.PayloadType), Data: l.Raw, RequestID: name(l.RequestID), CallerID: name(l.CallerID),
			TargetID: name(l.TargetID), TraceID: l.TraceID, SpanID: l.SpanID,
		},
		ErrorMessage: store.CleanText(l.Err.Error(), MaxErrorText), ErrorType: fault.CodeOf(l.Err).String(), RetryCount: l.RetryCount,
	}, name(l.Codec), name(l.Method))
	return err
}

// maxLetterName is how many bytes of a name are kept in a dead letter: what a
// store takes by default.
const maxLetterName = 512

// name makes a text one that a store takes as a name.
func name(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, store.CleanText(text, maxLetterName/3)) // a replacement takes 3 bytes
}

// letter is the request as a dead letter.
func (r *request) letter(poison *wire.PoisonError) Letter {
	l := Letter{
		RequestID: r.requestID, CallerID: r.callerID, TargetID: r.target, RetryCount: r.retries,
		TraceID: r.trace.TraceID(), SpanID: r.trace.SpanID(),
		PayloadType: poison.Message.Type, Codec: poison.Message.Codec, Raw: poison.Message.Data, Err: poison,
	}
	if r.service != "" {
		l.Method = r.service + "/" + r.method
	}
	return l
}

// fault is the letter as an error record.
func (l *Letter) fault() *fault.Error {
	return &fault.Error{
		Code: fault.CodeOf(l.Err), Op: "service", Target: l.TargetID, RequestID: l.RequestID, CallerID: l.CallerID,
		TraceID: l.TraceID, SpanID: l.SpanID, RetryCount: l.RetryCount, Cause: l.Err,
	}
}

// rawLogged is how many bytes of a message that does not decode are logged.
const rawLogged = 4096

// logPoison logs what does not decode, with its bytes.
func logPoison(ctx context.Context, log *slog.Logger, l Letter) {
	attrs := append(fault.Attrs(l.fault()), slog.String("method", l.Method), slog.String("payload_type", l.PayloadType), slog.Int("raw_size", len(l.Raw)),
		slog.String("raw_base64", base64.StdEncoding.EncodeToString(l.Raw[:min(len(l.Raw), rawLogged)])))
	log.LogAttrs(ctx, slog.LevelError, "a request does not decode", attrs...)
}

// setAside logs what does not decode and puts it into the dead letters.
func (e *Endpoint) setAside(ctx context.Context, l Letter) {
	logPoison(ctx, e.opts.Logger, l)
	if e.opts.DeadLetters == nil {
		return
	}
	// The caller may leave: the letter is kept all the same.
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := e.opts.DeadLetters.Put(kept, l); err != nil {
		attrs := append(fault.Attrs(l.fault()), slog.String("dead_letter_error", err.Error()))
		e.opts.Logger.LogAttrs(ctx, slog.LevelError, "a dead letter could not be kept", attrs...)
	}
}
