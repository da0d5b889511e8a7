package service_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// Environment of the crash harness.
const (
	crashRole  = "TROUPE_CRASH_ROLE"  // makes the process a child: "server" or "client"
	crashPlace = "TROUPE_CRASH_PLACE" // its folder
	crashKills = "TROUPE_CRASH_KILLS" // how often to kill; default 8
	crashSeed  = "TROUPE_CRASH_SEED"
)

// socket is a link over a Unix socket, a connection for each call: the least that
// leads to another process.
type socket string

func (s socket) RoundTrip(ctx context.Context, request []byte) ([]byte, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", string(s))
	if err != nil {
		return nil, service.ErrNotConnected
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, err = conn.Write(request)
	if half, ok := conn.(*net.UnixConn); ok && err == nil {
		err = half.CloseWrite()
	}
	var response []byte
	if err == nil {
		response, err = io.ReadAll(conn)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil || len(response) == 0:
		return nil, fault.New(fault.Unavailable, "test.socket", "the connection was lost: %v", err)
	}
	return response, nil
}

// listen serves a socket until the listener is closed.
func listen(ctx context.Context, path string, e *service.Endpoint) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if request, err := io.ReadAll(conn); err == nil {
					_, _ = conn.Write(e.Serve(ctx, request))
				}
			}()
		}
	}()
	return l, nil
}

// ledger is a file with a line for each time that a request was handled.
type ledger string

func (l ledger) add(id string) error {
	f, err := os.OpenFile(string(l), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(id + "\n")
	return err
}

func (l ledger) counts(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(string(l))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for id := range strings.FieldsSeq(string(text)) {
		counts[id]++
	}
	return counts
}

// crashShop is a shop at "/orders" in a folder, behind a socket there. Its answers
// differ each time that a request is handled. After a crash the requests that were
// being handled are handed out again when they have been held for so long.
func crashShop(ctx context.Context, place string, hold time.Duration) (stop func(), err error) {
	db, err := sqlite.Open(ctx, filepath.Join(place, "shop.db"), sqlite.Options{})
	if err != nil {
		return nil, err
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	spec := shop.OrdersSpec(func() shop.OrdersServer {
		return &orders{pay: func(ctx context.Context, _ *shop.PayRequest) (*shop.PayResponse, error) {
			c, _ := service.CallFrom(ctx)
			return &shop.PayResponse{Balance: rand.Int64()}, ledger(filepath.Join(place, "ledger")).add(c.RequestID)
		}}
	})
	spec.Name, spec.Concurrency = "orders", 4
	spec.Mailbox = service.NewMailbox(db, service.MailboxOptions{Hold: hold})
	if _, err = service.Spawn(sys, spec); err != nil {
		return nil, err
	}
	path := filepath.Join(place, "socket")
	_ = os.Remove(path) // of a process that was killed
	l, err := listen(ctx, path, service.NewEndpoint(sys, service.EndpointOptions{Logger: slog.New(slog.DiscardHandler)}))
	if err != nil {
		return nil, err
	}
	return func() {
		_ = l.Close()
		_ = sys.Stop(context.Background())
		_ = db.Close()
	}, nil
}

// crashClient pays with the requests "0" to "n-1", each until it is answered, and
// returns the answers.
func crashClient(ctx context.Context, place string, n, at int, answered func(id string, balance int64)) error {
	c := shop.NewOrdersClient(
		service.Remote[shop.OrdersServer](socket(filepath.Join(place, "socket")), "/orders", service.RemoteOptions{}),
		service.Intercept(service.Retry(retry.Policy{Max: 100, Initial: time.Millisecond, Cap: 100 * time.Millisecond})))
	ids := make(chan string)
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range at {
		all.Go(func() {
			for id := range ids {
				res, err := c.Pay(service.WithRequestID(ctx, id), &shop.PayRequest{})
				for fault.CodeOf(err) == fault.Unavailable && ctx.Err() == nil { // a server may take long to start
					res, err = c.Pay(service.WithRequestID(ctx, id), &shop.PayRequest{})
				}
				mu.Lock()
				if failed = errors.Join(failed, err); err == nil {
					answered(id, res.GetBalance())
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		ids <- strconv.Itoa(i)
	}
	close(ids)
	all.Wait()
	return failed
}

// child is what a process of the harness does.
func child(t *testing.T, role, place string) {
	switch role {
	case "server":
		stop, err := crashShop(t.Context(), place, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone, or kills
	case "client":
		if err := crashClient(t.Context(), place, crashRequests, 4, func(id string, balance int64) { fmt.Println("answer", id, balance) }); err != nil {
			t.Fatal(err)
		}
		fmt.Println("done")
	}
}

// crashRequests is how many requests a client makes.
const crashRequests = 200

// startChild starts a process of the harness and returns the lines that it prints.
func startChild(t *testing.T, role, place string) (cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), crashRole+"="+role, crashPlace+"="+place)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // it ends with this process
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

func crashOptions(t *testing.T) (kills int, random *rand.Rand) {
	t.Helper()
	kills, seed := 8, rand.Uint64()
	if n, err := strconv.Atoi(os.Getenv(crashKills)); err == nil {
		kills = n
	}
	if n, err := strconv.ParseUint(os.Getenv(crashSeed), 10, 64); err == nil {
		seed = n
	}
	t.Logf("%s=%d", crashSeed, seed)
	return kills, rand.New(rand.NewPCG(seed, 0))
}

// Req F10: a server is killed again and again while a client calls a durable
// method. Every request is handled at least once, and never again once it has been
// answered; whoever asks again gets the same answer.
func TestServerIsKilled(t *testing.T) {
	if role := os.Getenv(crashRole); role != "" {
		child(t, role, os.Getenv(crashPlace))
		return
	}
	t.Parallel()
	kills, random := crashOptions(t)
	place := t.TempDir()
	server := func() *exec.Cmd {
		cmd, lines := startChild(t, "server", place)
		if !lines.Scan() || lines.Text() != "ready" {
			t.Fatalf("the server says %q, %v", lines.Text(), lines.Err())
		}
		return cmd
	}
	cmd := server()
	var mu sync.Mutex
	answers := map[string]int64{}
	progress := make(chan int, crashRequests)
	client := make(chan error, 1)
	go func() {
		client <- crashClient(t.Context(), place, crashRequests, 8, func(id string, balance int64) {
			mu.Lock()
			defer mu.Unlock()
			answers[id] = balance
			progress <- len(answers)
		})
	}()
	killed := 0
	for next := random.IntN(20); killed < kills; {
		n := <-progress
		if n == crashRequests {
			break
		}
		if n < next {
			continue
		}
		next = n + 1 + random.IntN(2*crashRequests/kills)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		killed++
		cmd = server()
	}
	if err := <-client; err != nil {
		t.Fatal(err)
	}
	handled := ledger(filepath.Join(place, "ledger")).counts(t)
	extra := 0
	for id := range answers {
		if handled[id] < 1 || handled[id] > 1+killed {
			t.Errorf("request %s was handled %d times", id, handled[id])
		}
		extra += handled[id] - 1
	}
	if err := crashClient(t.Context(), place, crashRequests, 8, func(id string, balance int64) {
		if answers[id] != balance {
			t.Errorf("request %s was answered with %d, then with %d", id, answers[id], balance)
		}
	}); err != nil {
		t.Error(err)
	}
	for id, n := range ledger(filepath.Join(place, "ledger")).counts(t) {
		if n != handled[id] {
			t.Errorf("request %s was handled again", id)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	t.Logf("%d requests, %d kills, %d handled again before they were answered", len(answers), killed, extra)
}

// Req F10: a client is killed again and again in the middle of its calls and makes
// them all again. Each is handled exactly once and always answered the same.
func TestClientIsKilled(t *testing.T) {
	if role := os.Getenv(crashRole); role != "" {
		child(t, role, os.Getenv(crashPlace))
		return
	}
	t.Parallel()
	kills, random := crashOptions(t)
	place := t.TempDir()
	stop, err := crashShop(t.Context(), place, 0) // it does not crash: nothing is handed out again
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	answers := map[string]string{}
	for killed := 0; ; killed++ {
		cmd, lines := startChild(t, "client", place)
		done := false
		for left := random.IntN(crashRequests); lines.Scan(); left-- {
			f := strings.Fields(lines.Text())
			switch {
			case len(f) == 3 && f[0] == "answer":
				if first, ok := answers[f[1]]; ok && first != f[2] {
					t.Errorf("request %s was answered with %s, then with %s", f[1], first, f[2])
				}
				answers[f[1]] = f[2]
			case len(f) == 1 && f[0] == "done":
				done = true
			}
			if left == 0 && killed < kills {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		if killed >= kills {
			if !done {
				t.Error("the last client did not come to its end")
			}
			break
		}
	}
	for id, n := range ledger(filepath.Join(place, "ledger")).counts(t) {
		if n != 1 {
			t.Errorf("request %s was handled %d times", id, n)
		}
	}
	if len(answers) != crashRequests {
		t.Errorf("%d requests were answered", len(answers))
	}
}
