package postgres

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"io"
)

// SchemaVersion is the version of the schema that this code works with.
func SchemaVersion() int { return schemaVersion() }

// OpenVersion opens a store whose schema is migrated to a version only.
func OpenVersion(ctx context.Context, address string, o Options, version int) (*Store, error) {
	return open(ctx, address, o, version)
}

// Settings are those of the connections of a store.
func Settings() map[string]string {
	config, err := configure("postgres://localhost/", Options{}.withDefaults())
	if err != nil {
		panic(err)
	}
	return config.ConnConfig.RuntimeParams
}

// Receives are the statements that take messages. Their parameters are queue,
// messages at most, hold, receipt, owner, bytes at most, and, if ordered, how many
// to look at.
func Receives() map[string]string {
	return map[string]string{
		"ordered":   takeOrdered,
		"any_order": takeAny,
	}
}

// Archivable returns the tables that a backup has.
func Archivable() []string { return archivable }

// NewerArchive is a backup of a version to come.
func NewerArchive() []byte { return archiveWith(archiveHeader{Format: 1, Schema: 99}) }

// StrangeArchive is a backup with a table that is none of a store's.
func StrangeArchive() []byte {
	return archiveWith(archiveHeader{Format: 1, Schema: 1, Tables: []archiveTable{{Name: "pg_authid", Columns: []string{"rolname"}}}})
}

// SmallArchive is a backup with one small table.
func SmallArchive() []byte {
	return archiveWith(archiveHeader{Format: 1, Schema: 1, Tables: []archiveTable{{Name: "stream", Columns: []string{"name"}}}})
}

func archiveWith(h archiveHeader) []byte {
	var out bytes.Buffer
	w := newArchiveWriter(&out)
	_ = w.header(h) // to memory
	for range h.Tables {
		_, _ = w.Write([]byte("rows"))
		_ = w.frame(frameTableEnd, nil)
	}
	_ = w.frame(frameSequence, make([]byte, 8))
	_ = w.end()
	return out.Bytes()
}

// ReadFrames reads what is in an archive, without or with its compression.
func ReadFrames(b []byte) {
	in := io.Reader(bytes.NewReader(b))
	if zip, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
		in = zip
	}
	r := &archiveReader{in: bufio.NewReader(in)}
	h, err := r.header()
	if err != nil {
		return
	}
	for range h.Tables {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return
		}
	}
	_, _ = r.finish()
}
