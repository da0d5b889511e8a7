package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// bench has brokers, and runs definitions against them.
type bench struct {
	*kfake.Cluster
	t       *testing.T
	brokers string // as a list in YAML
	store   memory.Store
	// commit, if not nil, is called for each commit of a sink.test.
	commit func(n int) error
	mu     sync.Mutex
	n      int
}

func newBench(t *testing.T, options ...kfake.Opt) *bench {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(3, "orders", "invoices")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &bench{Cluster: c, t: t, brokers: `["` + strings.Join(c.ListenAddrs(), `", "`) + `"]`}
}

func (b *bench) registry() *workflow.Registry {
	r := workflow.NewRegistry()
	Register(r)
	b.store.Register(r)
	memory.Register(r)
	type none struct{}
	r.Add(workflow.SinkType[none]{Name: "sink.test", Doc: "Fails as the test says.", Plan: func(*workflow.Check, none) workflow.SinkPlan {
		return workflow.SinkPlan{New: func(*workflow.Env) (workflow.Sink, error) { return &failingSink{b}, nil }}
	}})
	return r
}

// failingSink is one whose commits fail as the test says.
type failingSink struct{ b *bench }

func (s *failingSink) Open(context.Context, workflow.Schema) error { return nil }
func (s *failingSink) Write(context.Context, workflow.Batch) error { return nil }
func (s *failingSink) Abort(context.Context) error                 { return nil }
func (s *failingSink) Commit(context.Context) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.n++
	return s.b.commit(s.b.n)
}

// run runs nodes.
func (b *bench) run(nodes string) (workflow.RunInfo, error) {
	b.t.Helper()
	nodes = strings.ReplaceAll(nodes, "BROKERS", b.brokers)
	return workflowtest.Files{"w.yaml": "name: x\nbatch_rows: 10\nnodes:\n" + nodes}.Run(b.t, b.registry(), b.t.TempDir())
}

// rows are those under a name, sorted.
func (b *bench) rows(name string) []string {
	var out []string
	for _, row := range b.store.Rows(name) {
		var cells []string
		for _, v := range row {
			cells = append(cells, v.String())
		}
		out = append(out, strings.Join(cells, " "))
	}
	slices.Sort(out)
	return out
}

func (b *bench) client(options ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.ListenAddrs()...)}, options...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

// send writes the numbers from i on, up to j, as orders.
func (b *bench) send(i, j int) {
	b.t.Helper()
	c := b.client()
	for ; i < j; i++ {
		r := &kgo.Record{Topic: "orders", Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, `{"id": %d}`, i)}
		if err := c.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// numbers are the texts of the numbers from i on, up to j, sorted.
func numbers(i, j int) (out []string) {
	for ; i < j; i++ {
		out = append(out, fmt.Sprint(i))
	}
	slices.Sort(out)
	return out
}

const orders = "  - {id: in, type: source.kafka, with: {brokers: BROKERS, topics: [orders], group: g, columns: {id: int}}}\n"

// Req W2: what a sink writes, a source reads: values, keys, headers.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, transactional := range []bool{true, false} {
		b := newBench(t)
		_, err := b.run(fmt.Sprintf(`
  - {id: rows, type: source.memory, with: {columns: {id: int, name: string}, rows: [[1, Ada], [2, null], [3, "Grace \"H\""]]}}
  - id: out
    type: sink.kafka
    from: rows
    with: {brokers: BROKERS, topic: orders, key: "'k' + string(id)", headers: {name: name, kind: "'x'"}, transactional: %v}
`, transactional))
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.run(`
  - id: in
    type: source.kafka
    with:
      brokers: BROKERS
      topics: [orders, invoices]
      columns: {id: int, name: string}
      record: {topic: topic, key: key}
  - {id: out, type: sink.memory, from: in, with: {name: out}}
`)
		want := []string{"1 Ada orders k1", "2  orders k2", `3 Grace "H" orders k3`}
		if got := b.rows("out"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
		fetches := b.client(kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())).PollRecords(t.Context(), 1)
		for _, r := range fetches.Records() {
			headers := map[string]string{}
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			_, named := headers["name"]
			if headers["kind"] != "x" || named != (string(r.Key) != "k2") || (headers[keyHeader] == "") != transactional {
				t.Errorf("%s has the headers %v", r.Key, headers)
			}
		}
	}
}

// Req W2: a group goes on where the run before has ended, also past messages that
// are set aside.
func TestGroup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 50)
	bad := &kgo.Record{Topic: "orders", Partition: 1, Value: []byte("no object")}
	if err := b.client(kgo.RecordPartitioner(kgo.ManualPartitioner())).ProduceSync(t.Context(), bad).FirstErr(); err != nil {
		t.Fatal(err)
	}
	nodes := orders + "  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	info, err := b.run(nodes)
	if got := b.rows("out"); err != nil || !slices.Equal(got, numbers(0, 50)) {
		t.Errorf("%q, %v", got, err)
	}
	want := fmt.Sprintf("offset %d: it is not JSON: ", bad.Offset)
	if r := info.Rejects; len(r) != 1 || r[0].File != "orders/1" || !strings.HasPrefix(r[0].Reason, want) || r[0].Raw != "no object" {
		t.Errorf("set aside: %+v", r)
	}
	if info, err := b.run(nodes); err != nil || info.RowsIn() != 0 {
		t.Errorf("read again: %d, %v", info.RowsIn(), err)
	}
	b.send(50, 60)
	if _, err := b.run(nodes); err != nil || !slices.Equal(b.rows("out"), numbers(0, 60)) {
		t.Errorf("%q, %v", b.rows("out"), err)
	}
}

// A run that fails commits nothing; one that begins at the end and finds nothing
// tells the group where it began.
func TestGroupCommits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 5)
	b.commit = func(int) error { return fault.New(fault.FailedPrecondition, "", "the disk is gone") }
	if _, err := b.run(orders + "  - {id: out, type: sink.test, from: in}\n"); err == nil {
		t.Error("it did not fail")
	}
	if g := b.GroupInfo("g"); g != nil && len(g.Commits) > 0 {
		t.Errorf("committed: %v", g.Commits)
	}
	latest := strings.Replace(orders, "group: g", "group: l, start: latest", 1) + "  - {id: out, type: sink.memory, from: in, with: {name: latest}}\n"
	if info, err := b.run(latest); err != nil || info.RowsIn() != 0 {
		t.Errorf("%d, %v", info.RowsIn(), err)
	}
	b.send(5, 8)
	if _, err := b.run(latest); err != nil || !slices.Equal(b.rows("latest"), numbers(5, 8)) {
		t.Errorf("%q, %v", b.rows("latest"), err)
	}
}

// Req W2: bounds of what a run reads.
func TestBounds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 20)
	middle := time.Now().Add(time.Hour)
	r := &kgo.Record{Topic: "orders", Value: []byte(`{"id": 20}`), Timestamp: middle}
	if err := b.client().ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, with string
		rows       int
	}{
		{"at most", "max_rows: 7", 7},
		{"more than there are", "max_rows: 700", 21},
		{"from a time on", "start: '" + middle.UTC().Format(time.RFC3339) + "'", 1},
		{"from the end", "start: latest", 0},
		{"as text", "format: text", 21},
		{"at most, waiting", "max_rows: 21, for: 1h", 21},
		{"for a time", "for: 20ms, poll: 1ms", 21},
	} {
		columns := "columns: {id: int}, "
		if strings.HasPrefix(tt.with, "format") {
			columns = ""
		}
		info, err := b.run("  - {id: in, type: source.kafka, with: {brokers: BROKERS, topics: [orders], " + columns + tt.with + "}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n")
		if err != nil || info.RowsOut() != int64(tt.rows) || info.RejectedTotal != 0 {
			t.Errorf("%s: %d rows, %v", tt.name, info.RowsOut(), err)
		}
	}
}

// A run that waits takes what comes while it is open.
func TestReadForATime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 5)
	var sent sync.WaitGroup
	var once sync.Once
	// The first look finds five messages; the others come after it.
	b.onFetch(func() { once.Do(func() { sent.Go(func() { b.send(5, 9) }) }) })
	defer sent.Wait()
	_, err := b.run("  - {id: in, type: source.kafka, with: {brokers: BROKERS, topics: [orders], group: g, columns: {id: int}, for: 50s, poll: 60ms, max_rows: 9}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n")
	if got := b.rows("out"); err != nil || !slices.Equal(got, numbers(0, 9)) {
		t.Errorf("%q, %v", got, err)
	}
}

// onFetch calls f for each request for messages.
func (b *bench) onFetch(f func()) {
	b.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		f()
		return nil, nil, false
	})
}

// Req W7: when the sinks have committed and the acknowledgement fails, the work
// is done again with the messages of the first time, and no others: the sinks
// have the key already and take nothing, and the messages that came since belong
// to the next run.
func TestAcknowledgementFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 10)
	handle := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.UnknownServerError})
	b.commit = func(n int) error { b.send(5+5*n, 10+5*n); return nil }
	nodes := strings.Replace(orders, "type: source.kafka", "type: source.kafka, retry: {on: any, max: 3, initial: 1ms}", 1) +
		"  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	info, err := b.run(nodes + "  - {id: more, type: sink.test, from: in}\n")
	if err != nil || handle.Hits() != 1 || info.RowsIn() != 10 || !slices.Equal(b.rows("out"), numbers(0, 10)) {
		t.Fatalf("%d rows, %q, %v, %d commits failed", info.RowsIn(), b.rows("out"), err, handle.Hits())
	}
	if _, err := b.run(nodes); err != nil || !slices.Equal(b.rows("out"), numbers(0, 20)) {
		t.Errorf("%q, %v", b.rows("out"), err)
	}
}

// Req W7: the rows of a run appear all or none, and once, although the run is done
// again after its transaction has committed.
func TestTransaction(t *testing.T) {
	t.Parallel()
	nodes := func(retries int) string {
		return fmt.Sprintf(`
  - {id: rows, type: source.memory, retry: {on: any, max: %d, initial: 1ms}, with: {columns: {id: int}, rows: [[1], [2], [3], [4]]}}
  - {id: out, type: sink.kafka, from: rows, with: {brokers: BROKERS, topic: orders}}
  - {id: other, type: sink.test, from: rows}
`, retries)
	}
	read := "  - {id: in, type: source.kafka, with: {brokers: BROKERS, topics: [orders], columns: {id: int}}}\n  - {id: out, type: sink.memory, from: in, with: {name: NAME}}\n"

	b := newBench(t)
	b.commit = func(n int) error {
		if n == 1 {
			return fault.New(fault.Internal, "", "the first commit fails, after that of Kafka")
		}
		return nil
	}
	if _, err := b.run(nodes(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(strings.Replace(read, "NAME", "once", 1)); err != nil || !slices.Equal(b.rows("once"), numbers(1, 5)) {
		t.Errorf("%q, %v", b.rows("once"), err)
	}

	// A sink that comes before it fails: nothing is seen, though it was prepared.
	b = newBench(t)
	b.commit = func(int) error { return fault.New(fault.Internal, "", "the disk is gone") }
	first := strings.Replace(nodes(-1), "id: out, type: sink.kafka", "id: zout, type: sink.kafka", 1)
	lines := strings.Split(strings.TrimPrefix(first, "\n"), "\n")
	lines[1], lines[2] = lines[2], lines[1]
	if _, err := b.run(strings.Join(lines, "\n")); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("it did not fail as it should: %v", err)
	}
	if _, err := b.run(strings.Replace(read, "NAME", "none", 1)); err != nil || len(b.rows("none")) != 0 {
		t.Errorf("%q, %v", b.rows("none"), err)
	}
}
