package file

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
)

// FuzzPattern: a pattern is refused when the definition is checked, or can be
// compared with every name. Req W2
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"*.csv", "a.csv"}, {"[a-", "b"}, {"a/*", "a"}, {"", ""}, {`\`, "x"}, {".*", ".x"}, {"*", ".x"}, {"[]a]", "]"}, {"[^-]", "\xff"}, {"..", ".."}} {
		f.Add(seed[0], seed[1])
	}
	var refused bool
	watched := workflow.SourceType[SourceConfig]{Name: "source.x", Doc: "X."}
	var pattern string
	watched.Plan = func(c *workflow.Check, _ SourceConfig) workflow.SourcePlan {
		w := defaultWatching
		w.Pattern = pattern
		w.check(c, "x")
		if refused = c.Failed(); !refused {
			schema, _ := c.Schema("", workflow.Column{Name: "a", Kind: workflow.KindInt})
			return workflow.SourcePlan{Schema: schema}
		}
		return workflow.SourcePlan{}
	}
	r := workflow.NewRegistry(watched)
	new(memory.Store).Register(r)
	files := fstest.MapFS{"w.yaml": {Data: []byte("name: x\nnodes:\n  - {id: in, type: source.x, with: {folder: x}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n")}}
	f.Fuzz(func(t *testing.T, text, name string) {
		pattern = text
		_, err := workflow.LoadFS(files, "w.yaml", workflow.LoadOptions{Registry: r})
		if (err != nil) != refused {
			t.Fatalf("refused: %v, %v", refused, err)
		}
		_, bad := filepath.Match(pattern, name)
		if bad != nil && !refused {
			t.Errorf("%q is let in, and cannot be compared with %q: %v", pattern, name, bad)
		}
		if w := (Watching{Pattern: pattern}); w.matches(name) && name != "" && name[0] == '.' && pattern[0] != '.' {
			t.Errorf("%q matches the hidden %q", pattern, name)
		}
	})
}

// FuzzFinding reads entries of journals: what is read can be written and is the same.
func FuzzFinding(f *testing.F) {
	for _, seed := range []string{"", "null", `{"until":"2026-01-01T00:00:00Z"}`, `{"files":[{"path":"/a","size":1,"modified":"2026-01-01T00:00:00.5Z"}]}`, `{"files":7}`, "["} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		first, err := parseFinding(entry)
		if err != nil {
			return
		}
		text, err := json.Marshal(first)
		if err != nil {
			t.Skip("a year that JSON has no form for")
		}
		second, err := parseFinding(text)
		if err != nil && !errors.Is(err, io.EOF) || len(second.Files) != len(first.Files) || !second.Until.Equal(first.Until) {
			t.Fatalf("%s is %v, then %v, %v", entry, first, second, err)
		}
		for i := range first.Files {
			if a, b := first.Files[i], second.Files[i]; a.Path != b.Path || a.stat() != b.stat() {
				t.Errorf("%+v is %+v", a, b)
			}
		}
	})
}

// What is remembered has room: what is gone goes first, the oldest of it, and what
// the run has taken up never.
func TestForget(t *testing.T) {
	t.Parallel()
	k := known{identity: identityStat, files: map[string]remembered{}, taken: map[string]bool{}}
	for i, path := range []string{"gone-new", "there-old", "gone-old", "there-new"} {
		k.files[path] = remembered{At: []int64{3, 1, 2, 4}[i]}
	}
	k.take(&found{Path: "now"})
	there := func(path string) bool { return path[0] == 't' }
	order := []string{"gone-old", "gone-new", "there-old", "there-new"}
	for most := 6; most >= 0; most-- {
		want := order[:min(max(5-most, 0), 4)]
		got := k.forget(most, there)
		if len(got) != len(want) {
			t.Errorf("%d: %v, want %v", most, got, want)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%d: %v, want %v", most, got, want)
			}
		}
	}
}
