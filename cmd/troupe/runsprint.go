package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

func (a *app) printRuns(list console.RunList) error {
	if len(list.Runs) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no runs")
		return err
	}
	rows := make([][]string, len(list.Runs))
	for i := range list.Runs {
		r := &list.Runs[i]
		rows[i] = []string{
			r.ID, printable(r.Workflow), strconv.FormatInt(r.Version, 10), string(r.State), clock(r.Started), span(r.Started, r.Finished),
			dash(r.Key), dash(r.Trigger), dash(clip(r.Error, errorColumn)),
		}
	}
	if err := a.printTable([]string{"ID", "WORKFLOW", "VERSION", "STATE", "STARTED", "TOOK", "KEY", "TRIGGER", "ERROR"}, rows); err != nil {
		return err
	}
	return a.printNext(list.Next)
}

func (a *app) printRunInfo(info *workflow.RunInfo) error {
	rows := [][]string{
		{"id", info.ID}, {"workflow", fmt.Sprintf("%s, version %d", printable(info.Workflow), info.Version)}, {"state", string(info.State)},
		{"started", clock(info.Started)}, {"took", span(info.Started, info.Finished)}, {"trigger", dash(info.Start.Trigger)}, {"key", dash(info.Start.Key)},
		{"events", strconv.FormatInt(info.Events, 10)}, {"rows in, out", fmt.Sprintf("%d, %d", info.RowsIn(), info.RowsOut())},
	}
	if info.Error != "" {
		rows = append(rows, []string{"error", info.ErrorCode.String() + ": " + printable(info.Error)})
	}
	if len(info.Output) > 0 {
		rows = append(rows, []string{"output", clip(string(info.Output), 500)})
	}
	if err := a.printTable(nil, rows); err != nil {
		return err
	}
	nodes := make([][]string, len(info.Nodes))
	for i := range info.Nodes {
		n := &info.Nodes[i]
		did := dash("")
		switch {
		case n.Counts != nil:
			did = fmt.Sprintf("%d done, %d failed, %d under way", n.Counts.Completed, n.Counts.Failed, n.Counts.Active)
		case n.RowsIn+n.RowsOut > 0:
			did = fmt.Sprintf("%d → %d rows", n.RowsIn, n.RowsOut)
		case len(n.Output) > 0:
			did = clip(string(n.Output), errorColumn)
		}
		nodes[i] = []string{printable(n.ID), n.Type, string(n.State), strconv.Itoa(n.Attempt), shortly(n.Duration), did, dash(clip(n.Error, errorColumn))}
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	if err := a.printTable([]string{"NODE", "TYPE", "STATE", "ATTEMPT", "TOOK", "DID", "ERROR"}, nodes); err != nil {
		return err
	}
	for _, w := range info.Waits {
		what := "for " + w.For
		if w.Signal != "" {
			what += " " + printable(w.Signal)
		}
		if !w.Until.IsZero() {
			what += " until " + clock(w.Until)
		}
		if _, err := fmt.Fprintf(a.stdout, "%s waits %s\n", workflow.Instance(w.Node, w.Iteration), what); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printHistory(page console.History) error {
	for i := range page.Events {
		if err := a.printEvent(&page.Events[i]); err != nil {
			return err
		}
	}
	if page.Next == 0 {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "\n%d events in all; the next page: --after %d\n", page.Total, page.Next)
	return err
}

// printEvent prints an event as a line, or as a JSON document.
func (a *app) printEvent(e *workflow.Event) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.stdout).Encode(e)
	}
	parts := []string{fmt.Sprintf("%6d", e.Seq), e.At.Local().Format("15:04:05.000"), string(e.Type)}
	if e.Node != "" {
		parts = append(parts, printable(workflow.Instance(e.Node, e.Iteration)))
	}
	if e.Attempt > 1 {
		parts = append(parts, "attempt "+strconv.Itoa(e.Attempt))
	}
	if e.Duration > 0 {
		parts = append(parts, shortly(e.Duration))
	}
	if e.Signal != "" {
		parts = append(parts, printable(e.Signal))
	}
	if e.Rows > 0 {
		parts = append(parts, counted(e.Rows, "row", "rows"))
	}
	if e.Error != "" {
		parts = append(parts, e.ErrorCode.String()+": "+clip(e.Error, 200))
	}
	_, err := fmt.Fprintln(a.stdout, strings.Join(parts, "  "))
	return err
}

func (a *app) printTimeline(line console.Timeline) error {
	rows := make([][]string, len(line.Spans))
	for i := range line.Spans {
		s := &line.Spans[i]
		what := printable(workflow.Instance(s.Node, s.Iteration))
		if s.Kind != console.SpanNode {
			what = strings.TrimSpace(string(s.Kind) + " " + what)
		}
		end := s.End
		if end.IsZero() {
			end = line.Until
		}
		rows[i] = []string{what, strconv.Itoa(max(s.Attempt, 1)), string(s.State), s.Start.Local().Format("15:04:05.000"), span(s.Start, end), dash(clip(s.Error, errorColumn))}
	}
	if err := a.printTable([]string{"WHAT", "ATTEMPT", "STATE", "BEGAN", "TOOK", "ERROR"}, rows); err != nil {
		return err
	}
	if line.Next == 0 {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "\nof %d events; the next page: --after %d\n", line.Total, line.Next)
	return err
}

func (a *app) printLog(log console.RunLog) error {
	for i := range log.Lines {
		l := &log.Lines[i]
		if a.output == outputJSON {
			if err := json.NewEncoder(a.stdout).Encode(l); err != nil {
				return err
			}
			continue
		}
		line := fmt.Sprintf("%s %-5s %s  %s", l.Time.Local().Format("15:04:05.000"), l.Level, dash(l.Node), printable(l.Message))
		if len(l.Attrs) > 0 {
			line += "  " + printable(string(l.Attrs))
		}
		if _, err := fmt.Fprintln(a.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printResult(page console.ResultPage) error {
	header := make([]string, len(page.Columns))
	for i, c := range page.Columns {
		header[i] = printable(c.Name)
	}
	rows := make([][]string, len(page.Rows))
	for i, row := range page.Rows {
		for _, value := range row {
			var text string
			if json.Unmarshal(value, &text) != nil {
				text = string(value) // a number, a boolean or null
			}
			rows[i] = append(rows[i], clip(text, errorColumn))
		}
	}
	if err := a.printTable(header, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s: %d of %s", printable(page.Name), len(page.Rows), counted(page.Total, "row", "rows"))
	if len(page.Sinks) > 1 && err == nil {
		_, err = fmt.Fprintf(a.stdout, "; there are also --sink %s", printable(strings.Join(page.Sinks, ", ")))
	}
	if err == nil {
		_, err = fmt.Fprintln(a.stdout)
	}
	return err
}

func (a *app) printState(s console.RunState) error {
	return a.print(s, func() error {
		_, err := fmt.Fprintf(a.stdout, "run %s: %s\n", s.ID, s.State)
		return err
	})
}

func (a *app) printStarted(s console.RunStarted) error {
	return a.print(s, func() error {
		_, err := fmt.Fprintln(a.stdout, s.ID)
		return err
	})
}

// printSchedules prints a page of schedules.
func (a *app) printSchedules(list console.ScheduleList) error {
	if len(list.Schedules) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no schedules")
		return err
	}
	rows := make([][]string, len(list.Schedules))
	for i := range list.Schedules {
		s := &list.Schedules[i]
		rows[i] = []string{s.Name, printable(s.Workflow), timing(&s.Schedule), scheduleState(s), clock(nextOf(s)), clock(s.Last), strconv.FormatInt(s.Counts.Fired, 10)}
	}
	if err := a.printTable([]string{"NAME", "WORKFLOW", "WHEN", "STATE", "NEXT", "LAST", "RUNS"}, rows); err != nil {
		return err
	}
	return a.printNext(list.Next)
}

func nextOf(s *workflow.ScheduleInfo) time.Time {
	if len(s.Next) == 0 || s.Paused {
		return time.Time{}
	}
	return s.Next[0]
}

// timing is when a schedule is due, in a few words.
func timing(s *workflow.Schedule) string {
	switch {
	case s.Cron != "" && s.TimeZone != "":
		return s.Cron + " " + s.TimeZone
	case s.Cron != "":
		return s.Cron
	case s.Every != 0:
		return "every " + yamldoc.ShortDuration(time.Duration(s.Every))
	case s.Delay != 0:
		return yamldoc.ShortDuration(time.Duration(s.Delay)) + " after the end"
	}
	return "at " + clock(s.At)
}

func scheduleState(s *workflow.ScheduleInfo) string {
	switch {
	case s.Paused:
		return "paused"
	case len(s.Running) > 0:
		return counted(len(s.Running), "run", "runs") + " under way"
	}
	return "waiting"
}

func (a *app) printSchedule(s *workflow.ScheduleInfo) error {
	rows := [][]string{
		{"name", s.Name}, {"workflow", printable(s.Workflow)}, {"when", timing(&s.Schedule)}, {"state", scheduleState(s)},
		{"revision", strconv.FormatInt(s.Revision, 10)}, {"last run", dash(s.LastRun)},
		{"counts", fmt.Sprintf("%d started, %d skipped, %d missed, %d failed", s.Counts.Fired, s.Counts.Skipped, s.Counts.Missed, s.Counts.Failed)},
	}
	if s.Comment != "" {
		rows = append(rows, []string{"comment", printable(s.Comment)})
	}
	if s.Defined {
		rows = append(rows, []string{"belongs to", "the definition of " + printable(s.Workflow)})
	}
	for i, next := range s.Next {
		name := ""
		if i == 0 {
			name = "next"
		}
		rows = append(rows, []string{name, clock(next)})
	}
	for _, b := range s.Backfills {
		rows = append(rows, []string{"backfill", fmt.Sprintf("%s to %s, %d left", clock(b.From), clock(b.To), b.Left)})
	}
	if err := a.printTable(nil, rows); err != nil || len(s.Firings) == 0 {
		return err
	}
	firings := make([][]string, len(s.Firings))
	for i := range s.Firings {
		f := &s.Firings[i]
		firings[i] = []string{clock(f.Time), string(f.Outcome), printable(f.Reason), dash(f.Run), dash(string(f.State))}
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	return a.printTable([]string{"INSTANT", "OUTCOME", "WHY", "RUN", "STATE"}, firings)
}
