package workflow

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// Req W4: what is encoded here is what the library makes of it, and is read back.
func TestPlainEvents(t *testing.T) {
	t.Parallel()
	lengths := []int{0, 1, 23, 24, 255, 256, 65535, 65536}
	for i, n := range lengths {
		text := strings.Repeat("n", n)
		for _, e := range []Event{
			{Node: text},
			{Node: "a", Attempt: n, Duration: time.Duration(n)},
			{Node: "a", Attempt: 1, Duration: math.MaxInt64 >> (9 * i), Handle: text},
			{Node: text, Output: json.RawMessage(strings.Repeat("1", n)), Handle: "h"},
		} {
			if !e.plain() {
				t.Fatalf("%+v is not plain", e)
			}
			got, err := appendEvent([]byte("before"), &e)
			want, wantErr := eventType.Append([]byte("before"), &e)
			if err != nil || wantErr != nil || !bytes.Equal(got, want) {
				t.Fatalf("%.100x, %v; the library: %.100x, %v", got, err, want, wantErr)
			}
			back, err := decodeEvent(store.Event{Data: got[len("before"):]})
			if err != nil || back.Node != e.Node || back.Attempt != e.Attempt || back.Duration != e.Duration || back.Handle != e.Handle || string(back.Output) != string(e.Output) {
				t.Fatalf("%+v came back as %+v, %v", e, back, err)
			}
		}
	}
	for _, e := range []Event{
		{Iteration: []int{0}}, {Attempt: -1}, {Duration: -1}, {Until: time.Unix(1, 0)}, {Signal: "s"}, {Request: "q"}, {Items: []json.RawMessage{nil}},
		{Rows: 1}, {Nodes: make([]NodeInfo, 1)}, {Rejects: make([]Reject, 1)}, {Error: "e"}, {ErrorCode: 1}, {Start: &RunStart{}},
	} {
		if e.plain() {
			t.Errorf("%+v is taken for plain", e)
		}
		if _, err := appendEvent(nil, &e); err != nil {
			t.Error(err)
		}
	}
}
