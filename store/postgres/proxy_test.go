package postgres_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
	"github.com/troupe-dev/troupe/store/postgres/postgrestest"
)

// A proxy passes bytes between a store and the server until it sees what it is
// armed with; then it cuts that connection without passing it on.
type proxy struct {
	listener   net.Listener
	server     string
	fromClient atomic.Pointer[string]
	fromServer atomic.Pointer[string]
	refuse     atomic.Bool // cut, and accept no connection any more
	cuts       atomic.Int32
}

func newProxy(t *testing.T, s *postgrestest.Server) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: s.Addr()}
	t.Cleanup(func() { _ = l.Close() })
	go p.accept()
	return p
}

func (p *proxy) address() string {
	return fmt.Sprintf("postgres://troupe@%s/postgres?sslmode=disable", p.listener.Addr())
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil || p.refuse.Load() {
			_ = client.Close()
			continue
		}
		go p.pass(client, server, &p.fromClient)
		go p.pass(server, client, &p.fromServer)
	}
}

func (p *proxy) pass(from, to net.Conn, armed *atomic.Pointer[string]) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if text := armed.Load(); text != nil && bytes.Contains(b[:n], []byte(*text)) && armed.CompareAndSwap(text, nil) {
			p.cuts.Add(1)
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// The connection is lost in the one moment in which nobody can know whether the
// batch was committed. The store finds out.
func TestLostCommitIsResolved(t *testing.T) {
	t.Parallel()
	appendOne := func(data string) *store.Batch {
		return &store.Batch{Appends: []store.Append{{Stream: "s", Expected: store.NoStream, Events: []store.Event{{Data: []byte(data)}}}}}
	}
	commitTag, marker := "COMMIT\x00", "the event that is lost on its way"
	for _, tt := range []struct {
		name string
		arm  func(p *proxy)
		want error
	}{
		{"committed, the answer lost", func(p *proxy) { p.fromServer.Store(&commitTag) }, nil},
		{"not committed, the request lost", func(p *proxy) { p.fromClient.Store(&marker) }, nil},
		{"server gone for longer than the timeout", func(p *proxy) { p.refuse.Store(true); p.fromServer.Store(&commitTag) }, store.ErrOutcomeUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, postgrestest.Shared(t))
			o := postgres.Options{Schema: newSchema(), Timeout: 2 * time.Second, Writers: 1}
			s, err := postgres.Open(t.Context(), p.address(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			commit(t, s, &store.Batch{Sets: []store.Set{{Key: "warm"}}})
			tt.arm(p)
			r, err := s.Commit(t.Context(), appendOne(marker))
			if !errors.Is(err, tt.want) || err == nil && r.Heads[0] != 1 {
				t.Fatalf("Commit = %+v, %v; want %v", r, err, tt.want)
			}
			if n := p.cuts.Load(); n != 1 {
				t.Errorf("the connection was cut %d times, want 1", n)
			}
			direct := openAt(t, postgrestest.Shared(t), o)
			if head, err := direct.Head(t.Context(), "s"); err != nil || head != 1 {
				t.Errorf("Head = %d, %v; want 1", head, err)
			}
			_, err = direct.Commit(t.Context(), appendOne("again"))
			if !errors.Is(err, store.ErrWrongPosition) {
				t.Errorf("the same append again: %v, want ErrWrongPosition", err)
			}
		})
	}
}
