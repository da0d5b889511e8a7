package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// pageBytes is twice SQLite's default: groups and chunks are tens of kilobytes, and
// writing them takes half the system calls (a third more events per second was
// measured); a commit of one small batch is no slower. Larger pages gain nothing.
const pageBytes = 8192

// fullCheckBytes and quickCheckBytes are up to which sizes opening a file checks
// the structure of all of it, with and without the indexes: for a tenth of a
// second at most. A larger one is checked by what opening reads, and by
// [Store.Check].
const (
	fullCheckBytes  = 8 << 20
	quickCheckBytes = 32 << 20
)

// Open opens the store in a file, or makes one, with the folder that it is in.
// It brings an older schema up to date, reads the journal, and checks that the
// file is whole as far as that takes no more than a moment.
//
// Errors: [store.ErrInUse], [store.ErrNotAStore], [store.ErrNewerSchema],
// [store.ErrDamaged], [store.ErrReadOnly], [store.ErrDiskFull], [store.ErrDisk],
// [store.ErrInvalid] for a path that cannot be one, and those of ctx.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	const op = "sqlite.Open"
	o = o.withDefaults()
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, explainPath(op, path, err)
	}
	s := &Store{
		path: path, limits: o.Limits, log: o.Logger, born: time.Now(),
		mem: newMemory(), readers: make(chan *conn, o.Readers),
		foldAt: o.JournalBytes, done: make(chan struct{}), closing: make(chan struct{}),
	}
	s.inbox.wake = make(chan struct{}, 1)
	s.group = group{s: s, cursors: map[cursorKey]uint64{}, requests: map[requestKey]request{}, versions: map[string]int64{}}
	if err := s.open(ctx, o); err != nil {
		return nil, errors.Join(explain(op, path, err), s.release())
	}
	go s.run()
	return s, nil
}

// checkPath refuses what SQLite would take for something else than a file.
func checkPath(path string) error {
	if path == "" || bytes.ContainsAny([]byte(path), "\x00") {
		return store.Failure(store.ErrInvalid, "sqlite.Open", "path", fmt.Errorf("is %q, want the path of a file", path))
	}
	return nil
}

// dsn is how the driver is told of a path, in a mode of SQLite: rwc or ro.
func dsn(path, mode string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: "mode=" + mode}).String(), nil
}

func (s *Store) open(ctx context.Context, o Options) error {
	if err := s.lockFile(); err != nil {
		return err
	}
	if err := checkFile(s.path); err != nil {
		return err
	}
	if err := writable(s.path); err != nil {
		return err
	}
	name, err := dsn(s.path, "rwc")
	if err != nil {
		return err
	}
	s.w, err = openConn(name, "busy_timeout = 5000", fmt.Sprintf("page_size = %d", pageBytes))
	if err != nil {
		return err
	}
	version, err := identify(s.w, "sqlite.Open", s.path)
	if err != nil {
		return err
	}
	for _, pragma := range []string{
		"journal_mode = WAL", // readers do not block the writer, nor it them
		"synchronous = FULL", // a commit syncs the log
		fmt.Sprintf("cache_size = -%d", o.CacheBytes/1024),
		"temp_store = MEMORY",
		"wal_autocheckpoint = 2000",     // 16 MiB: fewer and longer checkpoints
		"journal_size_limit = 67108864", // after a peak the log shrinks to 64 MiB
	} {
		if err := s.w.script("PRAGMA " + pragma); err != nil {
			return err
		}
	}
	if err := migrate(s.w, version, schemaVersion); err != nil {
		return err
	}
	if err := s.quickCheck(ctx); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	return s.openReaders(o)
}

// lockFile makes this the only store on the file. The lock is SQLite's own, on an
// empty database beside the file, so that it works on all systems.
func (s *Store) lockFile() error {
	path := s.path + "-lock"
	if err := writable(path); err != nil {
		return err
	}
	name, err := dsn(path, "rwc")
	if err != nil {
		return err
	}
	if s.lock, err = openConn(name, "busy_timeout = 0"); err != nil {
		return err
	}
	return s.lock.script("BEGIN EXCLUSIVE")
}

// writable makes a file if it is not there. The operating system says why it
// cannot be written; SQLite only that.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return explainPath("sqlite.Open", path, err)
	}
	return f.Close()
}

// checkFile looks at a file before SQLite does: SQLite takes an empty one for a
// new database, and one that was cut in its first page may look like another
// program's.
func checkFile(path string) error {
	const op = "sqlite.Open"
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explainPath(op, path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return explainPath(op, path, err)
	}
	if !info.Mode().IsRegular() {
		return store.Failure(store.ErrInvalid, op, path, errors.New("is not a regular file"))
	}
	if info.Size() == 0 {
		return nil
	}
	head := make([]byte, headBytes)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return explainPath(op, path, err)
	}
	const magic = "SQLite format 3\x00"
	if begin := head[:min(n, len(magic))]; string(begin) != magic[:len(begin)] {
		return store.Failure(store.ErrNotAStore, op, path, fmt.Errorf("it begins with %.16q, or is damaged at its very beginning", begin))
	}
	if n == headBytes && (head[18]-1 > 1 || head[19]-1 > 1) {
		return damaged(op, path, fmt.Errorf("its header has format %d and %d, want 1 or 2", head[18], head[19]))
	}
	if whole := wholeSize(path, head[:n]); info.Size() < whole {
		return damaged(op, path, fmt.Errorf("it was cut: it has %d bytes of %d", info.Size(), whole))
	}
	return nil
}

// headBytes is the size of the header of a SQLite file. Its numbers are big
// endian: the size of a page at 16, the formats for writing and reading at 18 and
// 19, a counter of changes at 24, the size of the file in pages at 28, which holds
// if the counter at 92 is the same.
const headBytes = 100

// wholeSize returns how large a file must be at least by its header. With a log
// beside it the header may be old.
func wholeSize(path string, head []byte) int64 {
	if len(head) < headBytes {
		return headBytes
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return headBytes
	}
	if !bytes.Equal(head[24:28], head[92:96]) {
		return headBytes
	}
	page := int64(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 65536
	}
	return max(headBytes, page*int64(binary.BigEndian.Uint32(head[28:])))
}

// quickCheck looks for what makes no sense in the schema, and in all of a file that
// is not large.
func (s *Store) quickCheck(ctx context.Context) error {
	problems, err := checkSchema(ctx, s.w, schemaVersion)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return damaged("sqlite.Open", s.path, problems[0])
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return explainPath("sqlite.Open", s.path, err)
	}
	pragma := "integrity_check(1)"
	switch {
	case info.Size() > quickCheckBytes:
		return nil
	case info.Size() > fullCheckBytes:
		pragma = "quick_check(1)" // without the indexes
	}
	return s.w.query(ctx, "PRAGMA "+pragma, nil, func(row []driver.Value) error {
		if text := textOf(row[0]); text != "ok" {
			return damaged("sqlite.Open", s.path, errors.New(text))
		}
		return nil
	})
}

// load reads what the writer has in memory.
func (s *Store) load(ctx context.Context) (err error) {
	if s.leases, err = loadLeases(s.w); err != nil {
		return err
	}
	if s.mem.nextID, s.mem.nextGrant, err = readCounters(ctx, s.w); err != nil {
		return err
	}
	if err := s.loadMessages(ctx); err != nil {
		return err
	}
	s.tables = &tables{s.mem, s.w}
	err = s.w.query(ctx, "SELECT seq, data FROM journal ORDER BY seq", nil, func(row []driver.Value) error {
		place := fmt.Sprintf("%s, journal row %d", s.path, intOf(row[0]))
		j, err := openJournalRow(bytesOf(row[1]))
		if err == nil {
			err = s.mem.replay(j, s.tables)
		}
		if failed := (*sqlFailure)(nil); err != nil && !errors.As(err, &failed) {
			return damaged("sqlite.Open", place, err)
		}
		return err
	})
	s.savedID = s.mem.nextID
	return err
}

// readCounters returns the next numbers to give out.
func readCounters(ctx context.Context, c *conn) (id, grant int64, err error) {
	id, grant = 1, 1
	err = c.query(ctx, "SELECT name, value, sum FROM counters", nil, func(row []driver.Value) error {
		name, value := textOf(row[0]), intOf(row[1])
		if rowSum(name, value) != intOf(row[2]) {
			return damaged("sqlite.Open", "counter "+name, errSum)
		}
		if name == "id" {
			id = value
		} else {
			grant = value
		}
		return nil
	})
	return id, grant, err
}

const messageSQL = "SELECT id, queue, priority, key, time, until, attempts, dedup, last_error, sum, body FROM messages ORDER BY id"

// messageOf turns a row of messageSQL into a message of a memory.
func (mem *memory) messageOf(row []driver.Value) (*message, error) {
	m := &message{
		id: store.MessageID(intOf(row[0])), queue: mem.queue(store.Queue(textOf(row[1]))), key: textOf(row[3]),
		priority:  store.Priority(intOf(row[2]) & 1),
		time:      intOf(row[4]),
		until:     intOf(row[5]),
		attempts:  int32(intOf(row[6])), //nolint:gosec // behind a checksum
		dedup:     intOf(row[7]),
		lastError: textOf(row[8]),
		folded:    true,
	}
	if rowSum(row[:9]...) != intOf(row[9]) {
		return m, errSum
	}
	err := m.restore(bytesOf(row[10]))
	return m, err
}

// loadMessages reads the messages that were folded. A message that is damaged
// stays in the file, for Check to find and for people to look at; it is handed
// out to nobody.
func (s *Store) loadMessages(ctx context.Context) error {
	return s.w.query(ctx, messageSQL, nil, func(row []driver.Value) error {
		m, err := s.mem.messageOf(row)
		if err != nil {
			s.mem.lost[m.id] = true
			s.stats.damaged.Add(1)
			s.log.Error("store: a message is damaged and will not be handed out", "path", s.path,
				"message", int64(m.id), "queue", string(m.queue.name), "error", err.Error())
			return nil
		}
		s.mem.apply(&op{kind: opPut, m: m})
		return nil
	})
}

// openReaders makes the connections of those that read.
func (s *Store) openReaders(o Options) error {
	name, err := dsn(s.path, "ro")
	if err != nil {
		return err
	}
	for range o.Readers {
		c, err := openConn(name, "busy_timeout = 5000", fmt.Sprintf("cache_size = -%d", o.CacheBytes/8/1024))
		if err != nil {
			return err
		}
		s.readers <- c
	}
	return nil
}

// release closes all connections that are open. The writer's is the last on the
// file, so that SQLite can remove its log.
// A connection that is being read with is closed by who reads, in endRead: waiting
// for it here would never end when a store is closed in the middle of an iterator.
func (s *Store) release() error {
	all := []error{s.closeReaders()}
	for _, c := range []*conn{s.w, s.lock} {
		if c != nil {
			all = append(all, c.close())
		}
	}
	return explain("store.Close", s.path, errors.Join(all...))
}

// closeReaders closes the connections that nobody reads with.
func (s *Store) closeReaders() error {
	var all []error
	for {
		select {
		case c := <-s.readers:
			all = append(all, c.close())
		default:
			return errors.Join(all...)
		}
	}
}

// endRead ends the loan of a connection. Closed connections let SQLite move its
// log into the file, so none may be forgotten by a store that was closed meanwhile.
func (s *Store) endRead(c *conn) {
	s.readers <- c
	select {
	case <-s.closing:
		_ = s.closeReaders() // nobody is left to be told
	default:
	}
}

// read lends f a connection to read with.
func (s *Store) read(ctx context.Context, op string, f func(c *conn) error) error {
	if err := s.checkOpen(op); err != nil {
		return err
	}
	select {
	case c := <-s.readers:
		defer s.endRead(c)
		return explain(op, s.path, f(c))
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return store.Failure(store.ErrClosed, op, s.path, nil)
	}
}
