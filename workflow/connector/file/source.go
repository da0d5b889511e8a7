package file

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	// findingsMax bounds the entries of a run's journal.
	findingsMax = 900
	// findingBytes is about how large an entry becomes.
	findingBytes = 256 << 10
)

// finding is an entry of the journal of a run: files that are there.
type finding struct {
	// Until is when a run that watches for a time ends; in the first one.
	Until time.Time `json:"until,omitzero"`
	Files []found   `json:"files,omitempty"`
}

// source gives out the files of its journal, and records there what it finds. It
// implements [workflow.Source], [workflow.Counter] and [workflow.Acknowledger].
type source struct {
	config SourceConfig
	folder string
	schema workflow.Schema
	env    *workflow.Env

	watch *watcher
	known known   // what this run and, by wish, earlier ones have taken up
	entry int     // of the journal, the next one
	files []found // of the entry under way, those that are not given out yet
	taken int64   // files in all entries so far
	rows  int64
	until time.Time
	heard time.Time // when something was found, or changed, last
	away  bool      // the folder was, when it was looked at
}

// Open looks whether the folder is there, and begins the time.
func (s *source) Open(ctx context.Context) error {
	folder, err := filepath.Abs(s.folder)
	if err == nil && s.env.Journal.Len() == 0 { // later it is waited for
		_, err = os.ReadDir(folder)
	}
	if err != nil {
		return workflow.FileError("watch.Open", s.folder, err)
	}
	s.watch = newWatcher(s.config.Watching, folder, s.config.Digest, s.env.Log)
	s.known = known{identity: s.config.Identity, files: map[string]remembered{}, taken: map[string]bool{}}
	if s.config.Remember {
		if err := s.known.load(ctx, s.env.Memory); err != nil {
			return err
		}
	}
	if s.config.For > 0 && s.env.Journal.Len() == 0 {
		if err := s.record(ctx, &finding{Until: time.Now().Add(s.config.For)}); err != nil {
			return err
		}
	}
	s.heard = time.Now()
	return nil
}

func (s *source) record(ctx context.Context, f *finding) error {
	entry, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return s.env.Journal.Append(ctx, entry)
}

// Read returns files. It waits for one.
func (s *source) Read(ctx context.Context, most int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema, File: s.watch.folder}
	for len(s.files) == 0 {
		if err := s.next(ctx); err != nil {
			return batch, nil, err
		}
	}
	n := min(most, len(s.files))
	var rejects []workflow.Reject
	batch.Rows = workflow.NewRows(n, s.schema.Len())[:0]
	for i, row := range workflow.NewRows(n, s.schema.Len()) {
		f := &s.files[i]
		if f.Quoted {
			rejects = append(rejects, workflow.Reject{File: s.watch.folder, Column: "path", Reason: "the name of the file is not UTF-8", Raw: f.Path})
			continue
		}
		row[0], row[1] = workflow.String(f.Path), workflow.String(filepath.Base(f.Path))
		row[2], row[3] = workflow.Int(f.Size), workflow.Time(f.Modified)
		if s.config.Digest {
			row[4] = workflow.String(f.SHA256)
		}
		batch.Rows = append(batch.Rows, row)
	}
	s.files = s.files[n:]
	s.rows += int64(n)
	return batch, rejects, nil
}

// next takes up the next entry of the journal, be it from the time before a crash,
// and finds what is to be the next one where there is none. At the end it returns
// io.EOF.
func (s *source) next(ctx context.Context) error {
	if s.entry < s.env.Journal.Len() {
		return s.takeUp(ctx)
	}
	if s.full() {
		return s.env.Journal.Append(ctx, nil)
	}
	recorded, err := s.look(ctx)
	if recorded || err != nil {
		return err
	}
	at, ends := s.nextLook(time.Now())
	if ends {
		return s.env.Journal.Append(ctx, nil)
	}
	// The end may come from outside meanwhile.
	waiting, cancel := context.WithDeadline(ctx, at)
	defer cancel()
	if _, err := s.env.Journal.Entry(waiting, s.entry); err != nil && waiting.Err() == nil {
		return err
	}
	return ctx.Err()
}

// full reports whether the run has taken up all that it can.
func (s *source) full() bool {
	most := int64(filesMax)
	if s.config.MaxFiles > 0 {
		most = s.config.MaxFiles
	}
	return s.taken >= most || s.entry >= findingsMax
}

// nextLook is when to look again, unless the time is over by which the run ends.
func (s *source) nextLook(now time.Time) (at time.Time, ends bool) {
	at = now.Add(s.config.Every)
	for _, end := range []time.Time{s.until, s.idleUntil()} {
		switch {
		case end.IsZero():
		case !end.After(now):
			return at, true
		case end.Before(at):
			at = end
		}
	}
	return at, false
}

func (s *source) idleUntil() time.Time {
	if s.config.Idle == 0 {
		return time.Time{}
	}
	return s.heard.Add(s.config.Idle)
}

// takeUp takes up an entry of the journal.
func (s *source) takeUp(ctx context.Context) error {
	entry, err := s.env.Journal.Entry(ctx, s.entry)
	if err != nil {
		return err
	}
	f, err := parseFinding(entry)
	if err != nil {
		return err
	}
	if s.entry == 0 {
		s.until = f.Until
	}
	s.entry++
	s.files = f.Files
	s.taken += int64(len(f.Files))
	for i := range f.Files {
		s.known.take(&f.Files[i])
	}
	s.heard = time.Now()
	return nil
}

// parseFinding reads an entry of a journal. The end is io.EOF.
func parseFinding(entry json.RawMessage) (f finding, err error) {
	if len(entry) == 0 || string(entry) == "null" {
		return f, io.EOF
	}
	if err := json.Unmarshal(entry, &f); err != nil {
		return f, fault.New(fault.Internal, "watch.Read", "what was recorded of the files that were found cannot be read: %s", err)
	}
	return f, nil
}

// errEnough ends a look: there is no room for more.
var errEnough = errors.New("the run takes up no more files")

// look goes through the folder, and records what it finds. It returns false where
// there is nothing new.
func (s *source) look(ctx context.Context) (recorded bool, err error) {
	var f finding
	size, entries, fresh := 0, s.entry, map[string]bool{} // keys that this look has found
	flush := func() error {
		if len(f.Files) == 0 {
			return nil
		}
		recorded = true
		entries++
		err := s.record(ctx, &f)
		f, size = finding{}, 0
		return err
	}
	left := int64(filesMax) - s.taken
	if s.config.MaxFiles > 0 {
		left = s.config.MaxFiles - s.taken
	}
	err = s.watch.look(ctx, func(file found) error {
		if !utf8.ValidString(file.Path) {
			file.Path, file.Quoted = strconv.Quote(file.Path), true
		}
		key := s.known.key(&file)
		if s.known.has(&file) || fresh[key] {
			return nil
		}
		if left == 0 || entries >= findingsMax {
			return errEnough
		}
		left--
		fresh[key] = true
		f.Files = append(f.Files, file)
		if size += len(file.Path) + len(file.SHA256) + 100; size >= findingBytes {
			return flush()
		}
		return nil
	})
	away := fault.CodeOf(err) == fault.Unavailable
	if away && !s.away {
		s.env.Log.Warn("the folder is away; it is waited for", "folder", s.watch.folder, "error", err)
	}
	if s.away = away; away || errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil {
		err = flush()
	}
	if s.watch.moves || away {
		s.heard = time.Now()
	}
	return recorded, err
}

// RowsRead counts the files that were given out or set aside.
func (s *source) RowsRead() int64 { return s.rows }

// Acknowledge notes for later runs what this one has taken up.
func (s *source) Acknowledge(ctx context.Context) error {
	if !s.config.Remember {
		return nil
	}
	return s.known.save(ctx, s.env.Memory, time.Now())
}

// Close does nothing.
func (s *source) Close() error { return nil }
