package sql

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/secret"
	"github.com/troupe-dev/troupe/workflow"
)

// Database names a database: by its URL, or by a reference to a secret that
// holds the URL.
type Database struct {
	ref secret.Ref
	url string
}

// sqliteScheme begins the name of a SQLite file.
const sqliteScheme = "sqlite:"

const databaseWanted = `expected "sqlite:PATH", "postgres://USER@HOST/NAME", "mysql://USER@HOST/NAME", or "env:NAME" or "file:PATH" for a variable or file that holds such a URL`

// UnmarshalNode reads a URL or a reference.
func (d *Database) UnmarshalNode(decoder *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	var text string
	if errs := decoder.Decode(n, &text); errs != nil {
		return errs
	}
	if strings.HasPrefix(text, "env:") || strings.HasPrefix(text, "file:") {
		ref, err := secret.Parse(text)
		if err != nil {
			return yamldoc.Errors{n.Errorf("%s", err)}
		}
		d.ref = ref
		return nil
	}
	if hasPassword(text) {
		err := n.Errorf("the URL has a password in it")
		err.Hint = "put the URL into a variable or a file, and write env:NAME or file:PATH here"
		return yamldoc.Errors{err}
	}
	if _, _, err := parseDatabase(text); err != nil {
		return yamldoc.Errors{n.Errorf("%s", err)}
	}
	d.url = text
	return nil
}

// MarshalTree writes the URL or the reference.
func (d Database) MarshalTree() yamldoc.Tree { return yamldoc.TextTree(d.String()) }

// At is the database at a URL that has no secret in it: sqlite:PATH,
// postgres://USER@HOST/NAME or mysql://USER@HOST/NAME.
func At(url string) Database { return Database{url: url} }

// From is the database at the URL that a secret holds.
func From(ref secret.Ref) Database { return Database{ref: ref} }

// YAMLType names the type in the documentation of node types.
func (Database) YAMLType() string { return "URL of a database, or reference to a secret" }

// String names the database without what must not be seen.
func (d Database) String() string {
	if !d.ref.IsZero() {
		return d.ref.String()
	}
	return d.url
}

// sqlitePath is the path of a SQLite file, as it stands in the definition.
func sqlitePath(text string) (string, bool) { return strings.CutPrefix(text, sqliteScheme) }

func hasPassword(text string) bool {
	if _, file := sqlitePath(text); file {
		return false
	}
	u, err := url.Parse(text)
	if err != nil {
		return strings.Contains(text, "@")
	}
	_, set := u.User.Password()
	return set || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// resolve gives the URL. The error does not contain it.
func (d Database) resolve() (string, error) {
	if d.ref.IsZero() {
		return d.url, nil
	}
	text, err := d.ref.Resolve(os.Environ())
	if err != nil {
		return "", &fault.Error{Code: fault.FailedPrecondition, Op: "sql.Open", Message: "the database is not known: " + err.Error(), Hint: "set it to the URL of the database"}
	}
	return strings.TrimSpace(text), nil
}

// location is where a database is.
type location struct {
	dialect  dialect
	path     string // of a SQLite file
	url      *url.URL
	target   string // for messages: the reference, or the URL without a password
	identity string // tells databases apart; never shown
}

// locate finds out what is known about a database. Path turns the path of a
// SQLite file into one of the operating system.
func (d Database) locate(path func(string) (string, error)) (location, error) {
	text, err := d.resolve()
	if err != nil {
		return location{}, err
	}
	l := location{target: d.String(), identity: text}
	l.dialect, l.url, err = parseDatabase(text)
	if err != nil {
		return l, &fault.Error{Code: fault.InvalidArgument, Op: "sql.Open", Target: l.target, Message: err.Error()}
	}
	if file, ok := sqlitePath(text); ok {
		if l.path, err = path(file); err != nil {
			return l, workflow.FileError("sql.Open", file, err)
		}
		l.target, l.identity = l.path, sqliteScheme+l.path
	}
	return l, nil
}

// parseDatabase reads a URL. The error does not contain it.
func parseDatabase(text string) (dialect, *url.URL, error) {
	if path, ok := sqlitePath(text); ok {
		if path == "" || strings.HasSuffix(path, "/") {
			return nil, nil, fmt.Errorf("%q names no file; add a file name, such as sqlite:rows.db", text)
		}
		return sqliteDialect{}, nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" && !strings.Contains(text, "://") {
		return nil, nil, fmt.Errorf("it is no URL of a database; %s", databaseWanted)
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		return postgresDialect{}, u, nil
	case "mysql", "mariadb":
		return mysqlDialect{}, u, nil
	}
	return nil, nil, fmt.Errorf("%q is no kind of database; %s", u.Scheme, databaseWanted)
}

// shown is the URL of a server without user, password and parameters.
func (l location) shown() string {
	if l.url == nil {
		return l.path
	}
	return (&url.URL{Scheme: l.dialect.name(), Host: l.url.Host, Path: l.url.Path}).String()
}
