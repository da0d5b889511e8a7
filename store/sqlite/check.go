package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/crc32"
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
	defer c.close()
	version, err := identify(c, op, path)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		return nil, store.Failure(store.ErrNotAStore, op, path, errors.New("it is empty"))
	}
	findings, err := checkAll(ctx, c)
	return findings, explain(op, path, err)
}

// openForCheck opens a file for reading. Where the log must be recovered and the
// folder cannot be written SQLite needs to be told that nobody writes.
func openForCheck(path string) (*conn, error) {
	name, err := dsn(path, "ro")
	if err != nil {
		return nil, err
	}
	c, err := openConn(name, "busy_timeout = 5000", "query_only = 1")
	if err == nil {
		if err = c.query(context.Background(), "SELECT count(*) FROM sqlite_schema", nil, func([]driver.Value) error { return nil }); err == nil {
			return c, nil
		}
		_ = c.close() // another try follows
	}
	if explained := explain("sqlite.Check", path, err); errors.Is(explained, store.ErrDamaged) {
		return nil, err
	}
	return openConn(name+"&immutable=1", "query_only = 1")
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
		findings, err = checkAll(ctx, c)
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
func checkAll(ctx context.Context, c *conn) ([]store.Finding, error) {
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
	for _, step := range []struct {
		table string
		check func() error
	}{
		{"structure", structure}, {"streams", k.streams}, {"snapshots", k.snapshots}, {"messages", k.messages},
		{"requests", k.requests}, {"metadata", k.metadata}, {"blobs", k.blobs}, {"dead_letter_queue", k.letters}, {"journal", k.journal},
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
	const sql = `SELECT s.name, s.first, s.head, c.first, c.last, c.data FROM streams s LEFT JOIN chunks c ON c.stream = s.no ORDER BY s.no, c.first`
	var name store.Stream
	var next, head store.Position
	end := func() {
		if name != "" && next <= head {
			k.found(fmt.Sprintf("stream %s, position %d", name, next), errGone)
		}
	}
	err := k.c.query(k.ctx, sql, nil, func(row []driver.Value) error {
		if n := store.Stream(textOf(row[0])); n != name {
			end()
			name, next, head = n, store.Position(intOf(row[1])), store.Position(intOf(row[2]))
		}
		if row[5] != nil {
			next = k.chunk(name, next, run{store.Position(intOf(row[3])), store.Position(intOf(row[4])), bytesOf(row[5])})
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

func (k *checker) sum(table, key string, data []byte, sum driver.Value) {
	if int64(crc32.Checksum(data, castagnoli)) != intOf(sum) {
		k.found(table+" "+key, errSum)
	}
}

func (k *checker) snapshots() error {
	return k.c.query(k.ctx, "SELECT stream, blob, size, sum, data FROM snapshots", nil, func(row []driver.Value) error {
		if blob := intOf(row[1]); blob != 0 {
			k.hasBlob("snapshot of stream "+textOf(row[0]), blobRef{blob, int(intOf(row[2]))})
		} else {
			k.sum("snapshot of stream", textOf(row[0]), bytesOf(row[4]), row[3])
		}
		return nil
	})
}

func (k *checker) messages() error {
	return k.c.query(k.ctx, "SELECT id, queue, body FROM messages", nil, func(row []driver.Value) error {
		place := fmt.Sprintf("message %d of queue %s", intOf(row[0]), textOf(row[1]))
		_, blob, err := openEnvelope(bytesOf(row[2]), sumOf(textOf(row[1])))
		if err != nil {
			k.found(place, err)
		} else if blob.id != 0 {
			k.hasBlob(place, blob)
		}
		return nil
	})
}

func (k *checker) requests() error {
	return k.c.query(k.ctx, "SELECT queue, request_id, sum, answer FROM requests", nil, func(row []driver.Value) error {
		k.sum("request", textOf(row[1])+" of queue "+textOf(row[0]), bytesOf(row[3]), row[2])
		return nil
	})
}

func (k *checker) metadata() error {
	return k.c.query(k.ctx, "SELECT key, sum, value FROM metadata", nil, func(row []driver.Value) error {
		k.sum("entry", textOf(row[0]), bytesOf(row[2]), row[1])
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

func (k *checker) letters() error {
	return k.c.query(k.ctx, "SELECT id, sum, raw_bytes FROM dead_letter_queue", nil, func(row []driver.Value) error {
		k.sum("letter", fmt.Sprint(intOf(row[0])), bytesOf(row[2]), row[1])
		return nil
	})
}

// journal replays the journal into a memory of its own.
func (k *checker) journal() error {
	mem := newMemory()
	t := &tables{mem, k.c}
	err := k.c.query(k.ctx, "SELECT id, queue, priority, body FROM messages ORDER BY id", nil, func(row []driver.Value) error {
		m := &message{id: store.MessageID(intOf(row[0])), queue: mem.queue(store.Queue(textOf(row[1]))), folded: true}
		if m.restore(bytesOf(row[3])) == nil {
			mem.apply(&op{kind: opPut, m: m})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.c.query(k.ctx, "SELECT seq, data FROM journal ORDER BY seq", nil, func(row []driver.Value) error {
		j, err := openJournalRow(bytesOf(row[1]))
		if err == nil {
			err = mem.replay(j, t)
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", intOf(row[0]), err)
		}
		return nil
	})
}
