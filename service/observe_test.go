package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/service/servicetest"
)

// reports keeps what is reported.
type reports struct {
	mu   sync.Mutex
	list []service.Report
}

func (r *reports) add(_ context.Context, report service.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, report)
}

// take returns what was reported since it was asked last.
func (r *reports) take() []service.Report {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

// Each call is one report at its client and one for each attempt that reached the
// implementation; what did not reach it is reported by the endpoint. It runs in
// synctest. Req T1
func TestObserve(t *testing.T) {
	t.Parallel()
	const orders = "troupe.test.shop.v1.Orders"
	atServer, refused := &reports{}, &reports{}
	run(t, func(s *setup, _ *servicetest.Options) {
		s.spec.Interceptors = []service.Interceptor{service.Observe(atServer.add)}
		s.impl.place = func(ctx context.Context, r *shop.PlaceRequest) (*shop.PlaceResponse, error) {
			switch r.GetItem() {
			case "sold out":
				return nil, errSoldOut
			case "panic":
				panic("boom")
			}
			time.Sleep(time.Second)
			return &shop.PlaceResponse{}, ctx.Err()
		}
	}, func(t *testing.T, s *setup) {
		endpoint := service.NewEndpoint(s.sys, service.EndpointOptions{Refused: refused.add, Logger: slog.New(slog.DiscardHandler)})
		link := servicetest.NewLoopback(endpoint, servicetest.Options{})
		defer link.Close()
		atClient := &reports{}
		options := service.Intercept(service.Observe(atClient.add), service.Retry(retry.Policy{}))
		ref := service.Remote[shop.OrdersServer](link, "/orders", service.RemoteOptions{})
		c := shop.NewOrdersClient(ref, options)
		place := func(item string, timeout time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			_, _ = c.Place(ctx, &shop.PlaceRequest{Item: item})
		}
		want := func(what string, got *reports, want ...service.Report) {
			t.Helper()
			if list := got.take(); !slices.Equal(list, want) {
				t.Errorf("%s: %+v, want %+v", what, list, want)
			}
		}
		client := func(code fault.Code, took time.Duration, retries int) service.Report {
			return service.Report{Service: orders, Method: "Place", Code: code, Duration: took, Retries: retries}
		}
		server := func(code fault.Code, took time.Duration) service.Report {
			return service.Report{Side: service.ServerSide, Service: orders, Method: "Place", Code: code, Duration: took}
		}

		place("tea", time.Minute)
		want("client", atClient, client(fault.OK, time.Second, 0))
		want("server", atServer, server(fault.OK, time.Second))
		place("panic", time.Minute) // INTERNAL is not repeated
		want("client, panic", atClient, client(fault.Internal, 0, 0))
		want("server, panic", atServer, server(fault.Internal, 0))
		place("sold out", time.Minute)
		answer := client(fault.Unknown, 0, 0)
		answer.FromApplication = true
		want("client, answer", atClient, answer)
		answer.Side = service.ServerSide
		want("server, answer", atServer, answer)

		link.Cut()
		place("tea", time.Minute) // the policy's 1, 2 and 4 seconds
		want("client, no connection", atClient, client(fault.Unavailable, 7*time.Second, 3))
		link.Restore()
		time.Sleep(10 * time.Second)
		want("server, no connection", atServer)

		done := make(chan struct{})
		go func() { place("tea", time.Minute); close(done) }()
		synctest.Wait()
		leaving, leave := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, leave)
		_, err := c.Place(leaving, &shop.PlaceRequest{}) // waits behind the first and is never begun
		wantFault(t, err, fault.Canceled)
		<-done
		want("server, two at a time", atServer, server(fault.OK, time.Second))
		want("refused", refused, server(fault.Canceled, 500*time.Millisecond))
		atClient.take()

		_, err = shop.NewOrdersClient(service.Remote[shop.OrdersServer](link, "/nobody", service.RemoteOptions{})).Place(t.Context(), &shop.PlaceRequest{})
		wantFault(t, err, fault.NotFound)
		endpoint.Serve(t.Context(), []byte{1})
		want("refused", refused,
			service.Report{Side: service.ServerSide, Code: fault.NotFound}, service.Report{Side: service.ServerSide, Code: fault.Poison})
	})
}

// A panic of a supervised service, which goes on to its supervisor, is reported.
func TestObserveSupervised(t *testing.T) {
	t.Parallel()
	got := &reports{}
	run(t, func(s *setup, _ *servicetest.Options) {
		s.spec.Supervised = true
		s.spec.Interceptors = []service.Interceptor{service.Observe(got.add)}
		s.impl.get = func(context.Context, *shop.GetRequest) (*shop.GetResponse, error) { panic("boom") }
	}, func(t *testing.T, s *setup) {
		_, err := shop.NewOrdersClient(s.ref).Get(t.Context(), &shop.GetRequest{})
		wantFault(t, err, fault.Internal)
		if list := got.take(); len(list) != 1 || list[0].Code != fault.Internal || list[0].Side != service.ServerSide {
			t.Errorf("reports %+v", list)
		}
	})
}

// The labels of a report are few. Req T1
func TestReportLabels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		report            service.Report
		status, errorType string
	}{
		{service.Report{}, "ok", ""},
		{service.Report{Code: fault.NotFound}, "error", "NOT_FOUND"},
		{service.Report{Code: fault.NotFound, FromApplication: true}, "error", "APPLICATION"},
		{service.Report{Code: fault.CodeOf(errors.New("plain")), FromApplication: true}, "error", "APPLICATION"},
	} {
		if tt.report.Status() != tt.status || tt.report.ErrorType() != tt.errorType {
			t.Errorf("%+v: %q and %q", tt.report, tt.report.Status(), tt.report.ErrorType())
		}
	}
	if service.ClientSide.String() != "client" || service.ServerSide.String() != "server" {
		t.Error(service.ClientSide, service.ServerSide)
	}
}

// Observe counts calls, at a client or at a server.
func ExampleObserve() {
	ctx := context.Background()
	sys := actor.NewSystem(actor.Options{})
	defer sys.Stop(ctx)
	ref, err := service.Spawn(sys, calcSpec())
	if err != nil {
		fmt.Println(err)
		return
	}
	calls := map[string]int{}
	client := service.NewClient(ref, service.Intercept(service.Observe(func(_ context.Context, r service.Report) {
		calls[r.Method+" "+r.Status()+" "+r.ErrorType()]++
	})))
	for range 3 {
		_, _ = service.Invoke(ctx, client, methodAdd, sum{2, 3})
	}
	_, _ = service.Invoke(ctx, client, methodDivide, sum{2, 0})
	fmt.Println(calls)
	// Output:
	// map[Add ok :3 Divide error APPLICATION:1]
}
