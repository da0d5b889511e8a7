package workflow

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

type fileConfig struct {
	Path string `yaml:"path" doc:"File to read."`
}

// fileRegistry has a source whose only column is called what its file says,
// found out when the definition is checked and again when it runs.
func fileRegistry(seen *[]string) *Registry {
	r := (&lab{}).registry()
	r.Add(SourceType[fileConfig]{Name: "source.file", Doc: "Reads a file.", Plan: func(c *Check, config fileConfig) SourcePlan {
		f, ok := c.Open("path", config.Path)
		if !ok {
			return SourcePlan{}
		}
		name, _ := io.ReadAll(f)
		_ = f.Close()
		schema, _ := c.Schema("path", Column{Name: string(name), Kind: KindInt})
		return SourcePlan{Schema: schema, New: func(env *Env) (Source, error) {
			again, err := env.Open(config.Path)
			if err != nil {
				return nil, err
			}
			*seen = append(*seen, env.Node, string(name), env.OutputPath("sub/../x"), env.OutputPath("/y/../z"), env.RunID)
			return &rowSource{lab: &lab{}, node: env.Node, schema: schema}, again.Close()
		}}
	}})
	return r
}

const fileText = `
name: files
nodes:
  - {id: in, type: source.file, with: {path: %}}
  - {id: out, type: sum, from: in, with: {column: header}}
  - {id: last, type: sink.memory, from: out}
`

// Req W1: what a definition reads stands beside it, in the operating system or
// in the program; what it writes stands in the output directory.
func TestFilesOfADefinition(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := strings.Replace(fileText, "%", "data.txt", 1)
	for name, content := range map[string]string{"w.yaml": text, "data.txt": "header", "abs.yaml": strings.Replace(fileText, "%", filepath.Join(dir, "data.txt"), 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	embedded := fstest.MapFS{"sub/w.yaml": {Data: []byte(text)}, "sub/data.txt": {Data: []byte("header")}}
	for name, load := range map[string]func(LoadOptions) (*Definition, error){
		"file":     func(o LoadOptions) (*Definition, error) { return LoadFile(filepath.Join(dir, "w.yaml"), o) },
		"absolute": func(o LoadOptions) (*Definition, error) { return LoadFile(filepath.Join(dir, "abs.yaml"), o) },
		"embedded": func(o LoadOptions) (*Definition, error) { return LoadFS(embedded, "sub/w.yaml", o) },
	} {
		var seen []string
		d, err := load(LoadOptions{Registry: fileRegistry(&seen)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		r, err := startFlowRun(t.Context(), sys, d, flowOptions{OutputDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Wait(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := strings.Join([]string{"in", "header", filepath.Join(dir, "x"), "/z", r.options.RunID}, " ")
		if got := strings.Join(seen, " "); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if r.definition != d {
			t.Errorf("%s: the run has another definition", name)
		}
		if err := sys.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	_, err := LoadFS(embedded, "sub/w.yaml", LoadOptions{Registry: fileRegistry(new([]string))})
	if err != nil {
		t.Error(err)
	}
	delete(embedded, "sub/data.txt")
	_, err = LoadFS(embedded, "sub/w.yaml", LoadOptions{Registry: fileRegistry(new([]string))})
	if err == nil || err.Error() != `sub/w.yaml:4:46: nodes[0].with.path: cannot open "data.txt": no such file` {
		t.Errorf("got %v", err)
	}
}

// A file that vanishes between the check and the run fails the run.
func TestFileVanishes(t *testing.T) {
	t.Parallel()
	embedded := fstest.MapFS{"w.yaml": {Data: []byte(strings.Replace(fileText, "%", "data.txt", 1))}, "data.txt": {Data: []byte("header")}}
	d, err := LoadFS(embedded, "w.yaml", LoadOptions{Registry: fileRegistry(new([]string))})
	if err != nil {
		t.Fatal(err)
	}
	delete(embedded, "data.txt")
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	r, err := startFlowRun(t.Context(), sys, d, flowOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Wait(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := sys.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A run has the deadline of its context.
func TestDeadline(t *testing.T) {
	t.Parallel()
	l := &lab{write: func(ctx context.Context, _ string, _ Batch) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	synctest.Test(t, func(t *testing.T) {
		d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(100, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
		r, err := startFlowRun(ctx, sys, d, flowOptions{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = r.Wait(context.Background())
		if took := time.Since(began); fault.CodeOf(err) != fault.DeadlineExceeded || took != time.Minute {
			t.Errorf("ended after %s: %v", took, err)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Wait gives up with its own context; the run goes on.
func TestWaitGivesUp(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	l := &lab{write: func(context.Context, string, Batch) error { <-gate; return nil }}
	d, err := LoadFS(fstest.MapFS{"w.yaml": {Data: []byte(line(100, ""))}}, "w.yaml", LoadOptions{Registry: l.registry()})
	if err != nil {
		t.Fatal(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	r, err := startFlowRun(t.Context(), sys, d, flowOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if info, err := r.Wait(ctx); !errors.Is(err, context.Canceled) || info.State != StateRunning {
		t.Errorf("%s: %v", info.State, err)
	}
	close(gate)
	<-r.done
	if info, err := r.Wait(t.Context()); err != nil || info.RowsOut() != 100 {
		t.Errorf("%d rows: %v", info.RowsOut(), err)
	}
	if err := sys.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCutRaw(t *testing.T) {
	t.Parallel()
	if got := cutRaw("short"); got != "short" {
		t.Errorf("got %q", got)
	}
	long := strings.Repeat("é", RejectRawMax)
	if got := cutRaw("a" + long); got != "a"+long[:RejectRawMax-2]+"…" {
		t.Errorf("a text of %d bytes is cut to %d", len(long)+1, len(got))
	}
}
