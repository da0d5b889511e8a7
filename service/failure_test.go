package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/service/servicetest"
	"github.com/troupe-dev/troupe/wire"
)

// Req F3: a mailbox store that fails is INTERNAL to the caller, is counted, and
// the node stays up. It runs in synctest.
func TestMailboxStoreFails(t *testing.T) {
	t.Parallel()
	run(t, func(s *setup, _ *servicetest.Options) {
		s.impl.pay = func(ctx context.Context, r *shop.PayRequest) (*shop.PayResponse, error) {
			time.Sleep(time.Second)
			return &shop.PayResponse{Balance: r.GetCents()}, nil
		}
	}, func(t *testing.T, s *setup) {
		box := s.spec.Mailbox.(*memory)
		c := s.remote()
		first, waiting := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := c.Pay(t.Context(), &shop.PayRequest{})
			first <- err
		}()
		synctest.Wait()
		go func() { // kept, but not taken out yet
			_, err := c.Pay(service.WithRequestID(t.Context(), "again"), &shop.PayRequest{Cents: 7})
			waiting <- err
		}()
		synctest.Wait()
		box.fail(errDisk)
		if err := <-first; err != nil {
			t.Errorf("the call whose request had been taken out: %v", err)
		}
		wantFault(t, <-waiting, fault.Internal)
		_, err := c.Pay(t.Context(), &shop.PayRequest{})
		wantFault(t, err, fault.Internal)
		if got := s.ref.Stats().MailboxFailures; got != 2 || !strings.Contains(s.log.String(), "the mailbox of a durable method failed") {
			t.Errorf("%d failures are counted; log %s", got, s.log)
		}
		if _, err := c.Get(t.Context(), &shop.GetRequest{}); err != nil {
			t.Errorf("a method that is not durable: %v", err)
		}
		box.fail(nil)
		res, err := c.Pay(service.WithRequestID(t.Context(), "again"), &shop.PayRequest{Cents: 7})
		if err != nil || res.GetBalance() != 7 {
			t.Errorf("after the repair: %v, %v", res, err)
		}
	})
}

// Req F4: a request that does not decode is POISON, goes to the dead letters with
// its bytes, and is logged with them and the trace.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	item := []byte("an item")
	for _, tt := range []struct {
		name   string
		mangle func([]byte) []byte
		want   string
		target string
	}{
		{"the message", func(f []byte) []byte { return bytes.Replace(f, item, []byte("\xff\xff\xff\xff\xff\xff\xff"), 1) }, "invalid UTF-8", "/orders"},
		{"its type", func(f []byte) []byte { return bytes.Replace(f, []byte("PlaceRequest"), []byte("PlaceRequexx"), 1) }, "the message is of another type", "/orders"},
		{"the frame", func(f []byte) []byte { return f[:len(f)-3] }, "does not decode", "/orders"},
		{"an empty frame", func([]byte) []byte { return nil }, "it names no target", ""},
	} {
		broken := true
		run(t, func(_ *setup, o *servicetest.Options) {
			o.Request = func(f []byte) ([]byte, bool) {
				if broken {
					return tt.mangle(f), true
				}
				return f, true
			}
		}, func(t *testing.T, s *setup) {
			ctx := actor.WithTrace(service.WithRequestID(t.Context(), "r9"), actor.Trace{ID: [16]byte{0xab}, Span: [8]byte{0xcd}})
			_, err := s.remote().Place(ctx, &shop.PlaceRequest{Item: string(item)})
			f := wantFault(t, err, fault.Poison)
			if !strings.Contains(f.Error(), tt.want) || f.RequestID != "r9" {
				t.Errorf("%s: %v", tt.name, f)
			}
			letters := s.letters.all()
			if len(letters) != 1 || letters[0].TargetID != tt.target || fault.CodeOf(letters[0].Err) != fault.Poison {
				t.Fatalf("%s: letters %+v", tt.name, letters)
			}
			raw := base64.StdEncoding.EncodeToString(letters[0].Raw)
			for _, want := range []string{`"msg":"a request does not decode"`, `"error_type":"POISON"`, `"raw_base64":"` + raw + `"`, `"retry_count":0`} {
				if !strings.Contains(s.log.String(), want) {
					t.Errorf("%s: the log has no %s: %s", tt.name, want, s.log)
				}
			}
			if tt.target != "" && !strings.Contains(s.log.String(), `"trace_id":"ab00`) {
				t.Errorf("%s: the log has no trace: %s", tt.name, s.log)
			}
			broken = false
			if _, err := s.remote().Place(ctx, &shop.PlaceRequest{}); err != nil {
				t.Errorf("%s: the next call: %v", tt.name, err)
			}
		})
	}
	run(t, func(s *setup, o *servicetest.Options) {
		s.letters.err = errDisk
		o.Request = func([]byte) ([]byte, bool) { return []byte{1}, true }
	}, func(t *testing.T, s *setup) {
		_, err := s.remote().Place(t.Context(), &shop.PlaceRequest{})
		wantFault(t, err, fault.Poison)
		if !strings.Contains(s.log.String(), "a dead letter could not be kept") {
			t.Errorf("log %s", s.log)
		}
	})
}

// A kept request that does not decode is a dead letter at once.
func TestUndecodableParcel(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		box := s.spec.Mailbox.(*memory)
		_, err := box.Ask(t.Context(), service.Parcel{
			RequestID: "x", Method: "troupe.test.shop.v1.Orders/Pay",
			Message: wire.Message{Type: "troupe.test.shop.v1.PayRequest", Codec: "proto", Data: []byte{1}},
		})
		if fault.CodeOf(err) != fault.Poison || len(box.letters()) != 1 {
			t.Errorf("error %v, %d letters", err, len(box.letters()))
		}
	})
}

// A response that does not decode is POISON, too: what became of the call is not
// known.
func TestUndecodableResponse(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{"", "\x08", "\x1a\x01x", "\x12\x01\xff", "\x1a\x02{}\x1a\x02{}"} {
		run(t, func(_ *setup, o *servicetest.Options) {
			o.Response = func([]byte) ([]byte, bool) { return []byte(frame), true }
		}, func(t *testing.T, s *setup) {
			_, err := s.remote().Place(t.Context(), &shop.PlaceRequest{})
			wantFault(t, err, fault.Poison)
		})
	}
}

// Req F5: an unknown target is NOT_FOUND with the actor's id and the message.
func TestUnknownTarget(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		for where, ref := range map[string]service.Ref[shop.OrdersServer]{
			"by name":       service.Named[shop.OrdersServer](s.sys, "/nobody"),
			"over the link": service.Remote[shop.OrdersServer](s.link, "/nobody", service.RemoteOptions{}),
		} {
			_, err := shop.NewOrdersClient(ref).Get(t.Context(), &shop.GetRequest{})
			f := wantFault(t, err, fault.NotFound)
			if f.Target != "/nobody" || !strings.Contains(f.Error(), "service.Call /nobody: troupe.test.shop.v1.Orders/Get: ") {
				t.Errorf("%s: %v", where, f)
			}
		}
		if err := s.ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		everywhere(t, s, func(t *testing.T, where string, c *shop.OrdersClient) {
			_, err := c.Get(t.Context(), &shop.GetRequest{})
			if f := wantFault(t, err, fault.NotFound); f.Target != "/orders" {
				t.Errorf("%s: %v", where, f)
			}
		})
	})
}

// Req F6: a lost connection is UNAVAILABLE to callers, can be seen, and comes
// back by itself. It runs in synctest.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	var states []servicetest.State
	var cut bool
	run(t, func(s *setup, o *servicetest.Options) {
		o.OnState = func(st servicetest.State) { states = append(states, st) }
		s.impl.get = func(ctx context.Context, _ *shop.GetRequest) (*shop.GetResponse, error) {
			select {
			case <-ctx.Done():
				cut = true
				return nil, ctx.Err()
			case <-time.After(time.Second):
				return &shop.GetResponse{}, nil
			}
		}
	}, func(t *testing.T, s *setup) {
		c := s.remote()
		underway := make(chan error, 1)
		go func() {
			_, err := c.Get(t.Context(), &shop.GetRequest{})
			underway <- err
		}()
		synctest.Wait()
		s.link.Cut()
		f := wantFault(t, <-underway, fault.Unavailable)
		if !strings.Contains(f.Error(), "the connection was lost before the response came") {
			t.Error(f)
		}
		synctest.Wait()
		if !cut {
			t.Error("the handler does not know that its caller is gone")
		}
		_, err := c.Place(t.Context(), &shop.PlaceRequest{})
		if wantFault(t, err, fault.Unavailable); !errors.Is(err, service.ErrNotConnected) || s.link.State() != servicetest.Reconnecting {
			t.Errorf("%v in state %s", err, s.link.State())
		}
		time.Sleep(time.Hour)
		if s.link.State() != servicetest.Reconnecting {
			t.Errorf("state %s while the network is down", s.link.State())
		}
		s.link.Restore()
		time.Sleep(6 * time.Second)
		if _, err := c.Place(t.Context(), &shop.PlaceRequest{}); err != nil {
			t.Error(err)
		}
		s.link.Close()
		_, err = c.Place(t.Context(), &shop.PlaceRequest{})
		wantFault(t, err, fault.Unavailable)
		want := []servicetest.State{servicetest.Reconnecting, servicetest.Connected, servicetest.Closed}
		if !slices.Equal(states, want) {
			t.Errorf("states %v, want %v", states, want)
		}
	})
}

// A frame that the network loses is DEADLINE_EXCEEDED, one that it delays is not.
func TestLostFrames(t *testing.T) {
	t.Parallel()
	for _, response := range []bool{false, true} {
		var calls uint64
		run(t, func(_ *setup, o *servicetest.Options) {
			o.Delay = 100 * time.Millisecond
			lose := true
			through := func(f []byte) ([]byte, bool) {
				lost := lose
				lose = false
				return f, !lost
			}
			if response {
				o.Response, calls = through, 3 // the first attempt was handled
			} else {
				o.Request, calls = through, 2
			}
		}, func(t *testing.T, s *setup) {
			start := time.Now()
			_, err := s.remote().Place(t.Context(), &shop.PlaceRequest{})
			if wantFault(t, err, fault.DeadlineExceeded); time.Since(start) != 2*time.Second {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			start = time.Now()
			if _, err = s.remote().Place(t.Context(), &shop.PlaceRequest{}); err != nil || time.Since(start) != 200*time.Millisecond {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			if _, err = s.remote().Place(t.Context(), &shop.PlaceRequest{}); err != nil || s.ref.Stats().Calls != calls {
				t.Errorf("%v; %d calls were handled, want %d", err, s.ref.Stats().Calls, calls)
			}
		})
	}
}

// Req F7: a panic is INTERNAL, logged with the request id and what it said; the
// actor is not restarted.
func TestPanic(t *testing.T) {
	t.Parallel()
	run(t, func(s *setup, _ *servicetest.Options) {
		s.impl.get = func(context.Context, *shop.GetRequest) (*shop.GetResponse, error) { panic("no such shelf") }
		s.spec.Interceptors = []service.Interceptor{func(next service.Handler) service.Handler {
			return func(ctx context.Context, c *service.Call) error {
				if c.RequestID == "interceptor" {
					panic("in between")
				}
				return next(ctx, c)
			}
		}}
	}, func(t *testing.T, s *setup) {
		everywhere(t, s, func(t *testing.T, where string, c *shop.OrdersClient) {
			for id, said := range map[string]string{where: "no such shelf", "interceptor": "in between"} {
				_, err := c.Get(service.WithRequestID(t.Context(), id), &shop.GetRequest{})
				f := wantFault(t, err, fault.Internal)
				if f.RequestID != id || strings.Contains(err.Error(), said) {
					t.Errorf("%s: %v", where, f)
				}
				log := s.log.String()
				for _, want := range []string{`"request_id":"` + id + `"`, `"panic":"` + said + `"`, "service_test.TestPanic", `"error_type":"INTERNAL"`} {
					if !strings.Contains(log, want) {
						t.Errorf("%s: the log has no %s: %s", where, want, log)
					}
				}
			}
			if _, err := c.Place(t.Context(), &shop.PlaceRequest{}); err != nil {
				t.Errorf("%s: the next call: %v", where, err)
			}
		})
		if got := s.sys.Stats(); got.Restarts != 0 || got.Failures != 0 || s.ref.Stats().Panics != 6 || s.ref.Stats().Failures != 6 {
			t.Errorf("%d restarts, %d failures, %+v", got.Restarts, got.Failures, s.ref.Stats())
		}
	})
}

// Req F7: in supervised mode the supervisor decides; a restart makes a new
// implementation, and the address stays.
func TestPanicSupervised(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 3} {
		made := 0
		run(t, func(s *setup, _ *servicetest.Options) {
			s.spec.Supervised, s.spec.Concurrency = true, concurrency
			s.spec.New = func() shop.OrdersServer {
				made++
				return &orders{get: func(context.Context, *shop.GetRequest) (*shop.GetResponse, error) { panic("boom") }}
			}
		}, func(t *testing.T, s *setup) {
			everywhere(t, s, func(t *testing.T, where string, c *shop.OrdersClient) {
				_, err := c.Get(t.Context(), &shop.GetRequest{})
				if f := wantFault(t, err, fault.Internal); !strings.Contains(f.Error(), "the handler panicked") {
					t.Errorf("%s: %v", where, f)
				}
				if _, err := c.Place(t.Context(), &shop.PlaceRequest{}); err != nil {
					t.Errorf("%s: the next call: %v", where, err)
				}
			})
			synctest.Wait()
			if got := s.sys.Stats(); got.Restarts != 3 || made != concurrency+3 {
				t.Errorf("%d restarts, %d implementations", got.Restarts, made)
			}
		})
	}
}

// Req F8: a handler that ignores its deadline does not hold up its caller; it is
// counted and shown, and the next call waits for it. It runs in synctest.
func TestRunaway(t *testing.T) {
	t.Parallel()
	run(t, func(s *setup, _ *servicetest.Options) {
		s.impl.place = func(ctx context.Context, r *shop.PlaceRequest) (*shop.PlaceResponse, error) {
			if r.GetItem() == "watch" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			time.Sleep(20 * time.Second)
			if ctx.Err() == nil {
				t.Error("the context has not ended")
			}
			return &shop.PlaceResponse{}, nil
		}
	}, func(t *testing.T, s *setup) {
		c := shop.NewOrdersClient(s.ref)
		start := time.Now()
		_, err := c.Place(t.Context(), &shop.PlaceRequest{Item: "watch"})
		wantFault(t, err, fault.DeadlineExceeded)
		_, err = s.remote().Place(t.Context(), &shop.PlaceRequest{})
		if wantFault(t, err, fault.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 4*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if got := s.ref.Stats(); got.Runaways != 0 {
			t.Errorf("counted without grace: %+v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.ref.Stats(); got.Runaways != 1 || got.RunawaysTotal != 1 {
			t.Errorf("%+v", got)
		}
		_, err = c.Place(t.Context(), &shop.PlaceRequest{}) // waits behind it, and is never begun
		wantFault(t, err, fault.DeadlineExceeded)
		time.Sleep(time.Minute)
		if got := s.ref.Stats(); got.Runaways != 0 || got.RunawaysTotal != 1 || got.Calls != 2 {
			t.Errorf("in the end %+v", got)
		}
		for _, want := range []string{"ignores the end of its context", "has returned"} {
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("the log has no %q: %s", want, s.log)
			}
		}
	})
}

// A durable request whose caller has left is handled all the same; one that fails
// is tried again and in the end a dead letter. It runs in synctest.
func TestDurable(t *testing.T) {
	t.Parallel()
	failures, handled := 0, 0
	run(t, func(s *setup, _ *servicetest.Options) {
		s.impl.pay = func(ctx context.Context, r *shop.PayRequest) (*shop.PayResponse, error) {
			if failures > 0 {
				failures--
				panic("boom")
			}
			if r.GetCents() < 0 {
				return nil, errSoldOut
			}
			time.Sleep(10 * time.Second)
			handled++
			return &shop.PayResponse{Balance: int64(handled)}, nil
		}
		if err := s.errors.RegisterErrorValue("sold out", errSoldOut); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, s *setup) {
		box := s.spec.Mailbox.(*memory)
		everywhere(t, s, func(t *testing.T, where string, c *shop.OrdersClient) {
			handled = 0
			ctx, cancel := context.WithTimeout(service.WithRequestID(t.Context(), where), time.Second)
			defer cancel()
			_, err := c.Pay(ctx, &shop.PayRequest{})
			wantFault(t, err, fault.DeadlineExceeded)
			for range 2 { // asking again gives the answer, and nothing happens twice
				res, err := c.Pay(service.WithRequestID(t.Context(), where), &shop.PayRequest{})
				if err != nil || res.GetBalance() != 1 {
					t.Errorf("%s: %v, %v", where, res, err)
				}
			}
			failures = 2
			if res, err := c.Pay(t.Context(), &shop.PayRequest{}); err != nil || res.GetBalance() != 2 {
				t.Errorf("%s, third attempt: %v, %v", where, res, err)
			}
			before := s.ref.Stats().Calls
			if _, err = c.Pay(t.Context(), &shop.PayRequest{Cents: -1}); !errors.Is(err, errSoldOut) { // Req F2
				t.Errorf("%s: %v", where, err)
			}
			if got := s.ref.Stats().Calls - before; got != 1 {
				t.Errorf("%s: an application's error was repeated: %d calls", where, got)
			}
			letters := len(box.letters())
			failures = 3
			_, err = c.Pay(t.Context(), &shop.PayRequest{})
			if wantFault(t, err, fault.Internal); len(box.letters()) != letters+1 {
				t.Errorf("%s: %d letters", where, len(box.letters()))
			}
		})
	})
}
