package main

import (
	"strings"
	"testing"
)

// Req O1: wrong usage is one line with a suggestion, and exit code 2.
func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"confg"}, `troupe: unknown command "confg"; did you mean "config"?`},
		{[]string{"xyzzy"}, `troupe: unknown command "xyzzy"; there are: cluster, config, `},
		{[]string{"config", "explian"}, `troupe: unknown command "explian"; did you mean "explain"?`},
		{[]string{"config", "explain", "--prot", "1"}, `troupe: unknown flag --prot; did you mean "--port"?`},
		{[]string{"version", "-x"}, `troupe: unknown flag -x; see troupe help version`},
		{[]string{"version", "--output"}, `troupe: --output needs a value`},
		{[]string{"version", "-o", "xml"}, `troupe: --output: want table or json, got "xml"`},
		{[]string{"version", "now"}, `troupe: troupe version takes no arguments, got "now"`},
		{[]string{"config", "check"}, `troupe: troupe config check needs a FILE; see troupe help config check`},
		{[]string{"config", "check", "a", "b"}, `troupe: troupe config check takes 1 FILE, got 2`},
		{[]string{"config", "explain", "--set", "port"}, `troupe: --set: want KEY=VALUE, got "port"`},
		{[]string{"config", "explain", "--port", "web"}, `troupe: --port: http.port: want a whole number from 0 to 65535, got "web"`},
		{[]string{"help", "exit-cods"}, `troupe: unknown help topic "exit-cods"; did you mean "exit-codes"?`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			r := troupe(t, tt.args...)
			r.expect(t, exitUsage, tt.want)
			if r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("want one line on stderr only:\nstdout: %s\nstderr: %s", r.stdout, r.stderr)
			}
		})
	}
}

// The exit codes that scripts rely on are the ones that the help describes.
func TestExitCodesTopic(t *testing.T) {
	t.Parallel()
	r := troupe(t, "help", "exit-codes")
	r.expect(t, exitOK)
	for _, want := range []string{"0    done", "1    a run", "2    wrong usage", "3    an invalid", "4    the environment", "130  interrupted"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the topic lacks %q:\n%s", want, r.stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := troupe(t, "version", "-o", "json")
	r.expect(t, exitOK)
	info := decode[buildInfo](t, r.stdout)
	if info.Version == "" || !strings.HasPrefix(info.Go, "go1.") || !strings.Contains(info.Platform, "/") {
		t.Errorf("%+v", info)
	}
	r = troupe(t, "version")
	r.expect(t, exitOK)
	if !strings.Contains(r.stdout, info.Go) {
		t.Errorf("the table lacks the Go version:\n%s", r.stdout)
	}
}
