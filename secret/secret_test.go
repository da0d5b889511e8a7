package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Req O1: secrets come by reference and are never printed.
func TestSecretResolve(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	env := []string{"TOKEN=old", "TOKEN=hunter2", "EMPTY="}
	tests := []struct{ ref, want, fails string }{
		{"", "", ""},
		{"env:TOKEN", "hunter2", ""},
		{file("a", "hunter2\r\n"), "hunter2", ""},
		{"env:EMPTY", "", "env:EMPTY: the secret is empty"},
		{"env:NONE", "", "env:NONE: the variable is not set"},
		{file("b", "\n"), "", "the secret is empty"},
		{file("c", "\xff\xfe"), "", "not UTF-8 text"},
		{file("d", strings.Repeat("x", secretBytesMax+1)), "", "at most 65536 are read"},
		{"file:" + dir, "", "not a regular file"},
		{"file:" + filepath.Join(dir, "none"), "", "no such file"},
	}
	for _, tt := range tests {
		s, err := Parse(tt.ref)
		if err != nil {
			t.Errorf("%q: %v", tt.ref, err)
			continue
		}
		got, err := s.Resolve(env)
		if got != tt.want || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%q: %q, %v; want %q, %q", tt.ref, got, err, tt.want, tt.fails)
		}
	}
}

func TestSecretRefusesAndHides(t *testing.T) {
	for _, text := range []string{"hunter2", "env:", "vault:x", ":x", "file:"} {
		if _, err := Parse(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v", text, err)
		}
	}
	t.Setenv("SECRET_OF_THE_TEST", "hunter2")
	s, err := Parse("env:SECRET_OF_THE_TEST")
	if err != nil {
		t.Fatal(err)
	}
	config := struct{ Token Ref }{s}
	asJSON, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("start", "token", s, "config", config)
	for _, text := range []string{string(asJSON), logged.String(), fmt.Sprint(s), fmt.Sprintf("%+v %#v", s, s)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the secret shows in %s", text)
		}
		if !strings.Contains(text, "SECRET_OF_THE_TEST") {
			t.Errorf("the reference is missing in %s", text)
		}
	}
}
