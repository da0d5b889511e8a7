package service_test

import (
	"context"
	"errors"
	"fmt"
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
)

func TestCall(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		everywhere(t, s, func(t *testing.T, where string, c *shop.OrdersClient) {
			res, err := c.Place(t.Context(), &shop.PlaceRequest{Item: "tea"})
			if err != nil || res.GetNumber() != 3 {
				t.Errorf("%s: %v, %v", where, res, err)
			}
			paid, err := c.Pay(t.Context(), &shop.PayRequest{Cents: 5})
			if err != nil || paid.GetBalance() != -5 {
				t.Errorf("%s, durable: %v, %v", where, paid, err)
			}
		})
		if got := s.ref.Stats(); got.Calls != 6 || got.Failures != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}

// What a call carries reaches the handler: request id, caller id, deadline, trace.
func TestWhatTravels(t *testing.T) {
	t.Parallel()
	trace := actor.Trace{ID: [16]byte{1, 2}, Span: [8]byte{3}, Flags: 1}
	run(t, nil, func(t *testing.T, s *setup) {
		var seen *service.Call
		var left time.Duration
		var got actor.Trace
		s.impl.place = func(ctx context.Context, _ *shop.PlaceRequest) (*shop.PlaceResponse, error) {
			ctx, cancel := context.WithCancel(ctx) // a context derived from the handler's
			defer cancel()
			seen, _ = service.CallFrom(ctx)
			got, _ = actor.TraceFrom(ctx)
			d, _ := ctx.Deadline()
			left = time.Until(d)
			return &shop.PlaceResponse{}, nil
		}
		everywhere(t, s, func(t *testing.T, where string, c *shop.OrdersClient) {
			ctx := actor.WithTrace(service.WithCallerID(service.WithRequestID(t.Context(), "r1"), "till 7"), trace)
			if _, err := c.Place(ctx, &shop.PlaceRequest{}); err != nil {
				t.Fatal(where, err)
			}
			if seen.RequestID != "r1" || seen.CallerID != "till 7" || seen.Target != "/orders" || seen.Method.FullName() != "troupe.test.shop.v1.Orders/Place" {
				t.Errorf("%s: call %+v", where, seen)
			}
			if left != 2*time.Second || got != trace {
				t.Errorf("%s: %v left, trace %v", where, left, got)
			}
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.Place(short, &shop.PlaceRequest{}); err != nil || left != time.Second {
				t.Errorf("%s: %v left, %v; the caller's earlier deadline wins", where, left, err)
			}
			if len(seen.RequestID) != 32 || seen.CallerID != "" {
				t.Errorf("%s: request %q of %q", where, seen.RequestID, seen.CallerID)
			}
		})
	})
}

// A handler's own calls name its actor, end with its deadline and have an
// identity of their own. It runs in synctest.
func TestCallFromHandler(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		var outer, inner *service.Call
		var left time.Duration
		s.impl.get = func(ctx context.Context, _ *shop.GetRequest) (*shop.GetResponse, error) {
			inner, _ = service.CallFrom(ctx)
			d, _ := ctx.Deadline()
			left = time.Until(d)
			return &shop.GetResponse{}, nil
		}
		till, err := service.Spawn(s.sys, func() service.Spec[shop.StockServer] {
			spec := shop.StockSpec(func() shop.StockServer {
				return stock(func(ctx context.Context, _ *shop.CountRequest) (*shop.CountResponse, error) {
					outer, _ = service.CallFrom(ctx)
					time.Sleep(time.Second)
					_, err := shop.NewOrdersClient(s.ref).Get(ctx, &shop.GetRequest{})
					return &shop.CountResponse{}, err
				})
			})
			spec.Name = "stock"
			return spec
		}())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := shop.NewStockClient(till).Count(ctx, &shop.CountRequest{}); err != nil {
			t.Fatal(err)
		}
		if inner.CallerID != "/stock" || inner.RequestID == outer.RequestID || left > 4*time.Second || left < 4*time.Second-10*time.Millisecond {
			t.Errorf("inner call %+v with %v left", inner, left)
		}
	})
}

type stock func(context.Context, *shop.CountRequest) (*shop.CountResponse, error)

func (f stock) Count(ctx context.Context, r *shop.CountRequest) (*shop.CountResponse, error) {
	return f(ctx, r)
}

// A circle of calls is an error, not a wait for the timeout.
func TestCircle(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		s.impl.get = func(ctx context.Context, r *shop.GetRequest) (*shop.GetResponse, error) {
			return shop.NewOrdersClient(s.ref).Get(ctx, r)
		}
		start := time.Now()
		_, err := shop.NewOrdersClient(s.ref).Get(t.Context(), &shop.GetRequest{})
		if fault.CodeOf(err) != fault.FailedPrecondition || time.Since(start) > 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// It runs in synctest.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		running, most := 0, 0
		s.impl.get = func(context.Context, *shop.GetRequest) (*shop.GetResponse, error) {
			running++ // no lock: -race would see a second call
			most = max(most, running)
			time.Sleep(time.Second)
			running--
			return &shop.GetResponse{}, nil
		}
		start := time.Now()
		for range 5 {
			go func() { _, _ = shop.NewOrdersClient(s.ref).Get(t.Context(), &shop.GetRequest{}) }()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if most != 1 || time.Since(start) < 5*time.Second {
			t.Errorf("%d at once", most)
		}
	})
}

// Calls with equal keys are served one after the other, in order, by the same
// implementation; others at the same time. It runs in synctest.
func TestConcurrencyPerKey(t *testing.T) {
	t.Parallel()
	for _, link := range []bool{false, true} {
		made := 0
		served := map[uint64][]string{} // by customer
		by := map[uint64]map[int]bool{}
		var most, running int
		var mu chan struct{}
		run(t, func(s *setup, _ *servicetest.Options) {
			mu = make(chan struct{}, 1)
			s.spec.Concurrency = 8
			s.spec.New = func() shop.OrdersServer {
				made++
				me := made
				return &orders{place: func(_ context.Context, r *shop.PlaceRequest) (*shop.PlaceResponse, error) {
					mu <- struct{}{}
					running++
					most = max(most, running)
					id := r.GetCustomer().GetId()
					served[id] = append(served[id], r.GetItem())
					if by[id] == nil {
						by[id] = map[int]bool{}
					}
					by[id][me] = true
					<-mu
					time.Sleep(time.Millisecond)
					mu <- struct{}{}
					running--
					<-mu
					return &shop.PlaceResponse{}, nil
				}}
			}
		}, func(t *testing.T, s *setup) {
			c := shop.NewOrdersClient(s.ref)
			if link {
				c = s.remote()
			}
			for i := range 10 {
				for id := range uint64(20) {
					go func() {
						_, err := c.Place(t.Context(), &shop.PlaceRequest{Customer: &shop.Customer{Id: id}, Item: fmt.Sprint(i)})
						if err != nil {
							t.Error(err)
						}
					}()
				}
				synctest.Wait() // they are in the mailboxes, in this order
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if made != 8 || most < 4 || most > 8 {
				t.Errorf("%d implementations, %d calls at once", made, most)
			}
			for id := range uint64(20) {
				if got := strings.Join(served[id], ""); got != "0123456789" || len(by[id]) != 1 {
					t.Errorf("customer %d: served %s by %d implementations", id, got, len(by[id]))
				}
			}
			for range 100 { // calls without a key go anywhere
				if _, err := c.Get(t.Context(), &shop.GetRequest{}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestInterceptors(t *testing.T) {
	t.Parallel()
	var log []string
	note := func(name string) service.Interceptor {
		return func(next service.Handler) service.Handler {
			return func(ctx context.Context, c *service.Call) error {
				log = append(log, name)
				err := next(ctx, c)
				log = append(log, fmt.Sprintf("/%s %v %v", name, fault.CodeOf(err), c.FromApplication))
				return err
			}
		}
	}
	errOwn := errors.New("sold out")
	run(t, func(s *setup, _ *servicetest.Options) {
		s.spec.Interceptors = []service.Interceptor{note("c"), func(next service.Handler) service.Handler {
			return func(ctx context.Context, c *service.Call) error {
				if r, ok := c.Request.(*shop.PlaceRequest); ok && r.GetItem() == "forbidden" {
					return fault.New(fault.PermissionDenied, "test", "no")
				}
				return next(ctx, c)
			}
		}}
		s.impl.place = func(_ context.Context, r *shop.PlaceRequest) (*shop.PlaceResponse, error) {
			if r.GetItem() == "none" {
				return nil, errOwn
			}
			return &shop.PlaceResponse{Number: 1}, nil
		}
	}, func(t *testing.T, s *setup) {
		double := func(next service.Handler) service.Handler {
			return func(ctx context.Context, c *service.Call) error {
				err := next(ctx, c)
				if r, ok := c.Response.(*shop.PlaceResponse); ok && err == nil {
					c.Response = &shop.PlaceResponse{Number: 2 * r.GetNumber()}
				}
				return err
			}
		}
		with := service.Intercept(note("a"), note("b"), double)
		for where, c := range map[string]*shop.OrdersClient{"here": shop.NewOrdersClient(s.ref, with), "over the link": s.remote(with)} {
			for item, want := range map[string]string{
				"tea":       "a b c /c OK false /b OK false /a OK false",
				"none":      "a b c /c UNKNOWN true /b UNKNOWN true /a UNKNOWN true",
				"forbidden": "a b c /c PERMISSION_DENIED false /b PERMISSION_DENIED false /a PERMISSION_DENIED false",
			} {
				log = nil
				res, err := c.Place(t.Context(), &shop.PlaceRequest{Item: item})
				if got := strings.Join(log, " "); got != want {
					t.Errorf("%s, %s: %s, want %s", where, item, got, want)
				}
				if item == "tea" && (err != nil || res.GetNumber() != 2) {
					t.Errorf("%s: %v, %v", where, res, err)
				}
			}
		}
		wrong := func(next service.Handler) service.Handler {
			return func(ctx context.Context, c *service.Call) error {
				c.Request = &shop.GetRequest{}
				return next(ctx, c)
			}
		}
		for _, c := range []*shop.OrdersClient{shop.NewOrdersClient(s.ref, service.Intercept(wrong)), s.remote(service.Intercept(wrong))} {
			_, err := c.Place(t.Context(), &shop.PlaceRequest{})
			f := wantFault(t, err, fault.Internal)
			if !strings.Contains(f.Error(), "the request is a *shopv1.GetRequest, want *shopv1.PlaceRequest") {
				t.Error(f)
			}
		}
	})
}

// Bad use is told as early as it can be.
func TestSpawnErrors(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		good := shop.OrdersSpec(func() shop.OrdersServer { return s.impl })
		for _, tt := range []struct {
			name   string
			change func(*service.Spec[shop.OrdersServer])
			code   fault.Code
			want   string
		}{
			{"no service", func(s *service.Spec[shop.OrdersServer]) { s.Service = "" }, fault.InvalidArgument, "the spec has no Service"},
			{"no New", func(s *service.Spec[shop.OrdersServer]) { s.New = nil }, fault.InvalidArgument, "the spec has no New"},
			{"no methods", func(s *service.Spec[shop.OrdersServer]) { s.Methods = nil }, fault.InvalidArgument, "the spec has no Methods"},
			{"concurrency", func(s *service.Spec[shop.OrdersServer]) { s.Concurrency = -1 }, fault.InvalidArgument, "Concurrency is -1"},
			{"zero binding", func(s *service.Spec[shop.OrdersServer]) { s.Methods = []service.Binding[shop.OrdersServer]{{}} }, fault.InvalidArgument, "zero Binding"},
			{"another's method", func(s *service.Spec[shop.OrdersServer]) { s.Service = "other" }, fault.InvalidArgument, "belongs to another service"},
			{"twice", func(s *service.Spec[shop.OrdersServer]) { s.Methods = slices.Concat(s.Methods[:1], s.Methods[:1]) }, fault.InvalidArgument, "method Place is bound twice"},
			{"no mailbox", func(*service.Spec[shop.OrdersServer]) {}, fault.FailedPrecondition, "method Pay is durable and the spec has no Mailbox"},
			{"name", func(sp *service.Spec[shop.OrdersServer]) { sp.Mailbox, sp.Name = newMemory(), "orders" }, fault.AlreadyExists, "the name is taken"},
			{"panic in New", func(sp *service.Spec[shop.OrdersServer]) {
				sp.Mailbox, sp.New = newMemory(), func() shop.OrdersServer { panic("boom") }
			}, fault.Internal, "boom"},
		} {
			spec := good
			tt.change(&spec)
			_, err := service.Spawn(s.sys, spec)
			if fault.CodeOf(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("%s: error %v, want %v and %q", tt.name, err, tt.code, tt.want)
			}
		}
	})
}

func TestCallErrors(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		if _, err := actor.Spawn(s.sys, actor.Spec[int]{Name: "plain", New: func() actor.Behavior[int] {
			return actor.BehaviorFunc[int](func(*actor.Context[int], int) error { return nil })
		}}); err != nil {
			t.Fatal(err)
		}
		var zero service.Ref[shop.OrdersServer]
		_, err := shop.NewOrdersClient(zero).Get(t.Context(), &shop.GetRequest{})
		if fault.CodeOf(err) != fault.InvalidArgument || !errors.Is(err, actor.ErrNoActor) || !zero.IsZero() || zero.Address() != "" {
			t.Errorf("zero ref: %v", err)
		}
		everywhere(t, s, func(t *testing.T, where string, c *shop.OrdersClient) {
			_, err := c.Get(t.Context(), nil)
			if f := wantFault(t, err, fault.InvalidArgument); !strings.Contains(f.Error(), "the request is nil") {
				t.Errorf("%s: %v", where, f)
			}
			_, err = c.Drop(t.Context(), &shop.GetRequest{})
			if f := wantFault(t, err, fault.Internal); !strings.Contains(f.Error(), "returned neither a response nor an error") {
				t.Errorf("%s: %v", where, f)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = c.Get(ended, &shop.GetRequest{})
			if wantFault(t, err, fault.Canceled); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", where, err)
			}
		})
		for _, ref := range []service.Ref[shop.OrdersServer]{
			service.Named[shop.OrdersServer](s.sys, "/plain"),
			service.Remote[shop.OrdersServer](s.link, "/plain", service.RemoteOptions{}),
		} {
			_, err = shop.NewOrdersClient(ref).Get(t.Context(), &shop.GetRequest{})
			if f := wantFault(t, err, fault.FailedPrecondition); !strings.Contains(f.Error(), "the actor is no service") {
				t.Error(f)
			}
		}
		// A service of another kind at the name.
		for _, ref := range []service.Ref[shop.StockServer]{
			service.Named[shop.StockServer](s.sys, "/orders"),
			service.Remote[shop.StockServer](s.link, "/orders", service.RemoteOptions{}),
		} {
			_, err = shop.NewStockClient(ref).Count(t.Context(), &shop.CountRequest{})
			if f := wantFault(t, err, fault.Unimplemented); !strings.Contains(f.Error(), "it serves troupe.test.shop.v1.Orders with Drop, Get, Pay, Place") {
				t.Error(f)
			}
		}
	})
}

// quick is a target that answers at once, whatever the context says.
type quick struct{ calls int }

func (q *quick) Address() string { return "/quick" }

func (q *quick) Call(_ context.Context, c *service.Call) error {
	q.calls++
	c.Response = &shop.GetResponse{}
	return nil
}

// A call whose context has ended is not sent, so that no answer can overtake the
// end of its context.
func TestEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	target := &quick{}
	c := shop.NewOrdersClient(service.NewRef[shop.OrdersServer](target))
	if _, err := c.Get(t.Context(), &shop.GetRequest{}); err != nil || target.calls != 1 {
		t.Fatalf("%d calls: %v", target.calls, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	for ctx, code := range map[context.Context]fault.Code{canceled: fault.Canceled, late: fault.DeadlineExceeded} {
		_, err := c.Get(ctx, &shop.GetRequest{})
		wantFault(t, err, code)
	}
	if target.calls != 1 {
		t.Errorf("%d calls were sent, want the one before the end", target.calls)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	run(t, func(s *setup, _ *servicetest.Options) {
		s.impl.get = func(_ context.Context, r *shop.GetRequest) (*shop.GetResponse, error) {
			return &shop.GetResponse{Raw: make([]byte, r.GetNumber())}, nil
		}
	}, func(t *testing.T, s *setup) {
		for _, n := range []int64{64 << 10, 4<<20 - 100} { // Req P8: not lost under the defaults
			if res, err := s.remote().Get(t.Context(), &shop.GetRequest{Number: n}); err != nil || len(res.GetRaw()) != int(n) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		_, err := s.remote().Get(t.Context(), &shop.GetRequest{Number: 5 << 20})
		if f := wantFault(t, err, fault.Internal); !strings.Contains(f.Error(), "are more than the limit of 4194304") {
			t.Error(f)
		}
		_, err = s.remote().Place(t.Context(), &shop.PlaceRequest{Item: strings.Repeat("x", 5<<20)})
		if f := wantFault(t, err, fault.InvalidArgument); !strings.Contains(f.Error(), "are more than the limit of 4194304") {
			t.Error(f)
		}
		ctx := service.WithRequestID(t.Context(), strings.Repeat("x", 1<<20))
		if _, err = s.remote().Get(ctx, &shop.GetRequest{}); fault.CodeOf(err) != fault.InvalidArgument {
			t.Error(err)
		}
	})
}

// A service that was stopped and made anew is found again by its name.
func TestNamedFindsTheNext(t *testing.T) {
	t.Parallel()
	run(t, nil, func(t *testing.T, s *setup) {
		c := shop.NewOrdersClient(service.Named[shop.OrdersServer](s.sys, "/orders"))
		if _, err := c.Get(t.Context(), &shop.GetRequest{}); err != nil {
			t.Fatal(err)
		}
		if err := s.ref.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := c.Get(t.Context(), &shop.GetRequest{})
		wantFault(t, err, fault.NotFound)
		if _, err = service.Spawn(s.sys, s.spec); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), &shop.GetRequest{}); err != nil {
			t.Error(err)
		}
	})
}
