package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files in the data directory that tell others about the node: the lock, and
// where it listens. The second is of no meaning when nobody holds the first.
const (
	lockFile    = ".lock"
	addressFile = ".address"
)

// errNotThere is a file or directory that does not exist.
var errNotThere = fs.ErrNotExist

// writeAddress writes down where the node listens.
func writeAddress(dir, url string) error {
	path := filepath.Join(dir, addressFile)
	if err := os.WriteFile(path+".new", []byte(url+"\n"), 0o644); err != nil {
		return fileError("cannot be written", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fileError("cannot be written", path, err)
	}
	return nil
}

// readAddress returns what writeAddress has written.
func readAddress(dir string) (string, error) {
	text, err := readBounded(filepath.Join(dir, addressFile), 4096)
	if err != nil {
		return "", err
	}
	url := strings.TrimSpace(string(text))
	if url == "" {
		return "", errors.New("the file is empty")
	}
	return url, nil
}

// removeAddress is for a node that has stopped.
func removeAddress(dir string) error {
	if err := os.Remove(filepath.Join(dir, addressFile)); err != nil && !errors.Is(err, errNotThere) {
		return err
	}
	return nil
}
