package telemetry_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/telemetry"
)

// In a synctest bubble the time begins at midnight UTC, 2000-01-01.

func openLog(t *testing.T, o telemetry.LogFileOptions) *telemetry.LogFile {
	t.Helper()
	o.Location = time.UTC
	if o.OnError == nil {
		o.OnError = func(err error) { t.Errorf("OnError: %v", err) }
	}
	l, err := telemetry.OpenLogFile(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func write(t *testing.T, l *telemetry.LogFile, record string) {
	t.Helper()
	if n, err := l.Write([]byte(record)); n != len(record) || err != nil {
		t.Fatalf("Write(%q) = %d, %v", record, n, err)
	}
}

// wantFiles compares the folder with lines "name: content".
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Name()+": "+string(data))
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("files\n%s\nwant\n%s", g, w)
	}
}

// Req T2
func TestLogFileRotatesDaily(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := openLog(t, telemetry.LogFileOptions{Path: filepath.Join(dir, "logs", "troupe.log")})
		dir := filepath.Join(dir, "logs")
		write(t, l, "1;")
		<-time.After(24*time.Hour - 1)
		write(t, l, "2;")
		<-time.After(1)
		write(t, l, "3;")
		wantFiles(t, dir, "troupe-2000-01-01.log: 1;2;", "troupe.log: 3;")
		<-time.After(48 * time.Hour)
		write(t, l, "4;")
		wantFiles(t, dir, "troupe-2000-01-01.log: 1;2;", "troupe-2000-01-02.log: 3;", "troupe.log: 4;")
	})
}

// Req T2
func TestLogFileKeepsThirtyDays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		foreign := []string{"troupe-1999-01-01.log.bak", "troupe-notes.log", "troupe-1999-01-01.x.log", "troupe-1999-01-01.02.log", "other-1999-01-01.log"}
		for _, name := range foreign {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := openLog(t, telemetry.LogFileOptions{Path: filepath.Join(dir, "troupe.log")})
		for day := range 40 {
			write(t, l, fmt.Sprint(day))
			<-time.After(24 * time.Hour)
		}
		write(t, l, "40")
		// 41 days were written: the current one and the 30 before it remain.
		names, err := filepath.Glob(filepath.Join(dir, "troupe-2000-*.log"))
		if err != nil || len(names) != 30 || filepath.Base(names[0]) != "troupe-2000-01-11.log" {
			t.Errorf("%d files are kept, the oldest %v: %v", len(names), names[:min(1, len(names))], err)
		}
		for _, name := range foreign {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Errorf("a file of somebody else: %v", err)
			}
		}
	})
}

func TestLogFileSizes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := openLog(t, telemetry.LogFileOptions{Path: filepath.Join(dir, "troupe.log"), MaxBytes: 4, MaxFiles: 2})
		write(t, l, "longer than the limit;")
		wantFiles(t, dir, "troupe.log: longer than the limit;")
		for i := range 12 {
			write(t, l, fmt.Sprintf("%d;", i))
		}
		// Numbers of files that were pruned are not used again.
		wantFiles(t, dir, "troupe-2000-01-01.6.log: 8;9;", "troupe-2000-01-01.7.log: 10;", "troupe.log: 11;")
	})
}

func TestLogFileOfAnEarlierDay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "troupe.log")
	if err := os.WriteFile(path, []byte("old;"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		yesterday := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, yesterday, yesterday); err != nil {
			t.Fatal(err)
		}
		l := openLog(t, telemetry.LogFileOptions{Path: path})
		write(t, l, "new;")
		wantFiles(t, dir, "troupe-1999-12-31.log: old;", "troupe.log: new;")
	})
}

func TestLogFileGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "troupe.log")
	for _, record := range []string{"1;", "2;"} {
		l, err := telemetry.OpenLogFile(telemetry.LogFileOptions{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		write(t, l, record)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Write([]byte("late")); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
	}
	wantFiles(t, dir, "troupe.log: 1;2;")
}

// A file that can't be set aside goes on being written; nothing is lost.
func TestLogFileThatCannotBeSetAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var failures []error
		l := openLog(t, telemetry.LogFileOptions{
			Path:    filepath.Join(dir, "troupe.log"),
			OnError: func(err error) { failures = append(failures, err) },
		})
		obstacle := filepath.Join(dir, "troupe-2000-01-01.log")
		if err := os.MkdirAll(filepath.Join(obstacle, "not empty"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, l, "1;")
		<-time.After(24 * time.Hour)
		write(t, l, "2;")
		write(t, l, "3;")
		if len(failures) != 1 || !errors.Is(failures[0], fault.Internal) {
			t.Errorf("failures %v, want one", failures)
		}
		if err := os.RemoveAll(obstacle); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		write(t, l, "4;")
		wantFiles(t, dir, "troupe-2000-01-01.log: 1;2;3;", "troupe.log: 4;")
		if len(failures) != 1 {
			t.Errorf("failures %v, want one", failures)
		}
	})
}

func TestOpenLogFileErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		want       fault.Code
	}{
		{"empty", "", fault.InvalidArgument},
		{"a folder", dir, fault.FailedPrecondition},
		{"below a file", filepath.Join(dir, "file", "troupe.log"), fault.FailedPrecondition},
	}
	for _, tt := range tests {
		_, err := telemetry.OpenLogFile(telemetry.LogFileOptions{Path: tt.path})
		if fault.CodeOf(err) != tt.want || !strings.Contains(fmt.Sprint(err), tt.path) {
			t.Errorf("%s: %v, want %v and the path", tt.name, err, tt.want)
		}
	}
}

func TestLogFileConcurrentWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, telemetry.LogFileOptions{Path: filepath.Join(dir, "troupe.log"), MaxBytes: 100})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := l.Write([]byte("12345678\n")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		total += strings.Count(string(data), "12345678\n")
	}
	if total != 400 {
		t.Errorf("%d records in %d files, want 400", total, len(names))
	}
}

func ExampleOpenLogFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	file, err := telemetry.OpenLogFile(telemetry.LogFileOptions{Path: filepath.Join(dir, "troupe.log")})
	if err != nil {
		fmt.Println(err)
		return
	}
	log := telemetry.NewLogger(file, nil)
	log.Info("node is up")
	if err := file.Close(); err != nil {
		fmt.Println(err)
	}
	data, _ := os.ReadFile(filepath.Join(dir, "troupe.log"))
	fmt.Println(strings.Contains(string(data), `"msg":"node is up"`))
	// Output: true
}
