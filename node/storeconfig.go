package node

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/secret"
)

// StoreConfig says where a node keeps what must survive: streams, mailboxes,
// dead letters.
type StoreConfig struct {
	// MaxConns is how many connections to PostgreSQL are open at most. Default
	// 50, from 3 to 1,000. Without meaning for the embedded store.
	MaxConns int `yaml:"max_conns"`

	// Timeout is how long a call to PostgreSQL may take, connecting and trying
	// again included. Default 5s, from 100ms to 10m. Without meaning for the
	// embedded store.
	Timeout time.Duration `yaml:"timeout"`

	// URL is the PostgreSQL database, version 15 or later, that the nodes
	// share: "postgres://user@host/database" without a password, or a reference
	// to the whole of it, "env:NAME" or "file:PATH". Default none: a file of the
	// node's own, troupe.db in the data directory.
	URL StoreURL `yaml:"url"`
}

// A StoreURL is the address of a database: written out if there is nothing
// secret in it, otherwise a reference to where it is kept. The zero StoreURL is
// none.
type StoreURL struct {
	plain  string
	secret secret.Ref
}

const wantStoreURL = "postgres://user@host/database without a password, or a reference to it: env:NAME or file:PATH"

// ParseStoreURL reads an address. The error never repeats the text, which may
// hold a password.
func ParseStoreURL(text string) (StoreURL, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		ref, err := secret.Parse(text)
		if err != nil {
			return StoreURL{}, fmt.Errorf("want %s", wantStoreURL)
		}
		return StoreURL{secret: ref}, nil
	}
	parsed, err := url.Parse(text)
	if err != nil || (parsed.Scheme != "postgres" && parsed.Scheme != "postgresql") {
		return StoreURL{}, fmt.Errorf("want %s", wantStoreURL)
	}
	if _, has := parsed.User.Password(); has || parsed.Query().Has("password") {
		return StoreURL{}, fmt.Errorf("want no password here: put the whole URL into a variable or a file, and write env:NAME or file:PATH")
	}
	return StoreURL{plain: text}, nil
}

// IsZero reports whether there is no address.
func (u StoreURL) IsZero() bool { return u == StoreURL{} }

// String returns the address, or the reference to it, never a password.
func (u StoreURL) String() string {
	if u.plain != "" {
		return u.plain
	}
	return u.secret.String()
}

// LogValue makes a log record show what String returns.
func (u StoreURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText returns what String returns.
func (u StoreURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads an address; see [ParseStoreURL].
func (u *StoreURL) UnmarshalText(text []byte) error {
	parsed, err := ParseStoreURL(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

// Resolve returns the address itself, which may hold a password, with the
// variables of env; see secret.Ref.
func (u StoreURL) Resolve(env []string) (string, error) {
	if u.plain != "" || u.IsZero() {
		return u.plain, nil
	}
	return u.secret.Resolve(env)
}
