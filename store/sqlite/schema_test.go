package sqlite_test

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

// schemas are the versions of the schema that were ever released, or were on
// their way to it. Testdata has a file of each, made by fill with the software of
// that time.
var schemas = []int{1, 2}

// A file of every earlier version opens, has all it had, and is of the present
// version afterwards.
func TestMigrations(t *testing.T) {
	t.Parallel()
	_, want := filled(t)
	for _, version := range schemas {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			must(t, os.WriteFile(path, fixture(t, version), 0o600))
			if findings, err := sqlite.Check(t.Context(), path); err != nil || len(findings) > 0 {
				t.Errorf("Check before: %v, %v", findings, err)
			}
			if got := versionOf(t, path); got != version {
				t.Fatalf("the file is of version %d", got)
			}
			for range 2 {
				s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
				must(t, err)
				got, err := dump(s)
				if must(t, err); got != want {
					t.Errorf("the file has not what it had")
				}
				if findings, err := s.Check(t.Context()); err != nil || len(findings) > 0 {
					t.Errorf("Check: %v, %v", findings, err)
				}
				commit(t, s, store.Batch{Appends: []store.Append{{Stream: "account/1", Expected: 31}}})
				must(t, s.Close())
			}
			if got, present := versionOf(t, path), schemas[len(schemas)-1]; got != present {
				t.Errorf("the file is of version %d now, want %d", got, present)
			}
		})
	}
}

func fixturePath(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("version-%d.db.gz", version))
}

func fixture(t *testing.T, version int) []byte {
	t.Helper()
	packed, err := os.ReadFile(fixturePath(version))
	must(t, err)
	z, err := gzip.NewReader(bytes.NewReader(packed))
	must(t, err)
	data, err := io.ReadAll(z)
	must(t, err)
	return data
}

func versionOf(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	must(t, db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&n))
	return n
}

// TestWriteFixture writes testdata for the present version when it is asked to:
//
//	SQLITE_WRITE_FIXTURE=1 go test -run TestWriteFixture ./store/sqlite
//
// That is done once for each version, together with its migration.
func TestWriteFixture(t *testing.T) {
	present := schemas[len(schemas)-1]
	if os.Getenv("SQLITE_WRITE_FIXTURE") != "" {
		path, _ := filled(t)
		data, err := os.ReadFile(path)
		must(t, err)
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		must(t, err)
		_, err = z.Write(data)
		must(t, err)
		must(t, z.Close())
		must(t, os.WriteFile(fixturePath(present), packed.Bytes(), 0o600))
	}
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	must(t, s.Close())
	if got := versionOf(t, path); got != present {
		t.Errorf("a new file has schema version %d: add it to schemas, and its fixture", got)
	}
}
