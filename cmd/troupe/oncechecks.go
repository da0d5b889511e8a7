package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

// checkAccounts checks that every row that came into a node left it in one of
// the ways there are, and that what was sent over edges has arrived.
func checkAccounts(definition *workflow.Definition, info workflow.RunInfo) error {
	if info.RowsIn() == 0 {
		return fmt.Errorf("the sources have read nothing")
	}
	arrived := map[string]int64{}
	for _, e := range info.Edges {
		arrived[e.To] += e.Rows
	}
	for i, n := range info.Nodes {
		if left := n.RowsOut - n.Made + n.Rejected + n.Filtered + n.Held; left != n.RowsIn {
			return fmt.Errorf("node %s: %d rows in, %d accounted for", n.ID, n.RowsIn, left)
		}
		if definition.Nodes[i].Role != workflow.RoleSource && arrived[n.ID] != n.RowsIn {
			return fmt.Errorf("node %s: %d rows were sent to it, %d came in", n.ID, arrived[n.ID], n.RowsIn)
		}
	}
	return nil
}

// checkRejects checks that each row set aside says where it stood and why. All
// are listed as long as there are fewer than the node keeps.
func checkRejects(info workflow.RunInfo) error {
	if int64(len(info.Rejects)) > info.RejectedTotal || info.RejectedTotal > 0 && len(info.Rejects) == 0 {
		return fmt.Errorf("%d are counted, %d are listed", info.RejectedTotal, len(info.Rejects))
	}
	for _, r := range info.Rejects {
		if r.Node == "" || r.Reason == "" || r.File != "" && r.Line == 0 {
			return fmt.Errorf("a row was set aside without a place or a reason: %+v", r)
		}
	}
	return nil
}

// checkSinks reads back what every sink wrote. Sinks that are fed by the same
// nodes must hold the same rows.
func (o *onceRun) checkSinks(ctx context.Context) (string, error) {
	type table struct {
		sink node.SinkResult
		rows []workflow.Row
	}
	first := map[string]table{} // by what feeds the sink
	var details []string
	for _, sink := range node.Artifacts(o.definition, o.info) {
		rows, err := node.ReadArtifact(ctx, sink.Artifact, sink.Schema, int(sink.Rows)+1, 0)
		if err != nil {
			return "", err
		}
		if int64(len(rows)) != sink.Rows {
			return "", fmt.Errorf("sink %s took %d rows, %d can be read back", sink.Node, sink.Rows, len(rows))
		}
		details = append(details, fmt.Sprintf("%s %d rows", sink.Node, len(rows)))
		feed := feedOf(o.definition, sink.Node)
		other, seen := first[feed]
		if !seen {
			first[feed] = table{sink, rows}
			continue
		}
		if len(rows) != len(other.rows) {
			return "", fmt.Errorf("%s holds %d rows, %s %d", sink.Node, len(rows), other.sink.Node, len(other.rows))
		}
		for i := range rows {
			if !slices.EqualFunc(rows[i], other.rows[i], sameCell) {
				return "", fmt.Errorf("row %d is %v in %s and %v in %s", i+1, rows[i], sink.Node, other.rows[i], other.sink.Node)
			}
		}
	}
	if len(details) == 0 {
		return "no sink can be read back", nil
	}
	return strings.Join(details, ", "), nil
}

// sameCell compares values that went through a file: an empty text in CSV reads
// back as null.
func sameCell(v, w workflow.Value) bool {
	return v == w || v.IsNull() && w == workflow.String("") || w.IsNull() && v == workflow.String("")
}

// feedOf names the handles that lead into a node.
func feedOf(definition *workflow.Definition, id string) string {
	var from []string
	for _, e := range definition.Edges {
		if e.To == id {
			from = append(from, e.From+"."+e.Handle)
		}
	}
	return strings.Join(from, " ")
}

// checkEndpoints asks the node over HTTP, as a person's browser, a probe and
// Prometheus would.
func (o *onceRun) checkEndpoints(ctx context.Context) {
	run := "api/runs/" + o.info.ID
	for _, e := range []struct {
		path string
		want []string // texts of the answer
	}{
		{"", []string{"<!doctype html>"}},
		{"health", []string{`"ok"`}},
		{"ready", []string{`"ok"`}},
		{"healthz", []string{`"status"`, `"actors"`}},
		{"metrics", []string{
			"actorsystem_active_threads ", `actor_mailbox_queue_length{actor_type="demo-worker"}`,
			`actor_message_processing_duration_seconds_count{actor_type="demo-worker"}`, `workflow_execution_total{status="completed"} 1`, "process_cpu_seconds_total ",
		}},
		{"api/node", []string{`"version"`}},
		{"api/tree", []string{`"` + node.DemoChild + `"`}},
		{run, []string{o.info.ID, `"completed"`}},
		{run + "/result", []string{`"columns"`}},
		{"api/events", []string{`"restart"`}},
	} {
		size, err := o.expectAnswer(ctx, e.path, e.want)
		o.record("GET /"+e.path, err, "%d bytes", size)
	}
	detail, err := o.checkLogLevel(ctx)
	o.record("the log level changes at run time", err, "%s", detail)
}

// expectAnswer asks until the answer has all texts, in any letter case. What
// has just happened may take a moment to be counted.
func (o *onceRun) expectAnswer(ctx context.Context, path string, want []string) (size int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for {
		body, err := o.request(ctx, http.MethodGet, path, "")
		lower := strings.ToLower(body)
		missing := slices.IndexFunc(want, func(text string) bool { return !strings.Contains(lower, strings.ToLower(text)) })
		if err == nil && missing < 0 {
			return len(body), nil
		}
		if err == nil {
			err = fmt.Errorf("the answer lacks %s", want[missing])
		}
		select {
		case <-ctx.Done():
			return len(body), err
		case <-time.After(answerPause):
		}
	}
}

// checkLogLevel changes the level, reads it back and restores it.
func (o *onceRun) checkLogLevel(ctx context.Context) (string, error) {
	var before, after struct {
		Level string `json:"level"`
	}
	body, err := o.request(ctx, http.MethodGet, "api/log-level", "")
	if err == nil {
		err = json.Unmarshal([]byte(body), &before)
	}
	if err != nil {
		return "", err
	}
	to := "WARN"
	if before.Level == to {
		to = "ERROR"
	}
	if _, err := o.request(ctx, http.MethodPut, "api/log-level", fmt.Sprintf(`{"level":%q}`, to)); err != nil {
		return "", err
	}
	body, err = o.request(ctx, http.MethodGet, "api/log-level", "")
	if err == nil {
		err = json.Unmarshal([]byte(body), &after)
	}
	if err == nil && after.Level != to {
		err = fmt.Errorf("set to %s, it is %s", to, after.Level)
	}
	if err != nil {
		return "", err
	}
	_, err = o.request(ctx, http.MethodPut, "api/log-level", fmt.Sprintf(`{"level":%q}`, before.Level))
	return before.Level + " to " + to + " and back", err
}

// Bounds of what is asked of the node.
const (
	answerBytesMax = 8 << 20
	answerTimeout  = 5 * time.Second       // until an answer is as expected
	answerPause    = 20 * time.Millisecond // between two askings
)

// request asks the node and expects success.
func (o *onceRun) request(ctx context.Context, method, path, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, o.node.URL()+path, bytes.NewBufferString(body))
	if err != nil {
		return "", err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token := o.node.Token(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true} // nothing to clean up
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return "", err
	}
	if resp.StatusCode/100 != 2 {
		return "", fmt.Errorf("status %d: %.200s", resp.StatusCode, answer)
	}
	return string(answer), nil
}
