package workflow

import (
	"encoding/csv"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/files"
)

const (
	// RejectsKeptDefault is how many rejects of one node are kept in memory
	// where [flowOptions] says nothing.
	RejectsKeptDefault = 100
	// RejectRawMax bounds the bytes of a row's text that are kept in memory. The
	// file of rejects has all of it.
	RejectRawMax = 1024
)

// rejectsFile writes the rows that a run sets aside to a CSV file, which takes
// its place when the sinks are committed. It is safe for concurrent use. The
// zero pointer is a file that nobody wants.
type rejectsFile struct {
	mu   sync.Mutex
	file *files.Staged
	csv  *csv.Writer
	path string
}

// createRejects begins the file and writes its header.
func createRejects(path, key string) (*rejectsFile, error) {
	file, err := files.CreateFor(path, key)
	if err != nil {
		return nil, rejectsError(path, err)
	}
	r := &rejectsFile{file: file, csv: csv.NewWriter(file), path: path}
	if err := r.csv.Write([]string{"node", "file", "line", "column", "reason", "raw"}); err != nil {
		return nil, rejectsError(path, err)
	}
	return r, nil
}

func (r *rejectsFile) write(rejects []Reject) error {
	if r == nil || len(rejects) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reject := range rejects {
		line := ""
		if reject.Line > 0 {
			line = strconv.Itoa(reject.Line)
		}
		err := r.csv.Write([]string{reject.Node, reject.File, line, reject.Column, reject.Reason, reject.Raw})
		if err != nil {
			return rejectsError(r.path, err)
		}
	}
	return nil
}

// prepare does what may fail before the file takes its place.
func (r *rejectsFile) prepare() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.csv.Flush()
	err := r.csv.Error()
	if err == nil {
		err = r.file.Prepare()
	}
	if err != nil {
		return rejectsError(r.path, err)
	}
	return nil
}

func (r *rejectsFile) commit() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.file.Commit(); err != nil {
		return rejectsError(r.path, err)
	}
	return nil
}

// abort removes the file unless it is committed.
func (r *rejectsFile) abort() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Abort()
}

func rejectsError(path string, err error) error {
	_, cause, hint := files.Explain(err)
	return &fault.Error{
		Code: fault.FailedPrecondition, Target: path, Hint: hint,
		Message: "cannot write the file of rejects", Cause: cause,
	}
}

// cutRaw bounds the text of a reject that is kept in memory.
func cutRaw(raw string) string {
	if len(raw) <= RejectRawMax {
		return raw
	}
	end := RejectRawMax
	for end > 0 && !utf8.RuneStart(raw[end]) {
		end--
	}
	return raw[:end] + "…"
}
