package webhook_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"crypto/hmac"
	"crypto/sha256"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/webhook"
)

func newEngine(t *testing.T) *workflow.Engine {
	t.Helper()
	s, err := sqlite.Open(t.Context(), t.TempDir()+"/s.db", sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	registry := workflow.NewRegistry()
	webhook.Register(registry)
	sys := actor.NewSystem(actor.Options{})
	files := fstest.MapFS{"w.yaml": {Data: []byte("name: w\ninputs: {text: {type: string, default: ''}}\noutput: inputs.text\nnodes: [{id: nap, type: sleep, with: {for: 1ms}}]\n")}}
	e, err := workflow.Open(t.Context(), sys, s, workflow.EngineOptions{Registry: registry, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	d, err := workflow.LoadFS(files, "w.yaml", workflow.LoadOptions{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Deploy(t.Context(), d, ""); err != nil {
		t.Fatal(err)
	}
	return e
}

func put(t *testing.T, e *workflow.Engine, with string) error {
	t.Helper()
	_, err := e.PutTrigger(t.Context(), workflow.Trigger{
		Name: "hook", Workflow: "w", Kind: "webhook", With: json.RawMessage(with), Inputs: map[string]string{"text": "${{ trigger.body.text }}"},
	}, store.AnyVersion)
	return err
}

func mac(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Req W3: requests are signed, and one that is sent again starts nothing.
func TestSigned(t *testing.T) {
	t.Setenv("TROUPE_TEST_HOOK", "key")
	e := newEngine(t)
	if err := put(t, e, `{"secret": "env:TROUPE_TEST_HOOK", "id_header": "X-GitHub-Delivery"}`); err != nil {
		t.Fatal(err)
	}
	body := `{"text": "hello"}`
	signature := "sha256=" + hex.EncodeToString(mac("key", body))
	good := workflow.Delivery{Body: []byte(body), Header: map[string][]string{"X-Hub-Signature-256": {signature}, "X-Github-Delivery": {"d1"}}}
	first, err := e.Deliver(t.Context(), "hook", good)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := first.Run.Wait(t.Context()); err != nil || string(info.Output) != `"hello"` {
		t.Errorf("%s, %v", info.Output, err)
	}
	if again, err := e.Deliver(t.Context(), "hook", good); err != nil || !again.Repeated || again.Run.ID() != first.Run.ID() {
		t.Errorf("%+v, %v", again, err)
	}
	for name, c := range map[string]struct {
		d    workflow.Delivery
		code fault.Code
	}{
		"another body":      {workflow.Delivery{Body: []byte("{}"), Header: good.Header}, fault.Unauthenticated},
		"no signature":      {workflow.Delivery{Body: good.Body, Header: map[string][]string{"X-Github-Delivery": {"d2"}}}, fault.Unauthenticated},
		"no hexadecimal":    {workflow.Delivery{Body: good.Body, Header: map[string][]string{"X-Github-Delivery": {"d2"}, "X-Hub-Signature-256": {"sha256=zz"}}}, fault.Unauthenticated},
		"no id":             {workflow.Delivery{Body: good.Body, Header: map[string][]string{"X-Hub-Signature-256": {signature}}}, fault.InvalidArgument},
		"signature cut off": {workflow.Delivery{Body: good.Body, Header: map[string][]string{"X-Github-Delivery": {"d2"}, "X-Hub-Signature-256": {signature[:20]}}}, fault.Unauthenticated},
	} {
		if _, err := e.Deliver(t.Context(), "hook", c.d); fault.CodeOf(err) != c.code || strings.Contains(fmt.Sprint(err), "key\"") {
			t.Errorf("%s: %v, want %v", name, err, c.code)
		}
	}
	t.Setenv("TROUPE_TEST_HOOK", "")
	if _, err := e.Deliver(t.Context(), "hook", good); fault.CodeOf(err) != fault.FailedPrecondition {
		t.Errorf("without the secret: %v", err)
	}
}

// Req W3: signatures of Standard Webhooks, with the example of its specification.
func TestStandard(t *testing.T) {
	t.Setenv("TROUPE_TEST_HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	e := newEngine(t)
	if err := put(t, e, `{"secret": "env:TROUPE_TEST_HOOK", "scheme": "standard"}`); err != nil {
		t.Fatal(err)
	}
	deliver := func(id, stamp, signature string, at time.Time) error {
		_, err := e.Deliver(t.Context(), "hook", workflow.Delivery{
			Body: []byte(`{"test": 2432232314}`), Time: at,
			Header: map[string][]string{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}},
		})
		return err
	}
	const id, stamp, signature = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	at := time.Unix(1614265330, 0)
	for name, c := range map[string]struct {
		id, stamp, signature string
		at                   time.Time
		code                 fault.Code
	}{
		"too late":       {id, stamp, signature, at.Add(6 * time.Minute), fault.Unauthenticated},
		"too early":      {id, stamp, signature, at.Add(-6 * time.Minute), fault.Unauthenticated},
		"another id":     {"msg_2", stamp, signature, at, fault.Unauthenticated},
		"no time":        {id, "now", signature, at, fault.Unauthenticated},
		"no signature":   {id, stamp, "", at, fault.Unauthenticated},
		"another scheme": {id, stamp, "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", at, fault.Unauthenticated},
	} {
		if err := deliver(c.id, c.stamp, c.signature, c.at); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := "v1," + base64.StdEncoding.EncodeToString(mac("old", "x"))
	// Its inputs do not fit, which is looked at after the signature.
	if err := deliver(id, stamp, other+" "+signature, at); fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), "trigger.body.text") {
		t.Errorf("a good one: %v", err)
	}
}

// Req W3: a webhook that everybody could call is one only by wish.
func TestConfig(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	for with, want := range map[string]string{
		`{}`:                                     "with: the secret is missing; name where the secret is",
		`{"secret": "hunter2"}`:                  "want a reference",
		`{"secret": "env:X", "unsigned": true}`:  "with.unsigned: there is a secret",
		`{"secret": "env:X", "scheme": "hmca"}`:  `did you mean "hmac"?`,
		`{"secret": "env:X", "tolerance": "0s"}`: "with.tolerance: 0s is no time",
		`{"secret": "env:X", "header": ""}`:      "with.header: it is empty",
		`{"secret": "env:X", "scheme": "standard", "id_header": "X"}`: "with.id_header: it is webhook-id",
	} {
		if err := put(t, e, with); fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(fmt.Sprint(err), want) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %v, want %q", with, err, want)
		}
	}
	if err := put(t, e, `{"unsigned": true}`); err != nil {
		t.Error(err)
	}
	if _, err := e.Deliver(t.Context(), "hook", workflow.Delivery{Body: []byte(`{"text": "x"}`)}); err != nil {
		t.Error(err)
	}
}
