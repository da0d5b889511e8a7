package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// measurement is one child's sample and when it was taken.
type measurement struct {
	Round   int     `json:"round"`
	Foreign float64 `json:"foreign"` // share of the machine others used meanwhile, 0 to 1
	sample
}

// drive measures everything, one child process at a time. Within a round the
// systems take turns on each workload, so that a slow minute hits them all, and
// each round starts with another system.
func drive(ctx context.Context, opts options, progress io.Writer) (*report, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program to start it as a child: %w", err)
	}
	rep := newReport(opts)
	for round := range opts.rounds {
		for _, w := range opts.workloads {
			for i := range opts.systems {
				system := opts.systems[(i+round)%len(opts.systems)]
				awaitQuiet(ctx, opts.wait)
				m, err := measureChild(ctx, self, opts, w, system)
				if ctx.Err() != nil {
					return nil, fmt.Errorf("interrupted in round %d of %d", round+1, opts.rounds)
				}
				if err != nil {
					m.Error = err.Error()
				}
				m.Round = round + 1
				rep.add(m)
				_, _ = fmt.Fprintf(progress, // nobody may be watching
					"%d/%d %s\n", m.Round, opts.rounds, m.line())
			}
		}
	}
	rep.finish()
	return rep, nil
}

// awaitQuiet returns when others have used at most quietShare of the machine for
// a moment, or after limit. It looks at the machine and not at results, so it
// selects none.
func awaitQuiet(ctx context.Context, limit time.Duration) {
	const moment = 250 * time.Millisecond
	for end := time.Now().Add(limit); time.Now().Before(end) && ctx.Err() == nil; {
		before, known := readCPUTime()
		if !known {
			return
		}
		time.Sleep(moment)
		after, _ := readCPUTime()
		if foreignShare(before, after, moment.Seconds(), 0, runtime.NumCPU()) <= quietShare {
			return
		}
	}
}

// childGrace is how much longer than its own limits a child may take: building
// and stopping hundreds of thousands of actors is not bounded by the clock.
const childGrace = time.Minute

func measureChild(ctx context.Context, self string, opts options, w workload.Name, system string) (measurement, error) {
	m := measurement{sample: sample{Result: workload.Result{Workload: w, System: system}}}
	limits := opts.limits()
	ctx, cancel := context.WithTimeout(ctx, limits.Warm+limits.For+limits.Patience+childGrace)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, childArgs(opts, w, system)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	before, known := readCPUTime()
	began := time.Now()
	runErr := cmd.Run()
	elapsed := time.Since(began).Seconds()
	if after, ok := readCPUTime(); ok && known && cmd.ProcessState != nil {
		own := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		m.Foreign = foreignShare(before, after, elapsed, own, runtime.NumCPU())
	}
	if err := json.Unmarshal(stdout.Bytes(), &m.sample); err == nil {
		return m, nil
	}
	if runErr == nil {
		runErr = fmt.Errorf("no result printed")
	}
	return m, fmt.Errorf("%s on %s: %w: %s", w, system, runErr, firstLine(stderr.String()))
}

func childArgs(opts options, w workload.Name, system string) []string {
	args := []string{
		"-child", "-workload", string(w), "-system", system,
		"-seconds", fmt.Sprint(opts.duration.Seconds()),
	}
	if opts.quick {
		args = append(args, "-quick")
	}
	return args
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// line is a measurement in a few words.
func (m measurement) line() string {
	head := fmt.Sprintf("%-11s %-10s", m.Workload, m.System)
	switch {
	case m.NotApplicable:
		return head + " –"
	case m.Error != "":
		return head + " FAILED: " + m.Error
	}
	var parts []string
	for _, metric := range metricsOf(m.Workload) {
		if v, ok := m.Values[metric]; ok {
			parts = append(parts, fmt.Sprintf("%s %s", format(metric, v), label(m.Workload, metric)))
		}
	}
	return fmt.Sprintf("%s %s  (others used %.0f %%)", head, strings.Join(parts, ", "), 100*m.Foreign)
}
