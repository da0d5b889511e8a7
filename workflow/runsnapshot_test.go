package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/fstest"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// richWorkflow goes through everything that the state of a run can hold.
const richWorkflow = `
name: rich
inputs:
  n: {type: int, default: 3}
nodes:
  - {id: first, type: task.play, with: {text: "1"}, undo: {type: task.play, with: {text: undone}}}
  - id: all
    type: foreach
    after: first
    with: {items: "[1, 2, 3, 4, 5]", parallel: 2, tolerate: 1}
    do:
      - {id: one, type: task.play, retry: {max: 1, initial: 1ms}, with: {text: "${{ item == 2 ? 'fail' : 'ok' }}"}}
      - id: inner
        type: loop
        after: one
        with: {while: "iteration < 2", max: 5}
        do:
          - {id: deep, type: task.play, with: {text: "${{ iteration }}"}}
  - {id: in, type: source.rows, after: first, with: {columns: {n: int}, rows: 20}}
  - {id: out, type: sink.memory, from: in}
  - {id: skip, type: task.play, after: first, when: "inputs.n > 100"}
  - {id: stop, type: wait, after: [all, out], with: {signal: go}}
  - {id: last, type: task.play, after: stop, retry: {max: 0}, with: {text: fail}}
`

func playRich(_ context.Context, task *Task, text string) (json.RawMessage, error) {
	if text == "fail" {
		return nil, fault.New(fault.Unavailable, "", "as it should")
	}
	return json.Marshal(text)
}

// Req W4: at each place of a history, a state that was read from a snapshot is
// the one that the events add up to, and goes on like it.
func TestSnapshotAnywhere(t *testing.T) {
	t.Parallel()
	s := newStage(t, playRich)
	r := s.start(richWorkflow, StartOptions{Key: "k"})
	for _, name := range []string{"early", "go"} {
		if err := r.Signal(context.Background(), name, json.RawMessage(`{"x":1}`), name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.wait(r); err == nil {
		t.Fatal("the run should fail in the end")
	}
	definition, err := r.Definition(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var history []Event
	for e, err := range r.History(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		history = append(history, e)
	}
	whole := newRunState(definition, r.ID())
	for i := range history {
		whole.apply(&history[i])
	}
	want := whole.snapshot()
	state := newRunState(definition, r.ID())
	for i := range history {
		state.apply(&history[i])
		again := throughSnapshot(t, state)
		if again == nil || again.working != state.working || !sameScope(again.root, state.root) {
			t.Fatalf("after event %d, %s: the state is another", i+1, history[i].Type)
		}
		for j := i + 1; j < len(history); j++ {
			again.apply(&history[j])
		}
		if got := again.snapshot(); !reflect.DeepEqual(encoded(t, got), encoded(t, want)) {
			t.Fatalf("from event %d on it goes on in another way:\n%+v\nwant\n%+v", i+1, got, want)
		}
	}
	if len(history) < 50 {
		t.Errorf("only %d events", len(history))
	}
}

// encoded is a snapshot as it comes back.
func encoded(t *testing.T, s *runSnapshot) *runSnapshot {
	t.Helper()
	m, err := snapshotType.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	out, err := snapshotType.Decode(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func throughSnapshot(t *testing.T, r *runState) *runState {
	t.Helper()
	out, ok := encoded(t, r.snapshot()).restore(r.definition, r.id)
	if !ok {
		return nil
	}
	return out
}

// sameScope compares what a snapshot does not hold but is computed from it.
func sameScope(a, b *scope) bool {
	if a.left != b.left || a.active != b.active || a.closing != b.closing || len(a.steps) != len(b.steps) {
		return false
	}
	for i := range a.steps {
		x, y := &a.steps[i], &b.steps[i]
		if x.waiting != y.waiting || x.status != y.status || len(x.scopes) != len(y.scopes) || (x.scopes == nil) != (y.scopes == nil) {
			return false
		}
		for index, inner := range x.scopes {
			if y.scopes[index] == nil || !sameScope(inner, y.scopes[index]) {
				return false
			}
		}
	}
	return true
}

// A field that is added to the state of a run belongs into the snapshot, or is
// computed when one is read.
func TestSnapshotHasAllFields(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		of   reflect.Type
		want int
	}{
		{reflect.TypeFor[runState](), 29}, {reflect.TypeFor[scope](), 10}, {reflect.TypeFor[step](), 20}, {reflect.TypeFor[stepRef](), 4},
		{reflect.TypeFor[stepCount](), 7}, {reflect.TypeFor[failure](), 2}, {reflect.TypeFor[signal](), 1},
	} {
		if n := tt.of.NumField(); n != tt.want {
			t.Errorf("%s has %d fields, want %d: see to runsnapshot.go, give its type another name if it changes, and count again", tt.of.Name(), n, tt.want)
		}
	}
}

// until waits until a run is as it should be.
func (s *stage) until(r *Run, right func(info RunInfo) bool) {
	s.t.Helper()
	changes, stop := r.Changes()
	defer stop()
	for deadline := time.After(hang); ; {
		info, err := r.Info(context.Background())
		if err != nil {
			s.t.Fatal(err)
		}
		if right(info) {
			return
		}
		select {
		case <-changes:
		case <-deadline:
			s.t.Fatalf("the run does not get there: %s\n%s", states(info), s.history(r))
		}
	}
}

// Req W4: a run goes on from its last snapshot and the events after it. When the
// snapshot is no good, its whole history is read.
func TestRunGoesOnFromSnapshot(t *testing.T) {
	t.Parallel()
	for _, damaged := range []bool{false, true} {
		t.Run(fmt.Sprint("damaged=", damaged), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, playRich)
			s.close()
			s.every = 10
			s.open()
			r := s.start(richWorkflow, StartOptions{})
			s.until(r, func(info RunInfo) bool { return len(info.Waits) == 1 && info.Waits[0].Signal == "go" })
			stream := store.Stream(runPrefix + r.ID())
			snapshot, err := s.store.Snapshot(context.Background(), stream)
			if err != nil || snapshot.Position < 10 {
				t.Fatalf("snapshot at %d, %v", snapshot.Position, err)
			}
			if damaged {
				snapshot.Type, snapshot.Data = snapshotType.Name(), []byte("damaged")
				if _, err := s.store.Commit(context.Background(), &store.Batch{Snapshots: []store.Snapshot{snapshot}}); err != nil {
					t.Fatal(err)
				}
			}
			s.close()
			s.open()
			again, err := s.engine.Run(context.Background(), r.ID())
			if err != nil {
				t.Fatal(err)
			}
			if state, err := s.engine.fromSnapshot(context.Background(), r.ID()); err != nil || (state == nil) != damaged {
				t.Fatalf("from the snapshot: %v, %v", state, err)
			}
			if err := again.Signal(context.Background(), "go", nil, ""); err != nil {
				t.Fatal(err)
			}
			info, err := s.wait(again)
			if fault.CodeOf(err) != fault.Unavailable || info.State != StateFailed {
				t.Errorf("the run ended %s, %v\n%s", info.State, err, s.history(again))
			}
		})
	}
}

// Req S5: what is no snapshot is refused, and whatever can be decoded fits or
// does not.
func FuzzSnapshot(f *testing.F) {
	registry := (&lab{}).registry()
	registry.Add(TaskType[playConfig]{Name: "task.play", Doc: "Does nothing.", Run: func(context.Context, *Task, playConfig) (json.RawMessage, error) {
		return nil, nil
	}})
	definition, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(richWorkflow)}}, "w.yaml", LoadOptions{Registry: registry})
	if err != nil {
		f.Fatal(err)
	}
	state := newRunState(definition, "id")
	m, err := snapshotType.Encode(state.snapshot())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Data)
	f.Add([]byte{0x80})
	f.Fuzz(func(_ *testing.T, data []byte) {
		s, err := snapshotType.Decode(wire.Message{Type: snapshotType.Name(), Codec: snapshotType.CodecName(), Data: data})
		if err != nil || s == nil {
			return
		}
		if r, ok := s.restore(definition, "id"); ok {
			_ = r.snapshot()
		}
	})
}
