package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

var errFull = fault.New(fault.ResourceExhausted, "actor.Tell", "mailbox full")

func TestErrorText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"empty", &fault.Error{}, "UNKNOWN"},
		{"code", &fault.Error{Code: fault.NotFound}, "NOT_FOUND"},
		// Req F5
		{"op, target, message", &fault.Error{Code: fault.NotFound, Op: "actor.Tell", Target: "/a/b", Message: "no such actor"},
			"actor.Tell /a/b: no such actor (NOT_FOUND)"},
		{"target alone", &fault.Error{Code: fault.NotFound, Target: "/a/b"}, "/a/b (NOT_FOUND)"},
		{"cause", fault.Wrap(fault.Unavailable, "link.Dial", io.EOF), "link.Dial: EOF (UNAVAILABLE)"},
		{"message and cause", &fault.Error{Code: fault.Internal, Message: "handler failed", Cause: io.EOF}, "handler failed: EOF (INTERNAL)"},
		{"hint", &fault.Error{Code: fault.InvalidArgument, Op: "config.Load", Target: "a.yaml:3:1", Message: `unknown key "prot"`, Hint: `did you mean "port"?`},
			`config.Load a.yaml:3:1: unknown key "prot" (INVALID_ARGUMENT); did you mean "port"?`},
		{"the same code once", fault.Wrap(fault.ResourceExhausted, "service.Call", errFull),
			"service.Call: actor.Tell: mailbox full (RESOURCE_EXHAUSTED)"},
		{"two codes", fault.Wrap(fault.Unavailable, "service.Call", errFull),
			"service.Call: actor.Tell: mailbox full (RESOURCE_EXHAUSTED) (UNAVAILABLE)"},
		{"the code of the cause", fault.Wrap(fault.OK, "service.Call", errFull),
			"service.Call: actor.Tell: mailbox full (RESOURCE_EXHAUSTED)"},
		{"the hint of the cause", fault.Wrap(fault.Internal, "a.B", &fault.Error{Code: fault.NotFound, Message: "x", Hint: "try y"}),
			"a.B: x (NOT_FOUND) (INTERNAL); try y"},
		{"a cause without text", fault.Wrap(fault.Internal, "a.B", &fault.Error{Code: fault.Internal}), "a.B: (INTERNAL) (INTERNAL)"},
		{"one line", &fault.Error{Code: fault.Internal, Op: "a.B", Message: "x\r\nforged record", Cause: errors.Join(io.EOF, io.ErrClosedPipe)},
			"a.B: x; forged record: EOF; io: read/write on closed pipe (INTERNAL)"},
		{"formatted", fault.New(fault.Internal, "a.B", "%d of %q", 3, "x"), `a.B: 3 of "x" (INTERNAL)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

type coded struct{ code fault.Code }

func (c coded) Error() string         { return "coded" }
func (c coded) FaultCode() fault.Code { return c.code }

// Req F1
func TestCodeOf(t *testing.T) {
	t.Parallel()
	unavailable := &fault.Error{Code: fault.Unavailable}
	notFound := &fault.Error{Code: fault.NotFound}
	tests := []struct {
		name string
		err  error
		want fault.Code
	}{
		{"nil", nil, fault.OK},
		{"an application's error", io.EOF, fault.Unknown},
		{"error", notFound, fault.NotFound},
		{"wrapped", fmt.Errorf("x: %w", notFound), fault.NotFound},
		{"outermost wins", fault.Wrap(fault.Internal, "a.B", notFound), fault.Internal},
		{"zero code, no cause", &fault.Error{}, fault.Unknown},
		{"zero code, cause", &fault.Error{Cause: fmt.Errorf("x: %w", notFound)}, fault.NotFound},
		{"invalid code", &fault.Error{Code: 99}, fault.Unknown},
		{"nil *Error", (*fault.Error)(nil), fault.Unknown},
		{"code", fault.Aborted, fault.Aborted},
		{"wrapped code", fmt.Errorf("x: %w", fault.Aborted), fault.Aborted},
		{"OK as an error", fault.OK, fault.Unknown},
		{"coder", fmt.Errorf("x: %w", coded{fault.Internal}), fault.Internal},
		{"coder that says OK", coded{fault.OK}, fault.Unknown},
		{"canceled", context.Canceled, fault.Canceled},
		{"deadline", fmt.Errorf("x: %w", context.DeadlineExceeded), fault.DeadlineExceeded},
		{"joined, one with a code", errors.Join(io.EOF, unavailable), fault.Unavailable},
		{"joined, permanent decides", errors.Join(unavailable, notFound, fault.Internal), fault.NotFound},
		{"joined, transient only", errors.Join(unavailable, errFull), fault.Unavailable},
		{"joined, none", errors.Join(io.EOF, io.ErrClosedPipe), fault.Unknown},
		{"two %w", fmt.Errorf("%w and %w", unavailable, notFound), fault.NotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := fault.CodeOf(tt.err); got != tt.want {
				t.Errorf("CodeOf(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	copied := errFull.WithTarget("/a").WithTarget("/b")
	tests := []struct {
		name        string
		err, target error
		want        bool
	}{
		{"code", errFull, fault.ResourceExhausted, true},
		{"another code", errFull, fault.NotFound, false},
		{"code of a cause", fault.Wrap(fault.Internal, "a.B", errFull), fault.ResourceExhausted, true},
		{"code taken from the cause", &fault.Error{Cause: context.Canceled}, fault.Canceled, true},
		{"sentinel", fmt.Errorf("x: %w", errFull), errFull, true},
		{"copy of a sentinel", copied, errFull, true},
		{"wrapped copy of a sentinel", fault.Wrap(fault.Internal, "a.B", copied), errFull, true},
		{"sentinel is not its copy", errFull, copied, false},
		{"another error that looks the same", fault.New(fault.ResourceExhausted, "actor.Tell", "mailbox full"), errFull, false},
		{"context.DeadlineExceeded", fault.New(fault.DeadlineExceeded, "a.B", "late"), context.DeadlineExceeded, true},
		{"context.Canceled", fault.New(fault.Canceled, "a.B", "gone"), context.Canceled, true},
		{"canceled is not deadline", fault.New(fault.Canceled, "a.B", "gone"), context.DeadlineExceeded, false},
		{"application's cause", fault.Wrap(fault.Internal, "a.B", io.EOF), io.EOF, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := errors.Is(tt.err, tt.target); got != tt.want {
				t.Errorf("errors.Is(%v, %v) = %v, want %v", tt.err, tt.target, got, tt.want)
			}
		})
	}
	if copied.Target != "/b" || errFull.Target != "" {
		t.Errorf("targets: copy %q, sentinel %q", copied.Target, errFull.Target)
	}
}

type quotaError struct{ Left int }

func (q *quotaError) Error() string { return fmt.Sprintf("%d left", q.Left) }

// An application's error stays typed inside a process. Req F2
func TestApplicationErrorStaysTyped(t *testing.T) {
	t.Parallel()
	err := fault.Wrap(fault.FailedPrecondition, "service.Call", &quotaError{Left: 3})
	var q *quotaError
	if !errors.As(err, &q) || q.Left != 3 {
		t.Fatalf("errors.As found %v in %v", q, err)
	}
}

func TestWrapNil(t *testing.T) {
	t.Parallel()
	if err := fault.Wrap(fault.Internal, "a.B", nil); err != nil {
		t.Fatalf("Wrap(nil) = %v", err)
	}
}

func TestFrom(t *testing.T) {
	t.Parallel()
	if e := fault.From(nil); e != nil {
		t.Errorf("From(nil) = %v", e)
	}
	if e := fault.From(fmt.Errorf("x: %w", errFull)); e != errFull {
		t.Errorf("From returned %v, not the error in the chain", e)
	}
	e := fault.From(context.DeadlineExceeded)
	if e.Code != fault.DeadlineExceeded || !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("From(context.DeadlineExceeded) = %#v", e)
	}
}

// A full mailbox or a stopped actor is reported millions of times a second.
func TestSentinelsDoNotAllocate(t *testing.T) {
	wrapped := fmt.Errorf("x: %w", errors.Join(io.EOF, errFull))
	var sink error
	var hit bool
	allocs := testing.AllocsPerRun(1000, func() {
		sink = errFull
		hit = errors.Is(sink, errFull) && errors.Is(sink, fault.ResourceExhausted) &&
			fault.CodeOf(sink) == fault.ResourceExhausted &&
			fault.CodeOf(wrapped) == fault.ResourceExhausted &&
			fault.CodeOf(context.Canceled) == fault.Canceled
	})
	if !hit {
		t.Fatal("a comparison failed")
	}
	if allocs != 0 {
		t.Fatalf("%v allocations, want 0", allocs)
	}
}

func ExampleError() {
	err := fmt.Errorf("order 7: %w", &fault.Error{
		Code:    fault.NotFound,
		Op:      "actor.Tell",
		Target:  "/orders/7",
		Message: "no such actor",
		Hint:    "it may have been passivated",
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, fault.NotFound), fault.CodeOf(err).Transient())

	if f, ok := errors.AsType[*fault.Error](err); ok {
		fmt.Println(f.Target)
	}
	// Output:
	// order 7: actor.Tell /orders/7: no such actor (NOT_FOUND); it may have been passivated
	// true false
	// /orders/7
}

func ExampleError_WithTarget() {
	var ErrMailboxFull = fault.New(fault.ResourceExhausted, "actor.Tell", "mailbox full")

	err := ErrMailboxFull.WithTarget("/weather/filter")
	fmt.Println(err)
	fmt.Println(errors.Is(err, ErrMailboxFull))
	// Output:
	// actor.Tell /weather/filter: mailbox full (RESOURCE_EXHAUSTED)
	// true
}

func ExampleCodeOf() {
	fmt.Println(fault.CodeOf(nil))
	fmt.Println(fault.CodeOf(io.EOF))
	fmt.Println(fault.CodeOf(fmt.Errorf("ask: %w", context.DeadlineExceeded)))
	// Output:
	// OK
	// UNKNOWN
	// DEADLINE_EXCEEDED
}
