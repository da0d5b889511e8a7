package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// sqliteValues is how many values one INSERT carries at best: measured, a
// longer statement costs more a row again.
const sqliteValues = 160

// sqliteDialect is SQLite's.
type sqliteDialect struct{}

func (sqliteDialect) name() string { return "sqlite" }

func (sqliteDialect) quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (sqliteDialect) placeholder(int) string { return "?" }

func (sqliteDialect) open(l location) (*sql.DB, error) {
	return sql.Open("sqlite", sqliteName(l.path, url.Values{"mode": {"ro"}, "_pragma": {"query_only(1)"}}))
}

// sqliteName is the data source name of a file.
func sqliteName(path string, options url.Values) string {
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	options.Set("_busy_timeout", busyTimeoutMillis)
	options.Set("_dqs", "0")
	options.Set("_error_rc", "1")
	name.RawQuery = options.Encode()
	return name.String()
}

func (sqliteDialect) session(l location) session { return &fileSession{at: l} }

// sqliteTypes are the types that columns get. Drivers go by them when they read.
var sqliteTypes = map[workflow.Kind]string{
	workflow.KindNull:   "TEXT",
	workflow.KindBool:   "BOOLEAN",
	workflow.KindInt:    "INTEGER",
	workflow.KindFloat:  "REAL",
	workflow.KindString: "TEXT",
	workflow.KindDate:   "DATE",
	workflow.KindTime:   "DATETIME",
}

func (sqliteDialect) columnType(kind workflow.Kind, _ bool) string { return sqliteTypes[kind] }

// kindOf goes by the words in a declared type, as SQLite itself does.
func (sqliteDialect) kindOf(declared string) (workflow.Kind, bool) {
	declared = strings.ToUpper(declared)
	for _, rule := range []struct {
		word string
		kind workflow.Kind
	}{
		{"BOOL", workflow.KindBool}, {"INT", workflow.KindInt}, {"CHAR", workflow.KindString}, {"CLOB", workflow.KindString},
		{"TEXT", workflow.KindString}, {"REAL", workflow.KindFloat}, {"FLOA", workflow.KindFloat}, {"DOUBLE", workflow.KindFloat},
		{"NUMERIC", workflow.KindFloat}, {"DECIMAL", workflow.KindFloat}, {"DATETIME", workflow.KindTime},
		{"TIMESTAMP", workflow.KindTime}, {"DATE", workflow.KindDate}, {"BLOB", workflow.KindString},
	} {
		if strings.Contains(declared, rule.word) {
			return rule.kind, true
		}
	}
	return workflow.KindString, declared != ""
}

// timeLayout sorts as text as the times do.
const timeLayout = "2006-01-02 15:04:05.999999999"

func (sqliteDialect) bound(v workflow.Value) any {
	switch v.Kind() {
	case workflow.KindBool:
		if v.Bool() {
			return int64(1)
		}
		return int64(0)
	case workflow.KindInt:
		return v.Int()
	case workflow.KindFloat:
		if math.IsNaN(v.Float()) {
			return nil
		}
		return v.Float()
	case workflow.KindString:
		return v.Text()
	case workflow.KindDate:
		return v.Time().Format(time.DateOnly)
	case workflow.KindTime:
		return v.Time().Format(timeLayout)
	}
	return nil
}

func (sqliteDialect) columns(ctx context.Context, conn *sql.Conn, table string) ([]string, error) {
	return listColumns(ctx, conn, "SELECT name FROM pragma_table_info(?)", table)
}

// check refuses views.
func (sqliteDialect) check(ctx context.Context, conn *sql.Conn, t target) error {
	var kind string
	row := conn.QueryRowContext(ctx, "SELECT type FROM sqlite_schema WHERE type <> 'trigger' AND name = ? COLLATE NOCASE", t.table)
	if err := row.Scan(&kind); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if kind == "view" {
		return &fault.Error{
			Code: fault.FailedPrecondition, Op: "sql.Open",
			Message: fmt.Sprintf("%s is a view; expected a table, or nothing", quoted(t.table)), Hint: "choose another table",
		}
	}
	return nil
}

func (d sqliteDialect) writer(tx *transaction, t target, schema workflow.Schema) writer {
	return newManyRows(tx, t, schema, sqliteValues, onConflict(d, t, schema))
}

// onConflict is the clause that makes an INSERT an upsert, as SQLite and
// PostgreSQL have it; empty for the other modes.
func onConflict(d dialect, t target, schema workflow.Schema) string {
	if t.mode != modeUpsert {
		return ""
	}
	var set []string
	for _, name := range schema.Names() {
		if !slices.Contains(t.key, name) {
			set = append(set, d.quote(name)+" = excluded."+d.quote(name))
		}
	}
	clause := " ON CONFLICT (" + strings.Join(quoteAll(d, t.key), ", ") + ") DO "
	if len(set) == 0 {
		return clause + "NOTHING"
	}
	return clause + "UPDATE SET " + strings.Join(set, ", ")
}

func (sqliteDialect) keysTable() string {
	return "CREATE TABLE IF NOT EXISTS " + keysTable + " (idempotency_key TEXT PRIMARY KEY, applied_at INTEGER NOT NULL)"
}

// sqliteFaults says what SQLite's primary result codes mean to a user.
var sqliteFaults = map[int]known{
	sqlite3.SQLITE_ERROR:      {fault.FailedPrecondition, "", ""},
	sqlite3.SQLITE_BUSY:       {fault.Unavailable, "another writer holds the file", "wait until it has finished, or write to another file"},
	sqlite3.SQLITE_LOCKED:     {fault.Unavailable, "another writer holds the table", "wait until it has finished, or write to another file"},
	sqlite3.SQLITE_FULL:       {fault.ResourceExhausted, "no space is left for the file", "free some space on its file system, or choose a path on another one"},
	sqlite3.SQLITE_READONLY:   {fault.PermissionDenied, "the file cannot be written", "check the owner and the mode of the file and its directory, or choose another path"},
	sqlite3.SQLITE_PERM:       {fault.PermissionDenied, "the file cannot be written", "check the owner and the mode of the file and its directory, or choose another path"},
	sqlite3.SQLITE_CANTOPEN:   {fault.PermissionDenied, "the file cannot be opened", "check the owner and the mode of the file and its directory; SQLite makes further files beside it"},
	sqlite3.SQLITE_NOTADB:     {fault.FailedPrecondition, "it is not a SQLite file", "choose another path; the file is left as it is"},
	sqlite3.SQLITE_CORRUPT:    {fault.DataLoss, "the file is damaged", "restore it from a backup, or choose another path"},
	sqlite3.SQLITE_CONSTRAINT: {fault.FailedPrecondition, "", "the table's own rules refuse a row; see its definition"},
	sqlite3.SQLITE_TOOBIG:     {fault.InvalidArgument, "a text is longer than SQLite allows", ""},
	sqlite3.SQLITE_IOERR:      {fault.Unavailable, "", "check the disk and the space that is left on it"},
}

func (sqliteDialect) explain(err error) (known, bool) {
	var raised *sqlite.Error
	if !errors.As(err, &raised) {
		return known{}, false
	}
	k, ok := sqliteFaults[raised.Code()&0xff]
	return k, ok
}
