package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/workflow"
)

// progressInterval is the shortest time between two drawings of the line.
const progressInterval = 100 * time.Millisecond

// A progressLine is one line at the bottom of a terminal that is drawn over and
// over. Other output goes through Write, which keeps it above the line. The
// line of an output that is no terminal is never drawn.
type progressLine struct {
	mu    sync.Mutex
	out   io.Writer
	drawn bool
	live  bool
	last  string
}

// newProgressLine draws on out if a person may be watching it.
func newProgressLine(out io.Writer) *progressLine {
	return &progressLine{out: out, live: isTerminal(out)}
}

// clearLine goes to the start of the line and erases it.
const clearLine = "\r\x1b[K"

// Write passes p on and draws the line again below it.
func (l *progressLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.drawn {
		return l.out.Write(p)
	}
	if _, err := io.WriteString(l.out, clearLine); err != nil {
		return 0, err
	}
	n, err := l.out.Write(p)
	if err == nil && strings.HasSuffix(string(p), "\n") {
		_, err = io.WriteString(l.out, l.last)
	}
	return n, err
}

// draw replaces the line.
func (l *progressLine) draw(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.live {
		return
	}
	if width := terminalWidth(l.out); width > 0 && utf8.RuneCountInString(text) >= width {
		text = string([]rune(text)[:width-1]) // a line that wraps cannot be erased
	}
	l.last, l.drawn = text, true
	fmt.Fprint(l.out, clearLine, text)
}

// clear removes the line.
func (l *progressLine) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drawn {
		fmt.Fprint(l.out, clearLine)
		l.drawn = false
	}
}

// follow draws a run's figures until it has ended.
func (l *progressLine) follow(run *workflow.Run) {
	done := run.Done()
	if !l.live {
		<-done
		return
	}
	changes, cancel := run.Changes()
	defer cancel()
	defer l.clear()
	for {
		select {
		case <-done:
			return
		case <-changes:
			if info, err := run.Info(context.Background()); err == nil {
				l.draw(progressText(info, time.Now()))
			}
		}
		// Changes that come meanwhile are one change when the time is over.
		select {
		case <-done:
			return
		case <-time.After(progressInterval):
		}
	}
}

// progressText is a run in one line.
func progressText(info workflow.RunInfo, now time.Time) string {
	end := info.Finished
	if end.IsZero() {
		end = now
	}
	return fmt.Sprintf("%s  %s  %s rows in  %s out  %s set aside  %.1f s",
		info.Workflow, info.State, grouped(info.RowsIn()), grouped(info.RowsOut()), grouped(info.RejectedTotal), end.Sub(info.Started).Seconds())
}

// grouped writes a number with a comma between groups of three digits.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}
