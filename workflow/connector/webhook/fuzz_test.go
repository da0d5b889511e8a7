package webhook

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/secret"
	"github.com/troupe-dev/troupe/workflow"
)

// FuzzAccept takes any request: one is let in only if its signature is that of its
// body, whatever stands in the headers. Req W3
func FuzzAccept(f *testing.F) {
	f.Add([]byte(`{"text": "hello"}`), "sha256=00", "msg_1", "1614265330", "v1,aGVsbG8=")
	f.Add([]byte(""), "", "", "-1", "v1, v2,x v1,")
	f.Add([]byte("x"), hex.EncodeToString(sign([]byte("key"), []byte("x"))), "a", "9223372036854775807", "v1,")
	f.Setenv("TROUPE_TEST_HOOK", "key")
	reference := secret.Env("TROUPE_TEST_HOOK")
	f.Fuzz(func(t *testing.T, body []byte, signature, id, stamp, signatures string) {
		d := workflow.Delivery{Body: body, Time: time.Unix(1614265330, 0), Header: map[string][]string{
			"X-Hub-Signature-256": {signature}, "Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signatures},
		}}
		for _, c := range []Config{
			{Secret: reference, Scheme: schemeHMAC, Header: defaultHeader, Tolerance: defaultTolerance},
			{Secret: reference, Scheme: schemeStandard, Tolerance: defaultTolerance},
		} {
			if c.accept(t.Context(), &d) != nil {
				continue
			}
			if c.Scheme == schemeStandard {
				t.Fatalf("let in by %q", signatures) // no fuzzer guesses a signature
			}
			given, err := hex.DecodeString(signature[max(0, len(signature)-64):])
			if err != nil || string(given) != string(sign([]byte("key"), body)) {
				t.Errorf("let in by %q", signature)
			}
		}
	})
}
