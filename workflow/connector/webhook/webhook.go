// Package webhook is the trigger for requests of other systems. Each is signed
// with a secret that both know, and starts one run, however often it is sent.
//
//	kind: webhook
//	with: {secret: env:GITHUB_SECRET, id_header: X-GitHub-Delivery}
//
// The HTTP API hands requests for /api/hooks/NAME to the trigger; a program
// without it calls [workflow.Engine.Deliver].
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/secret"
	"github.com/troupe-dev/troupe/workflow"
)

// How requests are signed.
const (
	// schemeHMAC: a header has HMAC-SHA256 of the body, in hexadecimal digits,
	// with "sha256=" in front or not, as GitHub and many others send it.
	schemeHMAC = "hmac"
	// schemeStandard: webhook-id, webhook-timestamp and webhook-signature, see
	// https://www.standardwebhooks.com.
	schemeStandard = "standard"
)

const (
	defaultHeader    = "X-Hub-Signature-256"
	defaultTolerance = 5 * time.Minute
	op               = "webhook"
)

// Config is the configuration of the trigger.
type Config struct {
	Secret    secret.Ref    `yaml:"secret" doc:"What requests are signed with: env:NAME or file:PATH."`
	Scheme    string        `yaml:"scheme" doc:"How they are signed: hmac, a header with HMAC-SHA256 of the body, or standard, as Standard Webhooks says."`
	Header    string        `yaml:"header" doc:"The header of the signature with hmac."`
	IDHeader  string        `yaml:"id_header" doc:"The header with the id of a request, by which one that is sent again is known. With standard it is webhook-id."`
	Tolerance time.Duration `yaml:"tolerance" doc:"How far the time of a request may be off with standard."`
	Unsigned  bool          `yaml:"unsigned" doc:"Requests are not signed: whoever knows the address can start runs."`
}

// Register adds the type webhook to a registry.
func Register(r *workflow.Registry) {
	r.AddTriggers(workflow.TriggerType[Config]{
		Name:    "webhook",
		Doc:     "Starts a run for each HTTP request. Requests are signed with a secret; one that is sent again starts nothing.",
		Example: "secret: env:GITHUB_SECRET\nid_header: X-GitHub-Delivery\n",
		Default: Config{Scheme: schemeHMAC, Header: defaultHeader, Tolerance: defaultTolerance},
		Plan:    plan,
	})
}

func plan(c *workflow.Check, config Config) workflow.TriggerPlan {
	switch {
	case config.Unsigned && !config.Secret.IsZero():
		c.Errorf("unsigned", "there is a secret; expected either of them")
	case !config.Unsigned && config.Secret.IsZero():
		c.Report("secret", "the secret is missing", "name where the secret is, as env:NAME or file:PATH; unsigned: true lets everybody in")
	}
	if config.Scheme != schemeHMAC && config.Scheme != schemeStandard {
		c.Unknown("scheme", "scheme", config.Scheme, []string{schemeHMAC, schemeStandard})
	}
	if config.Scheme == schemeStandard && config.IDHeader != "" {
		c.Errorf("id_header", "it is webhook-id with the scheme standard; leave it out")
	}
	if config.Header == "" {
		c.Errorf("header", "it is empty; expected the name of a header")
	}
	if config.Tolerance <= 0 {
		c.Errorf("tolerance", "%v is no time; expected one above 0", config.Tolerance)
	}
	return workflow.TriggerPlan{Accept: config.accept}
}

// accept checks the signature of a request, and finds its id.
func (c *Config) accept(_ context.Context, d *workflow.Delivery) error {
	id := c.IDHeader
	if c.Scheme == schemeStandard {
		id = "webhook-id"
	}
	if id != "" {
		if d.ID = header(d, id); d.ID == "" {
			return fault.New(fault.InvalidArgument, op, "the request has no header %s", id)
		}
	}
	if c.Unsigned {
		return nil
	}
	key, err := c.Secret.Resolve(os.Environ())
	if err != nil {
		return fault.Wrap(fault.FailedPrecondition, op, err)
	}
	if c.Scheme == schemeStandard {
		return c.checkStandard(d, key)
	}
	signature := header(d, c.Header)
	if signature == "" {
		return fault.New(fault.Unauthenticated, op, "the request has no header %s", c.Header)
	}
	given, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	if err != nil || !hmac.Equal(given, sign([]byte(key), d.Body)) {
		return errSignature
	}
	return nil
}

var errSignature = fault.New(fault.Unauthenticated, op, "the signature is not that of the body with the secret")

func sign(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return mac.Sum(nil)
}

// checkStandard checks a request as Standard Webhooks says: it is signed
// together with its id and its time, so that neither can be another.
func (c *Config) checkStandard(d *workflow.Delivery, key string) error {
	stamp, signatures := header(d, "webhook-timestamp"), header(d, "webhook-signature")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || signatures == "" {
		return fault.New(fault.Unauthenticated, op, "the request needs the headers webhook-timestamp, in seconds, and webhook-signature")
	}
	if off := d.Time.Sub(time.Unix(seconds, 0)); off.Abs() > c.Tolerance {
		return fault.New(fault.Unauthenticated, op, "the time of the request is off by %v; at most %v is allowed", off.Truncate(time.Second), c.Tolerance)
	}
	raw := []byte(key)
	if text, ok := strings.CutPrefix(key, "whsec_"); ok {
		if raw, err = base64.StdEncoding.DecodeString(text); err != nil {
			return fault.New(fault.FailedPrecondition, op, "the secret %s begins with whsec_ and is not in base64 behind it", c.Secret)
		}
	}
	want := sign(raw, []byte(d.ID+"."+stamp+"."+string(d.Body)))
	for signature := range strings.FieldsSeq(signatures) { // several while a secret is being replaced
		text, ok := strings.CutPrefix(signature, "v1,")
		if given, err := base64.StdEncoding.DecodeString(text); ok && err == nil && hmac.Equal(given, want) {
			return nil
		}
	}
	return errSignature
}

// header is the first value of a header, whatever the case of its name.
func header(d *workflow.Delivery, name string) string {
	for key, values := range d.Header {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}
