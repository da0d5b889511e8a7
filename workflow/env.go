package workflow

import (
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
	// Log carries the run's and the node's ids.
	Log *slog.Logger

	files     fileSet
	outputDir string
	claims    *claims // of the run
}

// Open opens a file that the definition names for reading. A relative path is
// relative to the definition's own file. A file that a sink of the run writes
// is an error, INVALID_ARGUMENT.
func (e *Env) Open(path string) (fs.File, error) {
	file, err := e.files.open(path)
	if err != nil || e.claims == nil {
		return file, err
	}
	info, err := file.Stat()
	if err == nil {
		err = e.claims.reads("the node "+quote(e.Node)+" reads it", info)
	}
	if err != nil {
		_ = file.Close() // nothing was read
		return nil, err
	}
	return file, nil
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
	if filepath.IsAbs(name) {
		return os.Open(name)
	}
	return os.Open(filepath.Join(f.dir, name))
}
