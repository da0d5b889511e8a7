package files

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Reason is what is wrong with a file, as far as a user can act on it.
type Reason uint8

// The reasons. Other is everything that has no line of its own; the error's
// text is then the best explanation there is.
const (
	Other Reason = iota
	NoSpace
	Denied
	ReadOnly
	Missing
	Directory
	NotDirectory
	NotRegular
	TooManyOpen
	TooLong
)

// Errors of this package. Explain knows them.
var (
	ErrDirectory  = errors.New("it is a directory, not a file")
	ErrNotRegular = errors.New("it is a device, a pipe or a socket")
)

var hints = [...]string{
	NoSpace:      "free some space on its file system, or choose a path on another one",
	Denied:       "check the owner and the mode of the file and its directory, or choose another path",
	ReadOnly:     "choose a path on a file system that can be written",
	Missing:      "check the spelling of the path and what it is relative to",
	Directory:    "add a file name to the path",
	NotDirectory: "a part of the path is a file; check its spelling",
	NotRegular:   "choose the path of a regular file",
	TooManyOpen:  "raise the limit of open files (ulimit -n)",
	TooLong:      "shorten the path",
}

// Explain tells the reason for an error of an operation on a file, its cause
// without the operation and the path, so that a caller can name the path once
// and in its own words, and what to do about it. For [Other] there is no hint.
//
//nolint:revive,staticcheck // the cause is a result of Explain and not its failure
func Explain(err error) (reason Reason, cause error, hint string) {
	reason = classify(err)
	if reason != Other {
		hint = hints[reason]
	}
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return reason, path.Err, hint
	case errors.As(err, &link):
		return reason, link.Err, hint
	}
	return reason, err, hint
}

func classify(err error) Reason {
	for _, c := range []struct {
		is     error
		reason Reason
	}{
		{ErrDirectory, Directory},
		{ErrNotRegular, NotRegular},
		{syscall.ENOSPC, NoSpace},
		{syscall.EDQUOT, NoSpace},
		{syscall.EFBIG, NoSpace},
		{syscall.EROFS, ReadOnly},
		{syscall.EISDIR, Directory},
		{syscall.ENOTDIR, NotDirectory},
		{syscall.EMFILE, TooManyOpen},
		{syscall.ENFILE, TooManyOpen},
		{syscall.ENAMETOOLONG, TooLong},
		{fs.ErrPermission, Denied},
		{fs.ErrNotExist, Missing},
	} {
		if errors.Is(err, c.is) {
			return c.reason
		}
	}
	return Other
}
