package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/service/servicetest"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/wire"
)

// hang bounds what should come at once.
const hang = 2 * time.Minute

// kept is a shop whose durable methods are kept in a SQLite file.
type kept struct {
	path  string
	store store.Store
	sys   *actor.System
	log   *records
	impl  *orders
	spec  service.Spec[shop.OrdersServer]
	box   *service.StoreMailbox
	ref   service.Ref[shop.OrdersServer]

	buried chan *fault.Error
}

// errStore fails a store on command.
type errStore struct {
	store.Store

	mu               sync.RWMutex // held by calls that work, so that none is under way when it fails
	receive, commits error
}

// set chooses what calls fail with that begin from now on; there are no others.
func (s *errStore) set(receive, commits error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receive, s.commits = receive, commits
}

func (s *errStore) Receive(ctx context.Context, r store.ReceiveRequest) ([]store.Message, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.receive != nil {
		return nil, s.receive
	}
	return s.Store.Receive(ctx, r)
}

func (s *errStore) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.commits != nil {
		return store.Result{}, s.commits
	}
	return s.Store.Commit(ctx, b)
}

// open starts a shop at "/orders" with the file at a path.
func open(t *testing.T, path string, change func(*kept)) *kept {
	t.Helper()
	k := &kept{path: path, log: &records{}, impl: &orders{}, buried: make(chan *fault.Error, 100)}
	logger := slog.New(slog.NewJSONHandler(k.log, nil))
	engine, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k.store = engine
	k.sys = actor.NewSystem(actor.Options{Logger: logger})
	k.spec = shop.OrdersSpec(func() shop.OrdersServer { return k.impl })
	k.spec.Name = "orders"
	if change != nil {
		change(k)
	}
	k.box = service.NewMailbox(k.store, service.MailboxOptions{
		Retry: retry.Policy{Initial: time.Millisecond, Cap: time.Millisecond},
		Hooks: durable.Hooks{Buried: func(_ store.Queue, err *fault.Error) { k.buried <- err }},
	})
	k.spec.Mailbox = k.box
	if k.ref, err = service.Spawn(k.sys, k.spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	return k
}

func (k *kept) close() {
	_ = k.sys.Stop(context.Background())
	_ = k.store.Close()
}

func (k *kept) client(opts ...service.ClientOption) *shop.OrdersClient {
	return shop.NewOrdersClient(k.ref, append([]service.ClientOption{service.Intercept(patient)}, opts...)...)
}

// patient is an interceptor that lets a call take as long as a disk and a loaded
// machine may, whatever its method says.
func patient(next service.Handler) service.Handler {
	return func(ctx context.Context, c *service.Call) error {
		m := *c.Method
		m.Timeout = max(m.Timeout, hang)
		c.Method = &m
		return next(ctx, c)
	}
}

// repaired pays once the store works again. A worker whose look failed before that
// may tell so to those who ask just after it: they ask again.
func repaired(ctx context.Context, c *shop.OrdersClient, r *shop.PayRequest) (*shop.PayResponse, error) {
	for {
		res, err := c.Pay(ctx, r)
		if fault.CodeOf(err) != fault.Internal {
			return res, err
		}
	}
}

// letters are the dead letters of the shop, which can be shown as JSON.
func (k *kept) letters(t *testing.T) (*durable.Letters, []store.Letter) {
	t.Helper()
	var types wire.Registry
	if err := wire.Register(&types, wire.Proto[*shop.PayRequest]()); err != nil {
		t.Fatal(err)
	}
	letters := durable.NewLetters(k.store, &types)
	all, err := letters.List(t.Context(), store.LetterFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return letters, all
}

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "shop.db") }

// Req F10: a request id is handled once, and its answer is given to whoever asks
// again, also after a restart of the process.
func TestAnswerIsKept(t *testing.T) {
	t.Parallel()
	path, handled := file(t), 0
	shopkeeper := func(k *kept) {
		k.impl.pay = func(_ context.Context, r *shop.PayRequest) (*shop.PayResponse, error) {
			handled++
			if r.GetCents() < 0 {
				return nil, errSoldOut
			}
			return &shop.PayResponse{Balance: r.GetCents()}, nil
		}
		k.spec.Errors = &service.ErrorTypes{}
		if err := k.spec.Errors.RegisterErrorValue("sold out", errSoldOut); err != nil {
			t.Fatal(err)
		}
	}
	good := func(t *testing.T) context.Context { return service.WithRequestID(t.Context(), "good") }
	bad := func(t *testing.T) context.Context { return service.WithRequestID(t.Context(), "bad") }
	for round := range 2 {
		k := open(t, path, shopkeeper)
		for range 2 {
			res, err := k.client().Pay(good(t), &shop.PayRequest{Cents: 7})
			if err != nil || res.GetBalance() != 7 {
				t.Fatalf("round %d: %v, %v", round, res, err)
			}
			if _, err = k.client().Pay(bad(t), &shop.PayRequest{Cents: -7}); !errors.Is(err, errSoldOut) { // Req F2
				t.Errorf("round %d: %v", round, err)
			}
		}
		if _, all := k.letters(t); len(all) != 0 {
			t.Errorf("an application's error is a dead letter: %+v", all)
		}
		k.close()
	}
	if handled != 2 {
		t.Errorf("two requests were handled %d times", handled)
	}
}

// What a call carries reaches a durable handler as well.
func TestDurableWhatTravels(t *testing.T) {
	t.Parallel()
	trace := actor.Trace{ID: [16]byte{1, 2}, Span: [8]byte{3}, Flags: 1}
	var seen *service.Call
	var got actor.Trace
	var left time.Duration
	k := open(t, file(t), func(k *kept) {
		k.impl.pay = func(ctx context.Context, _ *shop.PayRequest) (*shop.PayResponse, error) {
			seen, _ = service.CallFrom(ctx)
			got, _ = actor.TraceFrom(ctx)
			d, _ := ctx.Deadline()
			left = time.Until(d)
			return &shop.PayResponse{}, nil
		}
	})
	ctx := actor.WithTrace(service.WithCallerID(service.WithRequestID(t.Context(), "r1"), "till 7"), trace)
	if _, err := k.client().Pay(ctx, &shop.PayRequest{}); err != nil {
		t.Fatal(err)
	}
	if seen.RequestID != "r1" || seen.CallerID != "till 7" || seen.Target != "/orders" || seen.Method.FullName() != "troupe.test.shop.v1.Orders/Pay" || seen.Retries != 0 {
		t.Errorf("call %+v", seen)
	}
	if got != trace || left <= 30*time.Second || left > 90*time.Second {
		t.Errorf("trace %v, %v left of 90s", got, left)
	}
	if _, err := k.client().Pay(t.Context(), &shop.PayRequest{}); err != nil || seen.CallerID != "" {
		t.Errorf("an unknown caller is %q; %v", seen.CallerID, err)
	}
}

// Req F9: a request that fails for good is a dead letter with all columns; it can
// be inspected and edited as JSON, rehearsed, and redriven.
func TestDeadLetterOfService(t *testing.T) {
	t.Parallel()
	var calls []int
	var paid []int64
	pay := func(ctx context.Context, r *shop.PayRequest) (*shop.PayResponse, error) {
		switch {
		case r.GetCents() == 13:
			panic("thirteen")
		case r.GetCents() < 0:
			return nil, errSoldOut
		}
		return &shop.PayResponse{Balance: r.GetCents()}, nil
	}
	done := make(chan struct{}, 1)
	k := open(t, file(t), func(k *kept) {
		k.impl.pay = func(ctx context.Context, r *shop.PayRequest) (*shop.PayResponse, error) {
			c, _ := service.CallFrom(ctx)
			calls = append(calls, c.Retries)
			res, err := pay(ctx, r)
			paid = append(paid, r.GetCents())
			done <- struct{}{}
			return res, err
		}
		k.spec.Rehearse = func() shop.OrdersServer { return &orders{pay: pay} }
	})
	trace := actor.Trace{ID: [16]byte{1}, Span: [8]byte{2}, Flags: 1}
	ctx := actor.WithTrace(service.WithCallerID(service.WithRequestID(t.Context(), "r1"), "till 7"), trace)
	start := time.Now()
	_, err := k.client(service.Intercept(service.Retry(retry.Policy{}))).Pay(ctx, &shop.PayRequest{Cents: 13})
	f := wantFault(t, err, fault.Internal)
	if !errors.Is(err, durable.ErrBuried) || f.RetryCount != 0 || time.Since(start) > hang {
		t.Errorf("%v with %d retries by the client", err, f.RetryCount)
	}
	if !slices.Equal(calls, []int{0, 1, 2, 3}) { // Req F9: 3 retries
		t.Errorf("attempts %v", calls)
	}

	letters, all := k.letters(t)
	if len(all) != 1 {
		t.Fatalf("letters %+v", all)
	}
	l := all[0]
	if l.Queue != "/orders" || l.TargetID != "/orders" || l.RequestID != "r1" || l.CallerID != "till 7" || l.Type != "troupe.test.shop.v1.PayRequest" ||
		l.TraceID != trace.TraceID() || l.SpanID != trace.SpanID() || l.ErrorType != "INTERNAL" || l.RetryCount != 3 ||
		len(l.Data) == 0 || l.CreatedAt.IsZero() || l.LastRetryAt.IsZero() || !strings.Contains(l.ErrorMessage, "the handler panicked") {
		t.Errorf("letter %+v", l)
	}
	in, err := letters.Inspect(t.Context(), l.ID)
	if err != nil || string(in.JSON) != `{"cents":"13"}` || in.Subject != "troupe.test.shop.v1.Orders/Pay" {
		t.Errorf("inspection %+v, %v", in, err)
	}

	rehearse := func() durable.Rehearsal {
		t.Helper()
		_, all := k.letters(t)
		r, err := k.box.Rehearse(t.Context(), all)
		if err != nil || len(r) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		return r[0]
	}
	edit := func(text string) {
		t.Helper()
		if _, err := letters.EditJSON(t.Context(), l.ID, "", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	before := k.ref.Stats()
	if r := rehearse(); r.Err == nil || fault.CodeOf(r.Err) == fault.OK || !strings.Contains(r.Err.Error(), "the handler panicked") {
		t.Errorf("rehearsal of the cause: %+v", r)
	}
	edit(`{"cents":"-1"}`)
	if r := rehearse(); r.Err != nil || r.AnswerType != "fault:" || !strings.Contains(string(r.Answer), "sold out") {
		t.Errorf("rehearsal of a refusal: %+v", r)
	}
	edit(`{"cents":"12"}`)
	if r := rehearse(); r.Err != nil || r.AnswerType != "proto:troupe.test.shop.v1.PayResponse" {
		t.Errorf("rehearsal of what was mended: %+v", r)
	}
	if len(paid) != 0 || k.ref.Stats() != before {
		t.Errorf("a rehearsal had effects: %v, %+v", paid, k.ref.Stats())
	}
	if _, err := letters.RedriveOne(t.Context(), l.ID); err != nil {
		t.Fatal(err)
	}
	<-done
	if !slices.Equal(paid, []int64{12}) {
		t.Errorf("paid %v", paid)
	}
}

// A service without Spec.Rehearse says so.
func TestNoRehearsal(t *testing.T) {
	t.Parallel()
	k := open(t, file(t), nil)
	_, err := k.box.Rehearse(t.Context(), nil)
	if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), "Spec.Rehearse") {
		t.Error(err)
	}
	_, err = service.NewMailbox(k.store, service.MailboxOptions{}).Rehearse(t.Context(), nil)
	if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), "serves no actor") {
		t.Error(err)
	}
}

// Req F4: what came over a link and does not decode, for a durable method or not,
// is in the dead letters; that of a durable method can be mended and redriven.
func TestKeepLetters(t *testing.T) {
	t.Parallel()
	paid := make(chan int64, 1)
	k := open(t, file(t), func(k *kept) {
		k.impl.pay = func(_ context.Context, r *shop.PayRequest) (*shop.PayResponse, error) {
			paid <- r.GetCents()
			return &shop.PayResponse{}, nil
		}
	})
	letters, _ := k.letters(t)
	item := []byte("an item\x01")
	endpoint := service.NewEndpoint(k.sys, service.EndpointOptions{DeadLetters: service.KeepLetters(letters), Logger: slog.New(slog.DiscardHandler)})
	link := servicetest.NewLoopback(endpoint, servicetest.Options{Request: func(f []byte) ([]byte, bool) {
		f = bytes.Replace(f, item, []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), 1) // a Place
		return bytes.Replace(f, []byte{0x10, 0x91, 0x4e}, []byte{0x12, 0x91, 0x4e}, 1), true
	}})
	defer link.Close()
	c := shop.NewOrdersClient(service.Remote[shop.OrdersServer](link, "/orders", service.RemoteOptions{}), service.Intercept(patient))
	trace := actor.Trace{ID: [16]byte{1}, Span: [8]byte{2}}
	ctx := func(id string) context.Context {
		return actor.WithTrace(service.WithCallerID(service.WithRequestID(t.Context(), id), "till\n7"), trace)
	}
	_, err := c.Place(ctx("r1"), &shop.PlaceRequest{Item: string(item)})
	wantFault(t, err, fault.Poison)
	_, err = c.Pay(ctx("r2"), &shop.PayRequest{Cents: 10001}) // 0x10 0x91 0x4e
	wantFault(t, err, fault.Poison)
	endpoint.Serve(t.Context(), []byte{1})

	_, all := k.letters(t)
	if len(all) != 3 {
		t.Fatalf("letters %+v", all)
	}
	for i, want := range []struct {
		id, typ, target, caller string
		queue                   store.Queue
	}{
		{"r1", "troupe.test.shop.v1.PlaceRequest", "/orders", "till\uFFFD7", ""},
		{"r2", "troupe.test.shop.v1.PayRequest", "/orders", "till\uFFFD7", "/orders"},
		{"", "troupe.Request", "", "", ""},
	} {
		l := all[i]
		if l.RequestID != want.id || l.Type != want.typ || l.TargetID != want.target || l.Queue != want.queue || l.CallerID != want.caller ||
			l.ErrorType != "POISON" || l.ErrorMessage == "" || len(l.Data) == 0 || i < 2 && (l.TraceID != trace.TraceID() || l.SpanID != trace.SpanID()) {
			t.Errorf("letter %d: %+v", i, l)
		}
	}
	in, err := letters.Inspect(t.Context(), all[1].ID)
	if err != nil || in.Problem == nil || in.Subject != "troupe.test.shop.v1.Orders/Pay" || in.Codec != "proto" {
		t.Errorf("inspection %+v, %v", in, err)
	}
	if _, err := letters.EditJSON(t.Context(), all[1].ID, "", []byte(`{"cents":"5"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := letters.RedriveOne(t.Context(), all[1].ID); err != nil {
		t.Fatal(err)
	}
	if cents := <-paid; cents != 5 {
		t.Errorf("%d cents", cents)
	}
	_, err = letters.RedriveOne(t.Context(), all[0].ID) // its caller has been told
	if fault.CodeOf(err) != fault.FailedPrecondition {
		t.Error(err)
	}
}

// Req F4: a kept request that does not decode any more is a dead letter at once,
// with a log record that has its bytes.
func TestKeptUndecodable(t *testing.T) {
	t.Parallel()
	path := file(t)
	k := open(t, path, func(k *kept) { k.impl.pay = nil })
	box, err := durable.NewMailbox(k.store, durable.MailboxSpec[wire.Message]{Queue: "/orders", Codec: raw{}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(method string, m wire.Message) *fault.Error {
		t.Helper()
		if _, err := box.Send(t.Context(), durable.Post[wire.Message]{Message: m, RequestID: method, Subject: method}); err != nil {
			t.Fatal(err)
		}
		return <-k.buried
	}
	const payType = "troupe.test.shop.v1.PayRequest"
	err = send("troupe.test.shop.v1.Orders/Pay", wire.Message{Type: payType, Codec: "proto", Data: []byte{0xff, 1}})
	if f := err.(*fault.Error); f.Code != fault.Poison || f.RetryCount != 0 {
		t.Errorf("%v after %d retries", f, f.RetryCount)
	}
	for _, want := range []string{`"msg":"a request does not decode"`, `"error_type":"POISON"`, `"raw_base64":"/wE="`, `"request_id":"troupe.test.shop.v1.Orders/Pay"`, `"target_id":"/orders"`} {
		if !strings.Contains(k.log.String(), want) {
			t.Errorf("the log has no %s: %s", want, k.log)
		}
	}
	// A method that there is not, or not yet, is tried again first.
	for _, method := range []string{"", "x", "troupe.test.shop.v1.Orders/Play"} {
		if f := send(method, wire.Message{Type: payType, Codec: "proto"}); f.Code != fault.Unimplemented || f.RetryCount != 3 {
			t.Errorf("%q: %v after %d retries", method, f, f.RetryCount)
		}
	}
}

// raw is the codec of messages that are encoded already.
type raw struct{}

func (raw) Encode(m wire.Message) (wire.Message, error) { return m, nil }
func (raw) Decode(m wire.Message) (wire.Message, error) { return m, nil }

// Req F3: a mailbox that can't be read is INTERNAL to those who wait, is counted
// and logged, and works again when its store does; nothing is lost.
func TestStoreFailsToDequeue(t *testing.T) {
	t.Parallel()
	broken := &errStore{}
	hold := make(chan struct{})
	k := open(t, file(t), func(k *kept) {
		broken.Store = k.store
		k.store = broken
		k.impl.pay = func(_ context.Context, r *shop.PayRequest) (*shop.PayResponse, error) {
			return &shop.PayResponse{Balance: r.GetCents()}, nil
		}
	})
	close(hold)
	broken.set(store.Failure(store.ErrDisk, "store.Receive", "/orders", errors.New("input/output error")), nil)
	again := service.WithRequestID(t.Context(), "r1")
	_, err := k.client().Pay(again, &shop.PayRequest{Cents: 3})
	if f := wantFault(t, err, fault.Internal); !errors.Is(err, service.ErrMailbox) || f.RequestID != "r1" {
		t.Error(err)
	}
	if got := k.ref.Stats().MailboxFailures; got != 1 || !strings.Contains(k.log.String(), `"msg":"the mailbox of a durable method failed"`) {
		t.Errorf("%d failures; log %s", got, k.log)
	}
	if _, err := k.client().Get(t.Context(), &shop.GetRequest{}); err != nil {
		t.Errorf("a method that is not durable: %v", err)
	}
	broken.set(nil, store.Failure(store.ErrDisk, "store.Commit", "/orders", errors.New("input/output error")))
	_, err = k.client().Pay(t.Context(), &shop.PayRequest{})
	if wantFault(t, err, fault.Unavailable); !errors.Is(err, service.ErrMailbox) || !errors.Is(err, store.ErrDisk) {
		t.Error(err)
	}
	broken.set(nil, nil)
	if res, err := repaired(again, k.client(), &shop.PayRequest{Cents: 3}); err != nil || res.GetBalance() != 3 {
		t.Errorf("after the repair: %v, %v", res, err)
	}
}

// Calls without a key are handled side by side, those with one in order.
func TestKeptConcurrency(t *testing.T) {
	t.Parallel()
	const workers = 4
	var running sync.WaitGroup
	running.Add(workers)
	k := open(t, file(t), func(k *kept) {
		k.spec.Concurrency = workers
		k.spec.New = func() shop.OrdersServer {
			return &orders{pay: func(context.Context, *shop.PayRequest) (*shop.PayResponse, error) {
				running.Done()
				running.Wait() // all at once, or never
				return &shop.PayResponse{}, nil
			}}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	errs := make(chan error, workers)
	for range workers {
		go func() {
			_, err := k.client().Pay(service.WithCallerID(ctx, "one caller"), &shop.PayRequest{})
			errs <- err
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// Bad mailboxes are refused when the service is spawned.
func TestBadMailbox(t *testing.T) {
	t.Parallel()
	k := open(t, file(t), nil)
	for name, tt := range map[string]struct {
		box  *service.StoreMailbox
		want string
	}{
		"no store":          {service.NewMailbox(nil, service.MailboxOptions{}), "there is no store"},
		"a bad retry":       {service.NewMailbox(k.store, service.MailboxOptions{Retry: retry.Policy{Max: 1000}}), "Max is 1000"},
		"a bad queue":       {service.NewMailbox(k.store, service.MailboxOptions{Queue: "a\nb"}), "control character"},
		"another's":         {k.box, "the mailbox is that of /orders"},
		"a hold of nothing": {service.NewMailbox(k.store, service.MailboxOptions{Hold: 1}), "Hold is 1ns"},
	} {
		spec := shop.OrdersSpec(func() shop.OrdersServer { return &orders{} })
		spec.Name, spec.Mailbox = "other", tt.box
		if _, err := service.Spawn(k.sys, spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	_, err := service.NewMailbox(k.store, service.MailboxOptions{}).Ask(t.Context(), service.Parcel{TargetID: "/x"})
	if fault.CodeOf(err) != fault.FailedPrecondition {
		t.Error(err)
	}
	if got := fmt.Sprintln(k.box.Queue("/a"), service.NewMailbox(nil, service.MailboxOptions{Queue: "q"}).Queue("/a")); got != "/a q\n" {
		t.Error(got)
	}
}
