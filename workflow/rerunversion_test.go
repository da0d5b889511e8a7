package workflow

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// Req W10: a run of version 1 has failed, and version 2 is deployed. A rerun on the
// old version does what that says, one on the new version what that does; a retry
// from the failed node stays with the version that the run began with.
func TestRerunOnOldAndNewVersion(t *testing.T) {
	t.Parallel()
	broken := true
	s := newStage(t, func(_ context.Context, _ *Task, text string) (json.RawMessage, error) {
		if text == "work of 1" && broken {
			return nil, fault.New(fault.InvalidArgument, "test", "it must fail")
		}
		return json.Marshal(text)
	})
	const text = "name: w\noutput: steps.last.output\nnodes:\n  - {id: first, type: task.play, with: {text: begin of N}}\n" +
		"  - {id: work, type: task.play, after: first, with: {text: work of N}}\n  - {id: last, type: task.play, after: work, with: {text: end of N}}\n"
	failed := s.start(strings.ReplaceAll(text, "N", "1"), StartOptions{})
	if info, err := s.wait(failed); err == nil || info.State != StateFailed {
		t.Fatalf("%s, %v", info.State, err)
	}
	second := s.deploy(strings.ReplaceAll(text, "N", "2"))
	ctx := context.Background()

	for _, c := range []struct {
		options RerunOptions
		version int64
		output  string // empty: it fails as before
		calls   string
	}{
		{RerunOptions{}, 1, "", "first/0,work/0"},
		{RerunOptions{Version: 1, From: "work"}, 1, "", "work/0"},
		{RerunOptions{Version: second.Version}, 2, `"end of 2"`, "first/0,work/0,last/0"},
		{RerunOptions{Version: second.Version, From: "work"}, 2, `"end of 2"`, "work/0,last/0"},
	} {
		s.mu.Lock()
		s.calls = nil
		s.mu.Unlock()
		again, err := failed.Rerun(ctx, c.options)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.wait(again)
		if (err == nil) != (c.output != "") || string(info.Output) != c.output || info.Start.Version != c.version || info.Start.RerunOf != failed.ID() {
			t.Errorf("%+v: %s of version %d, %v", c.options, info.Output, info.Start.Version, err)
		}
		if got := strings.Join(s.calls, ","); got != c.calls {
			t.Errorf("%+v: called %s, want %s", c.options, got, c.calls)
		}
	}

	s.mu.Lock()
	s.calls, broken = nil, false
	s.mu.Unlock()
	if err := failed.Retry(ctx); err != nil {
		t.Fatal(err)
	}
	info, err := s.wait(failed)
	if err != nil || string(info.Output) != `"end of 1"` || info.Start.Version != 1 {
		t.Errorf("retried: %s of version %d, %v", info.Output, info.Start.Version, err)
	}
	if got := strings.Join(s.calls, ","); got != "work/0,last/0" {
		t.Errorf("retried: called %s", got)
	}
}
