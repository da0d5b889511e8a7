package file_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/file"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
)

// stage is an engine with a folder, in virtual time.
type stage struct {
	t      *testing.T
	path   string
	folder string
	store  store.Store
	sys    *actor.System
	engine *workflow.Engine
	types  *workflow.Registry
	rows   memory.Store // of sink.memory
}

func inStage(t *testing.T, test func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, path: filepath.Join(t.TempDir(), "s.db"), folder: t.TempDir()}
		s.open()
		test(t, s)
		s.close()
	})
}

func (s *stage) open() {
	s.t.Helper()
	ctx := context.Background()
	var err error
	if s.store, err = sqlite.Open(ctx, s.path, sqlite.Options{}); err != nil {
		s.t.Fatal(err)
	}
	s.types = workflow.NewRegistry()
	file.Register(s.types)
	s.rows.Register(s.types)
	s.sys = actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	files := fstest.MapFS{"w.yaml": {Data: []byte("name: w\ninputs: {name: {type: string, default: ''}}\noutput: inputs.name\nnodes: [{id: nap, type: sleep, with: {for: 1ms}}]\n")}}
	s.engine, err = workflow.Open(ctx, s.sys, s.store, workflow.EngineOptions{Registry: s.types, Files: files, OutputDir: filepath.Dir(s.folder), LeaseTTL: 24 * time.Hour})
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := workflow.LoadFS(files, "w.yaml", workflow.LoadOptions{Registry: s.types})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.engine.Deploy(ctx, d, ""); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) close() {
	if err := s.sys.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *stage) put(with map[string]any) error {
	s.t.Helper()
	text, err := json.Marshal(with)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.engine.PutTrigger(context.Background(), workflow.Trigger{
		Name: "in", Workflow: "w", Kind: "file", With: text, Inputs: map[string]string{"name": "${{ trigger.attributes.name }}"},
	}, store.AnyVersion)
	return err
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	now := time.Now() // in virtual time, as the file's is real
	if err := os.Chtimes(path, now, now); err != nil {
		s.t.Fatal(err)
	}
}

// pass lets the virtual time of synctest pass.
func (s *stage) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want compares the names of the files that runs were started for.
func (s *stage) want(names ...string) {
	s.t.Helper()
	runs, err := s.engine.Runs(context.Background(), workflow.RunFilter{Workflow: "w"})
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, summary := range runs {
		run, err := s.engine.Run(context.Background(), summary.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		info, err := run.Info(context.Background())
		if err != nil {
			s.t.Fatal(err)
		}
		got = append(got, info.Start.Inputs["name"])
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		s.t.Errorf("runs for %q, want %q", got, names)
	}
}

// Req W3: a file starts one run when it is complete, another when it has changed,
// and none after a restart.
func TestFolder(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		s.write("before.csv", "1")
		if err := s.put(map[string]any{"folder": filepath.Base(s.folder), "pattern": "*.csv"}); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Second)
		s.want()
		for range 5 { // it grows
			s.write("a.csv", strings.Repeat("x", int(time.Now().Unix()%100)))
			s.pass(4 * time.Second)
		}
		s.write("b.txt", "1")
		s.write(".hidden.csv", "1")
		s.write("below/c.csv", "1")
		s.pass(20 * time.Second)
		s.want("before.csv", "a.csv")
		s.close()
		s.open()
		s.pass(20 * time.Second)
		s.want("before.csv", "a.csv")
		s.write("a.csv", "changed")
		s.pass(20 * time.Second)
		s.want("before.csv", "a.csv", "a.csv")
		if err := os.Remove(filepath.Join(s.folder, "a.csv")); err != nil {
			t.Fatal(err)
		}
		s.pass(20 * time.Second)
		s.want("before.csv", "a.csv", "a.csv")
		if info, err := s.engine.Trigger(context.Background(), "in"); err != nil || !info.Listens || info.Counts.Started != 1 || info.Counts.Repeated != 2 {
			t.Errorf("%+v, %v", info, err)
		}
	})
}

// Req W3: by content, a copy is no other file; folders below count by wish, old
// files do not.
func TestContent(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		s.write("old", "old")
		s.pass(time.Hour)
		if err := s.put(map[string]any{"folder": s.folder, "identity": "content", "recursive": true, "max_age": "10m", "stable": "1s", "every": "1s"}); err != nil {
			t.Fatal(err)
		}
		s.write("a", "same")
		s.pass(4 * time.Second)
		s.write("below/b", "same")
		s.write("below/c", "another")
		s.pass(4 * time.Second)
		s.want("a", "c")
	})
}

// Req W3: a folder that is away is looked for again.
func TestFolderAway(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		s.folder = filepath.Join(s.folder, "later")
		if err := s.put(map[string]any{"folder": s.folder}); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Second)
		if info, err := s.engine.Trigger(context.Background(), "in"); err != nil || info.Listens || !strings.Contains(info.Error, "later") {
			t.Errorf("%+v, %v", info, err)
		}
		s.write("a", "1")
		s.pass(2 * time.Minute)
		s.want("a")
	})
}

// Req W3: mistakes of a configuration.
func TestConfig(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		for want, with := range map[string]map[string]any{
			"the required key \"folder\" is missing":         {},
			"with.folder: it is empty":                       {"folder": ""},
			"with.pattern: it is no pattern":                 {"folder": "x", "pattern": "[a"},
			"with.pattern: a pattern is compared with names": {"folder": "x", "pattern": "a/*.csv"},
			"with.every: 1ms is too short":                   {"folder": "x", "every": "1ms"},
			"with.stable: -1s is no time":                    {"folder": "x", "stable": "-1s"},
			"with.max_age: -1s is no time":                   {"folder": "x", "max_age": "-1s"},
			`did you mean "content"?`:                        {"folder": "x", "identity": "contents"},
		} {
			if err := s.put(with); fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q", with, err, want)
			}
		}
	})
}
