// Package servicetest helps to test services without a network: [Loopback] is a
// link between two systems in one process that encodes and decodes every message
// and fails as networks do, on command.
package servicetest

import (
	"context"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/service"
)

// State is what a link is doing.
type State string

// States of a [Loopback].
const (
	Connected    State = "connected"
	Reconnecting State = "reconnecting" // calls fail with UNAVAILABLE
	Closed       State = "closed"
)

// Options of a [Loopback]. The zero value is a network without delay that loses
// nothing.
type Options struct {
	// Delay is how long a frame travels, each way.
	Delay time.Duration
	// Request and Response see each frame on its way and may change it; false
	// loses it, without a word to anybody. They must be safe for concurrent use.
	Request, Response func(frame []byte) ([]byte, bool)
	// Reconnect is how long to wait before the attempts to connect again; its Max
	// does not count, as a link never gives up. Default: 50 ms, doubling up to 5 s.
	Reconnect retry.Policy
	// OnState is told each change, in order. It must not use the loopback.
	OnState func(State)
}

// Loopback is a [service.Link] to an endpoint in the same process. When its
// connection is cut it connects again by itself as soon as the network is back.
// It may be used from any goroutine.
type Loopback struct {
	endpoint *service.Endpoint
	opts     Options

	mu       sync.Mutex
	state    State
	down     bool // the network
	conn     context.Context
	cut      context.CancelFunc
	attempts int
	timer    *time.Timer
	serving  sync.WaitGroup
}

// NewLoopback makes a connected link. It must be closed.
func NewLoopback(e *service.Endpoint, opts Options) *Loopback {
	if opts.Reconnect.Initial == 0 && opts.Reconnect.Cap == 0 {
		opts.Reconnect.Initial, opts.Reconnect.Cap = 50*time.Millisecond, 5*time.Second
	}
	l := &Loopback{endpoint: e, opts: opts, state: Connected}
	l.conn, l.cut = context.WithCancel(context.Background())
	return l
}

// State is what the link is doing.
func (l *Loopback) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Cut breaks the connection: calls that are on their way fail, and handlers of
// theirs see their contexts end. No connection can be made before [Loopback.Restore].
func (l *Loopback) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	if l.state == Connected {
		l.cut()
		l.attempts = 0
		l.setState(Reconnecting)
		l.tryLater()
	}
}

// Restore lets the network carry connections again. The link finds out by itself.
func (l *Loopback) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// Close ends the link and waits until nothing of it is left.
func (l *Loopback) Close() {
	l.mu.Lock()
	if l.state != Closed {
		l.cut()
		if l.timer != nil {
			l.timer.Stop()
		}
		l.setState(Closed)
	}
	l.mu.Unlock()
	l.serving.Wait()
}

// setState is called with the lock.
func (l *Loopback) setState(s State) {
	l.state = s
	if l.opts.OnState != nil {
		l.opts.OnState(s)
	}
}

// tryLater is called with the lock.
func (l *Loopback) tryLater() {
	l.attempts++
	l.timer = time.AfterFunc(l.opts.Reconnect.Delay(l.attempts), l.connect)
}

func (l *Loopback) connect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state != Reconnecting:
	case l.down:
		l.tryLater()
	default:
		l.conn, l.cut = context.WithCancel(context.Background())
		l.setState(Connected)
	}
}

// RoundTrip carries a request to the endpoint and its response back.
func (l *Loopback) RoundTrip(ctx context.Context, request []byte) ([]byte, error) {
	l.mu.Lock()
	if l.state != Connected {
		l.mu.Unlock()
		return nil, service.ErrNotConnected
	}
	conn := l.conn
	l.serving.Add(1)
	l.mu.Unlock()

	// Frames are copied, as by a network: nobody can change what was sent.
	frame := append([]byte(nil), request...)
	response := make(chan []byte, 1)
	serve, cancel := context.WithCancel(conn)
	stop := context.AfterFunc(ctx, cancel) // the other side is told that the caller left
	go func() {
		defer l.serving.Done()
		defer cancel()
		defer stop()
		if answer, ok := l.carry(serve, frame); ok && serve.Err() == nil { // nothing comes over a cut connection, or to one who has left
			response <- answer
		}
	}()
	select {
	case answer := <-response:
		return answer, nil
	case <-conn.Done():
		return nil, errLost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errLost = fault.New(fault.Unavailable, "service.Link", "the connection was lost before the response came; the request may have been handled")

// carry takes a request there and its response back. It reports false if a frame
// was lost on the way.
func (l *Loopback) carry(ctx context.Context, frame []byte) ([]byte, bool) {
	frame, ok := l.travel(ctx, frame, l.opts.Request)
	if !ok {
		return nil, false
	}
	return l.travel(ctx, l.endpoint.Serve(ctx, frame), l.opts.Response)
}

func (l *Loopback) travel(ctx context.Context, frame []byte, through func([]byte) ([]byte, bool)) ([]byte, bool) {
	if l.opts.Delay > 0 {
		select {
		case <-time.After(l.opts.Delay):
		case <-ctx.Done():
			return nil, false
		}
	}
	if through == nil {
		return frame, true
	}
	return through(frame)
}
