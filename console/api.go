package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/workflow"
)

// router puts the operations of the API on the console's paths: each path with
// its methods, each method with the keys of its query.
type router struct {
	mux    *http.ServeMux
	routes map[string]methods
}

// Handle implements huma.Adapter.
func (a *router) Handle(op *huma.Operation, handler func(huma.Context)) {
	a.add(op, func(w http.ResponseWriter, r *http.Request) {
		out := &answerWriter{ResponseWriter: w, request: r}
		handler(&apiContext{requestContext: humago.NewContext(op, r, out)})
		out.send()
	})
}

// ServeHTTP implements huma.Adapter.
func (a *router) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// add gives a method of a path its handler.
func (a *router) add(op *huma.Operation, handler http.HandlerFunc) {
	if a.routes[op.Path] == nil {
		a.routes[op.Path] = methods{}
	}
	var keys []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			keys = append(keys, p.Name)
		}
	}
	if op.Metadata[anyQuery] != nil {
		a.routes[op.Path][op.Method] = handler
		return
	}
	a.routes[op.Path][op.Method] = knows(handler, keys...).ServeHTTP
}

// anyQuery marks an operation whose query has keys that are not ours.
const anyQuery = "any query"

// mount puts everything on the mux.
func (a *router) mount() {
	for _, path := range slices.Sorted(maps.Keys(a.routes)) {
		a.mux.Handle(path, a.routes[path])
	}
}

// apiContext is a request to an operation. What does not fit the schema of an
// operation is a bad request, as it is elsewhere in the console.
type apiContext struct {
	requestContext
	invalid bool
}

// requestContext has another name than its method Context.
type requestContext huma.Context

// SetStatus implements huma.Context.
func (c *apiContext) SetStatus(status int) {
	if c.invalid && status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	c.requestContext.SetStatus(status)
}

// answerWriter keeps an answer until it is complete: it has a length then, and a
// client that has it already gets none of it.
type answerWriter struct {
	http.ResponseWriter
	request *http.Request
	status  int
	body    bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (w *answerWriter) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *answerWriter) send() {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	read := w.request.Method == http.MethodGet || w.request.Method == http.MethodHead
	if tag := h.Get("ETag"); tag != "" {
		h.Set("Cache-Control", "no-cache") // it may be kept, and is to be asked for
		if read && w.status == http.StatusOK && hasTag(w.request.Header.Get("If-None-Match"), tag) {
			h.Del("Content-Type")
			w.ResponseWriter.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if w.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(w.body.Len()))
	}
	w.ResponseWriter.WriteHeader(w.status)
	_, _ = w.ResponseWriter.Write(w.body.Bytes()) // the client may have gone; there is nobody left to tell
}

// hasTag reports whether a list of tags has one, or is "*". Tags are compared
// weakly, as RFC 9110 asks for.
func hasTag(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || one == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// contentTag is the ETag of an answer that has no version of its own.
func contentTag(v any) (string, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "console", err)
	}
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, nil
}

// Answers of operations.
type (
	// answered is an answer without anything beside its body.
	answered[T any] struct{ Body T }
	// tagged is an answer that a client may have already.
	tagged[T any] struct {
		ETag string `header:"ETag" doc:"Names this state; for If-None-Match and If-Match."`
		Body T
	}
	// created is the answer to a request that makes something.
	created[T any] struct {
		Location string `header:"Location" doc:"Where it is."`
		Body     T
	}
	// done is an answer without a body.
	done struct{}
)

// Conditional is the header of a request for something that the client may have.
type Conditional struct {
	IfNoneMatch string `header:"If-None-Match" doc:"The ETag of what the client has; it gets 304 if that is how things are." maxLength:"1000"`
}

// Idempotent is the header of a request that can be repeated.
type Idempotent struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"Makes the request one that can be repeated: a second one with the same key has the answer of the first. With another body it is refused with 422." maxLength:"200"`
}

// tag is an answer with the tag of its content.
func tag[T any](body T) (*tagged[T], error) {
	etag, err := contentTag(body)
	if err != nil {
		return nil, err
	}
	return &tagged[T]{etag, body}, nil
}

// newAPI describes the API without its operations.
func newAPI(version string, routes *router) huma.API {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	registry.RegisterTypeAlias(reflect.TypeFor[workflow.Value](), reflect.TypeFor[json.RawMessage]()) // null, boolean, number or text
	registry.RegisterTypeAlias(reflect.TypeFor[workflow.Schema](), reflect.TypeFor[[]workflow.Column]())
	format := huma.Format{
		Marshal: func(w io.Writer, v any) error {
			body, err := json.Marshal(v)
			if err == nil {
				_, err = w.Write(body)
			}
			return err
		},
		Unmarshal: json.Unmarshal,
	}
	return huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Troupe", Version: version,
				Description: "What a node of Troupe shows and does. Errors are application/problem+json (RFC 9457).",
			},
			Components: &huma.Components{Schemas: registry},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{asProblem(registry)},
	}, routes)
}

// schemaName names the schema of a type: those of other packages begin with the
// package's name.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	pkg := path.Base(strings.TrimSuffix(t.PkgPath(), "/v2"))
	if t.Name() == "" || pkg == "." || pkg == "console" || pkg == "time" || pkg == "json" {
		return name
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + name
}

// operation adds an operation to the API.
func operation[I, O any](c *Console, op huma.Operation, do func(ctx context.Context, in *I) (*O, error)) {
	c.describe(&op)
	huma.Register(c.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, &apiError{problemOf(err)}
		}
		return out, nil
	})
}

// describe fills in what all operations have.
func (c *Console) describe(op *huma.Operation) {
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = bodyLimit(op.Method, op.Path)
	}
	registry := c.api.OpenAPI().Components.Schemas
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = &huma.Response{
		Description: "What is wrong.",
		Content: map[string]*huma.MediaType{"application/problem+json": {
			Schema: registry.Schema(reflect.TypeFor[Problem](), true, "Problem"),
		}},
	}
}

// apiError is a problem as the answer of an operation.
type apiError struct{ Problem }

// Error implements error.
func (e *apiError) Error() string { return e.Detail }

// GetStatus implements huma.StatusError.
func (e *apiError) GetStatus() int { return e.Status }

// ContentType implements huma.ContentTypeFilter.
func (e *apiError) ContentType(string) string { return "application/problem+json" }

// asProblem gives huma's own errors the form that all problems of the console
// have.
func asProblem(registry huma.Registry) huma.Transformer {
	return func(ctx huma.Context, _ string, v any) (any, error) {
		switch v := v.(type) {
		case *apiError:
			return v.Problem, nil
		case *huma.ErrorModel:
			if c, ok := ctx.(*apiContext); ok {
				c.invalid = true
			}
			return mistaken(registry, ctx.Operation(), v), nil
		}
		return v, nil
	}
}

// mistaken is the problem of a request that does not fit its operation.
func mistaken(registry huma.Registry, op *huma.Operation, m *huma.ErrorModel) Problem {
	status := m.Status
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	p := Problem{Title: http.StatusText(status), Status: status, Detail: m.Detail, Code: fault.InvalidArgument.String()}
	if status == http.StatusInternalServerError {
		p.Code = fault.Internal.String()
	}
	for _, e := range m.Errors {
		one := ProblemDetail{Where: e.Location, Message: e.Message}
		if e.Value != nil && e.Location != "body" && !strings.HasPrefix(e.Message, "unexpected property") && !strings.HasPrefix(e.Message, "expected required") {
			one.Message += ", got " + short(shown(e.Value))
		}
		if e.Message == "unexpected property" {
			one.Hint = closestProperty(registry, op, e.Location)
		}
		p.Errors = append(p.Errors, one)
	}
	if len(p.Errors) > 0 {
		p.Target, p.Hint = p.Errors[0].Where, p.Errors[0].Hint
		p.Detail = p.Errors[0].Where + ": " + p.Errors[0].Message
		if more := len(p.Errors) - 1; more > 0 {
			p.Detail += fmt.Sprintf(" (and %d more)", more)
		}
	}
	return p
}

// shown is a value of a request as a client may have written it.
func shown(v any) string {
	if text, ok := v.(string); ok {
		return strconv.Quote(text)
	}
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(body)
}

// closestProperty says which of the properties of a body may be meant.
func closestProperty(registry huma.Registry, op *huma.Operation, location string) string {
	name, found := strings.CutPrefix(location, "body.")
	if !found || op.RequestBody == nil || strings.ContainsAny(name, ".[") {
		return ""
	}
	schema := op.RequestBody.Content["application/json"].Schema
	if schema.Ref != "" {
		schema = registry.SchemaFromRef(schema.Ref)
	}
	names := slices.Sorted(maps.Keys(schema.Properties))
	if hint := suggest.DidYouMean(name, names); hint != "" || len(names) == 0 {
		return hint
	}
	return "there are " + strings.Join(names, ", ")
}
