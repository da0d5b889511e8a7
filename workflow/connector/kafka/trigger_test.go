package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
)

const triggered = `
name: order
inputs: {id: {type: int}, place: {type: string}}
output: inputs.place
nodes: [{id: a, type: value, with: {output: inputs.id}}]
triggers:
  orders:
    kind: kafka
    with: {brokers: BROKERS, topics: [orders], group: g, timeout: 10s}
    inputs: {id: "${{ trigger.body.id }}", place: "${{ trigger.attributes.partition }}/${{ trigger.attributes.offset }}"}
    key: ${{ trigger.attributes.key }}
`

// triggerEngine opens an engine on the store of a directory, with a workflow that
// messages start.
func (b *bench) triggerEngine(dir, text string) (e *workflow.Engine, end func()) {
	b.t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	r := workflow.NewRegistry()
	Register(r)
	files := fstest.MapFS{"w.yaml": {Data: []byte(strings.ReplaceAll(text, "BROKERS", b.brokers))}}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	e, err = workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: r, Files: files, OutputDir: dir})
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := workflow.LoadFS(files, "w.yaml", workflow.LoadOptions{Registry: r, Open: true})
	if err == nil {
		_, err = e.Deploy(ctx, d, "")
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return e, sync.OnceFunc(func() {
		if err := sys.Stop(ctx); err != nil {
			b.t.Error(err)
		}
		if err := s.Close(); err != nil {
			b.t.Error(err)
		}
	})
}

// started waits until so many runs have completed, and gives their keys, sorted.
func started(t *testing.T, e *workflow.Engine, n int) []string {
	t.Helper()
	changes, stop := e.Watch("")
	defer stop()
	for {
		runs, err := e.Runs(t.Context(), workflow.RunFilter{Workflow: "order", Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, r := range runs {
			if r.State == workflow.StateCompleted {
				keys = append(keys, r.Key)
			}
		}
		if len(keys) >= n {
			slices.Sort(keys)
			return keys
		}
		select {
		case <-changes:
		case <-t.Context().Done():
			t.Fatalf("%d runs of %d", len(keys), n)
		}
	}
}

// offsets is how many messages the group has committed.
func (b *bench) offsets() (sum int64) {
	b.t.Helper()
	offsets, err := kadm.NewClient(b.client()).FetchOffsets(b.t.Context(), "g")
	if err != nil {
		b.t.Fatal(err)
	}
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(o.At, 0) })
	return sum
}

// Req W3: each message starts one run, with inputs from it; when the trigger has
// been stopped its offsets are committed.
func TestTrigger(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(0, 20)
	dir := t.TempDir()
	e, end := b.triggerEngine(dir, triggered)
	defer end()
	if got, want := started(t, e, 20), numbers(0, 20); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	b.send(20, 25)
	if got, want := started(t, e, 25), numbers(0, 25); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	info, err := e.Trigger(t.Context(), "order:orders")
	if err != nil || !info.Listens || info.Counts.Started != 25 || info.Counts.Repeated != 0 || !info.Defined {
		t.Errorf("got %+v, %v", info, err)
	}
	end()
	if got := b.offsets(); got != 25 {
		t.Errorf("committed are %d messages", got)
	}
}

// Req W3, W4: a process that dies between the start of runs and the commit of the
// offsets takes the messages again, and starts no run twice.
func TestTriggerAfterACrash(t *testing.T) {
	t.Parallel()
	// With one partition all messages come at once: each refusal has the trigger wait
	// for longer before it tries again.
	b := newBench(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	b.send(0, 10)
	dir := t.TempDir()
	refused := make(chan struct{}, 100)
	b.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		commit, ok := req.(*kmsg.OffsetCommitRequest)
		if !ok {
			return nil, nil, false
		}
		res, _ := commit.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, topic := range commit.Topics {
			answer := kmsg.NewOffsetCommitResponseTopic()
			answer.Topic = topic.Topic
			for _, p := range topic.Partitions {
				part := kmsg.NewOffsetCommitResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.GroupAuthorizationFailed.Code
				answer.Partitions = append(answer.Partitions, part)
			}
			res.Topics = append(res.Topics, answer)
		}
		select {
		case refused <- struct{}{}:
		default:
		}
		return res, nil, true
	})
	e, end := b.triggerEngine(dir, triggered)
	started(t, e, 10)
	<-refused
	end()
	if got := b.offsets(); got != 0 {
		t.Fatalf("committed are %d messages", got)
	}
	b.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		return nil, nil, false
	})
	b.send(10, 12)
	e, end = b.triggerEngine(dir, triggered)
	defer end()
	if got, want := started(t, e, 12), numbers(0, 12); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	end()
}

// taker is a deliver function that remembers.
type taker struct {
	mu    sync.Mutex
	ids   map[string]int
	more  chan struct{}
	after func(d workflow.Delivery) error
}

func newTaker() *taker { return &taker{ids: map[string]int{}, more: make(chan struct{}, 10_000)} }

func (k *taker) deliver(_ context.Context, d workflow.Delivery) (workflow.Delivered, error) {
	k.mu.Lock()
	k.ids[d.ID]++
	k.mu.Unlock()
	k.more <- struct{}{}
	if k.after != nil {
		return workflow.Delivered{}, k.after(d)
	}
	return workflow.Delivered{}, nil
}

func (b *bench) listener(change func(c *TriggerConfig)) *listener {
	c := triggerType.Default
	c.Brokers, c.Timeout, c.Topics, c.Group = b.ListenAddrs(), 10*time.Second, []string{"orders"}, "g"
	if change != nil {
		change(&c)
	}
	return &listener{TriggerConfig: c, env: &workflow.TriggerEnv{Log: slog.New(slog.DiscardHandler)}}
}

// Req W3: partitions go to another member of the group and come back; together they
// take every message, and one that starts no run is let go of.
func TestTriggerRebalances(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := newTaker(), newTaker()
	first.after = func(workflow.Delivery) error { return fault.New(fault.InvalidArgument, "test", "no run for it") }
	serve := func(k *taker) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := b.listener(nil).Serve(ctx, k.deliver); ctx.Err() == nil {
				t.Error(err)
			}
		}()
		return sync.OnceFunc(func() { cancel(); <-done })
	}
	stopFirst := serve(first)
	defer stopFirst()
	b.send(0, 10)
	for range 10 {
		<-first.more
	}
	stopSecond := serve(second)
	defer stopSecond()
	sent := 10
	for len(second.more) == 0 { // until it has a partition
		b.send(sent, sent+5)
		sent += 5
		for range 5 {
			select {
			case <-first.more:
			case <-second.more:
				second.more <- struct{}{}
			}
			if len(second.more) > 0 {
				break
			}
		}
	}
	stopFirst()
	b.send(sent, sent+10)
	sent += 10
	for all := map[string]int{}; len(all) < sent; {
		select {
		case <-first.more:
		case <-second.more:
		}
		for _, k := range []*taker{first, second} {
			k.mu.Lock()
			for id := range k.ids {
				all[id]++
			}
			k.mu.Unlock()
		}
	}
	stopSecond()
	if got := b.offsets(); got != int64(sent) {
		t.Errorf("committed are %d messages of %d", got, sent)
	}
}

// Req W3: brokers that are away, and a topic that is not there, are told.
func TestTriggerFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	err := b.listener(func(c *TriggerConfig) { c.Topics = []string{"nothing"} }).Serve(t.Context(), newTaker().deliver)
	if fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("no topic: %v", err)
	}
	err = b.listener(func(c *TriggerConfig) { c.Brokers, c.Timeout = []string{"127.0.0.1:1"}, time.Second }).Serve(t.Context(), newTaker().deliver)
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("no brokers: %v", err)
	}
	// They go away while it listens.
	k := newTaker()
	done := make(chan error, 1)
	go func() {
		done <- b.listener(func(c *TriggerConfig) { c.Timeout = time.Second }).Serve(t.Context(), k.deliver)
	}()
	b.send(0, 1)
	<-k.more
	b.Close()
	if err := <-done; fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("brokers that went away: %v", err)
	}
}

// The brokers are told how long to wait for a member that was killed.
func TestTriggerSession(t *testing.T) {
	t.Parallel()
	for with, want := range map[string]time.Duration{"timeout: 10s": DefaultSession, "timeout: 10s, session_timeout: 7s": 7 * time.Second} {
		b := newBench(t)
		asked := make(chan int64, 1)
		b.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
			asked <- int64(r.(*kmsg.JoinGroupRequest).SessionTimeoutMillis)
			return nil, nil, false
		})
		_, end := b.triggerEngine(t.TempDir(), strings.Replace(triggered, "timeout: 10s", with, 1))
		if got := <-asked; got != want.Milliseconds() {
			t.Errorf("%s: the brokers wait %d ms, want %s", with, got, want)
		}
		end()
	}
}

// Req W1: mistakes in the configuration of a trigger.
func TestTriggerMistakes(t *testing.T) {
	t.Parallel()
	r := workflow.NewRegistry()
	Register(r)
	text := "name: w\nnodes: [{id: a, type: value, with: {output: \"1\"}}]\ntriggers:\n  a: {kind: kafka, with: {brokers: [here], topics: [a/b], group: '', start: late, timeout: 1ms, session_timeout: 5s}}\n"
	_, err := workflow.LoadText("w.yaml", ".", []byte(text), workflow.LoadOptions{Registry: r})
	for _, want := range []string{`"here" is no address`, `"a/b" is no name of a topic`, "group: it is empty", `did you mean "latest"`, "timeout: 1ms is out of range", "session_timeout: 5s is out of range; expected 6s to 30m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
}

// Req W3: what expressions see of a message.
func TestTriggerDelivery(t *testing.T) {
	t.Parallel()
	l := &listener{topics: map[string]string{"orders": "AAE"}}
	d := l.delivery(&kgo.Record{
		Topic: "orders", Partition: 2, Offset: 7, Key: []byte("k"), Value: []byte(`{"id": 1}`), Timestamp: time.UnixMilli(1000),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}},
	})
	if got, want := fmt.Sprintf("%s %v %v", d.ID, d.Attributes, d.Header), "orders/2/7@AAE map[key:k offset:7 partition:2 timestamp:1970-01-01T00:00:01Z topic:orders] map[a:[1 2]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
