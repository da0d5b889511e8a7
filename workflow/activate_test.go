package workflow

import (
	"context"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// Req W10: who activates a version can say which one it takes the place of, and a
// version is read back as it was deployed.
func TestActivateFrom(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	ctx := context.Background()
	text := func(doc string) string {
		return "name: w\ndescription: " + doc + "\ninputs: {who: {type: string}}\nnodes:\n  - {id: a, type: task.play, with: {text: hello}}\n"
	}
	s.deploy(text("one"))
	s.deploy(text("two"))
	if err := s.engine.ActivateFrom(ctx, "w", 1, 2); fault.CodeOf(err) != fault.Aborted || !strings.Contains(err.Error(), "not 1 any more") {
		t.Errorf("from a version that is not active: %v", err)
	}
	if err := s.engine.ActivateFrom(ctx, "w", 2, 1); err != nil {
		t.Error(err)
	}
	if v, err := s.engine.Version(ctx, "w", 0); err != nil || v.Version != 1 {
		t.Errorf("active is %+v, %v", v, err)
	}
	for name, version := range map[string]int64{"none": 1, "w": 7} {
		if err := s.engine.ActivateFrom(ctx, name, 1, version); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s %d: %v", name, version, err)
		}
		if _, err := s.engine.Definition(ctx, name, version); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("the definition of %s %d: %v", name, version, err)
		}
	}
	for version, want := range map[int64]string{0: "one", 1: "one", 2: "two"} {
		if d, err := s.engine.Definition(ctx, "w", version); err != nil || d.Description != want || len(d.Nodes) != 1 {
			t.Errorf("version %d: %+v, %v", version, d, err)
		}
	}
}

// A text that is in no file is a definition as well, and its mistakes have places.
func TestLoadText(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	d, err := LoadText("request", t.TempDir(), []byte("name: w\nnodes:\n  - {id: a, type: task.play, with: {text: x}}\n"), LoadOptions{Registry: s.registry})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Deploy(t.Context(), d, ""); err != nil {
		t.Fatal(err)
	}
	run, err := s.engine.Start(t.Context(), "w", StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := run.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := run.Length(t.Context()); err != nil || n != info.Events || n == 0 {
		t.Errorf("the history has %d events, %v; want %d", n, err, info.Events)
	}
	none := &Run{engine: s.engine, id: run.id[:10]}
	if _, err := none.Length(t.Context()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the length of no history: %v", err)
	}
	if _, err := LoadText("request", ".", []byte("name: w\nnodes: 7\n"), LoadOptions{Registry: s.registry}); err == nil || !strings.HasPrefix(err.Error(), "request:2:8: ") {
		t.Errorf("a mistake: %v", err)
	}
}
