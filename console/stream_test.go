package console_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/console"
)

// message is one server-sent event.
type message struct {
	event, id, data string
	at              time.Time
}

// tape is a response that a test reads while the handler still writes to it.
type tape struct {
	header http.Header
	status int
	broken error // returned by Write

	mu      sync.Mutex
	pending string
	got     []message
	flushed int
}

func newTape() *tape { return &tape{header: http.Header{}, status: http.StatusOK} }

func (r *tape) Header() http.Header              { return r.header }
func (r *tape) WriteHeader(status int)           { r.status = status }
func (r *tape) SetWriteDeadline(time.Time) error { return nil }

func (r *tape) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushed++
}

func (r *tape) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return 0, r.broken
	}
	r.pending += string(p)
	for {
		block, rest, ok := strings.Cut(r.pending, "\n\n")
		if !ok {
			return len(p), nil
		}
		r.pending = rest
		m := message{at: time.Now()}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch key {
			case "event":
				m.event = value
			case "id":
				m.id = value
			case "data":
				m.data = value
			}
		}
		if m.event != "" {
			r.got = append(r.got, m)
		}
	}
}

// take returns the messages with that name so far, and forgets all.
func (r *tape) take(event string) []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []message
	for _, m := range r.got {
		if m.event == event {
			out = append(out, m)
		}
	}
	r.got = nil
	return out
}

// watch opens a stream in a bubble and returns what it writes, and how to end it.
func (f *fixture) watch(t *testing.T, target string, header ...string) (*tape, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	out := newTape()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.console.ServeHTTP(out, r)
	}()
	synctest.Wait()
	return out, func() {
		cancel()
		<-done
	}
}

func TestStreamSendsWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.runs.start(t)
		out, stop := f.watch(t, "/api/stream")
		defer stop()
		if got := out.header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("content type %q", got)
		}
		out.mu.Lock()
		var names []string
		for _, m := range out.got {
			names = append(names, m.event)
		}
		out.mu.Unlock()
		if got := strings.Join(names, " "); got != "node tree runs workflows schedules run events" {
			t.Errorf("first messages are %s", got)
		}
		run := out.take("run")[0]
		if strings.Contains(run.data, "rejects\"") || !strings.Contains(run.data, `"rejected_total":2`) {
			t.Errorf("the stream carries rows set aside: %s", run.data)
		}

		// Nothing happens: nothing about actors, runs and events is sent.
		time.Sleep(2 * time.Second)
		synctest.Wait()
		out.mu.Lock()
		for _, m := range out.got {
			if m.event != "node" { // its memory and goroutines may differ
				t.Errorf("nothing changed, but %s was sent: %s", m.event, m.data)
			}
		}
		out.got = nil
		out.mu.Unlock()

		f.runs.finish(t)
		f.tell(t, 3)
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		out.mu.Lock()
		seen := map[string]string{}
		for _, m := range out.got {
			seen[m.event] = m.data
		}
		out.mu.Unlock()
		if !strings.Contains(seen["run"], `"state":"completed"`) || !strings.Contains(seen["runs"], `"state":"completed"`) {
			t.Errorf("run %s, runs %s", seen["run"], seen["runs"])
		}
		if !strings.Contains(seen["tree"], `"processed":3`) {
			t.Errorf("tree %s", seen["tree"])
		}
	})
}

// Snapshots are coalesced: however much happens, a client gets no more than
// four trees a second, and the last one is true.
func TestStreamIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		out, stop := f.watch(t, "/api/stream")
		defer stop()
		out.take("tree")
		began := time.Now()
		for range 500 {
			f.tell(t, 1)
			time.Sleep(4 * time.Millisecond)
		}
		took := time.Since(began)
		time.Sleep(time.Second)
		synctest.Wait()
		trees := out.take("tree")
		if most := int(took/(250*time.Millisecond)) + 5; len(trees) < 8 || len(trees) > most {
			t.Errorf("%d trees in %v, want 8 to %d", len(trees), took, most)
		}
		for i := 1; i < len(trees); i++ {
			if gap := trees[i].at.Sub(trees[i-1].at); gap < 250*time.Millisecond {
				t.Errorf("trees %v apart", gap)
			}
		}
		if !strings.Contains(trees[len(trees)-1].data, `"processed":500`) {
			t.Error("the last tree does not have the last figure")
		}
	})
}

func TestStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		out, stop := f.watch(t, "/api/stream")
		defer stop()
		out.mu.Lock()
		flushed := out.flushed
		out.mu.Unlock()
		time.Sleep(21 * time.Second)
		synctest.Wait()
		out.mu.Lock()
		if out.flushed == flushed {
			t.Error("beats stay in a buffer")
		}
		out.mu.Unlock()
		if beats := out.take("beat"); len(beats) != 4 {
			t.Errorf("%d beats in 21 s, want 4", len(beats))
		}
	})
}

// A client that comes back gets what it missed; one that knows another process
// is told to start over.
func TestStreamResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.events.Add(console.Event{Kind: console.EventAlert, Text: "first"})
		out, stop := f.watch(t, "/api/stream")
		all := out.take("events")
		stop()
		first := list(t, all[0])
		if !first.Reset || len(first.Events) != 1 {
			t.Errorf("first list is %+v", first)
		}
		f.events.Add(console.Event{Kind: console.EventAlert, Text: "second"})
		out, stop = f.watch(t, "/api/stream", "Last-Event-ID", all[0].id)
		missed := list(t, out.take("events")[0])
		if missed.Reset || len(missed.Events) != 1 || missed.Events[0].Text != "second" {
			t.Errorf("missed are %+v", missed)
		}
		f.events.Add(console.Event{Kind: console.EventAlert, Text: "third"})
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		if live := list(t, out.take("events")[0]); live.Reset || len(live.Events) != 1 || live.Events[0].Seq != 3 {
			t.Errorf("live are %+v", live)
		}
		stop()
		for _, id := range []string{"other.1", "nonsense", ".", all[0].id + "x"} {
			out, stop = f.watch(t, "/api/stream", "Last-Event-ID", id)
			if again := list(t, out.take("events")[0]); !again.Reset || len(again.Events) != 3 {
				t.Errorf("id %q gets %+v", id, again)
			}
			stop()
		}
	})
}

func list(t *testing.T, m message) console.EventList {
	t.Helper()
	var l console.EventList
	if err := json.Unmarshal([]byte(m.data), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestStreamChoices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.runs.start(t)
		f.runs.finish(t)
		time.Sleep(time.Millisecond) // ids are in the order of milliseconds
		f.runs.start(t)
		out, stop := f.watch(t, "/api/stream?run="+f.runs.id(1)+"&limit=2&more=110:/pool")
		defer stop()
		out.mu.Lock()
		seen := map[string]string{}
		for _, m := range out.got {
			seen[m.event] = m.data
		}
		out.mu.Unlock()
		if !strings.Contains(seen["run"], f.runs.id(1)) {
			t.Errorf("run is %s", seen["run"])
		}
		other, stopOther := f.watch(t, "/api/stream?run=of-another-process")
		defer stopOther()
		if run := other.take("run")[0].data; !strings.Contains(run, f.runs.id(2)) {
			t.Errorf("instead of an unknown run the newest is shown, but got %s", run)
		}
		if n := strings.Count(seen["tree"], `"path":"/pool/`); n != 110 {
			t.Errorf("%d workers, want 110", n)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *console.Options) { o.StreamsMax = 2 })
		_, stop1 := f.watch(t, "/api/stream")
		defer stop1()
		_, stop2 := f.watch(t, "/api/stream")
		w := f.get("/api/stream")
		p := decode[console.Problem](t, w, http.StatusServiceUnavailable)
		if w.Header().Get("Retry-After") == "" || !strings.Contains(p.Detail, "2 clients") {
			t.Errorf("refused with %+v", p)
		}
		stop2()
		_, stop3 := f.watch(t, "/api/stream")
		defer stop3()
		if got := f.get("/api/node").Code; got != http.StatusOK {
			t.Errorf("the rest of the API answers %d", got)
		}
	})
}

// A client that takes nothing ends its stream, not the console.
func TestStreamOfABrokenClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		for _, when := range []string{"at once", "later"} {
			out := newTape()
			if when == "at once" {
				out.broken = io.ErrClosedPipe
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				f.console.ServeHTTP(out, httptest.NewRequest(http.MethodGet, "http://localhost/api/stream", nil))
			}()
			synctest.Wait()
			out.mu.Lock()
			out.broken = errors.New("deadline exceeded")
			out.mu.Unlock()
			<-done // at the latest with the next beat
		}
	})
}

func TestCloseEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.console.ServeHTTP(newTape(), httptest.NewRequest(http.MethodGet, "http://localhost/api/stream", nil))
		}()
		synctest.Wait()
		f.console.Close()
		f.console.Close()
		<-done
		decode[console.Problem](t, f.get("/api/stream"), http.StatusServiceUnavailable)
	})
}

// Over a real connection: the server shuts down although a client watches, a
// client that leaves is noticed, and no goroutine stays behind.
func TestStreamOverHTTP(t *testing.T) {
	f := newFixture(t, nil)
	server := httptest.NewUnstartedServer(f.console)
	server.Config.RegisterOnShutdown(f.console.Close)
	before := runtime.NumGoroutine()
	server.Start()
	open := func(ctx context.Context) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	ctx, leave := context.WithCancel(t.Context())
	gone := open(ctx)
	readUntil(t, gone.Body, "event: events")
	leave()
	gone.Body.Close()

	stays := open(t.Context())
	readUntil(t, stays.Body, "event: events")
	f.tell(t, 4)
	readUntil(t, stays.Body, `"processed":4`)

	limit, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := server.Config.Shutdown(limit); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if _, err := io.Copy(io.Discard, stays.Body); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	stays.Body.Close()
	server.Close()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks())
		}
	}
}

// Req S4: a server bounds the time of requests; a stream outlives the bound.
func TestStreamOutlivesServerTimeouts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *console.Options) { o.StreamInterval = 50 * time.Millisecond })
	server := httptest.NewUnstartedServer(f.console)
	const timeout = 200 * time.Millisecond
	server.Config.ReadTimeout, server.Config.WriteTimeout = timeout, timeout
	server.Start()
	defer server.Close()
	defer f.console.Close()
	child := fmt.Sprintf(`"path":"/demo/child","name":"child","id":%d`, f.child.Address().ID)
	outlives := func() error {
		response, err := server.Client().Get(server.URL + "/api/stream")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		for began := time.Now(); time.Since(began) < 4*timeout; {
			f.tell(t, 1)
			if err := readTo(response.Body, child); err != nil {
				return err
			}
		}
		return nil
	}
	// A busy machine may not even read the request in that time: not so again and again.
	for tries := 1; ; tries++ {
		err := outlives()
		if err == nil {
			return
		}
		if tries == 20 {
			t.Fatal(err)
		}
	}
}

func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}

func readUntil(t *testing.T, body io.Reader, text string) {
	t.Helper()
	if err := readTo(body, text); err != nil {
		t.Fatal(err)
	}
}

func readTo(body io.Reader, text string) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte(text)) {
			return nil
		}
	}
	return fmt.Errorf("the stream ended before %q: %w", text, cmp.Or(lines.Err(), io.EOF))
}

func ExampleNew() {
	events := console.NewEvents(0)
	sys := actor.NewSystem(actor.Options{Name: "example", Hooks: []actor.Hooks{events.Hooks()}})
	defer sys.Stop(context.Background())
	c := console.New(console.Options{System: sys, Events: events, Version: "v1.2.3"})

	server := httptest.NewServer(c)
	defer server.Close()
	defer c.Close()
	response, err := http.Get(server.URL + "/api/node")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	var node console.Node
	if err := json.NewDecoder(response.Body).Decode(&node); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(node.Name, node.Version, node.Health.Status)
	// Output: example v1.2.3 ok
}
