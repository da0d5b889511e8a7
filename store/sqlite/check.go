package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"

	"github.com/troupe-dev/troupe/store"
)

const findingsMax = 1000

// Check examines the store in a file that no process needs to have open: SQLite's
// own structure, every checksum, and that streams have no gap. It changes nothing
// but for what SQLite does to recover its log. A file that cannot be opened as a
// store at all is one finding, except when it is not there, another program's, or
// a newer version's.
func Check(ctx context.Context, path string) ([]store.Finding, error) {
	const op = "sqlite.Check"
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, explainPath(op, path, err)
	}
	findings, err := checkPathIn(ctx, op, path)
	if errors.Is(err, store.ErrDamaged) {
		return append(findings, store.Finding{Place: path, Problem: rootCause(err)}), nil
	}
	return findings, err
}

func checkPathIn(ctx context.Context, op, path string) ([]store.Finding, error) {
	if err := checkFile(path); err != nil {
		return nil, err
	}
	c, err := openForCheck(path)
	if err != nil {
		return nil, explain(op, path, err)
	}
	defer func() { _ = c.close() }()
	version, err := identify(c, op, path)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		return nil, store.Failure(store.ErrNotAStore, op, path, errors.New("it is empty"))
	}
	findings, err := checkAll(ctx, c, version)
	return findings, explain(op, path, err)
}

// openForCheck opens a file for reading. Where the log must be recovered and the
// folder cannot be written SQLite needs to be told that nobody writes.
func openForCheck(path string) (*conn, error) {
	name, err := dsn(path, "ro")
	if err != nil {
		return nil, err
	}
	c, err := openConn(name, "busy_timeout = 5000")
	if err == nil {
		if err = c.query(context.Background(), "SELECT count(*) FROM sqlite_schema", nil, func([]driver.Value) error { return nil }); err == nil {
			return c, nil
		}
		_ = c.close() // another try follows
	}
	if explained := explain("sqlite.Check", path, err); errors.Is(explained, store.ErrDamaged) {
		return nil, err
	}
	return openConn(name + "&immutable=1")
}

// rootCause is the text of an error below the fault that wraps it.
func rootCause(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}

// Check implements [store.Checker]. It sees the store as of one moment, and
// the store goes on working.
func (s *Store) Check(ctx context.Context) (findings []store.Finding, err error) {
	err = s.read(ctx, "sqlite.Check", func(c *conn) error {
		findings, err = checkAll(ctx, c, schemaVersion)
		return err
	})
	return findings, err
}

// A checker gathers findings.
type checker struct {
	ctx      context.Context
	c        *conn
	findings []store.Finding
}

func (k *checker) found(place string, problem error) {
	if len(k.findings) < findingsMax {
		k.findings = append(k.findings, store.Finding{Place: place, Problem: problem.Error()})
	}
}

// checkAll reads everything in one transaction. All versions of the schema have
// the tables that it reads.
func checkAll(ctx context.Context, c *conn, version int64) ([]store.Finding, error) {
	if err := c.script("BEGIN"); err != nil {
		return nil, err
	}
	defer func() { _ = c.script("COMMIT") }() // it only read
	k := &checker{ctx: ctx, c: c}
	structure := func() error {
		return c.query(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", findingsMax), nil, func(row []driver.Value) error {
			if text := textOf(row[0]); text != "ok" {
				k.found("structure", errors.New(text))
			}
			return nil
		})
	}
	schema := func() error {
		problems, err := checkSchema(ctx, c, version)
		for _, p := range problems {
			k.found("schema", p)
		}
		return err
	}
	for _, step := range []struct {
		table string
		check func() error
	}{
		{"structure", structure}, {"schema", schema}, {"streams and chunks", k.streams}, {"small tables", k.small}, {"blobs", k.blobs},
		{"snapshots", k.snapshotBlobs}, {"messages and journal", k.messages},
	} {
		err := step.check()
		if err != nil && ctx.Err() != nil {
			return k.findings, ctx.Err()
		}
		if err != nil {
			// What cannot be read is a finding, and the next table may be sound.
			k.found(step.table, err)
		}
	}
	return k.findings, nil
}

// streams checks the chunks of all streams.
func (k *checker) streams() error {
	const sql = `SELECT s.no, s.name, s.first, s.head, s.sum, c.first, c.last, c.data FROM streams s LEFT JOIN chunks c ON c.stream = s.no ORDER BY s.no, c.first`
	var name store.Stream
	var next, head store.Position
	end := func() {
		if name != "" && next <= head {
			k.found(fmt.Sprintf("stream %s, position %d", name, next), errGone)
		}
	}
	err := k.c.query(k.ctx, sql, nil, func(row []driver.Value) error {
		info, err := streamOf(row)
		if info.Stream != name {
			end()
			name, next, head = info.Stream, info.First, info.Head
			if err != nil {
				k.found("stream "+string(name), errSum)
			}
		}
		if row[7] != nil {
			next = k.chunk(name, next, run{store.Position(intOf(row[5])), store.Position(intOf(row[6])), bytesOf(row[7])})
		}
		return nil
	})
	end()
	return err
}

// chunk checks a chunk of a stream whose next position is expected, and returns
// the position after it.
func (k *checker) chunk(name store.Stream, next store.Position, r run) store.Position {
	at := func(p store.Position) string { return fmt.Sprintf("stream %s, position %d", name, p) }
	if r.first > next {
		k.found(at(next), errGone)
	}
	rd := reader{b: r.data}
	sum := sumOf(string(name))
	for p := r.first; p <= r.last; p++ {
		e, blob := rd.event(name, sum)
		if rd.err == nil && e.Position != p {
			rd.err = errForm
		}
		if rd.err != nil {
			k.found(at(p), rd.err)
			break
		}
		if blob.id != 0 && p >= next {
			k.hasBlob(at(p), blob)
		}
	}
	return max(next, r.last+1)
}

// hasBlob checks that a blob is there; blobs checks what is in it.
func (k *checker) hasBlob(place string, blob blobRef) {
	size := int64(-1)
	err := k.c.query(k.ctx, "SELECT length(data) FROM blobs WHERE id = ?", []driver.Value{blob.id}, func(row []driver.Value) error {
		size = intOf(row[0])
		return nil
	})
	switch {
	case err != nil:
		k.found(place, err)
	case size != int64(blob.size):
		k.found(fmt.Sprintf("%s, blob %d", place, blob.id), errGone)
	}
}

// rows checks the checksums of a table: columns without sum, which are all that
// it is made of, and how to name a row.
func (k *checker) rows(table, columns string, name func(row []driver.Value) string) error {
	return k.c.query(k.ctx, "SELECT "+columns+", sum FROM "+table, nil, func(row []driver.Value) error {
		if n := len(row) - 1; rowSum(row[:n]...) != intOf(row[n]) {
			k.found(name(row), errSum)
		}
		return nil
	})
}

// small checks the tables whose rows stand for themselves.
func (k *checker) small() error {
	of := func(format string, columns ...int) func([]driver.Value) string {
		return func(row []driver.Value) string {
			var args []any
			for _, c := range columns {
				args = append(args, row[c])
			}
			return fmt.Sprintf(format, args...)
		}
	}
	return errors.Join(
		k.rows("counters", "name, value", of("counter %v", 0)),
		k.rows("cursors", "scope, producer, seq", of("cursor %v of scope %v", 1, 0)),
		k.rows("requests", "queue, request_id, message, done, until, answer_type, answer", of("request %v of queue %v", 1, 0)),
		k.rows("leases", "name, owner, epoch, until", of("lease %v", 0)),
		k.rows("metadata", "key, version, value", of("entry %v", 0)),
		k.rows("snapshots", "stream, position, time, type, blob, size, data", of("snapshot of stream %v", 0)),
		k.rows("dead_letter_queue", "id, meta, raw_bytes", of("letter %v", 0)),
	)
}

// snapshotBlobs checks that the payloads of snapshots are there.
func (k *checker) snapshotBlobs() error {
	return k.c.query(k.ctx, "SELECT stream, blob, size FROM snapshots WHERE blob > 0", nil, func(row []driver.Value) error {
		k.hasBlob("snapshot of stream "+textOf(row[0]), blobRef{intOf(row[1]), int(intOf(row[2]))})
		return nil
	})
}

func (k *checker) blobs() error {
	return k.c.query(k.ctx, "SELECT id, hash, data FROM blobs", nil, func(row []driver.Value) error {
		if sum := sha256.Sum256(bytesOf(row[2])); !bytes.Equal(sum[:], bytesOf(row[1])) {
			k.found(fmt.Sprintf("blob %d", intOf(row[0])), errSum)
		}
		return nil
	})
}

// messages checks the messages, and then the journal, by replaying it into a
// memory of its own.
func (k *checker) messages() error {
	mem := newMemory()
	err := k.c.query(k.ctx, messageSQL, nil, func(row []driver.Value) error {
		place := fmt.Sprintf("message %d of queue %s", intOf(row[0]), textOf(row[1]))
		m, err := mem.messageOf(row)
		if err != nil {
			mem.lost[m.id] = true
			k.found(place, err)
			return nil
		}
		if m.blob != 0 {
			k.hasBlob(place, blobRef{m.blob, m.size})
		}
		mem.apply(&op{kind: opPut, m: m})
		return nil
	})
	if err != nil {
		return err
	}
	t := &tables{mem, k.c}
	return k.c.query(k.ctx, "SELECT seq, data FROM journal ORDER BY seq", nil, func(row []driver.Value) error {
		j, err := openJournalRow(bytesOf(row[1]))
		if err == nil {
			err = mem.replay(j, t)
		}
		if err != nil {
			return fmt.Errorf("journal row %d: %w", intOf(row[0]), err)
		}
		return nil
	})
}
