package file_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// start starts a run that watches the folder with these settings.
func (s *stage) start(with string) *workflow.Run {
	s.t.Helper()
	ctx := context.Background()
	err := s.deploy(fmt.Sprintf("folder: %q, %s", s.folder, with))
	if err != nil {
		s.t.Fatal(err)
	}
	run, err := s.engine.Start(ctx, "watch", workflow.StartOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return run
}

// deploy deploys a workflow with a source of these settings.
func (s *stage) deploy(with string) error {
	s.t.Helper()
	text := "name: watch\nnodes:\n  - {id: in, type: source.watch, with: {" + with + "}}\n  - {id: out, type: sink.memory, from: in, with: {name: out}}\n"
	d, err := workflow.LoadText("watch.yaml", filepath.Dir(s.folder), []byte(text), workflow.LoadOptions{Registry: s.types, Open: true})
	if err == nil {
		_, err = s.engine.Deploy(context.Background(), d, "")
	}
	return err
}

// wantRows compares the names of the files that completed runs have put out.
func (s *stage) wantRows(want string) {
	s.t.Helper()
	var got []string
	for _, row := range s.rows.Rows("out") {
		got = append(got, row[1].String())
	}
	if got := strings.Join(got, ","); got != want {
		s.t.Errorf("got %q, want %q", got, want)
	}
}

// ends waits for the end of a run.
func (s *stage) ends(run *workflow.Run) workflow.RunInfo {
	s.t.Helper()
	info, err := run.Wait(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

func (s *stage) remove(name string) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.folder, name)); err != nil {
		s.t.Fatal(err)
	}
}

// Req W2: each file is a row when it is complete, and once more when it has changed;
// the run ends when nothing has come for a while.
func TestWatch(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		s.write("before.csv", "12345")
		began := time.Now()
		run := s.start("pattern: '*.csv', idle: 30s, digest: true")
		for range 5 { // it grows, and nothing is passed on meanwhile
			s.write("a.csv", strings.Repeat("x", int(time.Now().Unix()%100)))
			s.pass(4 * time.Second)
		}
		s.write("b.txt", "1")
		s.write(".hidden.csv", "1")
		s.write("below/c.csv", "1")
		s.pass(20 * time.Second)
		s.write("before.csv", "changed")
		info := s.ends(run)
		s.wantRows("before.csv,a.csv,before.csv")
		if took := time.Since(began); took < 70*time.Second || took > 2*time.Minute || info.RowsIn() != 3 {
			t.Errorf("%d rows after %v", info.RowsIn(), took)
		}
		row := s.rows.Rows("out")[0]
		if row[0].String() != filepath.Join(s.folder, "before.csv") || row[2].String() != "5" || row[3].String() != began.UTC().Format(time.RFC3339) ||
			row[4].String() != "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5" {
			t.Errorf("the row is %v, want the time %v", row, began.UTC())
		}
	})
}

// Req W2: a run ends by the number of files, by time, and when it is told so.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		for i := range 7 {
			s.write(fmt.Sprint(i), "x")
		}
		s.ends(s.start("max_files: 3"))
		s.wantRows("0,1,2")
		began := time.Now()
		s.ends(s.start("pattern: none, for: 1m"))
		if took := time.Since(began); took < time.Minute || took > 70*time.Second {
			t.Errorf("it took %v", took)
		}
		run := s.start("pattern: '[56]'")
		s.pass(time.Hour)
		signal := workflow.RowsSignal("in", nil)
		if err := run.Signal(context.Background(), signal, []byte(`{"files": [{"path": "/etc/x"}]}`), ""); fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), "takes no rows, but its end alone") {
			t.Errorf("rows from outside: %v", err)
		}
		for range 2 {
			if err := run.Signal(context.Background(), signal, nil, "end"); err != nil {
				t.Fatal(err)
			}
		}
		s.ends(run)
		s.wantRows("0,1,2,5,6")
	})
}

// Req W4: a run that goes on after a crash has the files that it had, though they
// are gone, and those that came since; the time it was given counts from its begin.
func TestWatchGoesOn(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		began := time.Now()
		s.write("a", "1")
		s.write("b", "1")
		run := s.start("for: 2m")
		s.pass(time.Minute)
		s.close()
		s.remove("a")
		s.write("c", "1")
		s.open()
		run, err := s.engine.Run(context.Background(), run.ID())
		if err != nil {
			t.Fatal(err)
		}
		s.ends(run)
		s.wantRows("a,b,c")
		if took := time.Since(began); took > 2*time.Minute+10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Req W2: what a run that has completed took up is not there for the next one; a run
// that fails leaves it.
func TestWatchRemembers(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		const with = "idle: 10s, remember: true"
		s.write("a", "1")
		s.write("b", "1")
		s.ends(s.start(with))
		s.write("b", "22")
		s.write("c", "1")
		run := s.start("remember: true")
		s.pass(time.Minute)
		if err := run.Cancel(context.Background(), "for a test"); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Minute)
		s.wantRows("a,b")
		s.close()
		s.open()
		s.ends(s.start(with))
		s.wantRows("a,b,b,c")
		s.ends(s.start("idle: 10s"))
		s.wantRows("a,b,b,c,a,b,c")
		// By content, a copy is no other file, wherever it is.
		s.ends(s.start("identity: content, recursive: true, " + with))
		s.wantRows("a,b,b,c,a,b,c,a,b")
		s.write("below/d", "1")
		s.write("below/e", "333")
		s.remove("a")
		s.ends(s.start("identity: content, recursive: true, " + with))
		s.wantRows("a,b,b,c,a,b,c,a,b,e")
		if _, err := s.engine.DeleteWorkflow(context.Background(), "watch", workflow.DeleteOptions{Prune: true}); err != nil {
			t.Fatal(err)
		}
		s.ends(s.start(with))
		s.wantRows("a,b,b,c,a,b,c,a,b,e,b,c")
	})
}

// A folder that goes away is waited for, one that is not there at first is an error;
// a file whose name is not UTF-8 is set aside.
func TestWatchTrouble(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		s.write("a", "1")
		s.write("bad-\xff", "1")
		run := s.start("idle: 20s")
		s.pass(12 * time.Second)
		away := s.folder + "-away"
		if err := os.Rename(s.folder, away); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Hour)
		if err := os.Rename(away, s.folder); err != nil {
			t.Fatal(err)
		}
		info := s.ends(run)
		s.wantRows("a")
		if len(info.Rejects) != 1 || info.Rejects[0].Reason != "the name of the file is not UTF-8" || !strings.Contains(info.Rejects[0].Raw, `bad-\xff`) {
			t.Errorf("set aside are %+v", info.Rejects)
		}
		s.folder = filepath.Join(s.folder, "a")
		for _, want := range []fault.Code{fault.InvalidArgument, fault.NotFound} {
			if _, err := s.start("idle: 20s").Wait(context.Background()); fault.CodeOf(err) != want || !strings.Contains(err.Error(), s.folder) {
				t.Errorf("%s: %v, want %v", s.folder, err, want)
			}
			s.folder = filepath.Join(filepath.Dir(s.folder), "nothing")
		}
	})
}

// Req W1: mistakes of a configuration.
func TestWatchMistakes(t *testing.T) {
	t.Parallel()
	inStage(t, func(t *testing.T, s *stage) {
		for want, with := range map[string]string{
			`the required key "folder" is missing`:         "idle: 1s",
			"folder: it is empty":                          "folder: ''",
			"pattern: it is no pattern":                    "folder: ., pattern: '[a'",
			"max_files: -1 is out of range; expected 1 to": "folder: ., max_files: -1",
			"idle: -1s is no time":                         "folder: ., idle: -1s",
			"for: -1s is no time":                          "folder: ., for: -1s",
			`did you mean "stat"?`:                         "folder: ., identity: stats",
		} {
			if err := s.deploy(with); fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", with, err, want)
			}
		}
	})
}
