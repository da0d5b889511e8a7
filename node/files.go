package node

import (
	"errors"
	"io/fs"
)

// unwrapPath returns what went wrong with a file without the operation and the
// path, for messages that name the path themselves.
func unwrapPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
