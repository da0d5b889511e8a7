package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

type knockConfig struct {
	Word string `yaml:"word,required" doc:"Who does not say it is refused."`
}

// belt is a source of deliveries that the test puts on it.
type belt struct {
	items   chan Delivery
	results chan error
	served  chan struct{}
	fails   atomic.Bool
}

func (b *belt) Serve(ctx context.Context, deliver DeliverFunc) error {
	b.served <- struct{}{}
	if b.fails.Load() {
		return errors.New("no belt")
	}
	for {
		select {
		case d := <-b.items:
			_, err := deliver(ctx, d)
			b.results <- err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newBelt() *belt {
	return &belt{items: make(chan Delivery), results: make(chan error, 10), served: make(chan struct{}, 100)}
}

// testTriggers are a type that somebody else brings deliveries to, and one that
// brings them itself.
func testTriggers(b *belt) []TriggerKind {
	return []TriggerKind{
		TriggerType[knockConfig]{
			Name: "knock", Doc: "Knocks.", Plan: func(_ *Check, c knockConfig) TriggerPlan {
				return TriggerPlan{Accept: func(_ context.Context, d *Delivery) error {
					if len(d.Header["X-Word"]) != 1 || d.Header["X-Word"][0] != c.Word {
						return fault.New(fault.Unauthenticated, "test", "wrong word")
					}
					return nil
				}}
			},
		},
		TriggerType[struct{}]{
			Name: "belt", Doc: "Brings.", Plan: func(*Check, struct{}) TriggerPlan {
				return TriggerPlan{Source: func(*TriggerEnv) (TriggerSource, error) { return b, nil }}
			},
		},
	}
}

func knock(name string) Trigger {
	return Trigger{
		Name: name, Workflow: "job", Kind: "knock", With: json.RawMessage(`{"word": "please"}`), Dedup: `trigger.header["x-id"]`,
		Inputs: map[string]string{"when": `${{ trigger.body.order }} ${{ trigger.query.q }}`}, Key: "customer ${{ trigger.body.customer }}",
	}
}

func knocked(id, body string) Delivery {
	return Delivery{
		Body: []byte(body), Header: map[string][]string{"X-Word": {"please"}, "X-Id": {id}}, Query: map[string][]string{"q": {"a", "b"}},
	}
}

// Req W3: a delivery starts one run, with inputs from it, however often it comes
// and whatever happened in between.
func TestTriggerDeliver(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		s.engine.options.Registry.AddTriggers(testTriggers(nil)...)
		info, err := s.engine.PutTrigger(ctx, knock("orders"), store.Absent)
		if err != nil || info.Revision != 1 || info.Listens {
			t.Fatalf("%+v, %v", info, err)
		}
		first, err := s.engine.Deliver(ctx, "orders", knocked("1", `{"order": 7, "customer": "c"}`))
		if err != nil || first.Repeated {
			t.Fatalf("%+v, %v", first, err)
		}
		run, err := first.Run.Wait(ctx)
		if err != nil || string(run.Output) != `"7 a"` || run.Start.Trigger != "trigger/orders" || run.Start.Key != "customer c" {
			t.Errorf("%s %+v, %v", run.Output, run.Start, err)
		}
		again, err := s.engine.Deliver(ctx, "orders", knocked("1", `{"order": 8, "customer": "c"}`))
		if err != nil || !again.Repeated || again.Run.ID() != first.Run.ID() {
			t.Errorf("%+v, %v", again, err)
		}
		// All at once: one of them starts it.
		var wg sync.WaitGroup
		var mu sync.Mutex
		runs, started := map[string]bool{}, 0
		for range 10 {
			wg.Go(func() {
				out, err := s.engine.Deliver(ctx, "orders", knocked("2 "+strings.Repeat("x", 300), `{"order": 9, "customer": "c"}`))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				runs[out.Run.ID()] = true
				if !out.Repeated {
					started++
				}
			})
		}
		wg.Wait()
		if len(runs) != 1 || started != 1 {
			t.Errorf("%d runs, %d of them new", len(runs), started)
		}
		for _, c := range []struct {
			name string
			d    Delivery
			code fault.Code
			want string
		}{
			{"nobody", knocked("3", "{}"), fault.NotFound, "there is no such trigger"},
			{"orders", Delivery{}, fault.Unauthenticated, "wrong word"},
			{"orders", knocked("3", "no JSON"), fault.InvalidArgument, "trigger.body.order"},
			{"orders", Delivery{Header: map[string][]string{"X-Word": {"please"}}}, fault.InvalidArgument, "dedup"},
			{"orders", knocked("", "{}"), fault.InvalidArgument, "dedup gives an empty text"},
			{"orders", knocked("3", strings.Repeat("x", DeliveryBytesMax+1)), fault.InvalidArgument, "at most 1048576 are allowed"},
		} {
			if _, err := s.engine.Deliver(ctx, c.name, c.d); fault.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%s: %v, want %v %q", c.name, err, c.code, c.want)
			}
		}
		if info, err = s.engine.Trigger(ctx, "orders"); err != nil || info.Counts != (TriggerCounts{Started: 2, Repeated: 10, Refused: 2, Failed: 3}) || len(info.Deliveries) != 17 {
			t.Errorf("%+v, %v", info, err)
		}
	})
}

// Req W3: triggers are there after a restart, and still know what they started.
func TestTriggerVerbs(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		s.kinds = testTriggers(nil)
		s.engine.options.Registry.AddTriggers(s.kinds...)
		if _, err := s.engine.PutTrigger(ctx, knock("b"), store.AnyVersion); err != nil {
			t.Fatal(err)
		}
		if same, err := s.engine.PutTrigger(ctx, knock("b"), store.AnyVersion); err != nil || same.Revision != 1 {
			t.Errorf("%+v, %v", same, err)
		}
		if _, err := s.engine.PutTrigger(ctx, knock("b"), store.Absent); !errors.Is(err, store.ErrConflict) {
			t.Errorf("as a new one: %v", err)
		}
		first, err := s.engine.Deliver(ctx, "b", knocked("1", `{"order": 1, "customer": 1}`))
		if err != nil {
			t.Fatal(err)
		}
		s.down(time.Hour)
		again, err := s.engine.Deliver(ctx, "b", knocked("1", `{"order": 1, "customer": 1}`))
		if err != nil || again.Run.ID() != first.Run.ID() {
			t.Errorf("%+v, %v", again, err)
		}
		if info, err := s.engine.PauseTrigger(ctx, "b", "why"); err != nil || !info.Paused || info.Comment != "why" {
			t.Errorf("%+v, %v", info, err)
		}
		if _, err := s.engine.Deliver(ctx, "b", knocked("2", "{}")); fault.CodeOf(err) != fault.FailedPrecondition {
			t.Errorf("while it is paused: %v", err)
		}
		if info, err := s.engine.ResumeTrigger(ctx, "b", ""); err != nil || info.Paused || info.Revision != 3 {
			t.Errorf("%+v, %v", info, err)
		}
		if list, err := s.engine.Triggers(ctx, "job"); err != nil || len(list) != 1 || list[0].Name != "b" {
			t.Errorf("%+v, %v", list, err)
		}
		if err := s.engine.DeleteTrigger(ctx, "b", 1); !errors.Is(err, store.ErrConflict) {
			t.Errorf("with an old revision: %v", err)
		}
		if err := s.engine.DeleteTrigger(ctx, "b", 3); err != nil {
			t.Error(err)
		}
		if _, err := s.engine.Trigger(ctx, "b"); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("deleted: %v", err)
		}
	})
}

// Req W3: a source's deliveries are recorded before it goes on, a store that is
// away is waited for, and a source that fails is served again.
func TestTriggerSource(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		b := newBelt()
		s.kinds = testTriggers(b)
		s.engine.options.Registry.AddTriggers(s.kinds...)
		b.fails.Store(true)
		trigger := Trigger{Name: "b", Workflow: "job", Kind: "belt", Inputs: map[string]string{"when": "${{ trigger.attributes.offset }}"}}
		if _, err := s.engine.PutTrigger(ctx, trigger, store.Absent); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Millisecond)
		if info, err := s.engine.Trigger(ctx, "b"); err != nil || info.Listens || !strings.Contains(info.Error, "no belt") {
			t.Errorf("%+v, %v", info, err)
		}
		s.pass(10 * time.Second)
		if n := len(b.served); n != 4 {
			t.Errorf("served %d times; expected after 0, 1, 3 and 7 seconds", n)
		}
		b.fails.Store(false)
		s.pass(time.Minute)
		if info, err := s.engine.Trigger(ctx, "b"); err != nil || !info.Listens || info.Error != "" {
			t.Errorf("%+v, %v", info, err)
		}
		bring := func(offset string) {
			b.items <- Delivery{ID: "topic/0/" + offset, Attributes: map[string]string{"offset": offset}}
			synctest.Wait()
		}
		bring("5")
		var away atomic.Bool
		away.Store(true)
		s.mu.Lock()
		s.commit = func(*store.Batch) error {
			if away.Load() {
				return fault.New(fault.Unavailable, "test", "away")
			}
			return nil
		}
		s.mu.Unlock()
		bring("6")
		if len(b.results) != 1 {
			t.Fatalf("%d deliveries were taken in while the store was away", len(b.results))
		}
		away.Store(false)
		s.pass(time.Minute)
		s.want("5", "6")
		s.down(time.Second)
		bring("6")
		s.want("5", "6")
		if info, err := s.engine.Trigger(ctx, "b"); err != nil || info.Counts != (TriggerCounts{Repeated: 1}) {
			t.Errorf("%+v, %v", info, err)
		}
		if _, err := s.engine.Deliver(ctx, "b", Delivery{}); fault.CodeOf(err) != fault.FailedPrecondition {
			t.Errorf("from outside: %v", err)
		}
		if err := s.engine.DeleteTrigger(ctx, "b", store.AnyVersion); err != nil {
			t.Error(err)
		}
	})
}

// Req W3: all mistakes of a trigger at once.
func TestTriggerMistakes(t *testing.T) {
	t.Parallel()
	r := NewRegistry()
	r.AddTriggers(testTriggers(nil)...)
	for name, c := range map[string]struct {
		trigger Trigger
		want    string
	}{
		"all": {
			Trigger{Name: "-", Kind: "knok", Version: -1, Dedup: "triger.id", Key: "${{ 1 +", Inputs: map[string]string{"a": "${{ trigger.nothing( }}"}},
			`name: "-" is no name; expected at most 100 letters, digits, '.', '_' and '-', the first a letter or a digit
workflow: it is missing; expected the name of a workflow
version: -1 is no version; expected 0, for the active one, or a number above
inputs.a:
key:
dedup: position 1: unknown name "triger"; did you mean "trigger"?
kind: "knok" is no type of triggers; expected one of belt, knock; did you mean "knock"?`,
		},
		"with":    {Trigger{Name: "a", Workflow: "w", Kind: "knock", With: json.RawMessage(`{"wort": "x"}`)}, "with"},
		"no JSON": {Trigger{Name: "a", Workflow: "w", Kind: "knock", With: json.RawMessage(`{word`)}, "with: it is no JSON"},
		"missing": {Trigger{Name: "a", Workflow: "w", Kind: "knock"}, "with"},
		"large":   {Trigger{Name: "a", Workflow: "w", Kind: "knock", With: json.RawMessage(`{"word": "` + strings.Repeat("x", triggerWithMax+6) + `"}`)}, "with: it has 16401 bytes"},
		"no kind": {Trigger{Name: "a", Workflow: "w"}, "kind: it is missing; expected one of belt, knock"},
	} {
		_, err := r.planTrigger(c.trigger)
		if fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for line := range strings.Lines(c.want) {
			if !strings.Contains(err.Error(), strings.TrimSpace(line)) {
				t.Errorf("%s: %q is missing in\n%v", name, line, err)
			}
		}
	}
	if types := r.TriggerTypes(); len(types) != 2 || types[0].Name != "belt" || types[1].Config[0].Name != "word" {
		t.Errorf("%+v", types)
	}
}

// Req W3: whoever may start runs can hand a delivery to a trigger of any type,
// whatever its signature and also while it is paused.
func TestDeliverByHand(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	b := newBelt()
	s.engine.options.Registry.AddTriggers(testTriggers(b)...)
	s.deploy("name: w\ninputs: {who: {type: string, default: ''}}\noutput: inputs.who\nnodes:\n  - {id: a, type: task.play}\n")
	ctx := context.Background()
	inputs := map[string]string{"who": "${{ trigger.body.who }}"}
	for _, trigger := range []Trigger{
		{Name: "knock", Workflow: "w", Kind: "knock", With: json.RawMessage(`{"word": "please"}`), Inputs: inputs, Paused: true},
		{Name: "belt", Workflow: "w", Kind: "belt", Inputs: inputs},
	} {
		if _, err := s.engine.PutTrigger(ctx, trigger, store.Absent); err != nil {
			t.Fatal(err)
		}
		var first Delivered
		for n, id := range []string{"7", "7", ""} {
			out, err := s.engine.DeliverByHand(ctx, trigger.Name, Delivery{ID: id, Body: []byte(`{"who": "Ada"}`)})
			if err != nil || out.Repeated != (n == 1) || (n == 1) != (first.Run != nil && out.Run.ID() == first.Run.ID()) {
				t.Fatalf("%s, delivery %d: %+v, %v", trigger.Name, n, out, err)
			}
			if n == 0 {
				first = out
			}
			if info, err := s.wait(out.Run); err != nil || string(info.Output) != `"Ada"` || info.Start.Trigger != "trigger/"+trigger.Name {
				t.Errorf("%s: %s %+v, %v", trigger.Name, info.Output, info.Start, err)
			}
		}
		if _, err := s.engine.DeliverByHand(ctx, trigger.Name, Delivery{Body: []byte(`{}`)}); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: a body without what the inputs need: %v", trigger.Name, err)
		}
		if info, err := s.engine.Trigger(ctx, trigger.Name); err != nil || info.Counts != (TriggerCounts{Started: 2, Repeated: 1, Failed: 1}) {
			t.Errorf("%s: %+v, %v", trigger.Name, info.Counts, err)
		}
	}
	if _, err := s.engine.DeliverByHand(ctx, "none", Delivery{}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no trigger: %v", err)
	}
	if _, err := s.engine.DeliverByHand(ctx, "belt", Delivery{Body: make([]byte, DeliveryBytesMax+1)}); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("too large: %v", err)
	}
}
