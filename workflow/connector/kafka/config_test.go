package kafka

import (
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// Req S5, W1: what is wrong in a definition is said where it stands, with what to
// do.
func TestMistakes(t *testing.T) {
	t.Parallel()
	r := workflow.NewRegistry()
	Register(r)
	memory.Register(r)
	const in, out = "brokers: [b:1], topics: [t], columns: {id: int}", "brokers: [b:1], topic: t"
	for _, tt := range []struct{ source, sink, want string }{
		{"brokers: [b], topics: [t], columns: {id: int}", out, `"b" is no address of a broker; expected HOST:PORT`},
		{"brokers: [], topics: [t], columns: {id: int}", out, "there are none; add the address of a broker"},
		{"brokers: [b:1], topics: [], columns: {id: int}", out, "topics: there are none"},
		{"brokers: [b:1], topics: [a/b], columns: {id: int}", out, `"a/b" is no name of a topic`},
		{"brokers: [b:1], topics: [t, t], columns: {id: int}", out, `the topic "t" stands twice`},
		{"brokers: [b:1], topics: [t]", out, "the columns of the messages are not declared; add columns"},
		{in + ", format: text", out, "has the column value alone"},
		{in + ", format: jsn", out, `unknown format "jsn"; did you mean "json"?`},
		{in + ", start: yesterday", out, `"yesterday" is no place to begin; expected earliest, latest`},
		{in + ", max_rows: -1", out, "-1 is out of range"},
		{in + ", for: 1h, poll: 1ms", out, "1ms is out of range; expected at least 4s"},
		{in + ", for: -1s", out, "-1s is out of range"},
		{in + ", timeout: 1ms", out, "1ms is out of range; expected 1s or more"},
		{in + ", record: {offset: id}", out, `column "id" stands twice`},
		{in + ", tls: {cert: env:CERT}", out, "a certificate needs its key"},
		{in + ", sasl: {user: u, password: env:P}", out, "the password would go over the network as it is; add tls"},
		{in + ", sasl: {user: u, password: hunter2}", out, "want a reference"},
		{in + ", sasl: {user: u, password: env:P, mechanism: scram-sha-51}", out, `did you mean "scram-sha-512"?`},
		{in, "brokers: [b:1], topic: ''", `"" is no name of a topic`},
		{in, out + ", key: id2", "id2"},
		{in, out + ", headers: {a: id +}", "not an expression: it ends too early"},
		{in, out + ", max_message_bytes: 1", "1 is out of range"},
	} {
		_, err := workflowtest.Files{"w.yaml": "name: x\nnodes:\n  - {id: in, type: source.kafka, with: {" + tt.source + "}}\n  - {id: out, type: sink.kafka, from: in, with: {" + tt.sink + "}}\n"}.Load(r)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s\n%s: %v\nwant %s", tt.source, tt.sink, err, tt.want)
		}
	}
}

// The messages of an extent that is cut are spread over its partitions, and none
// is lost between two cuts.
func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sizes []int64
		most  int64
		want  []int64
	}{
		{[]int64{10, 10, 10}, 9, []int64{3, 3, 3}},
		{[]int64{1, 100, 2}, 23, []int64{1, 20, 2}},
		{[]int64{5, 5}, 100, []int64{5, 5}},
		{[]int64{0, 7}, 3, []int64{0, 3}},
		{[]int64{4, 4, 4}, 2, []int64{0, 1, 1}},
		{[]int64{4}, 0, []int64{0}},
	} {
		var e extent
		for i, n := range tt.sizes {
			e.Parts = append(e.Parts, part{Topic: "t", Partition: int32(i), From: 100, To: 100 + n})
		}
		e.cut(tt.most)
		var got []int64
		for _, p := range e.Parts {
			got = append(got, p.To-p.From)
		}
		if !slices.Equal(got, tt.want) || e.rows() > tt.most {
			t.Errorf("%v cut to %d: %v; want %v", tt.sizes, tt.most, got, tt.want)
		}
	}
}
