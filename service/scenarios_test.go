package service_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/service/servicetest"
	"github.com/troupe-dev/troupe/store"
)

// The failures that a caller must be able to tell apart, end to end: a client
// behind a link that fails on command, a service with a durable method, and a
// store in a SQLite file that fails on command. For each of them: what the caller
// gets, what the log says, and that the next call is served.

// world is all of it.
type world struct {
	*kept

	disk   *errStore
	link   *servicetest.Loopback
	states chan servicetest.State
	mangle func([]byte) []byte // frames on their way to the service; set before a call

	running chan struct{} // closed when a runaway has begun
	release chan struct{} // lets it go
}

// untilBegun is a context whose time is up as soon as something has begun.
type untilBegun struct {
	context.Context

	begun <-chan struct{}
}

func (c untilBegun) Done() <-chan struct{} { return c.begun }

func (c untilBegun) Err() error {
	select {
	case <-c.begun:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func newWorld(t *testing.T, change func(*world)) *world {
	t.Helper()
	w := &world{
		disk: &errStore{}, states: make(chan servicetest.State, 10), running: make(chan struct{}), release: make(chan struct{}),
		mangle: func(f []byte) []byte { return f },
	}
	w.kept = open(t, file(t), func(k *kept) {
		w.kept = k
		w.disk.Store = k.store
		k.store = w.disk
		if change != nil {
			change(w)
		}
	})
	letters, _ := w.letters(t)
	logger := slog.New(slog.NewJSONHandler(w.log, nil))
	w.link = servicetest.NewLoopback(
		service.NewEndpoint(w.sys, service.EndpointOptions{DeadLetters: service.KeepLetters(letters), Logger: logger}),
		servicetest.Options{
			Request:   func(f []byte) ([]byte, bool) { return w.mangle(f), true },
			Reconnect: retry.Policy{Initial: time.Millisecond, Cap: time.Millisecond},
			OnState:   func(s servicetest.State) { w.states <- s },
		})
	t.Cleanup(w.link.Close)
	return w
}

// remote is a client of the actor at a path, on the other side of the link.
func (w *world) remote(path string, opts ...service.ClientOption) *shop.OrdersClient {
	opts = append([]service.ClientOption{service.Intercept(patient)}, opts...)
	return shop.NewOrdersClient(service.Remote[shop.OrdersServer](w.link, path, service.RemoteOptions{Errors: w.spec.Errors}), opts...)
}

// The request of every scenario.
const (
	scenarioRequest = "request 1"
	scenarioCaller  = "till 7"
)

var scenarioTrace = actor.Trace{ID: [16]byte{0xab}, Span: [8]byte{0xcd}, Flags: 1}

func (w *world) request(t *testing.T) context.Context {
	t.Helper()
	ctx := service.WithCallerID(service.WithRequestID(t.Context(), scenarioRequest), scenarioCaller)
	return actor.WithTrace(ctx, scenarioTrace)
}

// errDiskIO is what a broken disk says.
var errDiskIO = store.Failure(store.ErrDisk, "store.Receive", "/orders", errors.New("input/output error"))

// Each scenario makes one call fail. Req F3 to F8, F13
var scenarios = []struct {
	name    string
	prepare func(*testing.T, *world) // before the shop opens
	fail    func(*testing.T, *world) error

	code   fault.Code
	target string
	record string // the message of the record that the node logs, "" for none
	after  func(*testing.T, *world)
}{
	{
		name: "A: the mailbox can't be read", // F3
		fail: func(t *testing.T, w *world) error {
			w.disk.set(errDiskIO, nil)
			_, err := w.remote("/orders").Pay(w.request(t), &shop.PayRequest{Cents: 3})
			return err
		},
		code: fault.Internal, target: "/orders", record: "the mailbox of a durable method failed",
		after: func(t *testing.T, w *world) {
			if got := w.ref.Stats().MailboxFailures; got != 1 {
				t.Errorf("%d failures of the mailbox are counted", got)
			}
			if _, err := w.remote("/orders").Get(t.Context(), &shop.GetRequest{}); err != nil {
				t.Errorf("the node is down: %v", err)
			}
			w.disk.set(nil, nil)
			res, err := repaired(w.request(t), w.remote("/orders"), &shop.PayRequest{Cents: 3}) // the same request
			if err != nil || res.GetBalance() != -3 {
				t.Errorf("after the repair: %v, %v", res, err)
			}
		},
	},
	{
		name: "B: the message does not decode", // F4
		fail: func(t *testing.T, w *world) error {
			w.mangle = func(f []byte) []byte { return bytes.Replace(f, []byte("tea"), []byte("\xff\xff\xff"), 1) }
			_, err := w.remote("/orders").Place(w.request(t), &shop.PlaceRequest{Item: "tea"})
			return err
		},
		code: fault.Poison, target: "/orders", record: "a request does not decode",
		after: func(t *testing.T, w *world) {
			raw := string([]byte{0x12, 3, 0xff, 0xff, 0xff})
			if got := w.log.await(t, "a request does not decode")["raw_base64"]; got != "EgP///8=" {
				t.Errorf("the log has the bytes %v", got)
			}
			_, all := w.letters(t)
			if len(all) != 1 || string(all[0].Data) != raw || all[0].RequestID != scenarioRequest || all[0].TraceID != scenarioTrace.TraceID() || all[0].ErrorType != "POISON" {
				t.Errorf("letters %+v", all)
			}
		},
	},
	{
		name: "C: there is no such actor", // F5
		fail: func(t *testing.T, w *world) error {
			_, err := w.remote("/nobody").Get(w.request(t), &shop.GetRequest{})
			if err != nil && !strings.Contains(err.Error(), "/nobody") {
				t.Errorf("the error does not name the actor: %v", err)
			}
			return err
		},
		code: fault.NotFound, target: "/nobody",
	},
	{
		name: "D: the connection is lost", // F6
		prepare: func(_ *testing.T, w *world) {
			w.impl.get = func(ctx context.Context, _ *shop.GetRequest) (*shop.GetResponse, error) {
				w.link.Cut()
				<-ctx.Done() // the handler learns that its caller is gone
				return nil, ctx.Err()
			}
		},
		fail: func(t *testing.T, w *world) error {
			_, err := w.remote("/orders").Get(w.request(t), &shop.GetRequest{})
			return err
		},
		code: fault.Unavailable, target: "/orders",
		after: func(t *testing.T, w *world) {
			if s := <-w.states; s != servicetest.Reconnecting || w.link.State() != servicetest.Reconnecting {
				t.Errorf("states %q and %q", s, w.link.State())
			}
			_, err := w.remote("/orders").Place(t.Context(), &shop.PlaceRequest{})
			wantFault(t, err, fault.Unavailable)
			w.link.Restore()
			if s := <-w.states; s != servicetest.Connected {
				t.Errorf("state %q", s)
			}
		},
	},
	{
		name: "E: the handler panics", // F7
		prepare: func(_ *testing.T, w *world) {
			w.impl.get = func(context.Context, *shop.GetRequest) (*shop.GetResponse, error) { panic("no such shelf") }
		},
		fail: func(t *testing.T, w *world) error {
			_, err := w.remote("/orders").Get(w.request(t), &shop.GetRequest{})
			return err
		},
		code: fault.Internal, target: "/orders", record: "a handler panicked",
		after: func(t *testing.T, w *world) {
			if got := w.log.await(t, "a handler panicked")["panic"]; got != "no such shelf" {
				t.Errorf("the log says %v", got)
			}
			if got := w.sys.Stats(); got.Restarts != 0 || got.Failures != 0 {
				t.Errorf("%d restarts, %d failures of actors in service mode", got.Restarts, got.Failures)
			}
		},
	},
	{
		name: "E: the handler of a supervised service panics", // F7
		prepare: func(_ *testing.T, w *world) {
			w.spec.Supervised = true
			w.impl.get = func(context.Context, *shop.GetRequest) (*shop.GetResponse, error) { panic("no such shelf") }
		},
		fail: func(t *testing.T, w *world) error {
			_, err := w.remote("/orders").Get(w.request(t), &shop.GetRequest{})
			return err
		},
		code: fault.Internal, target: "/orders", record: "actor failed",
		after: func(t *testing.T, w *world) {
			r := w.log.await(t, "actor failed")
			if r["panic"] != "no such shelf" || r["directive"] != "restart" {
				t.Errorf("the log says %v", r)
			}
		},
	},
	{
		name: "F: the handler takes too long", // F8
		prepare: func(_ *testing.T, w *world) {
			w.impl.get = func(ctx context.Context, _ *shop.GetRequest) (*shop.GetResponse, error) {
				close(w.running)
				<-ctx.Done() // it is told, and
				<-w.release  // does not care
				return nil, ctx.Err()
			}
		},
		fail: func(t *testing.T, w *world) error {
			_, err := w.remote("/orders").Get(untilBegun{w.request(t), w.running}, &shop.GetRequest{})
			return err
		},
		code: fault.DeadlineExceeded, target: "/orders", record: "a handler ignores the end of its context and holds up its worker",
		after: func(t *testing.T, w *world) {
			if got := w.ref.Stats(); got.Runaways != 1 || got.RunawaysTotal != 1 {
				t.Errorf("runaways: %+v", got)
			}
			close(w.release)
			w.log.await(t, "a handler that ignored the end of its context has returned")
			if got := w.ref.Stats(); got.Runaways != 0 {
				t.Errorf("runaways: %+v", got)
			}
		},
	},
}

func TestFailureScenarios(t *testing.T) {
	t.Parallel()
	for _, tt := range scenarios {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) {
				if tt.prepare != nil {
					tt.prepare(t, w)
				}
			})
			err := tt.fail(t, w)
			f := wantFault(t, err, tt.code)
			slog.New(slog.NewJSONHandler(w.log, nil)).LogAttrs(t.Context(), slog.LevelError, "the call failed", fault.Attrs(f)...)
			for _, msg := range []string{"the call failed", tt.record} {
				if msg == "" {
					continue
				}
				record := w.log.await(t, msg)
				for field, want := range map[string]any{ // Req F13
					"request_id": scenarioRequest, "caller_id": scenarioCaller, "target_id": tt.target, "error_type": tt.code.String(),
					"retry_count": 0.0, "trace_id": scenarioTrace.TraceID(), "span_id": scenarioTrace.SpanID(),
				} {
					if record[field] != want {
						t.Errorf("record %q: %s is %v, want %v", msg, field, record[field], want)
					}
				}
			}
			if tt.after != nil {
				tt.after(t, w)
			}
			w.mangle = func(f []byte) []byte { return f }
			if res, err := w.remote("/orders").Place(t.Context(), &shop.PlaceRequest{Item: "tea"}); err != nil || res.GetNumber() != 3 {
				t.Errorf("the next call: %v, %v", res, err)
			}
		})
	}
}

// Req F2: an application's error arrives typed, is not repeated by a retry or a
// mailbox, does not open a breaker and is no dead letter.
func TestApplicationErrorIsAnAnswer(t *testing.T) {
	t.Parallel()
	calls := 0
	w := newWorld(t, func(w *world) {
		w.spec.Errors = &service.ErrorTypes{}
		if err := w.spec.Errors.RegisterErrorValue("sold out", errSoldOut); err != nil {
			t.Fatal(err)
		}
		answer := errors.Join(errSoldOut, fault.New(fault.Unavailable, "shop", "come back tomorrow")) // transient, and yet an answer
		w.impl.place = func(context.Context, *shop.PlaceRequest) (*shop.PlaceResponse, error) { calls++; return nil, answer }
		w.impl.pay = func(context.Context, *shop.PayRequest) (*shop.PayResponse, error) { calls++; return nil, answer }
	})
	group, err := breaker.NewGroup(breaker.Config{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := w.remote("/orders", service.Intercept(service.Retry(retry.Policy{}), service.Break(group)))
	for range 20 {
		_, placed := c.Place(t.Context(), &shop.PlaceRequest{})
		_, paid := c.Pay(t.Context(), &shop.PayRequest{})
		for _, err := range []error{placed, paid} {
			if !errors.Is(err, errSoldOut) || fault.CodeOf(err) != fault.Unavailable {
				t.Fatal(err)
			}
		}
	}
	_, letters := w.letters(t)
	if i := group.Get("/orders").Info(); calls != 40 || len(letters) != 0 || i.State != breaker.Closed || i.Failures != 0 {
		t.Errorf("%d calls, letters %+v, breaker %+v", calls, letters, i)
	}
}

// Req F12: an open circuit stops a retry at once, by an error of its own kind.
func TestOpenCircuitStopsRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	group, err := breaker.NewGroup(breaker.Config{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.link.Cut()
	single := w.remote("/orders", service.Intercept(service.Break(group)))
	for range 10 { // half of 10 calls and more
		_, err := single.Place(t.Context(), &shop.PlaceRequest{})
		if wantFault(t, err, fault.Unavailable); errors.Is(err, breaker.ErrOpen) {
			t.Fatal(err)
		}
	}
	start := time.Now()
	_, err = w.remote("/orders", service.Intercept(service.Retry(retry.Policy{Initial: time.Hour, Cap: time.Hour}), service.Break(group))).
		Place(w.request(t), &shop.PlaceRequest{})
	f := wantFault(t, err, fault.Unavailable)
	if open := (*breaker.OpenError)(nil); !errors.As(err, &open) || open.Target != "/orders" || f.RetryCount != 0 || time.Since(start) > hang {
		t.Errorf("after %v and %d retries: %v", time.Since(start), f.RetryCount, err)
	}
	if f.RequestID != scenarioRequest || f.CallerID != scenarioCaller || f.TraceID != scenarioTrace.TraceID() {
		t.Errorf("record %+v", f)
	}
}
