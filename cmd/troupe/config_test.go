package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/node"
)

// Req O1: config explain says where each value came from.
func TestConfigExplain(t *testing.T) {
	t.Parallel()
	cmd := command(t, "config", "explain", "-o", "json", "--port", "9004", "--set", "runs.keep=3")
	write(t, cmd.Dir, "troupe.yaml", "name: here\nhttp:\n  port: 9001\n  token: env:HIDDEN\n")
	cmd.Env = cleanEnv("TROUPE_LOG_LEVEL=warn", "HIDDEN=hunter2")
	r := finish(t, cmd)
	r.expect(t, exitOK)
	if strings.Contains(r.stdout, "hunter2") {
		t.Errorf("the secret is printed:\n%s", r.stdout)
	}
	got := map[string]string{}
	for _, e := range decode[[]node.Explanation](t, r.stdout) {
		got[e.Key] = e.Value + " from " + e.Origin.String()
	}
	for key, want := range map[string]string{
		"name":             "here from troupe.yaml:1:7",
		"http.port":        "9004 from flag --port",
		"http.token":       "env:HIDDEN from troupe.yaml:4:10",
		"runs.keep":        "3 from flag --set runs.keep",
		"log.level":        "warn from env TROUPE_LOG_LEVEL",
		"shutdown_timeout": "30s from default",
	} {
		if got[key] != want {
			t.Errorf("%s: %s, want %s", key, got[key], want)
		}
	}

	table := command(t, "config", "explain")
	write(t, table.Dir, "troupe.yaml", "name: here\n")
	r = finish(t, table)
	r.expect(t, exitOK)
	if !slices.ContainsFunc(strings.Split(r.stdout, "\n"), func(line string) bool {
		return slices.Equal(strings.Fields(line)[:min(3, len(strings.Fields(line)))], []string{"name", "here", "troupe.yaml:1:7"})
	}) {
		t.Errorf("the table:\n%s", r.stdout)
	}
}

// Req O1: wrong configuration is exit code 3, one line for each mistake.
func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file string
		env        []string
		want       []string
	}{
		{"misspelt key", "htpp: {}\n", nil, []string{`troupe.yaml:1:1: htpp: unknown setting "htpp"; did you mean "http"?`}},
		{"wrong type", "http: {port: eighty}\n", nil, []string{`troupe.yaml:1:14: http.port: want a whole number`}},
		{"not YAML", "http: {\n", nil, []string{`troupe: troupe.yaml:`}},
		{"public", "http: {address: 0.0.0.0}\n", nil, []string{`nothing asks who they are; use 127.0.0.1`}},
		{"unknown variable", "", []string{"TROUPE_PROT=1"}, []string{`TROUPE_PROT: unknown variable`}},
		{"several", "a: 1\nname: 3\n", []string{"TROUPE_HTTP_PORT=x"}, []string{"1:1: a: ", "2:7: name: ", "TROUPE_HTTP_PORT: http.port: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, "config", "explain")
			write(t, cmd.Dir, "troupe.yaml", tt.file)
			cmd.Env = cleanEnv(tt.env...)
			finish(t, cmd).expect(t, exitInvalid, tt.want...)
		})
	}
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := write(t, dir, "good.yaml", "name: a\n")
	bad := write(t, dir, "bad.yaml", "nmae: a\n")

	r := troupe(t, "config", "check", good)
	r.expect(t, exitOK)
	if r.stdout != good+": ok\n" {
		t.Errorf("stdout %q", r.stdout)
	}
	troupe(t, "config", "check", bad).expect(t, exitInvalid, bad+`:1:1: nmae: unknown setting "nmae"; did you mean "name"?`)
	troupe(t, "config", "check", filepath.Join(dir, "none.yaml")).expect(t, exitEnvironment, "none.yaml: the configuration cannot be read: no such file")

	r = troupe(t, "config", "check", "-o", "json", bad)
	r.expect(t, exitInvalid)
	report := decode[configReport](t, r.stdout)
	if report.OK || len(report.Problems) != 1 || report.Problems[0].Where != bad+":1:1" || r.stderr != "" {
		t.Errorf("%+v, stderr %q", report, r.stderr)
	}
}
