package kafka

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/troupe-dev/troupe/internal/crashtest"
	"github.com/troupe-dev/troupe/workflow"
)

const batched = `
name: order
inputs: {orders: {type: string}}
output: steps.each.output
nodes:
  - id: each
    type: foreach
    with: {items: json(inputs.orders)}
    do: [{id: a, type: value, with: {output: item.value.id}}]
triggers:
  orders:
    kind: kafka
    with: {brokers: BROKERS, topics: [orders], group: g, timeout: 10s, batch: {max: 10, wait: 200ms}}
    inputs: {orders: "${{ trigger.body }}"}
    key: "${{ trigger.body.map(m, string(m.value.id)).join(' ') }}"
`

// batchRuns waits until runs have completed that have so many messages together, and
// gives the numbers of each.
func batchRuns(t *testing.T, e *workflow.Engine, messages int) (all []string, sizes []int) {
	t.Helper()
	for n := 1; ; n++ {
		all, sizes = nil, nil
		for _, key := range started(t, e, n) {
			ids := strings.Fields(key)
			all = append(all, ids...)
			sizes = append(sizes, len(ids))
		}
		if len(all) >= messages {
			slices.Sort(all)
			return all, sizes
		}
		n = len(sizes)
	}
}

// Req W3: a run for each batch, none larger than it may be, with the list of messages
// as an input.
func TestBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t, kfake.SeedTopics(1, "orders"))
	b.send(0, 25)
	e, end := b.triggerEngine(t.TempDir(), batched)
	defer end()
	all, sizes := batchRuns(t, e, 25)
	if !slices.Equal(all, numbers(0, 25)) || slices.Max(sizes) > 10 {
		t.Errorf("got %v in batches of %v", all, sizes)
	}
	runs, err := e.Runs(t.Context(), workflow.RunFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		run, err := e.Run(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		info, err := run.Info(t.Context())
		if got := strings.ReplaceAll(strings.Trim(string(info.Output), "[]"), ",", " "); err != nil || got != r.Key {
			t.Errorf("the output is %s, want %s, %v", info.Output, r.Key, err)
		}
	}
	end()
	if got := b.offsets(); got != 25 {
		t.Errorf("committed are %d messages", got)
	}
}

// TestCrashedListener is a process whose trigger starts runs for batches.
func TestCrashedListener(t *testing.T) {
	child, ok := crashtest.Child(t)
	if !ok {
		return // not a child
	}
	b := &bench{t: t, brokers: child.Args[1]}
	b.triggerEngine(child.Args[0], batched)
	<-t.Context().Done()
}

// expel has the members of the group leave it, which a process that was killed would
// do after its session's timeout.
func (b *bench) expel() {
	b.t.Helper()
	client := b.client()
	groups, err := kadm.NewClient(client).DescribeGroups(b.t.Context(), "g")
	if err != nil {
		b.t.Fatal(err)
	}
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group = "g"
	for _, m := range groups["g"].Members {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = m.MemberID
		request.Members = append(request.Members, member)
	}
	if _, err := request.RequestWith(b.t.Context(), client); err != nil {
		b.t.Fatal(err)
	}
}

// Req W3, W4: a process is killed when a batch has started its run and its offsets are
// not committed. More messages have come when they are taken again: the batch keeps
// its borders, no message is in two runs, and none in no run.
func TestKilledBeforeTheCommitOfABatch(t *testing.T) {
	t.Parallel()
	h := crashtest.New(t, 3)
	b := newBench(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	dir := t.TempDir()
	sent := 0
	for range h.Rounds {
		n := 1 + h.Random.IntN(7)
		b.send(sent, sent+n)
		sent += n
		started, killed := make(chan *crashtest.Process, 1), make(chan struct{})
		b.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
			p := <-started
			p.Signal(syscall.SIGKILL)
			close(killed)
			return nil, errors.New("the connection is cut"), true
		})
		p := h.Start("TestCrashedListener", dir, b.brokers)
		started <- p
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		<-killed
		b.expel()
	}
	if g := b.GroupInfo("g"); g != nil && len(g.Commits) > 0 {
		t.Fatalf("the group has committed %v", g.Commits)
	}
	b.send(sent, sent+2)
	sent += 2
	e, end := b.triggerEngine(dir, batched)
	defer end()
	all, sizes := batchRuns(t, e, sent)
	if !slices.Equal(all, numbers(0, sent)) {
		t.Errorf("got %v in batches of %v", all, sizes)
	}
	info, err := e.Trigger(t.Context(), "order:orders")
	if err != nil || info.Counts.Repeated == 0 {
		t.Errorf("%+v, %v", info.Counts, err)
	}
}

// The borders of a batch: messages that come again make the one they were part of,
// whatever else has come, and wait for its end.
func TestBorders(t *testing.T) {
	t.Parallel()
	at := place{"orders", 0}
	for _, c := range []struct {
		known    borders
		from, to int64
		again    bool
		complete bool
	}{
		{borders{}, 5, 9, false, true},
		{borders{0, 4}, 5, 9, false, true},
		{borders{5, 9}, 5, 9, true, true},
		{borders{5, 9}, 5, 20, true, true},
		{borders{5, 9}, 5, 8, true, false},
		{borders{5, 9}, 7, 9, true, true},
		{borders{5, 9}, 3, 9, false, true}, // who operates it has set the offset back
	} {
		b := &batches{known: map[place]borders{at: c.known}, pending: map[place][]*kgo.Record{at: {{Offset: c.from}, {Offset: c.to}}}}
		if _, again := b.begun(at); again != c.again || b.complete() != c.complete {
			t.Errorf("%+v: begun %v, complete %v", c, again, b.complete())
		}
	}
}

// Req W1: mistakes in the configuration of batches.
func TestBatchMistakes(t *testing.T) {
	t.Parallel()
	r := workflow.NewRegistry()
	Register(r)
	text := strings.Replace(strings.Replace(batched, "BROKERS", `["localhost:9092"]`, 1), "max: 10, wait: 200ms", "max: -1, wait: 1m", 1)
	_, err := workflow.LoadText("w.yaml", ".", []byte(text), workflow.LoadOptions{Registry: r, Open: true})
	for _, want := range []string{"batch.max: -1 is out of range; expected 1 to 10000", "batch.wait: 1m0s is out of range; expected at most 10s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
}

// What stands in a batch of a message that is no JSON, with its headers.
func TestBatchMessage(t *testing.T) {
	t.Parallel()
	got, err := messageOf(&kgo.Record{Topic: "orders", Partition: 2, Offset: 7, Key: []byte("k"), Value: []byte("hi"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}}})
	if want := `{"topic":"orders","partition":2,"offset":7,"timestamp":"0001-01-01T00:00:00Z","key":"k","header":{"a":"1"},"value":"hi"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}
