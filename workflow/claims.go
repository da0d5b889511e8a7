package workflow

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/troupe-dev/troupe/fault"
)

// claims knows the files that a run reads and those that it writes, so that no
// sink takes the place of what the run reads or of what another sink writes.
// It is safe for concurrent use: nodes open at the same time, and whoever comes
// second is refused. Nothing is lost by then, as sinks show nothing before they
// commit.
type claims struct {
	mu      sync.Mutex
	read    []claim
	written []claim
}

// claim is one file and what it is to somebody.
type claim struct {
	what     string // who does what with it, a clause for an error
	artifact Artifact
	// info tells the file from all others, whichever link or name leads to it.
	// It is nil for one that is not there yet.
	info fs.FileInfo
}

// reads notes that an open file is read.
func (c *claims) reads(what string, info fs.FileInfo) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.written {
		if same(w.info, info) {
			return claimError(info.Name(), w.what)
		}
	}
	c.read = append(c.read, claim{what: what, info: info})
	return nil
}

// writes notes that an artifact is written.
func (c *claims) writes(what string, a Artifact) error {
	name := a.Path
	a.Path = realPath(a.Path)
	info, err := os.Stat(a.Path)
	if err != nil {
		info = nil // what is wrong with the path is for the sink to say
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.read {
		if same(r.info, info) {
			return claimError(name, r.what)
		}
	}
	for _, w := range c.written {
		if w.artifact.overlaps(a) || same(w.info, info) && !w.artifact.shares(a) {
			return claimError(name, w.what)
		}
	}
	c.written = append(c.written, claim{what: what, artifact: a, info: info})
	return nil
}

func same(a, b fs.FileInfo) bool { return a != nil && b != nil && os.SameFile(a, b) }

func claimError(path, message string) error {
	return &fault.Error{
		Code: fault.InvalidArgument, Target: path, Message: message,
		Hint: "give one of them another path or table",
	}
}

// realPath is the name of a file, there or not, without symbolic links.
func realPath(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}
