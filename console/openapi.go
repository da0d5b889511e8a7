package console

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/fault"
)

// openAPI is the answer of GET /api/openapi.json.
type openAPI struct {
	ContentType string `header:"Content-Type"`
	Body        json.RawMessage
}

// documentRoutes adds the description of the API to it. It comes last.
func (c *Console) documentRoutes() {
	operation(c, huma.Operation{
		OperationID: "get-openapi", Method: http.MethodGet, Path: "/api/openapi.json", Tags: []string{"node"}, Summary: "This description",
	}, func(context.Context, *struct{}) (*openAPI, error) {
		text, err := c.OpenAPI()
		return &openAPI{"application/json", text}, err
	})
	// huma describes its own form of errors, which nobody sees.
	maps.DeleteFunc(c.api.OpenAPI().Components.Schemas.Map(), func(name string, _ *huma.Schema) bool {
		return name == "HumaErrorModel" || name == "HumaErrorDetail"
	})
}

// OpenAPI is the description of the API as OpenAPI 3.1, as /api/openapi.json
// answers. Operations on workflows, runs and schedules are checked against it
// when they are called.
func (c *Console) OpenAPI() ([]byte, error) {
	text, err := json.Marshal(c.api.OpenAPI())
	return text, fault.Wrap(fault.Internal, "console", err)
}

// A plainRoute describes an operation that is not checked against its
// description.
type plainRoute struct {
	method, path string
	summary      string
	keys         []string     // of its query
	body         reflect.Type // nil: none
	answer       reflect.Type // nil: none, or no JSON
	kind         string       // of an answer that is no JSON
	status       int          // default 200
}

// plain adds an operation that reads its request itself.
func (c *Console) plain(r plainRoute, handler http.HandlerFunc) {
	registry := c.api.OpenAPI().Components.Schemas
	op := &huma.Operation{Method: r.method, Path: strings.Replace(r.path, "...}", "}", 1), Summary: r.summary, Tags: []string{"node"}}
	op.OperationID = operationID(r.method, r.path)
	for part := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")
			op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		}
	}
	for _, key := range r.keys {
		op.Parameters = append(op.Parameters, &huma.Param{Name: key, In: "query", Schema: &huma.Schema{Type: huma.TypeString}})
	}
	if r.body != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: registry.Schema(r.body, true, op.OperationID)}}}
	}
	c.describe(op)
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	answer := &huma.Response{Description: http.StatusText(status)}
	switch {
	case r.answer != nil:
		answer.Content = map[string]*huma.MediaType{"application/json": {Schema: registry.Schema(r.answer, true, op.OperationID)}}
	case r.kind != "":
		answer.Content = map[string]*huma.MediaType{r.kind: {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	op.Responses[strconv.Itoa(status)] = answer
	c.api.OpenAPI().AddOperation(op)
	route := *op
	route.Path = r.path
	c.routes.add(&route, handler)
}

// operationID names an operation by its method and path: "get-letters-id".
func operationID(method, path string) string {
	words := []string{strings.ToLower(method)}
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/api/"), "/") {
		words = append(words, strings.Trim(part, "{}."))
	}
	return strings.Join(words, "-")
}
