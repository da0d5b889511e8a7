// Package secret names where secrets are kept, so that configurations and
// definitions hold references and never a secret itself.
package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// secretBytesMax bounds a secret read from a file.
const secretBytesMax = 64 << 10

// A Ref names where a secret is kept: "env:NAME" for an environment
// variable, "file:PATH" for the contents of a file. It never holds the secret
// itself, so printing, logging or encoding a Ref shows the reference only.
// The zero Ref is "no secret".
type Ref struct {
	scheme, name string
}

// Parse reads a reference. An empty text is no secret. A text that is no
// reference is an error that does not repeat it, because it may be the secret.
func Parse(text string) (Ref, error) {
	if text == "" {
		return Ref{}, nil
	}
	scheme, name, ok := strings.Cut(text, ":")
	if !ok || name == "" || (scheme != "env" && scheme != "file") {
		return Ref{}, fmt.Errorf("want a reference, \"env:NAME\" or \"file:PATH\"; a secret is never written here itself")
	}
	return Ref{scheme: scheme, name: name}, nil
}

// IsZero reports whether there is no secret.
func (s Ref) IsZero() bool { return s == Ref{} }

// String returns the reference, never the secret.
func (s Ref) String() string {
	if s.IsZero() {
		return ""
	}
	return s.scheme + ":" + s.name
}

// Env is the reference to an environment variable.
func Env(name string) Ref { return Ref{scheme: "env", name: name} }

// LogValue makes a log record show the reference.
func (s Ref) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the reference, never the secret.
func (s Ref) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a reference; see [Parse].
func (s *Ref) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// Resolve reads the secret: the variable from env, which works like os.Getenv's
// table ("NAME=value"), or the file, without the line break at its end. A
// secret that is missing or empty is an error that names the reference.
func (s Ref) Resolve(env []string) (string, error) {
	var value string
	switch s.scheme {
	case "":
		return "", nil
	case "env":
		v, ok := LookupEnv(env, s.name)
		if !ok {
			return "", fmt.Errorf("%s: the variable is not set", s)
		}
		value = v
	case "file":
		v, err := readSecretFile(s.name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s, err)
		}
		value = v
	}
	if value == "" {
		return "", fmt.Errorf("%s: the secret is empty", s)
	}
	return value, nil
}

// readSecretFile returns a file's text without its last line break.
func readSecretFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", pathCause(err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("not a regular file")
	}
	if info.Size() > secretBytesMax {
		return "", fmt.Errorf("%d bytes, at most %d are read", info.Size(), secretBytesMax)
	}
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return "", pathCause(err)
	}
	if !utf8.Valid(data) {
		return "", fmt.Errorf("not UTF-8 text")
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// pathCause is what went wrong with a file, without the operation and the path.
func pathCause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// LookupEnv finds a variable in a table of "NAME=value"; the last one counts.
func LookupEnv(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(env[i], "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}
