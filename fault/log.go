package fault

import (
	"errors"
	"log/slog"
)

// LogValue returns the error as a group with the keys of [Attrs].
func (e *Error) LogValue() slog.Value { return slog.GroupValue(Attrs(e)...) }

// Attrs returns what every error record carries, always all of it and in this
// order: error, the text; then request_id, caller_id, target_id, error_type
// (the name of the code), retry_count, trace_id and span_id, which are empty or
// zero where the chain of err does not tell. Use it with
// [slog.Logger.LogAttrs]. It returns nil for nil.
//
// retry_count is the largest that the chain tells, in an [Error] or by a
// method RetryCount() int, which package retry's error has.
func Attrs(err error) []slog.Attr {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{}
	}
	retries := e.RetryCount
	if counter, ok := errors.AsType[retryCounter](err); ok {
		retries = max(retries, counter.RetryCount())
	}
	return []slog.Attr{
		slog.String("error", err.Error()),
		slog.String("request_id", e.RequestID),
		slog.String("caller_id", e.CallerID),
		slog.String("target_id", e.Target),
		slog.String("error_type", CodeOf(err).String()),
		slog.Int("retry_count", retries),
		slog.String("trace_id", e.TraceID),
		slog.String("span_id", e.SpanID),
	}
}

type retryCounter interface {
	error
	RetryCount() int
}
