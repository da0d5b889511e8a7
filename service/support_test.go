package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/service/servicetest"
)

// orders is an implementation whose methods a test chooses.
type orders struct {
	place func(context.Context, *shop.PlaceRequest) (*shop.PlaceResponse, error)
	get   func(context.Context, *shop.GetRequest) (*shop.GetResponse, error)
	pay   func(context.Context, *shop.PayRequest) (*shop.PayResponse, error)
}

func (o *orders) Place(ctx context.Context, r *shop.PlaceRequest) (*shop.PlaceResponse, error) {
	if o.place == nil {
		return &shop.PlaceResponse{Number: int64(len(r.GetItem()))}, nil
	}
	return o.place(ctx, r)
}

func (o *orders) Get(ctx context.Context, r *shop.GetRequest) (*shop.GetResponse, error) {
	if o.get == nil {
		return &shop.GetResponse{Item: "item"}, nil
	}
	return o.get(ctx, r)
}

func (o *orders) Pay(ctx context.Context, r *shop.PayRequest) (*shop.PayResponse, error) {
	if o.pay == nil {
		return &shop.PayResponse{Balance: -r.GetCents()}, nil
	}
	return o.pay(ctx, r)
}

func (o *orders) Drop(context.Context, *shop.GetRequest) (*shop.PlaceResponse, error) {
	return nil, nil // neither a response nor an error
}

// records keeps what is logged.
type records struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed with the next record, if somebody waits
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	return r.buf.Write(p)
}

// await returns the last record with a message, and waits for the first.
func (r *records) await(t *testing.T, msg string) map[string]any {
	t.Helper()
	late := time.After(hang)
	for {
		r.mu.Lock()
		var found map[string]any
		for line := range bytes.Lines(r.buf.Bytes()) {
			var record map[string]any
			if err := json.Unmarshal(line, &record); err != nil {
				t.Errorf("%s: %v", line, err)
			} else if record["msg"] == msg {
				found = record
			}
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no record %q in %s", msg, r)
		}
	}
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// setup is what a test of the whole way works with.
type setup struct {
	sys  *actor.System
	log  *records
	impl *orders
	spec service.Spec[shop.OrdersServer]
	ref  service.Ref[shop.OrdersServer]

	letters *letters
	link    *servicetest.Loopback
	errors  *service.ErrorTypes
}

// letters keeps what is set aside.
type letters struct {
	mu   sync.Mutex
	list []service.Letter
	err  error
}

func (l *letters) Put(_ context.Context, letter service.Letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, letter)
	return l.err
}

func (l *letters) all() []service.Letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list
}

// run runs a test in virtual time with a shop at "/orders" and a link to it.
func run(t *testing.T, change func(*setup, *servicetest.Options), f func(t *testing.T, s *setup)) {
	t.Helper()
	s := &setup{log: &records{}, impl: &orders{}, letters: &letters{}, errors: &service.ErrorTypes{}}
	logger := slog.New(slog.NewJSONHandler(s.log, nil))
	actortest.RunWith(t, actor.Options{Logger: logger}, func(t *testing.T, sys *actor.System) {
		s.sys = sys
		s.spec = shop.OrdersSpec(func() shop.OrdersServer { return s.impl })
		s.spec.Name, s.spec.Errors, s.spec.Mailbox = "orders", s.errors, newMemory()
		var network servicetest.Options
		if change != nil {
			change(s, &network)
		}
		var err error
		if s.ref, err = service.Spawn(sys, s.spec); err != nil {
			t.Fatal(err)
		}
		s.link = servicetest.NewLoopback(service.NewEndpoint(sys, service.EndpointOptions{DeadLetters: s.letters, Logger: logger}), network)
		defer s.link.Close()
		f(t, s)
	})
}

// remote is a client behind the link.
func (s *setup) remote(opts ...service.ClientOption) *shop.OrdersClient {
	return shop.NewOrdersClient(service.Remote[shop.OrdersServer](s.link, "/orders", service.RemoteOptions{Errors: s.errors}), opts...)
}

// everywhere runs f with a client for each kind of address.
func everywhere(t *testing.T, s *setup, f func(t *testing.T, where string, c *shop.OrdersClient)) {
	t.Helper()
	f(t, "here", shop.NewOrdersClient(s.ref))
	f(t, "by name", shop.NewOrdersClient(service.Named[shop.OrdersServer](s.sys, "/orders")))
	f(t, "over the link", s.remote())
}

// wantFault fails unless err is a failure of the framework with that code that
// names the actor, the method and the request.
func wantFault(t *testing.T, err error, code fault.Code) *fault.Error {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || fault.CodeOf(err) != code {
		t.Fatalf("error %v, want a fault with %v", err, code)
	}
	if f.Op != "service.Call" || f.Target == "" || f.RequestID == "" || f.Message == "" {
		t.Errorf("the record lacks something: %#v", f)
	}
	return f
}
