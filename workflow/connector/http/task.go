package http

import (
	"context"
	stdjson "encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// TaskConfig is the "with" block of a node of the type task.http.
type TaskConfig struct {
	URL     string                        `yaml:"url,required" doc:"The address, http or https."`
	Method  string                        `yaml:"method" doc:"The method; default GET, or POST with a body."`
	Headers workflow.Mapping[HeaderValue] `yaml:"headers" doc:"Headers by their names; secrets as {secret: env:NAME, prefix: 'Bearer '}."`
	Body    string                        `yaml:"body" doc:"What is sent. A text that is JSON is sent as application/json unless a header says what it is."`
}

var taskMethods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead}

var taskType = workflow.TaskType[TaskConfig]{
	Name: "task.http",
	Doc: "Makes one request. Its output is {status, body}: the body is a value if the answer is JSON, else a text. A status other than 2xx fails the attempt. " +
		"The header Idempotency-Key is the same for all attempts of the node.",
	Example: "url: https://example.com/orders/${{ steps.order.output.id }}/confirm\nmethod: POST\nheaders:\n  Authorization: {secret: env:ORDERS_TOKEN, prefix: 'Bearer '}",
	Check: func(c *workflow.Check, config TaskConfig) {
		if !strings.Contains(config.URL, "${{") {
			checkURL(c, config.URL)
		}
		checkHeaders(c, config.Headers)
		if config.Method != "" && !slices.Contains(taskMethods, config.Method) {
			c.Unknown("method", "method", config.Method, taskMethods)
		}
	},
	Run: runTask,
}

// runTask makes the request of one attempt: it is the node that is retried, so
// that each attempt is in the history of the run.
func runTask(ctx context.Context, t *workflow.Task, config TaskConfig) (stdjson.RawMessage, error) {
	const op = "http.Task"
	u, err := url.Parse(config.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fault.New(fault.InvalidArgument, op, "%.200q is no address of HTTP", config.URL)
	}
	client, err := newClient(u, config.Headers, 0)
	if err != nil {
		return nil, err
	}
	defer client.close()
	method := config.Method
	if method == "" {
		if method = http.MethodGet; config.Body != "" {
			method = http.MethodPost
		}
	}
	more := http.Header{"Idempotency-Key": {t.Key}}
	if client.headers.Get("Content-Type") == "" && stdjson.Valid([]byte(config.Body)) {
		more.Set("Content-Type", "application/json")
	}
	got, err := client.once(ctx, method, u, []byte(config.Body), more, workflow.TaskOutputMax/2)
	if err != nil {
		return nil, failed(op, method, u, err)
	}
	return taskOutput(got)
}

// taskOutput is what an answer becomes.
func taskOutput(a answer) (stdjson.RawMessage, error) {
	var body stdjson.RawMessage
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	switch {
	case (kind == "application/json" || strings.HasSuffix(kind, "+json")) && stdjson.Valid(a.body):
		body = a.body
	case kind == "application/json":
		return nil, fault.New(fault.Internal, "http.Task", "the answer says that it is JSON, and is not: %.80q", a.body)
	case len(a.body) > 0:
		text, err := stdjson.Marshal(strings.ToValidUTF8(string(a.body), "\uFFFD"))
		if err != nil {
			return nil, err
		}
		body = text
	}
	return stdjson.Marshal(struct {
		Status int                `json:"status"`
		Body   stdjson.RawMessage `json:"body,omitempty"`
	}{a.status, body})
}
