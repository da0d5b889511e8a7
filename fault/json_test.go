package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// Req F1
func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	inner := &fault.Error{Code: fault.NotFound, Op: "actor.Tell", Target: "/a", Message: "no such actor", Hint: "spawn it"}
	tests := []struct {
		name string
		err  *fault.Error
	}{
		{"empty", &fault.Error{}},
		{"sentinel", errFull},
		{"all", &fault.Error{
			Code: fault.Unavailable, Op: "link.Send", Target: "node-2/orders", RequestID: "r1", CallerID: "/web",
			Message: "connection lost", Hint: "wait", RetryCount: 2,
			TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", Cause: io.ErrUnexpectedEOF,
		}},
		{"code and hint of the cause", &fault.Error{Op: "a.B", Cause: inner}},
		{"another code than the cause", &fault.Error{Code: fault.Internal, Op: "a.B", Cause: inner}},
		{"wrapped cause", &fault.Error{Code: fault.Internal, Op: "a.B", Cause: fmt.Errorf("x: %w", inner)}},
		{"joined cause", &fault.Error{Op: "a.B", Cause: errors.Join(io.EOF, inner)}},
		{"not a code", &fault.Error{Code: 99, Op: "a.B"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data, err := json.Marshal(tt.err)
			if err != nil {
				t.Fatal(err)
			}
			var got fault.Error
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if got.Error() != tt.err.Error() {
				t.Errorf("text\ngot  %s\nwant %s", got.Error(), tt.err.Error())
			}
			if fault.CodeOf(&got) != fault.CodeOf(tt.err) {
				t.Errorf("code %v, want %v", fault.CodeOf(&got), fault.CodeOf(tt.err))
			}
			if g, w := fmt.Sprint(fault.Attrs(&got)), fmt.Sprint(fault.Attrs(tt.err)); g != w {
				t.Errorf("attrs\ngot  %s\nwant %s", g, w)
			}
		})
	}
}

// The field names are on the wire: they may not change.
func TestJSONForm(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(&fault.Error{
		Code: fault.Poison, Op: "durable.Next", Target: "/a", RequestID: "r", CallerID: "c", Message: "m", Hint: "h",
		RetryCount: 3, TraceID: "t", SpanID: "s", Cause: io.EOF,
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"code":"POISON","op":"durable.Next","target_id":"/a","request_id":"r","caller_id":"c","message":"m","hint":"h","retry_count":3,"trace_id":"t","span_id":"s","cause":"EOF"}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}

// Req S5
func TestUnmarshalBadInput(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, data, want string }{
		{"cut off", `{"code":"NOT_FOUND"`, "byte 19: unexpected end of JSON input"},
		{"not an object", `[1]`, "byte 1: a JSON array, expected an object"},
		{"no code", `{"message":"x"}`, `"code" is missing`},
		{"code as a number", `{"code":5}`, `byte 9: "code" is a JSON number, expected string`},
		{"negative retries", `{"code":"INTERNAL","retry_count":-1}`, `"retry_count" is -1, must not be negative`},
		{"too many retries", `{"code":"INTERNAL","retry_count":1e99}`, `"retry_count" is a JSON number`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := fault.Error{Message: "before"}
			err := e.UnmarshalJSON([]byte(tt.data))
			if !errors.Is(err, fault.InvalidArgument) {
				t.Fatalf("error %v, want INVALID_ARGUMENT", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q in it", err, tt.want)
			}
			if e.Message != "before" {
				t.Errorf("a failed decode changed the error to %v", &e)
			}
		})
	}
}

func TestUnmarshalFromANewerNode(t *testing.T) {
	t.Parallel()
	tests := []struct{ data, want string }{
		{`{"code":"TOO_FANCY","op":"a.B","message":"m","colour":"red"}`, "a.B: TOO_FANCY: m (UNKNOWN)"},
		{`{"code":"TOO_FANCY"}`, "TOO_FANCY (UNKNOWN)"},
		{`{"code":"OK","op":"a.B"}`, "a.B (UNKNOWN)"},
	}
	for _, tt := range tests {
		var e fault.Error
		if err := json.Unmarshal([]byte(tt.data), &e); err != nil {
			t.Errorf("%s: %v", tt.data, err)
		} else if e.Error() != tt.want {
			t.Errorf("%s\ngot  %s\nwant %s", tt.data, e.Error(), tt.want)
		}
	}
	e := fault.Error{Message: "before"}
	if err := e.UnmarshalJSON([]byte("null")); err != nil || e.Message != "before" {
		t.Errorf("null: %v, %v", &e, err)
	}
}

// Whatever decodes is one printable line and survives another round trip.
func FuzzErrorUnmarshalJSON(f *testing.F) {
	for _, seed := range []string{
		`{"code":"POISON","op":"durable.Next","target_id":"/a","request_id":"r","caller_id":"c","message":"m","hint":"h","retry_count":3,"trace_id":"t","span_id":"s","cause":"EOF"}`,
		`{"code":"NEWER","message":"a\nb"}`, `{"code":"OK"}`, `{"code":"not-found","hint":"\r\n"}`,
		`{"code":"INTERNAL","retry_count":-1}`, `null`, `[]`, `{`, `{"code":"INTERNAL","cause":"\n"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e fault.Error
		if err := e.UnmarshalJSON(data); err != nil {
			if !errors.Is(err, fault.InvalidArgument) {
				t.Fatalf("error without INVALID_ARGUMENT: %v", err)
			}
			return
		}
		if strings.ContainsAny(e.Error(), "\r\n") {
			t.Fatalf("more than one line: %q", e.Error())
		}
		again, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		var back fault.Error
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if back.Error() != e.Error() || back.Code != fault.CodeOf(&e) {
			t.Fatalf("round trip\nfirst  %q\nsecond %q", e.Error(), back.Error())
		}
	})
}
