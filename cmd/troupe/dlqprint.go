package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/console"
)

// printLetters prints a page of letters as a table.
func (a *app) printLetters(page console.LetterPage) error {
	if len(page.Letters) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no dead letters")
		return err
	}
	rows := make([][]string, len(page.Letters))
	for i := range page.Letters {
		l := &page.Letters[i]
		rows[i] = []string{
			strconv.FormatInt(int64(l.ID), 10), l.CreatedAt.Local().Format(time.DateTime), dash(string(l.Queue)), dash(l.Type),
			l.ErrorType, strconv.Itoa(l.RetryCount), clip(l.ErrorMessage, errorColumn),
		}
	}
	if err := a.printTable([]string{"ID", "DIED", "QUEUE", "TYPE", "ERROR", "RETRIES", "MESSAGE"}, rows); err != nil {
		return err
	}
	line := fmt.Sprintf("\n%d of %s", len(page.Letters), counted(page.Total, "dead letter", "dead letters"))
	if page.Next != 0 {
		line += fmt.Sprintf("; the next page: --after %d", page.Next)
	}
	_, err := fmt.Fprintln(a.stdout, line)
	return err
}

// errorColumn is how much of an error message a table shows.
const errorColumn = 80

// dash stands for nothing.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text)
}

// printable makes one line of a text of others, without anything that a terminal
// would take for a command.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return ' '
		}
		return r
	}, text)
}

// clip cuts a text for a table.
func clip(text string, limit int) string {
	runes := []rune(printable(text))
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}

// printLetter prints one letter with its payload.
func (a *app) printLetter(l console.Letter) error {
	if a.output == outputJSON {
		return a.printJSON(l)
	}
	rows := [][]string{
		{"id", strconv.FormatInt(int64(l.ID), 10)}, {"version", strconv.FormatInt(l.Version, 10)}, {"queue", dash(string(l.Queue))},
		{"error", l.ErrorType + ": " + printable(l.ErrorMessage)}, {"retries", strconv.Itoa(l.RetryCount)}, {"redrives", strconv.Itoa(l.Redrives)},
		{"died", l.CreatedAt.Local().Format(time.DateTime)},
	}
	for _, more := range [][]string{
		{"about", l.Subject}, {"sender", l.Sender}, {"caller", l.CallerID}, {"target", l.TargetID}, {"request", l.RequestID}, {"trace", l.TraceID}, {"span", l.SpanID},
	} {
		if more[1] != "" {
			rows = append(rows, []string{more[0], printable(more[1])})
		}
	}
	rows = append(rows, []string{"type", fmt.Sprintf("%s, %s, %s", dash(l.Type), dash(l.Codec), counted(l.Bytes, "byte", "bytes"))})
	if l.Problem != "" {
		rows = append(rows, []string{"problem", printable(l.Problem)})
	}
	if err := a.printTable(nil, rows); err != nil {
		return err
	}
	if l.Payload == nil {
		_, err := fmt.Fprintf(a.stdout, "\n%s\n", l.Hex)
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s\n", indented(l.Payload))
	return err
}

// indented is JSON for people.
func indented(text json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return string(text)
	}
	return b.String()
}

// printRehearsals prints what would happen.
func (a *app) printRehearsals(all []console.Rehearsal) error {
	failed := 0
	for i := range all {
		if all[i].Error != "" {
			failed++
		}
	}
	if a.output == outputJSON {
		if err := a.printJSON(console.Rehearsals{Rehearsals: all}); err != nil {
			return err
		}
	} else {
		for i := range all {
			a.printRehearsal(&all[i])
		}
	}
	if failed > 0 {
		return &exitError{exitFailed, errReported}
	}
	return nil
}

func (a *app) printRehearsal(r *console.Rehearsal) {
	if r.Error != "" {
		fmt.Fprintf(a.stdout, "letter %d: would fail: %s\n", r.Letter, printable(r.Error))
		return
	}
	fmt.Fprintf(a.stdout, "letter %d: would be handled\n", r.Letter)
	for _, e := range r.Events {
		fmt.Fprintf(a.stdout, "  event   %s  %s  %s\n", dash(e.To), e.Type, effectText(e))
	}
	for _, e := range r.Outputs {
		fmt.Fprintf(a.stdout, "  message %s  %s  %s\n", dash(e.To), e.Type, effectText(e))
	}
	if r.Answer != nil {
		fmt.Fprintf(a.stdout, "  answer  %s  %s\n", r.Answer.Type, effectText(*r.Answer))
	}
}

func effectText(e console.Effect) string {
	if e.Payload != nil {
		return printable(string(e.Payload))
	}
	return e.Hex
}

// printRedrive prints how a redrive ended.
func (a *app) printRedrive(m *mail, r console.Redrive) error {
	if a.output == outputJSON {
		return a.printJSON(r)
	}
	if r.Request.DryRun {
		_, err := fmt.Fprintf(a.stdout, "%s would be brought back\n", counted(r.Redriven, "letter", "letters"))
		return err
	}
	fmt.Fprintf(a.stdout, "%d of %s brought back: %d handled, %d failed again, %d under way", r.Redriven,
		counted(r.Total, "letter", "letters"), r.Handled, r.Failed, r.Pending)
	if r.Skipped > 0 {
		fmt.Fprintf(a.stdout, ", %d dealt with by somebody else", r.Skipped)
	}
	fmt.Fprintln(a.stdout)
	if m.local && r.Redriven > 0 {
		fmt.Fprintf(a.stdout, "they are handled when a node runs with %s\n", m.where)
	}
	if r.Stopped != "" {
		fmt.Fprintf(a.stdout, "stopped: %s\n", printable(r.Stopped))
	}
	return nil
}
