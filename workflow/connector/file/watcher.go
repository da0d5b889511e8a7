package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// By what a file is known.
const (
	identityStat    = "stat"    // path, size and time of change
	identityContent = "content" // what is in it, under whatever path
)

const (
	defaultEvery  = 5 * time.Second
	defaultStable = 2 * time.Second
	shortestEvery = 100 * time.Millisecond
	// filesMax bounds the files of a folder.
	filesMax = 100_000
	op       = "file"
)

// Watching says which files of a folder count, and when.
type Watching struct {
	Pattern   string        `yaml:"pattern" doc:"Which files count, by their name: '*.csv'."`
	Recursive bool          `yaml:"recursive" doc:"Folders within the folder count too."`
	Every     time.Duration `yaml:"every" doc:"How often the folder is looked at."`
	Stable    time.Duration `yaml:"stable" doc:"How long a file must have been as it is."`
	Identity  string        `yaml:"identity" doc:"By what a file is known: stat, its path, size and time of change, or content, what is in it."`
	MaxAge    time.Duration `yaml:"max_age" doc:"Files that were changed longer ago do not count. 0: all count."`
}

var defaultWatching = Watching{Pattern: "*", Every: defaultEvery, Stable: defaultStable, Identity: identityStat}

// check reports what is wrong.
func (w *Watching) check(c *workflow.Check, folder string) {
	if folder == "" {
		c.Errorf("folder", "it is empty; expected the path of a folder")
	}
	if _, err := filepath.Match(w.Pattern, "x"); err != nil || w.Pattern == "" {
		c.Report("pattern", "it is no pattern", "* stands for any letters, ? for one, [a-z] for one of these")
	} else if filepath.Base(w.Pattern) != w.Pattern {
		c.Report("pattern", "a pattern is compared with names, not with paths", "name the folder as folder, and set recursive for those in it")
	}
	if w.Every < shortestEvery {
		c.Errorf("every", "%v is too short; expected at least %v", w.Every, shortestEvery)
	}
	if w.Stable < 0 {
		c.Errorf("stable", "%v is no time; expected 0 or more", w.Stable)
	}
	if w.MaxAge < 0 {
		c.Errorf("max_age", "%v is no time; expected 0 or more", w.MaxAge)
	}
	if w.Identity != identityStat && w.Identity != identityContent {
		c.Unknown("identity", "identity", w.Identity, []string{identityStat, identityContent})
	}
}

// matches reports whether a file of this name counts.
func (w *Watching) matches(name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(w.Pattern, ".") {
		return false
	}
	ok, _ := filepath.Match(w.Pattern, name) // the pattern was checked
	return ok
}

// watcher looks at a folder. One goroutine uses it.
type watcher struct {
	Watching
	folder string
	digest bool // files are read, for their SHA-256
	log    *slog.Logger

	files map[string]*seen // by path
	round int
	moves bool // the last look has met files that will count before long
}

func newWatcher(w Watching, folder string, digest bool, log *slog.Logger) *watcher {
	return &watcher{Watching: w, folder: filepath.Clean(folder), digest: digest || w.Identity == identityContent, log: log, files: map[string]*seen{}}
}

// seen is a file as it was when it was looked at last.
type seen struct {
	size     int64
	modified time.Time
	since    time.Time // it has been so since then
	taken    bool
	round    int
}

// found is a file that counts.
type found struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   string    `json:"sha256,omitempty"`
	Quoted   bool      `json:"quoted,omitempty"` // the path is not UTF-8, and stands as a Go string
}

// look goes through the folder once, in the order of names, and hands out each file
// that counts and was not taken as it is. One is taken when take returns without an
// error; an error ends the look. A folder that is away is UNAVAILABLE.
func (w *watcher) look(ctx context.Context, take func(found) error) error {
	w.round++
	w.moves = false
	err := filepath.WalkDir(w.folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == w.folder:
			return fault.Wrap(fault.Unavailable, op, err)
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went away meanwhile
		case err != nil:
			w.log.Warn("a folder cannot be read", "path", path, "error", err)
			return fs.SkipDir
		case entry.IsDir() && path != w.folder && !w.Recursive:
			return fs.SkipDir
		case entry.IsDir() || ctx.Err() != nil:
			return ctx.Err()
		case !w.matches(entry.Name()):
			return nil
		}
		return w.file(ctx, take, path)
	})
	if err != nil {
		return err
	}
	for path, f := range w.files {
		if f.round != w.round {
			delete(w.files, path)
		}
	}
	return nil
}

// file looks at one file, and hands it out when it is time.
func (w *watcher) file(ctx context.Context, take func(found) error, path string) error {
	info, err := os.Stat(path) // of what a link leads to
	if err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // it went away meanwhile, or is no file
	}
	now := time.Now()
	f := w.files[path]
	if f == nil {
		if len(w.files) >= filesMax {
			return fault.New(fault.ResourceExhausted, op, "%s has more than %d files; move away those that are done", w.folder, filesMax)
		}
		f = &seen{}
		w.files[path] = f
	}
	f.round = w.round
	if !f.is(info) {
		f.size, f.modified, f.since, f.taken = info.Size(), info.ModTime(), now, false
	}
	if f.taken || w.MaxAge > 0 && now.Sub(f.modified) > w.MaxAge {
		return nil
	}
	if now.Sub(f.since) < w.Stable {
		w.moves = true
		return nil
	}
	at := found{Path: path, Size: info.Size(), Modified: info.ModTime().UTC()}
	if w.digest {
		at.SHA256, err = digestOf(ctx, path)
		after, statErr := os.Stat(path)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || statErr != nil:
			w.moves = true
			w.log.Warn("a file cannot be read; it is tried again", "path", path, "error", errors.Join(err, statErr))
			return nil
		case !f.is(after): // it was written while it was read
			w.moves = true
			f.size, f.modified, f.since = after.Size(), after.ModTime(), now
			return nil
		}
	}
	if err := take(at); err != nil {
		return err
	}
	f.taken = true
	return nil
}

// is reports whether a file is as it was.
func (f *seen) is(info fs.FileInfo) bool {
	return f.size == info.Size() && f.modified.Equal(info.ModTime())
}

// digestOf is the SHA-256 of a file.
func digestOf(ctx context.Context, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, untilDone{ctx, file}); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// untilDone reads until a context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// stat is what tells a file from itself after a change.
func (f *found) stat() string { return fmt.Sprintf("%d:%d", f.Size, f.Modified.UnixNano()) }
