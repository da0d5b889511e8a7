package node

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/secret"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// writeConfig writes a configuration file and returns its path.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "troupe.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Req O1: each layer overrides the one before, and the origin is kept.
func TestLoadLayers(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "http:\n  port: 9001\n  address: 127.0.0.2\nlog: {level: warn}\nname: from-file\n")
	s, err := Load(Sources{
		File:  file,
		Env:   []string{"TROUPE_HTTP_PORT=9002", "TROUPE_NAME=from-env", "HOME=/x"},
		Flags: []Assignment{{"--port", "http.port", "9003"}, {"--port", "http.port", "9004"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Config.HTTP.Port; got != 9004 {
		t.Errorf("port %d, want the last flag's 9004", got)
	}
	if s.Config.Name != "from-env" || s.Config.HTTP.Address != "127.0.0.2" || s.Config.Log.Level != slog.LevelWarn {
		t.Errorf("layers are mixed up: %+v", s.Config)
	}
	if s.Config.ShutdownTimeout != 30*time.Second {
		t.Errorf("shutdown timeout %v, want the default", s.Config.ShutdownTimeout)
	}
	for key, want := range map[string]Origin{
		"http.port":        {FromFlag, "--port"},
		"name":             {FromEnv, "TROUPE_NAME"},
		"http.address":     {FromFile, file + ":3:12"},
		"log.level":        {FromFile, file + ":4:14"},
		"shutdown_timeout": {Kind: FromDefault},
	} {
		if got := s.Origin(key); got != want {
			t.Errorf("origin of %s is %v, want %v", key, got, want)
		}
	}
}

// Req O1: every wrong input is named with its place, what was expected, and
// where there is one, a suggestion.
func TestLoadProblems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		file  string
		env   []string
		flags []Assignment
		want  []string // one problem each; FILE stands for the path
	}{
		{name: "misspelt key", file: "http:\n  prot: 1\n", want: []string{
			`FILE:2:3: http.prot: unknown setting "prot"; did you mean "port"?`,
		}},
		{name: "key of another section", file: "port: 1\n", want: []string{
			`FILE:1:1: port: unknown setting "port"; there is "http.port"`,
		}},
		{name: "misspelt section", file: "htpp: {port: 1}\n", want: []string{
			`FILE:1:1: htpp: unknown setting "htpp"; did you mean "http"?`,
		}},
		{name: "quoted number", file: "http: {port: \"80\"}\n", want: []string{
			`FILE:1:14: http.port: want a whole number from 0 to 65535, got the text "80"`,
		}},
		{name: "number for a name", file: "name: 12\n", want: []string{
			`FILE:1:7: name: want 1 to 63 letters, digits, '-', '_' or '.', got 12; write it as a text: "12"`,
		}},
		{name: "list for a scalar", file: "name: [a]\n", want: []string{
			`FILE:1:7: name: want 1 to 63 letters, digits, '-', '_' or '.'`,
		}},
		{name: "scalar for a section", file: "http: 8080\n", want: []string{
			`FILE:1:7: http: want the settings of http, one "key: value" a line`,
		}},
		{name: "list for the file", file: "- a\n", want: []string{
			`FILE:1:1: want a mapping of settings, one "key: value" a line`,
		}},
		{name: "out of range", file: "http:\n  port: 70000\n", want: []string{
			`FILE:2:9: http.port: want a whole number from 0 to 65535, got 70000`,
		}},
		{name: "no unit", file: "shutdown_timeout: 30\n", want: []string{
			`FILE:1:19: shutdown_timeout: want a duration such as 30s or 1m30s, got "30"`,
		}},
		{name: "negative duration", file: "demo: {crash_every: -1s}\n", want: []string{
			`FILE:1:21: demo.crash_every: want a duration from 0s to 24h, got -1s`,
		}},
		{name: "bad level", file: "log: {level: loud}\n", want: []string{
			`FILE:1:14: log.level: want debug, info, warn or error, got "loud"`,
		}},
		{name: "bad size", file: "watch: {memory: lots}\n", want: []string{
			`FILE:1:17: watch.memory: want a size such as 512MiB or 2GB, got "lots"`,
		}},
		{name: "a secret itself", file: "http: {token: hunter2}\n", want: []string{
			`FILE:1:15: http.token: want a reference, "env:NAME" or "file:PATH"; a secret is never written here itself`,
		}},
		{name: "public without a token", file: "http:\n  address: 0.0.0.0\n", want: []string{ // Req S4
			`FILE:2:12: http.address: other machines can reach 0.0.0.0, and nothing asks who they are; use 127.0.0.1, set http.token, or say http.allow_unauthenticated: true`,
		}},
		{name: "a host name", file: "http: {address: example.com}\n", want: []string{
			`FILE:1:17: http.address: want an IP address or localhost, got "example.com"`,
		}},
		{name: "not a host", file: "http: {hosts: [a.example, 'b c']}\n", want: []string{
			`FILE:1:27: http.hosts[1]: want at most 100 host names, got "b c"`,
		}},
		{name: "unknown variable", env: []string{"TROUPE_HTTP_PROT=1"}, want: []string{
			`TROUPE_HTTP_PROT: unknown variable; every TROUPE_ variable is a setting; did you mean "TROUPE_HTTP_PORT"?`,
		}},
		{name: "bad variable", env: []string{"TROUPE_DEMO_RATE=fast"}, want: []string{
			`TROUPE_DEMO_RATE: demo.rate: want a whole number from 0 to 100000, got "fast"`,
		}},
		{name: "variable out of range", env: []string{"TROUPE_RUNS_KEEP=0"}, want: []string{
			`TROUPE_RUNS_KEEP: runs.keep: want a whole number from 1 to 1000000, got 0`,
		}},
		{name: "bad flag value", flags: []Assignment{{"--port", "http.port", "http"}}, want: []string{
			`--port: http.port: want a whole number from 0 to 65535, got "http"`,
		}},
		{name: "unknown key of --set", flags: []Assignment{{"--set http.prot", "http.prot", "1"}}, want: []string{
			`--set http.prot: unknown setting "http.prot"; did you mean "http.port"?`,
		}},
		{name: "all at once", file: "nmae: a\nhttp: {port: x}\n", env: []string{"TROUPE_WATCH_CPU=101"}, flags: []Assignment{{"--name", "name", "a b"}}, want: []string{
			`FILE:1:1: nmae: unknown setting "nmae"; did you mean "name"?`,
			`FILE:2:14: http.port: want a whole number from 0 to 65535, got the text "x"`,
			`--name: name: want 1 to 63 letters, digits, '-', '_' or '.', got "a b"`,
			`TROUPE_WATCH_CPU: watch.cpu: want a whole number from 0 to 100, got 101`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := Sources{NoFile: true, Env: tt.env, Flags: tt.flags}
			if tt.file != "" {
				src.File, src.NoFile = writeConfig(t, tt.file), false
			}
			_, err := Load(src)
			problems, ok := errors.AsType[Problems](err)
			if !ok {
				t.Fatalf("error %v, want Problems", err)
			}
			want := strings.ReplaceAll(strings.Join(tt.want, "\n"), "FILE", src.File)
			if problems.Error() != want {
				t.Errorf("got\n%s\nwant\n%s", problems.Error(), want)
			}
		})
	}
}

// Req O1, S4: what is right is taken.
func TestLoadAccepts(t *testing.T) {
	t.Parallel()
	tests := map[string]Sources{
		"empty file":               {File: writeConfig(t, "")},
		"only comments":            {File: writeConfig(t, "# nothing\nhttp:\n#  port: 1\n")},
		"JSON":                     {File: writeConfig(t, `{"http": {"port": 0}}`)},
		"public with a token":      {File: writeConfig(t, "http: {address: 0.0.0.0, token: env:TOKEN}")},
		"public and meant":         {File: writeConfig(t, "http: {address: '::', allow_unauthenticated: true}")},
		"hosts as a list":          {File: writeConfig(t, "http: {hosts: [a.example, 10.0.0.1]}")},
		"hosts as a text":          {File: writeConfig(t, "http: {hosts: 'a.example, b.example'}")},
		"other loopback":           {NoFile: true, Flags: []Assignment{{"--address", "http.address", "::1"}}},
		"a referred variable":      {NoFile: true, Env: []string{"TROUPE_TOKEN=x", "TROUPE_HTTP_TOKEN=env:TROUPE_TOKEN"}},
		"referred by a flag":       {NoFile: true, Env: []string{"TROUPE_T=x"}, Flags: []Assignment{{"--set", "http.token", "env:TROUPE_T"}}},
		"Kubernetes service links": {NoFile: true, Env: []string{"TROUPE_PORT=tcp://10.0.0.1:80", "TROUPE_SERVICE_HOST=10.0.0.1", "TROUPE_PORT_80_TCP_ADDR=10.0.0.1", "TROUPE_SERVICE_PORT_HTTP=80"}},
		"the file's variable":      {Env: []string{"TROUPE_CONFIG=" + writeConfig(t, "name: a")}},
	}
	for name, src := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Load(src); err != nil {
				t.Error(err)
			}
		})
	}
}

// Req O1: a file that cannot be read is told apart from a wrong one.
func TestLoadUnreadableFile(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "no.yaml")
	for _, src := range []Sources{{File: missing}, {Env: []string{"TROUPE_CONFIG=" + missing}}} {
		_, err := Load(src)
		if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), missing+": ") {
			t.Errorf("error %v", err)
		}
	}
	if _, err := Load(Sources{File: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "it is a directory, not a file") || !errors.Is(err, files.ErrDirectory) {
		t.Errorf("a directory: error %v", err)
	}
	large := writeConfig(t, strings.Repeat("#", configBytesMax+1))
	if _, err := Load(Sources{File: large}); err == nil || !strings.Contains(err.Error(), "at most 1048576 are read") {
		t.Errorf("a large file: error %v", err)
	}
}

// Req O1: the table of settings reaches every field of Config, under the field's
// own name, and nothing else.
func TestSettingsCoverConfig(t *testing.T) {
	t.Parallel()
	var fields []string
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, prefix string) {
		for f := range typ.Fields() {
			key := prefix + f.Tag.Get("yaml")
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[secret.Ref]() && f.Type != reflect.TypeFor[StoreURL]() {
				walk(f.Type, key+".")
				continue
			}
			fields = append(fields, key)
		}
	}
	walk(reflect.TypeFor[Config](), "")
	for _, key := range fields {
		st, ok := findSetting(key)
		if !ok {
			t.Errorf("%s is in Config and not in the table", key)
			continue
		}
		if st.doc == "" {
			t.Errorf("%s has no description", key)
		}
	}
	if len(fields) != len(settings) {
		t.Errorf("%d fields, %d settings", len(fields), len(settings))
	}
	// Each binding writes its own field: what is set is what is read, and no two
	// settings share a field.
	for _, st := range settings {
		changed := DefaultConfig()
		sample := sampleValue(st.bind(&changed))
		if err := st.bind(&changed).set(sample); err != nil {
			t.Errorf("%s: %v", st.key, err)
		}
		defaults := DefaultConfig()
		for _, other := range settings {
			same := other.bind(&changed).text() == other.bind(&defaults).text()
			if same == (other.key == st.key) {
				t.Errorf("setting %s changes %s: %v", st.key, other.key, !same)
			}
		}
	}
}

// sampleValue returns a right value that is not the default.
func sampleValue(b binding) string {
	switch v := b.(type) {
	case *intValue:
		return fmt.Sprint(v.min + 2)
	case *boolValue:
		return "true"
	case *durationValue:
		return "7m"
	case *levelValue:
		return "error"
	case *encodedValue:
		switch v.p.(type) {
		case *secret.Ref, *StoreURL:
			return "env:X"
		}
		return "3GiB"
	default:
		return "localhost"
	}
}

func TestDefaultsAreRight(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	if problems := checkConfig(&c); len(problems) > 0 {
		t.Error(problems)
	}
}

// Req O1: config explain.
func TestExplainGolden(t *testing.T) {
	t.Parallel()
	s := &Settings{Config: DefaultConfig(), origins: map[string]Origin{}}
	if p := s.applyDocument("troupe.yaml", []byte("http:\n  port: 9000\n  token: file:/run/token\nwatch: {memory: 1GiB}\n")); len(p) > 0 {
		t.Fatal(p)
	}
	env := []string{"TROUPE_LOG_LEVEL=DEBUG"}
	flags := []Assignment{{"--set runs.keep", "runs.keep", "3"}}
	if p := append(s.loadEnv(env), s.loadFlags(flags)...); len(p) > 0 {
		t.Fatal(p)
	}
	got, err := json.MarshalIndent(s.Explain(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "explain.golden.json", append(got, '\n'))
}

// golden compares with a file in testdata, which -update rewrites.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (-update rewrites it):\n%s", path, got)
	}
}

// Req S5: no text of a configuration file panics, and each is either taken or
// refused with a place.
func FuzzConfigFile(f *testing.F) {
	for _, seed := range []string{
		"", "http: {port: 1}", "http:\n  token: env:X\n", "a: &a [*a]", "- 1", "name: 1", "log: {level: INFO}",
		"watch: {memory: 9999999999TiB}", "demo: {crash_every: 1ns}", "http: {port: 1, port: 2}", "\xff", "{", "? : :",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &Settings{Config: DefaultConfig(), origins: map[string]Origin{}}
		problems := s.applyDocument("f.yaml", []byte(text))
		for _, p := range append(problems, s.check()...) {
			if !strings.HasPrefix(p.Where, "f.yaml") || p.Message == "" {
				t.Errorf("a problem without a place: %+v", p)
			}
		}
		if len(problems) > 0 {
			return
		}
		// What was read is written back by Explain in a form that gives it again.
		again := &Settings{Config: DefaultConfig(), origins: map[string]Origin{}}
		for _, e := range s.Explain() {
			if p := again.loadFlags([]Assignment{{"--set", e.Key, e.Value}}); len(p) > 0 {
				t.Errorf("%s: %q cannot be read back: %v", e.Key, e.Value, p)
			}
		}
		if !reflect.DeepEqual(again.Config, s.Config) {
			t.Errorf("read back %+v, was %+v", again.Config, s.Config)
		}
	})
}
