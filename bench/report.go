package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/measure"
	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// A measurement is quiet while others used at most quietShare of the machine.
// A figure rests on quiet measurements alone where at least enoughQuiet of them
// exist, and on all, marked, where not.
const (
	quietShare  = 0.05
	enoughQuiet = 3
)

// report is everything one run found out.
type report struct {
	Date     time.Time     `json:"date"`
	Machine  machine       `json:"machine"`
	Command  string        `json:"command"`
	Rounds   int           `json:"rounds"`
	Seconds  float64       `json:"seconds"` // of one measurement
	Quick    bool          `json:"quick"`
	Rows     []row         `json:"rows"`
	Failures []string      `json:"failures"`
	Samples  []measurement `json:"samples"`

	systems   []string
	workloads []workload.Name
}

// row is one quantity of one workload on every system.
type row struct {
	Workload workload.Name   `json:"workload"`
	Metric   workload.Metric `json:"metric"`
	Cells    map[string]cell `json:"cells"`           // by system
	Ratio    float64         `json:"ratio,omitempty"` // subject to reference; 0 where one is missing
	Target   string          `json:"target,omitempty"`
	Met      *bool           `json:"met,omitempty"` // nil: nothing to judge
}

// cell is a quantity of one system over all rounds.
type cell struct {
	measure.Summary
	Noisy bool `json:"noisy"` // rests on measurements during which others used the machine
}

func newReport(opts options) *report {
	return &report{
		Date: time.Now().UTC(), Machine: describe(), Command: command(os.Args[1:]),
		Rounds: opts.rounds, Seconds: opts.duration.Seconds(), Quick: opts.quick,
		Failures: []string{}, systems: opts.systems, workloads: opts.workloads,
	}
}

// command is how this run can be repeated from the folder bench.
func command(args []string) string {
	return strings.Join(append([]string{"go run ."}, args...), " ")
}

func (r *report) add(m measurement) {
	r.Samples = append(r.Samples, m)
	if m.Error != "" {
		r.Failures = append(r.Failures, m.Error)
	}
}

// finish computes the rows; a quick run has none, its times mean nothing.
func (r *report) finish() {
	if r.Quick {
		return
	}
	for _, w := range r.workloads {
		for _, metric := range metricsOf(w) {
			if one := r.row(w, metric); len(one.Cells) > 0 {
				r.Rows = append(r.Rows, one)
			}
		}
	}
}

func (r *report) row(w workload.Name, metric workload.Metric) row {
	one := row{Workload: w, Metric: metric, Cells: map[string]cell{}}
	for _, system := range r.systems {
		if c := r.cell(w, metric, system); c.N > 0 {
			one.Cells[system] = c
		}
	}
	ours, haveOurs := one.Cells[subject]
	theirs, haveTheirs := one.Cells[reference]
	if haveOurs && haveTheirs && theirs.Median > 0 {
		one.Ratio = ours.Median / theirs.Median
	}
	if t, ok := targetOf(w, metric); ok {
		one.Target = t.String()
		if haveOurs && (haveTheirs || !t.relative) {
			met := t.met(ours.Median, theirs.Median)
			one.Met = &met
		}
	}
	return one
}

func (r *report) cell(w workload.Name, metric workload.Metric, system string) cell {
	var all, quiet []float64
	for _, m := range r.Samples {
		v, ok := m.Values[metric]
		if m.Workload != w || m.System != system || !ok || m.Error != "" {
			continue
		}
		all = append(all, v)
		if m.Foreign <= quietShare {
			quiet = append(quiet, v)
		}
	}
	if len(quiet) >= enoughQuiet {
		return cell{Summary: measure.Summarize(quiet)}
	}
	return cell{Summary: measure.Summarize(all), Noisy: len(quiet) < len(all)}
}

func (r *report) missed() (n int) {
	for _, one := range r.Rows {
		if one.Met != nil && !*one.Met {
			n++
		}
	}
	return n
}

func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r *report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	if r.Quick {
		r.quickSummary(&b)
	} else {
		r.header(&b)
		r.table(&b)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "\nFAILED: %s\n", f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *report) quickSummary(b *strings.Builder) {
	var ops uint64
	measured := 0
	for _, m := range r.Samples {
		if m.Error == "" && !m.NotApplicable {
			measured++
			ops += m.Ops
		}
	}
	fmt.Fprintf(b, "%d measurements, %d operations: each counted once and in order at its receiver; %d failed\n",
		measured, ops, len(r.Failures))
}

func (r *report) header(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "`%s` on %s: %s, %d cores, %s/%s, %s. %s of %g s, each measurement in a fresh process.\n",
		r.Command, r.Date.Format(time.DateOnly), m.CPU, m.Cores, m.OS, m.Arch, m.Go, plural(r.Rounds, "round"), r.Seconds)
	fmt.Fprintf(b, "Median (min – max)")
	if noisy, all := r.noise(); noisy > 0 {
		fmt.Fprintf(b, "; others used more than %.0f %% of the machine during %d of %d measurements, and a figure marked ~ rests on such",
			100*quietShare, noisy, all)
	}
	b.WriteString(".\n")
	if parts := r.besideHome(); len(parts) > 0 {
		fmt.Fprintf(b, "Here a plain channel reaches this share of what it reached where the absolute targets were set: %s.\n",
			strings.Join(parts, ", "))
	}
	b.WriteByte('\n')
}

// besideHome compares the reference's figures with those of the machine where
// the absolute targets were set.
func (r *report) besideHome() (parts []string) {
	for _, one := range r.Rows {
		c, measured := one.Cells[reference]
		if there, known := home[one.Workload]; measured && known && one.Metric == workload.PerSecond {
			parts = append(parts, fmt.Sprintf("%s %.2f", one.Workload, c.Median/there))
		}
	}
	return parts
}

func (r *report) noise() (noisy, all int) {
	for _, m := range r.Samples {
		if m.NotApplicable {
			continue
		}
		all++
		if m.Foreign > quietShare {
			noisy++
		}
	}
	return noisy, all
}

func (r *report) table(b *strings.Builder) {
	judged := slices.Contains(r.systems, subject)
	head := append([]string{"workload", "figure"}, r.systems...)
	if judged {
		head = append(head, subject+" ÷ "+reference, "must reach", "")
	}
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	var last workload.Name
	for _, one := range r.Rows {
		name := ""
		if one.Workload != last {
			name, last = string(one.Workload)+" "+one.Workload.About(), one.Workload
		}
		line := []string{name, label(one.Workload, one.Metric)}
		for _, system := range r.systems {
			line = append(line, one.text(system))
		}
		if judged {
			line = append(line, one.ratioText(), orDash(one.Target), one.verdict())
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(line, " | "))
	}
}

func (one row) text(system string) string {
	c, ok := one.Cells[system]
	if !ok {
		return "–"
	}
	mark := ""
	if c.Noisy {
		mark = "~"
	}
	text := mark + format(one.Metric, c.Median)
	if low, high := format(one.Metric, c.Min), format(one.Metric, c.Max); low != high {
		text += fmt.Sprintf(" (%s – %s)", low, high)
	}
	return text
}

func (one row) ratioText() string {
	if one.Ratio == 0 || one.Metric == workload.AllocsPerOp || one.Metric == workload.BytesPerOp {
		return "–" // a multiple of nearly nothing
	}
	return fmt.Sprintf("%.2f", one.Ratio)
}

func (one row) verdict() string {
	switch {
	case one.Met == nil:
		return ""
	case *one.Met:
		return "met"
	}
	return "**not met**"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
