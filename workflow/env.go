package workflow

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
)

// Env is what a node of one run has in hand.
type Env struct {
	// RunID is the run's id.
	RunID string
	// Node is the node's id.
	Node string
	// Key is the idempotency key of the node's work: the same when the work is
	// done again, after a retry or a crash, and never that of other work. It
	// is made of the run's id, the node's id and the iteration. See [Sink].
	Key string
	// Log carries the run's and the node's ids.
	Log *slog.Logger
	// Journal is what a source remembers of its input; nil for other nodes.
	Journal *Journal
	// Memory is what a source knows of earlier runs; nil for other nodes.
	Memory *Memory

	files     fileSet
	outputDir string
	claims    *claims // of the run
}

// Open opens a file that the definition names for reading. A relative path is
// relative to the definition's own file. A file that a sink of the run writes
// is an error, INVALID_ARGUMENT.
func (e *Env) Open(path string) (fs.File, error) {
	file, err := e.files.open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = e.reads(info)
	}
	if err != nil {
		_ = file.Close() // nothing was read
		return nil, err
	}
	return file, nil
}

// InputPath is [Env.Open] for what can only be opened by its path, such as a
// database: it gives the path of the file in the operating system. A file that
// has none, because it is part of the program, is an error.
func (e *Env) InputPath(path string) (string, error) {
	name, err := e.files.path(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	return name, e.reads(info)
}

// reads notes that the node reads a file.
func (e *Env) reads(info fs.FileInfo) error {
	if e.claims == nil {
		return nil
	}
	return e.claims.reads("the node "+quote(e.Node)+" reads it", info)
}

// OutputPath is where a file that the definition names for writing belongs. A
// relative path is relative to the output directory of the run.
func (e *Env) OutputPath(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(e.outputDir, path)
}

// fileSet opens the files that a definition names: those beside it in fsys, or
// those of the operating system, from dir on.
type fileSet struct {
	fsys fs.FS
	dir  string
}

func (f fileSet) open(name string) (fs.File, error) {
	if f.fsys != nil {
		return f.fsys.Open(path.Join(f.dir, name))
	}
	name, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return os.Open(name)
}

var errEmbedded = errors.New("it is part of the program, and has no path of its own")

// path is where a file is in the operating system.
func (f fileSet) path(name string) (string, error) {
	switch {
	case f.fsys != nil:
		return "", errEmbedded
	case filepath.IsAbs(name):
		return filepath.Clean(name), nil
	}
	return filepath.Join(f.dir, name), nil
}
