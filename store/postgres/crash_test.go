package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// A client appends numbers to a stream of its own, one after the other, and each
// only once: an append that failed as not applied is repeated at the same
// position, which would be refused if it had been applied.
type client struct {
	s        store.Store
	stream   store.Stream
	acked    atomic.Int64
	failures atomic.Int64
}

func (c *client) run(ctx context.Context) error {
	for n := int64(0); ctx.Err() == nil; {
		_, err := c.s.Commit(context.Background(), &store.Batch{
			Appends: []store.Append{{Stream: c.stream, Expected: store.Position(n), Events: []store.Event{{Data: []byte(fmt.Sprint(n))}}}},
		})
		switch {
		case err == nil:
			n++
			c.acked.Store(n)
		case errors.Is(err, postgres.ErrUnavailable):
			c.failures.Add(1)
		case errors.Is(err, store.ErrOutcomeUnknown):
			c.failures.Add(1)
			head, err := c.s.Head(context.Background(), c.stream)
			for errors.Is(err, postgres.ErrUnavailable) && ctx.Err() == nil {
				head, err = c.s.Head(context.Background(), c.stream)
			}
			if err != nil && !errors.Is(err, store.ErrUnknownStream) {
				return err
			}
			n = int64(head)
		default:
			return fmt.Errorf("%s at %d: %w", c.stream, n, err)
		}
	}
	return nil
}

// Whatever happens to connections, backends and the server as a whole, what was
// acknowledged is there, what was reported as not applied is not, and the store
// goes on by itself. Req F6, F10
func TestServerFailures(t *testing.T) {
	t.Parallel()
	srv := postgrestest.New(t, postgrestest.Options{})
	o := postgres.Options{Timeout: 2 * time.Second, PollInterval: 100 * time.Millisecond}
	s := openAt(t, srv, o)
	clients := make([]*client, 8)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(clients)+1)
	for i := range clients {
		clients[i] = &client{s: s, stream: store.Stream(fmt.Sprintf("client/%d", i))}
		go func() { ended <- clients[i].run(ctx) }()
	}
	received := make(chan struct{}, 1<<10)
	go func() { ended <- receiveAll(ctx, s, received) }()

	disruptions := []struct {
		name string
		f    func(t *testing.T)
	}{
		{"nothing", func(*testing.T) {}},
		{"connections terminated", func(t *testing.T) {
			beside(t, srv, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'troupe'")
		}},
		{"backend killed", func(t *testing.T) {
			pid := beside(t, srv, "SELECT pid FROM pg_stat_activity WHERE application_name = 'troupe' ORDER BY state_change DESC LIMIT 1")
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}},
		{"server restarted", func(t *testing.T) { srv.Restart(t, syscall.SIGINT) }},
		{"server crashed", func(t *testing.T) { srv.Restart(t, syscall.SIGQUIT) }},
		{"server killed", func(t *testing.T) { srv.Restart(t, syscall.SIGKILL) }},
	}
	for round := range 3 {
		for _, d := range disruptions {
			d.f(t)
			awaitProgress(t, clients, ended)
			put(t, s)
			select {
			case <-received:
			case err := <-ended:
				t.Fatal(err)
			case <-time.After(20 * time.Second):
				t.Fatalf("round %d, %s: a message was not received", round, d.name)
			}
		}
	}
	cancel()
	for range len(clients) + 1 {
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	for _, c := range clients {
		verify(t, s, c)
	}
	if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("Check = %v, %v", found, err)
	}
}

func verify(t *testing.T, s store.Store, c *client) {
	t.Helper()
	n := int64(0)
	for e, err := range s.Read(t.Context(), c.stream, 0) {
		if err != nil || string(e.Data) != fmt.Sprint(n) {
			t.Fatalf("%s: event %d is %q, %v", c.stream, n, e.Data, err)
		}
		n++
	}
	if n < c.acked.Load() {
		t.Errorf("%s: %d events, but %d were acknowledged", c.stream, n, c.acked.Load())
	}
	t.Logf("%s: %d events, %d failures", c.stream, n, c.failures.Load())
}

// receiveAll receives and acknowledges until ctx ends, and tells of each message.
func receiveAll(ctx context.Context, s store.Store, received chan<- struct{}) error {
	for {
		got, err := store.Receive(ctx, s, store.ReceiveRequest{Queue: "q", Hold: 500 * time.Millisecond})
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end that was asked for
		case errors.Is(err, postgres.ErrUnavailable):
			continue
		case err != nil:
			return err
		}
		for _, m := range got {
			_, err := s.Commit(context.Background(), &store.Batch{Acks: []store.Ack{{Receipt: m.Receipt}}})
			if err == nil {
				received <- struct{}{}
			}
		}
	}
}

// put puts a message, however often that takes.
func put(t *testing.T, s store.Store) {
	t.Helper()
	for {
		_, err := s.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Queue: "q"}}})
		if err == nil {
			return
		}
		if !errors.Is(err, postgres.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

// awaitProgress waits until each client has had some more acknowledged.
func awaitProgress(t *testing.T, clients []*client, ended <-chan error) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for _, c := range clients {
		for goal := c.acked.Load() + 5; c.acked.Load() < goal; {
			select {
			case <-tick.C:
			case err := <-ended:
				t.Fatalf("%s has ended: %v", c.stream, err)
			case <-limit:
				t.Fatalf("%s: no progress at %d", c.stream, c.acked.Load())
			}
		}
	}
}

// beside runs a query on a connection of its own and returns its first number;
// without a row it is 0.
func beside(t *testing.T, s *postgrestest.Server, query string) int {
	t.Helper()
	ctx := context.Background()
	config, err := pgx.ParseConfig(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "test"
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	rows, err := c.Query(ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	number := 0
	for rows.Next() {
		if values, err := rows.Values(); err == nil {
			if n, ok := values[0].(int32); ok {
				number = int(n)
			}
		}
	}
	return number
}
