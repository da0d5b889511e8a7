package files

import (
	"errors"
	"io/fs"
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
	ErrDirectory  = errors.New("it is a directory")
	ErrNotRegular = errors.New("it is a device, a pipe or a socket")
)

var texts = [...]struct{ message, hint string }{
	NoSpace:      {"no space is left on its file system", "free some space there, or choose a path on another file system"},
	Denied:       {"permission denied", "check the owner and the mode of the file and its directory, or choose another path"},
	ReadOnly:     {"its file system is read-only", "choose a path on a file system that can be written"},
	Missing:      {"no such file or directory", "check the spelling; a relative path is resolved against the directory of the file that names it"},
	Directory:    {"it is a directory; expected a file", "add a file name to the path"},
	NotDirectory: {"a part of the path is a file where a directory is expected", "check the spelling of the path"},
	NotRegular:   {"it is a device, a pipe or a socket; expected a regular file", "choose another path"},
	TooManyOpen:  {"too many files are open", "raise the limit of open files (ulimit -n)"},
	TooLong:      {"the path is too long", "shorten its parts to at most 255 bytes"},
}

// Explain tells the reason for an error of an operation on a file, what it
// means, and what to do about it. For [Other], message is the error's own text
// without the operation and the path, and hint is empty.
func Explain(err error) (reason Reason, message, hint string) {
	reason = classify(err)
	if reason != Other {
		return reason, texts[reason].message, texts[reason].hint
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return Other, err.Error(), ""
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
