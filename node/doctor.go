package node

import (
	"context"
	"fmt"
	"time"
)

// FindingStatus is the outcome of one check of [Diagnose].
type FindingStatus string

// The outcomes. Only a failure means that a node would not work.
const (
	FindingOK   FindingStatus = "ok"
	FindingWarn FindingStatus = "warn"
	FindingFail FindingStatus = "fail"
	FindingSkip FindingStatus = "skip" // could not be checked here and now
)

// A Finding is what one check found.
type Finding struct {
	Check  string        `json:"check"`
	Status FindingStatus `json:"status"`
	Detail string        `json:"detail"`
	Hint   string        `json:"hint,omitempty"` // what to do, when something is wrong
}

// A Diagnosis asks for a check of the machine, a configuration, and the node
// that runs with it, if one does.
type Diagnosis struct {
	Settings *Settings // what to check; required
	Env      []string  // for secrets
	Built    time.Time // of the program; the clock should not be before it; zero: not known
}

// Diagnose runs all checks, in the order in which they are listed. It changes
// nothing but a small file in the data directory, which it removes.
func (d Diagnosis) Diagnose(ctx context.Context) []Finding {
	config := d.Settings.Config
	findings := []Finding{
		d.checkConfiguration(),
		checkDataDir(config.DataDir),
		checkFsync(config.DataDir),
		checkClock(config.DataDir, d.Built),
	}
	running, client := d.findNode(ctx)
	findings = append(findings, running)
	if client == nil {
		skip := "no node answers there"
		return append(findings, Finding{Check: "health", Status: FindingSkip, Detail: skip}, Finding{Check: "tree depth", Status: FindingSkip, Detail: skip})
	}
	return append(findings, client.checkHealth(ctx), client.checkDepth(ctx))
}

func (d Diagnosis) checkConfiguration() Finding {
	f := Finding{Check: "configuration", Status: FindingOK}
	set := 0
	for _, e := range d.Settings.Explain() {
		if e.Origin.Kind != FromDefault {
			set++
		}
	}
	f.Detail = fmt.Sprintf("%d of %d settings are set, the others have their defaults", set, len(settings))
	if d.Settings.File != "" {
		f.Detail += ", file " + d.Settings.File
	}
	config := d.Settings.Config.HTTP
	if _, err := config.Token.Resolve(d.Env); err != nil {
		return Finding{Check: f.Check, Status: FindingFail, Detail: "http.token: " + err.Error(), Hint: "set the variable or write the file"}
	}
	if loopback(config.Address) {
		return f
	}
	if config.Token.IsZero() {
		return Finding{
			Check: f.Check, Status: FindingWarn, Detail: "everyone who can reach " + config.Address + " may start runs and change the log level",
			Hint: "set http.token, or listen on 127.0.0.1",
		}
	}
	return Finding{
		Check: f.Check, Status: FindingWarn, Detail: "the token crosses the network in plain text on " + config.Address,
		Hint: "put a proxy that speaks TLS in front, and listen on 127.0.0.1",
	}
}
