package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/bench/internal/measure"
	"github.com/troupe-dev/troupe/bench/internal/systems"
	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// asChild makes the test binary behave as the command, so that the driver can
// be tested with real child processes.
const asChild = "TROUPE_BENCH_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// execute runs the command and returns its exit code and both outputs.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestQuickRunsEverythingInChildProcesses(t *testing.T) {
	t.Setenv(asChild, "1")
	code, out, errs := execute(t, "-quick", "-o", "json")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	var rep report
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatal(err)
	}
	if want := len(workload.Names()) * len(systems.All()); len(rep.Samples) != want {
		t.Errorf("%d measurements, want %d", len(rep.Samples), want)
	}
	if len(rep.Rows) != 0 {
		t.Error("a quick run judged times")
	}
}

func TestFullRunPrintsATable(t *testing.T) {
	t.Setenv(asChild, "1")
	code, out, errs := execute(t, "-rounds", "2", "-seconds", "0.01", "-workloads", "L1,L4a", "-systems", "channel,mpsc")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{"| L1 tell 1→1 | messages/s |", "| L4a ask, one asker | p50 |", "go1.", "2 rounds of 0.01 s"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	// The second round starts with the second system.
	var order []string
	for line := range strings.SplitSeq(errs, "\n") {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == "L1" {
			order = append(order, fields[2])
		}
	}
	if want := []string{"channel", "mpsc", "mpsc", "channel"}; !slices.Equal(order, want) {
		t.Errorf("L1 ran on %v, want %v", order, want)
	}
}

func TestMistakesInFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-workloads", "L1,L7"}, `workload "L7" does not exist; the workloads are L1,L2`},
		{[]string{"-systems", "chanel"}, `system "chanel" does not exist`},
		{[]string{"-rounds", "0"}, "-rounds 0 is out of range"},
		{[]string{"-seconds", "0"}, "-seconds 0 is out of range"},
		{[]string{"-wait", "-1s"}, "-wait -1s is negative"},
		{[]string{"-quick", "-write", "x.md"}, "-quick measures nothing"},
		{[]string{"-o", "yaml"}, "-o yaml is not an output"},
		{[]string{"-child", "-system", "channel"}, `workload "" does not exist`},
		{[]string{"L1"}, `argument "L1" is not expected`},
	} {
		code, out, errs := execute(t, c.args...)
		if code != exitUsage || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%v: code %d, stdout %q, stderr %q; want code %d and %q", c.args, code, out, errs, exitUsage, c.want)
		}
	}
}

// samplesOf are rounds of one figure of a system, measured on a quiet machine.
func samplesOf(w workload.Name, system string, metric workload.Metric, values ...float64) (ms []measurement) {
	for i, v := range values {
		ms = append(ms, measurement{Round: i + 1, sample: sample{Result: workload.Result{
			Workload: w, System: system, Values: map[workload.Metric]float64{metric: v},
		}}})
	}
	return ms
}

func reportOf(samples ...[]measurement) *report {
	r := newReport(options{rounds: 5, systems: []string{"channel", "troupe"}, workloads: workload.Names()})
	for _, ms := range samples {
		for _, m := range ms {
			r.add(m)
		}
	}
	r.finish()
	return r
}

func TestReportJudgesMediansAgainstTheReference(t *testing.T) {
	t.Parallel()
	r := reportOf(
		samplesOf(workload.Tell1, "channel", workload.PerSecond, 10e6, 30e6, 20e6),
		samplesOf(workload.Tell1, "troupe", workload.PerSecond, 25e6, 24e6, 1e6),
		samplesOf(workload.Tell8, "channel", workload.PerSecond, 20e6, 20e6, 20e6),
		samplesOf(workload.Tell8, "troupe", workload.PerSecond, 19e6, 19e6, 30e6),
		samplesOf(workload.SpawnMemory, "troupe", workload.IdleBytes, 450, 450, 450),
	)
	if len(r.Rows) != 3 {
		t.Fatalf("%d rows, want 3", len(r.Rows))
	}
	first := r.Rows[0]
	if first.Ratio != 1.2 || !*first.Met {
		t.Errorf("L1: ratio %v, met %v; want 1.2 and met", first.Ratio, *first.Met)
	}
	want := measure.Summary{Median: 24e6, Min: 1e6, Max: 25e6, N: 3}
	if got := first.Cells["troupe"].Summary; got != want {
		t.Errorf("L1: %+v, want %+v", got, want)
	}
	if *r.Rows[1].Met || r.missed() != 1 {
		t.Errorf("L2 at 0.95 counts as met, %d missed in all", r.missed())
	}
	if !*r.Rows[2].Met {
		t.Error("a bound that is reached exactly counts as missed")
	}
	var b bytes.Buffer
	if err := r.writeMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	if want := "targets were set: L1 0.77, L2 0.70.\n"; !strings.Contains(b.String(), want) {
		t.Errorf("the header lacks %q:\n%s", want, b.String())
	}
	line := "| L1 tell 1→1 | messages/s | 20.0 M (10.0 M – 30.0 M) | 24.0 M (1.00 M – 25.0 M) | 1.20 | ≥ 1.2 × channel | met |"
	if !strings.Contains(b.String(), line) {
		t.Errorf("the table lacks\n%s\nin\n%s", line, b.String())
	}
}

func TestReportPrefersQuietMeasurements(t *testing.T) {
	t.Parallel()
	quiet := samplesOf(workload.Tell1, "channel", workload.PerSecond, 20, 21, 22)
	noisy := samplesOf(workload.Tell1, "channel", workload.PerSecond, 5, 6)
	for i := range noisy {
		noisy[i].Foreign = 0.5
	}
	if c := reportOf(quiet, noisy).Rows[0].Cells["channel"]; c.Median != 21 || c.Noisy {
		t.Errorf("with three quiet ones: %+v, want the median of those, 21", c)
	}
	if c := reportOf(quiet[:2], noisy).Rows[0].Cells["channel"]; c.Median != 13 || !c.Noisy {
		t.Errorf("with two quiet ones: %+v, want the median of all, 13, marked noisy", c)
	}
}

func TestReportLeavesOutFailures(t *testing.T) {
	t.Parallel()
	good := samplesOf(workload.Tell1, "channel", workload.PerSecond, 20)
	bad := samplesOf(workload.Tell1, "channel", workload.PerSecond, 99)
	bad[0].Error = "L1 on channel: 5 messages sent, 4 handled"
	r := reportOf(good, bad)
	if got := r.Rows[0].Cells["channel"].Median; got != 20 {
		t.Errorf("median %v, want 20", got)
	}
	if len(r.Failures) != 1 {
		t.Errorf("failures %v", r.Failures)
	}
	var b bytes.Buffer
	if err := r.writeMarkdown(&b); err != nil || !strings.Contains(b.String(), "FAILED: L1 on channel: 5 messages sent, 4 handled") {
		t.Errorf("error %v, output\n%s", err, b.String())
	}
}

// Every target must belong to a figure that is printed, or it would never be
// judged.
func TestEveryTargetIsAFigureOfTheTable(t *testing.T) {
	t.Parallel()
	for _, g := range targets {
		if !slices.Contains(metricsOf(g.workload), g.metric) {
			t.Errorf("%s %s is not in the table", g.workload, g.metric)
		}
	}
}

func TestTargetText(t *testing.T) {
	t.Parallel()
	var got []string
	for _, g := range targets {
		got = append(got, g.String())
	}
	want := []string{
		"≥ 1.2 × channel", "≤ 0.00", "≥ 1.0 × channel", "≥ 1.0 × channel", "≤ 60 ns", "≥ 12.0 M", "≤ 0.00",
		"≥ 2.00 M", "≥ 1.50 M", "≤ 450 B", "≤ 800 B", "≤ 4.00 µs", "≤ 100 µs",
	}
	if !slices.Equal(got, want) {
		t.Errorf("targets read\n%q, want\n%q", got, want)
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		metric workload.Metric
		v      float64
		want   string
	}{
		{workload.PerSecond, 26_012_345, "26.0 M"}, {workload.PerSecond, 664_000, "664 k"}, {workload.PerSecond, 1.09e6, "1.09 M"},
		{workload.PerSecond, 12, "12"}, {workload.P50, 13.4, "13 ns"}, {workload.P50, 4.25, "4.25 ns"}, {workload.P50, 1402, "1.40 µs"},
		{workload.P99, 3.6e6, "3.60 ms"}, {workload.P99, 2.5e12, "2500 s"}, {workload.IdleBytes, 974, "974 B"},
		{workload.IdleBytes, 2340, "2.34 kB"}, {workload.AllocsPerOp, 0.004, "0.00"}, {workload.AllocsPerOp, 13.2, "13"},
	} {
		if got := format(c.metric, c.v); got != c.want {
			t.Errorf("format(%s, %v) = %q, want %q", c.metric, c.v, got, c.want)
		}
	}
}

func TestForeignShare(t *testing.T) {
	t.Parallel()
	before, ok := parseCPUTime("cpu  100 0 50 1000 10 0 0 5 0 0\ncpu0 1 2 3\n")
	if !ok || before != (cpuTime{busy: 155, total: 1165}) {
		t.Fatalf("parsed %+v, %v", before, ok)
	}
	// Of 200 ticks 120 were busy; the child used half of the machine.
	after := cpuTime{busy: before.busy + 120, total: before.total + 200}
	if got := foreignShare(before, after, 1, 1, 2); math.Abs(got-0.1) > 1e-9 {
		t.Errorf("share %v, want 0.1", got)
	}
	if got := foreignShare(before, after, 1, 2, 2); got != 0 {
		t.Errorf("share %v, want 0: more than all of it was the child's", got)
	}
	if got := foreignShare(before, before, 1, 1, 2); got != 0 {
		t.Errorf("share %v without a tick, want 0", got)
	}
	for _, bad := range []string{"", "cpu 1 2", "cpux 1 2 3 4 5 6 7 8", "cpu a b c d e f g h"} {
		if _, ok := parseCPUTime(bad); ok {
			t.Errorf("%q was parsed", bad)
		}
	}
}

// The kernel's text may be anything; sums beyond 64 bits are its own affair.
func FuzzParseCPUTime(f *testing.F) {
	for _, seed := range []string{"cpu  1 2 3 4 5 6 7 8 9 10\n", "cpu", "cpu  -1 2 3 4 5 6 7 8", "intr 1\ncpu 1 2 3 4 5 6 7 8", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stat string) {
		got, ok := parseCPUTime(stat)
		if !ok && got != (cpuTime{}) {
			t.Errorf("%q was refused and gave %+v", stat, got)
		}
		if ok && len(stat) < 100 && got.busy > got.total {
			t.Errorf("%q: busy %d of %d", stat, got.busy, got.total)
		}
	})
}

func TestTableGoesIntoTheDocument(t *testing.T) {
	t.Setenv(asChild, "1")
	name := filepath.Join(t.TempDir(), "figures.md")
	args := []string{"-rounds", "1", "-seconds", "0.01", "-workloads", "L1", "-systems", "channel", "-write", name}

	if code, _, errs := execute(t, args...); code != exitFailed || !strings.Contains(errs, "read the document") {
		t.Errorf("without the file: code %d, %q", code, errs)
	}
	if err := os.WriteFile(name, []byte("# Figures\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := execute(t, args...); code != exitFailed || !strings.Contains(errs, "no place for the table") {
		t.Errorf("without markers: code %d, %q", code, errs)
	}
	before, after := "# Figures\n\n"+tableBegins, tableEnds+"\nThe end.\n"
	if err := os.WriteFile(name, []byte(before+"old\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := execute(t, args...); code != exitOK {
		t.Fatalf("code %d, %q", code, errs)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	if !strings.HasPrefix(text, before) || !strings.HasSuffix(text, after) || strings.Contains(text, "old") ||
		!strings.Contains(text, "| L1 tell 1→1 |") {
		t.Errorf("the document is now\n%s", text)
	}
}
