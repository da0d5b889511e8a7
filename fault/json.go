package fault

import (
	"encoding/json"
	"errors"
)

// wireError is the JSON form of an Error. Fields may be added, never renamed.
type wireError struct {
	Code       string `json:"code"`
	Op         string `json:"op,omitempty"`
	Target     string `json:"target_id,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	CallerID   string `json:"caller_id,omitempty"`
	Message    string `json:"message,omitempty"`
	Hint       string `json:"hint,omitempty"`
	RetryCount int    `json:"retry_count,omitempty"`
	TraceID    string `json:"trace_id,omitempty"`
	SpanID     string `json:"span_id,omitempty"`
	Cause      string `json:"cause,omitempty"`
}

// MarshalJSON returns the form in which an error crosses the wire: the code by
// name, the cause as text. An error that was decoded from it prints the same
// line as the original and matches the same code.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireError{
		Code:       e.code().String(),
		Op:         e.Op,
		Target:     e.Target,
		RequestID:  e.RequestID,
		CallerID:   e.CallerID,
		Message:    e.Message,
		Hint:       e.hint(),
		RetryCount: e.RetryCount,
		TraceID:    e.TraceID,
		SpanID:     e.SpanID,
		Cause:      e.causeText(),
	})
}

// UnmarshalJSON decodes what [Error.MarshalJSON] returns. Unknown fields are
// ignored and an unknown code becomes [Unknown], with its name in front of the
// message: a newer node may have sent them, and losing the error would be
// worse. Anything else that is wrong gives an error with the code
// INVALID_ARGUMENT and leaves e as it was.
func (e *Error) UnmarshalJSON(data []byte) error {
	const op = "fault.Error.UnmarshalJSON"
	if string(data) == "null" { // a no-op, by the convention of encoding/json
		return nil
	}
	var w wireError
	if err := json.Unmarshal(data, &w); err != nil {
		return decodeError(op, err)
	}
	if w.Code == "" {
		return New(InvalidArgument, op, `"code" is missing`)
	}
	if w.RetryCount < 0 {
		return New(InvalidArgument, op, `"retry_count" is %d, must not be negative`, w.RetryCount)
	}
	code, err := ParseCode(w.Code)
	if err != nil {
		if w.Message != "" {
			w.Message = ": " + w.Message
		}
		w.Message = w.Code + w.Message
	}
	*e = Error{
		Code:       known(code),
		Op:         w.Op,
		Target:     w.Target,
		RequestID:  w.RequestID,
		CallerID:   w.CallerID,
		Message:    w.Message,
		Hint:       w.Hint,
		RetryCount: w.RetryCount,
		TraceID:    w.TraceID,
		SpanID:     w.SpanID,
	}
	if w.Cause != "" {
		e.Cause = textError(w.Cause)
	}
	return nil
}

func decodeError(op string, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return New(InvalidArgument, op, "byte %d: %v", syntax.Offset, err)
	case errors.As(err, &kind) && kind.Field != "":
		return New(InvalidArgument, op, "byte %d: %q is a JSON %s, expected %s", kind.Offset, kind.Field, kind.Value, kind.Type)
	case errors.As(err, &kind):
		return New(InvalidArgument, op, "byte %d: a JSON %s, expected an object", kind.Offset, kind.Value)
	}
	return Wrap(InvalidArgument, op, err)
}

// textError is a cause that came over the wire.
type textError string

func (t textError) Error() string { return string(t) }
