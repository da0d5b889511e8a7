package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/console"
)

// Limits of the HTTP server. Streams set their own write deadlines.
const (
	httpHeaderTimeout = 5 * time.Second
	httpReadTimeout   = 30 * time.Second
	httpIdleTimeout   = 2 * time.Minute
	httpDrainTimeout  = 5 * time.Second // for requests under way when the server stops
	httpHeaderBytes   = 64 << 10
)

// httpService is the HTTP server as a child in the tree. It listens again when
// it is restarted.
type httpService struct {
	address string // host:port; the port is the one that was bound first
	handler http.Handler
	onStop  func() // ends what would otherwise outlast the server, such as streams
	log     *slog.Logger

	mu       sync.Mutex
	listener net.Listener // bound before the service started, or by its last run
	taken    bool         // by a run
}

// Serve answers requests until ctx ends, then drains.
func (s *httpService) Serve(ctx context.Context) error {
	listener, err := s.listen(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: httpHeaderTimeout,
		ReadTimeout:       httpReadTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    httpHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(s.onStop)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpDrainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		s.log.Warn("requests were cut off", "error", err)
		_ = server.Close() // what it could return has just been said
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listen takes the listener that was bound at the start, or binds the same
// address again after a restart.
func (s *httpService) listen(ctx context.Context) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.taken {
		s.taken = true
		return s.listener, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err == nil {
		s.listener = listener
	}
	return listener, err
}

// current is the listener of the last run.
func (s *httpService) current() net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener
}

// close gives up a listener that no run has taken.
func (s *httpService) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.taken {
		s.taken = true
		_ = s.listener.Close() // nobody has connected to it
	}
}

// bind listens on the configured address. The error says what to do about a
// taken port.
func bind(ctx context.Context, config HTTPConfig) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", config.HostPort())
	if err != nil {
		return nil, bindError(config, err)
	}
	guarded := !config.Token.IsZero() || config.AllowUnauthenticated
	if tcp, ok := listener.Addr().(*net.TCPAddr); !guarded && (!ok || !tcp.IP.IsLoopback()) {
		_ = listener.Close()
		return nil, fmt.Errorf("http.address: %s is %s, which other machines can reach; use 127.0.0.1", config.Address, listener.Addr())
	}
	return listener, nil
}

// tokenGuard asks for a token, as a bearer token or as the password of basic
// authentication, on every path but those of the probes and of webhooks, which
// are signed.
func tokenGuard(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" || r.URL.Path == "/ready" || strings.HasPrefix(r.URL.Path, console.HooksPath) {
			next.ServeHTTP(w, r)
			return
		}
		given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer {
			_, given, _ = r.BasicAuth()
		}
		// Digests are compared, so that the time taken tells nothing of the length.
		if got := sha256.Sum256([]byte(given)); subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="troupe", charset="UTF-8"`)
			http.Error(w, "a token is needed: as a bearer token, or as the password with any user name", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownHostOnly refuses requests by another host name than this machine's own, so
// that a web page cannot read a node by rebinding its name to 127.0.0.1.
func ownHostOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(r.Host); err == nil {
			host = h
		}
		if !loopback(strings.ToLower(strings.Trim(host, "[]"))) {
			http.Error(w, "this node answers to localhost and loopback addresses only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
