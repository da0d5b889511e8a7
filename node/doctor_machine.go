package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits above which the doctor warns about a machine.
const (
	fsyncSlow    = 20 * time.Millisecond  // median of one small write made durable
	fsyncSamples = 21                     // writes measured
	clockStepMax = 100 * time.Millisecond // of the clock during the check
	clockFileMax = 2 * time.Second        // between the clock and the file system's
)

// checkDataDir proves that the directory can be written; one that does not exist
// yet is judged by the directory in which it would be made.
func checkDataDir(path string) Finding {
	f := Finding{Check: "data directory", Status: FindingOK, Detail: path + " can be written"}
	dir := existingDir(path)
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return Finding{Check: f.Check, Status: FindingFail, Detail: dir + " is a file, not a directory", Hint: "choose another path with --data-dir"}
	}
	if dir != filepath.Clean(path) {
		f.Detail = path + " can be made"
	}
	if err := probeDir(dir); err != nil {
		text := fileError("cannot be written", dir, err).Error()
		detail, hint, _ := strings.Cut(text, "; ")
		return Finding{Check: f.Check, Status: FindingFail, Detail: detail, Hint: hint}
	}
	return f
}

// existingDir returns the path itself, or the closest one above it that exists.
func existingDir(path string) string {
	path = filepath.Clean(path)
	for {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(path)
		if parent == path {
			return path
		}
		path = parent
	}
}

// checkFsync measures how long it takes to make a small write durable.
func checkFsync(path string) Finding {
	f := Finding{Check: "fsync latency"}
	took, err := measureFsync(existingDir(path), fsyncSamples)
	if err != nil {
		f.Status, f.Detail = FindingSkip, "cannot be measured: "+unwrapPath(err).Error()
		return f
	}
	median, worst := took[len(took)/2], took[len(took)-1]
	f.Status = FindingOK
	f.Detail = fmt.Sprintf("median %s, longest %s of %d", median.Round(10*time.Microsecond), worst.Round(10*time.Microsecond), len(took))
	if median > fsyncSlow {
		f.Status = FindingWarn
		f.Hint = fmt.Sprintf("above %s: durable work will be slow; use a local disk", fsyncSlow)
	}
	return f
}

// measureFsync appends and syncs 4 KiB n times and returns the times, sorted.
func measureFsync(dir string, n int) (took []time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".fsync-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, file.Close(), os.Remove(file.Name()))
	}()
	block := make([]byte, 4096)
	for range n {
		start := time.Now()
		if _, err := file.Write(block); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took, nil
}

// checkClock compares the clock with the program's build, with the file system,
// and with itself over the time that the check takes.
func checkClock(dir string, built time.Time) Finding {
	f := Finding{Check: "clock", Status: FindingOK}
	start := time.Now()
	if !built.IsZero() && start.Before(built) {
		return Finding{
			Check: f.Check, Status: FindingFail, Detail: fmt.Sprintf("it is %s, but this program was built at %s", start.UTC().Format(time.RFC3339), built.UTC().Format(time.RFC3339)),
			Hint: "set the clock; use NTP",
		}
	}
	skew, err := fileClockSkew(existingDir(dir))
	if err == nil && skew.Abs() > clockFileMax {
		return Finding{
			Check: f.Check, Status: FindingWarn, Detail: fmt.Sprintf("the file system's clock differs by %s", skew.Round(time.Millisecond)),
			Hint: "use NTP on this machine and on the file server",
		}
	}
	end := time.Now()
	step := end.Round(0).Sub(start.Round(0)) - end.Sub(start) // wall clock against monotonic clock
	if step.Abs() > clockStepMax {
		return Finding{Check: f.Check, Status: FindingWarn, Detail: fmt.Sprintf("it was stepped by %s during the check", step), Hint: "let NTP slew the clock rather than step it"}
	}
	f.Detail = start.UTC().Format(time.RFC3339)
	if err == nil {
		f.Detail += fmt.Sprintf(", file system within %s", skew.Abs().Round(time.Millisecond))
	}
	return f
}

// fileClockSkew returns how far the time of a new file is from now.
func fileClockSkew(dir string) (skew time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".clock-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, file.Close(), os.Remove(file.Name()))
	}()
	if _, err := file.WriteString("tick"); err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return info.ModTime().Sub(time.Now().Round(0)), nil
}
