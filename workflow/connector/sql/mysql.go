package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	// mysqlValues is how many values one INSERT carries at best; the protocol
	// allows 65,535.
	mysqlValues = 8000
	// mysqlDial bounds the time to connect.
	mysqlDial = 10 * time.Second
)

// mysqlDialect is that of MySQL and MariaDB.
type mysqlDialect struct{}

func (mysqlDialect) name() string { return "mysql" }

func (mysqlDialect) quote(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

func (mysqlDialect) placeholder(int) string { return "?" }

func (mysqlDialect) open(l location) (*sql.DB, error) {
	u := l.url
	dsn := ""
	if u.RawQuery != "" {
		query := u.Query()
		query.Del("socket")
		dsn = "?" + query.Encode()
	}
	config, err := mysql.ParseDSN("/" + dsn)
	if err == nil {
		config.DBName = strings.TrimPrefix(u.Path, "/")
		config.User = u.User.Username()
		config.Passwd, _ = u.User.Password()
		config.Net, config.Addr = "tcp", net.JoinHostPort(u.Hostname(), orDefault(u.Port(), "3306"))
		if socket := u.Query().Get("socket"); socket != "" {
			config.Net, config.Addr = "unix", socket
		}
		config.ParseTime, config.Loc = true, time.UTC
		config.MultiStatements, config.InterpolateParams, config.AllowAllFiles = false, false, false
		config.Logger = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // errors are returned
		if config.Timeout == 0 {
			config.Timeout = mysqlDial
		}
		if config.Params == nil {
			config.Params = map[string]string{}
		}
		if _, set := config.Params["time_zone"]; !set {
			config.Params["time_zone"] = "'+00:00'"
		}
	}
	var connector *sql.DB
	if err == nil {
		made, makeErr := mysql.NewConnector(config)
		if err = makeErr; err == nil {
			connector = sql.OpenDB(made)
		}
	}
	if err != nil {
		return nil, &fault.Error{
			Code: fault.InvalidArgument, Op: "sql.Open", Target: l.target, Message: "the URL is not one of MySQL",
			Hint: "expected mysql://USER:PASSWORD@HOST:PORT/NAME?tls=true, or mysql://USER@/NAME?socket=PATH",
		}
	}
	return connector, nil
}

func orDefault(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

func (mysqlDialect) session(l location) session {
	return &serverSession{at: l, begun: "START TRANSACTION", apart: true, expire: "DELETE FROM " + keysTable + " WHERE applied_at < ? LIMIT " + keysDropped}
}

var mysqlTypes = map[workflow.Kind]string{
	workflow.KindNull:   "LONGTEXT",
	workflow.KindBool:   "BOOLEAN",
	workflow.KindInt:    "BIGINT",
	workflow.KindFloat:  "DOUBLE",
	workflow.KindString: "LONGTEXT CHARACTER SET utf8mb4",
	workflow.KindDate:   "DATE",
	workflow.KindTime:   "DATETIME(6)",
}

func (mysqlDialect) columnType(kind workflow.Kind, inKey bool) string {
	if inKey && kind == workflow.KindString {
		return "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	}
	return mysqlTypes[kind]
}

func (mysqlDialect) kindOf(name string) (workflow.Kind, bool) {
	switch strings.TrimPrefix(name, "UNSIGNED ") {
	case "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "YEAR":
		return workflow.KindInt, true
	case "FLOAT", "DOUBLE", "DECIMAL":
		return workflow.KindFloat, true
	case "DATE":
		return workflow.KindDate, true
	case "DATETIME", "TIMESTAMP":
		return workflow.KindTime, true
	}
	return workflow.KindString, true
}

func (mysqlDialect) bound(v workflow.Value) any {
	switch v.Kind() {
	case workflow.KindBool:
		return v.Bool()
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
		return v.Time()
	}
	return nil
}

// names splits the name of a table; the schema may be empty.
func (mysqlDialect) names(table string) (schema, name string) {
	schema, name, found := strings.Cut(table, ".")
	if !found {
		return "", table
	}
	return schema, name
}

func (d mysqlDialect) columns(ctx context.Context, conn *sql.Conn, table string) ([]string, error) {
	schema, name := d.names(table)
	return listColumns(ctx, conn, "SELECT column_name FROM information_schema.columns WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? ORDER BY ordinal_position",
		schema, name)
}

// check sees to it that an upsert has an index that tells its keys apart, for
// MySQL would add rows without a word, and that the table knows transactions.
func (d mysqlDialect) check(ctx context.Context, conn *sql.Conn, t target) error {
	schema, name := d.names(t.table)
	var engine sql.NullString
	err := conn.QueryRowContext(ctx, "SELECT engine FROM information_schema.tables WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?", schema, name).Scan(&engine)
	if err != nil {
		return err
	}
	if !strings.EqualFold(engine.String, "InnoDB") {
		return &fault.Error{
			Code: fault.FailedPrecondition, Op: "sql.Open",
			Message: fmt.Sprintf("the table %s has the engine %q, which knows no transactions", quoted(t.table), engine.String), Hint: "expected a table of InnoDB: ALTER TABLE … ENGINE=InnoDB",
		}
	}
	if t.mode != modeUpsert {
		return nil
	}
	indexes, err := listColumns(ctx, conn, "SELECT GROUP_CONCAT(LOWER(column_name) ORDER BY LOWER(column_name) SEPARATOR '\\0') FROM information_schema.statistics "+
		"WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? AND non_unique = 0 GROUP BY index_name", schema, name)
	if err != nil {
		return err
	}
	key := make([]string, len(t.key))
	for i, column := range t.key {
		key[i] = strings.ToLower(column)
	}
	slices.Sort(key)
	if !slices.Contains(indexes, strings.Join(key, "\x00")) {
		return &fault.Error{
			Code: fault.FailedPrecondition, Op: "sql.Open",
			Message: fmt.Sprintf("the table %s has no primary key or unique index on %s", quoted(t.table), strings.Join(t.key, ", ")), Hint: "upsert needs one on exactly the key columns",
		}
	}
	return nil
}

func (d mysqlDialect) writer(tx *transaction, t target, schema workflow.Schema) writer {
	end := ""
	if t.mode == modeUpsert {
		var set []string
		for _, name := range quoteAll(d, schema.Names()) {
			set = append(set, name+" = VALUES("+name+")")
		}
		end = " ON DUPLICATE KEY UPDATE " + strings.Join(set, ", ")
	}
	return newManyRows(tx, t, schema, mysqlValues, end)
}

func (mysqlDialect) keysTable() string {
	return "CREATE TABLE IF NOT EXISTS " + keysTable + " (idempotency_key VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, applied_at BIGINT NOT NULL, INDEX (applied_at)) ENGINE=InnoDB"
}

// mysqlFaults says what error numbers mean to a user.
var mysqlFaults = map[uint16]known{
	1040: {fault.ResourceExhausted, "", "the server has no connection left; raise max_connections"},
	1044: {fault.PermissionDenied, "", "grant the right to the user in the URL of the database"},
	1045: {fault.Unauthenticated, "", "check user and password in the URL of the database"},
	1048: {fault.FailedPrecondition, "", "the table's own rules refuse a row; see its definition"},
	1049: {fault.NotFound, "", "check the name of the database in its URL"},
	1054: {fault.InvalidArgument, "", ""},
	1062: {fault.FailedPrecondition, "", "the table's own rules refuse a row; see its definition"},
	1064: {fault.InvalidArgument, "", ""},
	1114: {fault.ResourceExhausted, "", ""},
	1142: {fault.PermissionDenied, "", "grant the right to the user in the URL of the database"},
	1146: {fault.FailedPrecondition, "", "check the name of the table"},
	1205: {fault.Unavailable, "", "another transaction holds the lock; run it again later"},
	1213: {fault.Aborted, "", "run it again"},
	1264: {fault.InvalidArgument, "", "the value does not fit the column; convert it in front of the sink"},
	1290: {fault.FailedPrecondition, "", ""},
	1292: {fault.InvalidArgument, "", "the value does not fit the column; convert it in front of the sink"},
	1364: {fault.FailedPrecondition, "", "the table's own rules refuse a row; see its definition"},
	1366: {fault.InvalidArgument, "", "the value does not fit the column; convert it in front of the sink"},
	1406: {fault.InvalidArgument, "", "the value does not fit the column; convert it in front of the sink"},
	1452: {fault.FailedPrecondition, "", "the table's own rules refuse a row; see its definition"},
	1792: {fault.FailedPrecondition, "", "a source only reads; write with a sink"},
}

func (mysqlDialect) explain(err error) (known, bool) {
	if errors.Is(err, mysql.ErrInvalidConn) {
		return known{fault.Unavailable, "the connection was lost", "check that the server runs and can be reached"}, true
	}
	raised, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return known{}, false
	}
	k, ok := mysqlFaults[raised.Number]
	return k, ok
}
