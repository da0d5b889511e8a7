package main

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/node"
)

// findings indexes a report by check.
func findings(r doctorReport) map[string]node.Finding {
	byCheck := map[string]node.Finding{}
	for _, f := range r.Findings {
		byCheck[f.Check] = f
	}
	return byCheck
}

// Req A12: the doctor asks the node that runs at the configured address.
func TestDoctorWithNode(t *testing.T) {
	t.Parallel()
	p, address, dir := serve(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	r := troupe(t, "doctor", "-o", "json", "--port", u.Port(), "--data-dir", dir)
	r.expect(t, exitOK)
	report := decode[doctorReport](t, r.stdout)
	got := findings(report)
	for check, want := range map[string]string{
		"port": "is taken by the node troupe", "health": "actors", "tree depth": "levels, the deepest is /",
	} {
		if f := got[check]; f.Status == node.FindingFail || f.Status == node.FindingSkip || !strings.Contains(f.Detail, want) {
			t.Errorf("%s: %+v, want %q", check, f, want)
		}
	}
	if !report.OK {
		t.Errorf("%+v", report)
	}
	p.signal(os.Interrupt)
	if r := p.wait(); r.code != exitOK {
		t.Errorf("exit code %d", r.code)
	}
}

// What a node could not work with is exit code 1.
func TestDoctorFails(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "file", "")
	r := troupe(t, "doctor", "--port", "0", "--data-dir", file)
	r.expect(t, exitFailed)
	if !strings.Contains(r.stdout, "fail  data directory  "+file+" is a file, not a directory; choose another path with --data-dir") {
		t.Errorf("stdout: %s", r.stdout)
	}
	troupe(t, "doctor", "now").expect(t, exitUsage, "takes no arguments")
	troupe(t, "doctor", "--set", "http.prot=1").expect(t, exitUsage, `did you mean "http.port"?`)
}
