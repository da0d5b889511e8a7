package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/secret"
)

// diagnose runs the doctor and returns its findings by check.
func diagnose(t *testing.T, d Diagnosis) map[string]Finding {
	t.Helper()
	byCheck := map[string]Finding{}
	for _, f := range d.Diagnose(context.Background()) {
		if f.Detail == "" {
			t.Errorf("%s: no detail", f.Check)
		}
		byCheck[f.Check] = f
	}
	return byCheck
}

// doctorSettings has a data directory of its own and a free port.
func doctorSettings(t *testing.T) *Settings {
	t.Helper()
	s := &Settings{Config: DefaultConfig()}
	s.Config.DataDir = t.TempDir()
	s.Config.HTTP.Port = 0
	return s
}

// portOf returns the port of a test server.
func portOf(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// answers is a handler with a fixed JSON body for each path.
func answers(bodies map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := bodies[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, body)
	})
}

func TestDoctorMachine(t *testing.T) {
	t.Parallel()
	s := doctorSettings(t)
	got := diagnose(t, Diagnosis{Settings: s})
	for check, want := range map[string]FindingStatus{
		"configuration": FindingOK, "data directory": FindingOK, "clock": FindingOK,
		"port": FindingSkip, "health": FindingSkip, "tree depth": FindingSkip,
	} {
		if got[check].Status != want {
			t.Errorf("%s: %+v, want %s", check, got[check], want)
		}
	}
	if f := got["fsync latency"]; f.Status == FindingSkip || f.Status == FindingFail || !strings.HasPrefix(f.Detail, "median ") {
		t.Errorf("fsync latency: %+v", f)
	}
	left, err := os.ReadDir(s.Config.DataDir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDoctorFindsFaults(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	token := func(ref string) secret.Ref {
		s, err := secret.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tests := []struct {
		name   string
		change func(*Diagnosis)
		check  string
		status FindingStatus
		detail string
	}{
		{"clock before the build", func(d *Diagnosis) { d.Built = time.Now().Add(time.Hour) }, "clock", FindingFail, "this program was built at"},
		{"secret not set", func(d *Diagnosis) { d.Settings.Config.HTTP.Token = token("env:NOT_SET") }, "configuration", FindingFail, "http.token: env:NOT_SET: the variable is not set"},
		{"open to all", func(d *Diagnosis) {
			d.Settings.Config.HTTP.Address, d.Settings.Config.HTTP.AllowUnauthenticated = "0.0.0.0", true
		}, "configuration", FindingWarn, "everyone who can reach 0.0.0.0"},
		{"token in plain text", func(d *Diagnosis) {
			d.Settings.Config.HTTP.Address, d.Settings.Config.HTTP.Token = "0.0.0.0", token("env:T")
			d.Env = []string{"T=x"}
		}, "configuration", FindingWarn, "plain text"},
		{"data directory below a file", func(d *Diagnosis) { d.Settings.Config.DataDir = filepath.Join(file, "data") }, "data directory", FindingFail, "is a file"},
		{"data directory is a file", func(d *Diagnosis) { d.Settings.Config.DataDir = file }, "data directory", FindingFail, "is a file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Diagnosis{Settings: doctorSettings(t)}
			tt.change(&d)
			if f := diagnose(t, d)[tt.check]; f.Status != tt.status || !strings.Contains(f.Detail, tt.detail) || f.Hint == "" {
				t.Errorf("%+v, want %s with %q and a hint", f, tt.status, tt.detail)
			}
		})
	}
}

// Req A12: the doctor warns about trees that are deeper than five levels.
func TestDoctorAsksTheNode(t *testing.T) {
	t.Parallel()
	tree := func(depth int) string {
		inner, path := "", strings.Repeat("/a", depth)
		for ; depth > 0; depth-- {
			inner = fmt.Sprintf(`{"path":%q,"children":[%s]}`, path[:2*depth], inner)
		}
		return fmt.Sprintf(`{"root":{"path":"/","children":[{"path":"/b"},%s]}}`, inner)
	}
	const who = `{"name":"n1","version":"v9"}`
	tests := []struct {
		name   string
		bodies map[string]string
		want   map[string]FindingStatus
		detail map[string]string
	}{
		{
			"five levels", map[string]string{"/api/node": who, "/healthz": `{"status":"ok","actors":5}`, "/api/tree": tree(5)},
			map[string]FindingStatus{"port": FindingOK, "health": FindingOK, "tree depth": FindingOK},
			map[string]string{"port": "the node n1, version v9", "health": "ok, 5 actors", "tree depth": "5 levels, the deepest is /a/a/a/a/a"},
		},
		{
			"six levels", map[string]string{"/api/node": who, "/healthz": `{"status":"degraded"}`, "/api/tree": tree(6)},
			map[string]FindingStatus{"port": FindingOK, "health": FindingWarn, "tree depth": FindingWarn},
			map[string]string{"tree depth": "6 levels, the deepest is /a/a/a/a/a/a"},
		},
		{
			"failing", map[string]string{"/api/node": who, "/healthz": `{"status":"failing","failing":[{"path":"/x","reason":"gone"}]}`, "/api/tree": `{"root":{"path":"/","children":[{"path":"/a","more":{"children":3}}]}}`},
			map[string]FindingStatus{"health": FindingFail, "tree depth": FindingOK},
			map[string]string{"health": "/x: gone", "tree depth": "of the part that was looked at"},
		},
		{
			"a stranger", map[string]string{"/": "hello"},
			map[string]FindingStatus{"port": FindingFail, "health": FindingSkip, "tree depth": FindingSkip},
			map[string]string{"port": "taken by something that is no node"},
		},
		{
			"a node that does not answer", map[string]string{"/api/node": who},
			map[string]FindingStatus{"port": FindingOK, "health": FindingFail, "tree depth": FindingFail}, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(answers(tt.bodies))
			defer server.Close()
			s := doctorSettings(t)
			s.Config.HTTP.Port = portOf(t, server.Listener.Addr().String())
			got := diagnose(t, Diagnosis{Settings: s})
			for check, want := range tt.want {
				if got[check].Status != want || !strings.Contains(got[check].Detail, tt.detail[check]) {
					t.Errorf("%s: %+v, want %s with %q", check, got[check], want, tt.detail[check])
				}
			}
		})
	}
}
