package telemetry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// LogFileOptions says where log records go and how long they are kept. All
// fields but Path have a default.
type LogFileOptions struct {
	// Path is the file that is being written, such as "logs/troupe.log". Its
	// folder is made if need be. Required.
	Path string

	// KeepDays is how many days a file that is no longer written is kept after
	// the day it speaks of. Default 30; negative: only the limit on files holds.
	KeepDays int

	// MaxBytes is the size beyond which a file is set aside before its day is
	// over. Default 256 MiB; negative: no limit. A single record is never split.
	MaxBytes int64

	// MaxFiles is how many files are kept beside the one being written,
	// whatever their age. Default 100. With the other defaults a log never
	// takes more than 25 GiB.
	MaxFiles int

	// Location is where a day begins at midnight. Default time.Local.
	Location *time.Location

	// OnError is told when the file can't be set aside or an old one not be
	// removed. Records are not lost then: they go on into the same file, and
	// it is tried again a minute later. It is called within Write and must not
	// log to this file. Default: nothing.
	OnError func(error)
}

// LogFile is a file of log records that is set aside every day at midnight and
// when it grows too large: "troupe.log" becomes "troupe-2026-11-22.log", a
// second one of that day "troupe-2026-11-22.2.log". It looks at the time when
// it is written to and has no goroutine. It is safe for concurrent use by one
// process.
type LogFile struct {
	o    LogFileOptions
	stem string // path without its extension
	ext  string

	mu      sync.Mutex
	file    *os.File
	size    int64
	day     string    // of the records in the file, as a date
	retryAt time.Time // when to set the file aside after a failure
}

const rotateRetry = time.Minute

// OpenLogFile opens or makes the file. A file that was last written on an
// earlier day is set aside first. Errors have the code INVALID_ARGUMENT or
// FAILED_PRECONDITION.
func OpenLogFile(o LogFileOptions) (*LogFile, error) {
	const op = "telemetry.OpenLogFile"
	if o.Path == "" {
		return nil, fault.New(fault.InvalidArgument, op, "Path is empty, must name a file")
	}
	if o.KeepDays == 0 {
		o.KeepDays = 30
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 100
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	l := &LogFile{o: o, ext: filepath.Ext(o.Path)}
	l.stem = strings.TrimSuffix(o.Path, l.ext)
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
		return nil, &fault.Error{Code: fault.FailedPrecondition, Op: op, Target: o.Path, Cause: err}
	}
	if err := l.open(); err != nil {
		return nil, &fault.Error{Code: fault.FailedPrecondition, Op: op, Target: o.Path, Cause: err}
	}
	l.rotateIfDue(0)
	l.prune()
	return l, nil
}

// Write appends one record. It never splits p over two files.
func (l *LogFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0, fs.ErrClosed
	}
	l.rotateIfDue(int64(len(p)))
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// Close closes the file. Writing to it afterwards fails with fs.ErrClosed.
func (l *LogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// open opens the file and learns the day and size of what is in it.
func (l *LogFile) open() error {
	f, err := os.OpenFile(l.o.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size, l.day = f, info.Size(), l.today()
	if l.size > 0 {
		l.day = info.ModTime().In(l.o.Location).Format(time.DateOnly)
	}
	return nil
}

func (l *LogFile) today() string { return time.Now().In(l.o.Location).Format(time.DateOnly) }

// rotateIfDue sets the file aside if its day is over or if the next n bytes
// would make it too large.
func (l *LogFile) rotateIfDue(n int64) {
	today := l.today()
	if l.size == 0 {
		l.day = today
		return
	}
	full := l.o.MaxBytes > 0 && l.size+n > l.o.MaxBytes
	if l.day == today && !full || time.Now().Before(l.retryAt) {
		return
	}
	if err := l.rotate(); err != nil {
		l.retryAt = time.Now().Add(rotateRetry)
		l.o.OnError(fault.Wrap(fault.Internal, "telemetry.LogFile.Write", err))
		return
	}
	l.prune()
}

// rotate renames the file and opens a new one. If that fails the old one stays
// in use, under whichever name it has; if that is no longer Path, a next attempt
// finds nothing to rename.
func (l *LogFile) rotate() error {
	name, err := l.freeName()
	if err != nil {
		return err
	}
	if err := os.Rename(l.o.Path, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old := l.file
	if err := l.open(); err != nil {
		return err
	}
	l.day = l.today()
	return old.Close()
}

// freeName is where the file goes: its day, and if that has files already the
// next number. Numbers whose files were pruned are not used again, as the order
// of the numbers is the order of age.
func (l *LogFile) freeName() (string, error) {
	files, err := l.setAside()
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.day.Format(time.DateOnly) == l.day { // the newest of that day
			return fmt.Sprintf("%s-%s.%d%s", l.stem, l.day, f.n+1, l.ext), nil
		}
	}
	return fmt.Sprintf("%s-%s%s", l.stem, l.day, l.ext), nil
}

// setAside is a file that is no longer written.
type setAside struct {
	path string
	day  time.Time
	n    int
}

// prune removes the files that are too old or too many.
func (l *LogFile) prune() {
	files, err := l.setAside()
	if err != nil {
		l.o.OnError(fault.Wrap(fault.Internal, "telemetry.LogFile.Write", err))
		return
	}
	today, _ := time.Parse(time.DateOnly, l.today())
	oldest := today.AddDate(0, 0, -l.o.KeepDays)
	for i, f := range files { // the newest first
		if i < l.o.MaxFiles && (l.o.KeepDays < 0 || !f.day.Before(oldest)) {
			continue
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.o.OnError(fault.Wrap(fault.Internal, "telemetry.LogFile.Write", err))
		}
	}
}

// setAside lists the files with a name that freeName could have made, the
// newest first. No other file is ever touched.
func (l *LogFile) setAside() ([]setAside, error) {
	entries, err := os.ReadDir(filepath.Dir(l.o.Path))
	if err != nil {
		return nil, err
	}
	var found []setAside
	prefix := filepath.Base(l.stem) + "-"
	for _, e := range entries {
		middle, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		middle, ok = strings.CutSuffix(middle, l.ext)
		if !ok {
			continue
		}
		date, number, numbered := strings.Cut(middle, ".")
		f := setAside{path: filepath.Join(filepath.Dir(l.o.Path), e.Name()), n: 1}
		if f.day, err = time.Parse(time.DateOnly, date); err != nil {
			continue
		}
		if numbered {
			if f.n, err = strconv.Atoi(number); err != nil || strconv.Itoa(f.n) != number {
				continue
			}
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b setAside) int {
		if c := b.day.Compare(a.day); c != 0 {
			return c
		}
		return b.n - a.n
	})
	return found, nil
}
