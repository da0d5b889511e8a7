package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"fmt"

	"github.com/troupe-dev/troupe/store"
)

// Tables brings into memory what the writer needs of the tables. Only the writer
// uses it, so that reading the maps takes no lock; changing them does, because
// others read.
type tables struct {
	mem *memory
	c   *conn
}

// stream returns what is known of a stream; an unknown one has head 0.
func (t *tables) stream(name store.Stream) (*stream, error) {
	if s := t.mem.streams[name]; s != nil {
		return s, nil
	}
	s := &stream{name: name, sum: sumOf(string(name)), first: 1}
	lacks, err := t.mem.streamNames.lacks(t.c, string(name))
	if err == nil && !lacks {
		err = t.c.query(context.Background(), streamSQL, []driver.Value{string(name)}, func(row []driver.Value) error {
			info, err := streamOf(row)
			s.no, s.first, s.head = intOf(row[0]), info.First, info.Head
			return err
		})
	}
	if err != nil {
		return nil, broken(err)
	}
	s.staged = s.head
	t.mem.mu.Lock()
	t.mem.streams[name] = s
	t.mem.mu.Unlock()
	return s, nil
}

const streamSQL = "SELECT no, name, first, head, sum FROM streams WHERE name = ?"

// streamOf turns a row of table streams, as in streamSQL, into a description.
func streamOf(row []driver.Value) (store.StreamInfo, error) {
	info := store.StreamInfo{Stream: store.Stream(textOf(row[1])), First: store.Position(intOf(row[2])), Head: store.Position(intOf(row[3]))}
	if streamSum(intOf(row[0]), info) != intOf(row[4]) {
		return info, damaged("store", "stream "+string(info.Stream), errSum)
	}
	return info, nil
}

// streamSum is the checksum of a row of table streams.
func streamSum(no int64, info store.StreamInfo) int64 {
	return rowSum(no, string(info.Stream), int64(info.First), int64(info.Head))
}

// scope returns all cursors of a scope.
func (t *tables) scope(name string) (*scope, error) {
	if sc := t.mem.scopes[name]; sc != nil {
		return sc, nil
	}
	seqs, err := readCursors(context.Background(), t.c, name)
	if err != nil {
		return nil, broken(err)
	}
	sc := &scope{seqs: seqs, dirty: map[store.Producer]bool{}}
	t.mem.mu.Lock()
	t.mem.scopes[name] = sc
	t.mem.mu.Unlock()
	return sc, nil
}

func readCursors(ctx context.Context, c *conn, scope string) (map[store.Producer]uint64, error) {
	seqs := map[store.Producer]uint64{}
	err := c.query(ctx, "SELECT producer, seq, sum FROM cursors WHERE scope = ?", []driver.Value{scope}, func(row []driver.Value) error {
		producer, seq := textOf(row[0]), intOf(row[1])
		if rowSum(scope, producer, seq) != intOf(row[2]) {
			return damaged("store", "cursor "+producer+" of scope "+scope, errSum)
		}
		seqs[store.Producer(producer)] = uint64(seq) //nolint:gosec // it was written from such a number
		return nil
	})
	return seqs, err
}

// version returns the version of an entry, or [store.Absent].
func (t *tables) version(key string) (int64, error) {
	if e, found := t.mem.entries.Get(key); found {
		return e.version, nil
	}
	version := store.Absent
	lacks, err := t.mem.entryKeys.lacks(t.c, key)
	if err != nil || lacks {
		return version, broken(err)
	}
	err = t.c.query(context.Background(), "SELECT version FROM metadata WHERE key = ?", []driver.Value{key}, func(row []driver.Value) error {
		version = intOf(row[0])
		return nil
	})
	return version, broken(err)
}

// queue returns the queue of a name.
func (t *tables) queue(name store.Queue) *queue {
	if q := t.mem.queues[name]; q != nil {
		return q
	}
	t.mem.mu.Lock()
	defer t.mem.mu.Unlock()
	return t.mem.queue(name)
}

// openBody returns the envelope of a message with its payload: body is what
// memory has, or nil to read it from the table.
func openBody(ctx context.Context, c *conn, id store.MessageID, body []byte, sum uint32) (store.Envelope, error) {
	if body == nil {
		err := c.query(ctx, "SELECT body FROM messages WHERE id = ?", []driver.Value{int64(id)}, func(row []driver.Value) error {
			body = bytesOf(row[0])
			return nil
		})
		if err != nil {
			return store.Envelope{}, broken(err)
		}
		if body == nil {
			return store.Envelope{}, errGone
		}
	}
	e, blob, err := openEnvelope(body, sum)
	if err != nil {
		return store.Envelope{}, damaged("store.Receive", fmt.Sprintf("message %d", id), err)
	}
	if blob.id != 0 {
		e.Data, err = readBlob(ctx, c, fmt.Sprintf("message %d", id), blob)
	}
	return e, err
}

// readBlob returns a payload that was stored apart and verifies it. What is not
// there is errGone: its owner was deleted meanwhile, or the file is damaged.
func readBlob(ctx context.Context, c *conn, place string, blob blobRef) ([]byte, error) {
	var hash, data []byte
	found := false
	err := c.query(ctx, "SELECT hash, data FROM blobs WHERE id = ?", []driver.Value{blob.id}, func(row []driver.Value) error {
		hash, data, found = bytesOf(row[0]), bytesOf(row[1]), true
		return nil
	})
	if err != nil {
		return nil, broken(err)
	}
	if !found {
		return nil, errGone
	}
	if sum := sha256.Sum256(data); len(data) != blob.size || !bytes.Equal(hash, sum[:]) {
		return nil, damaged("store", fmt.Sprintf("%s, blob %d", place, blob.id), errSum)
	}
	return data, nil
}
