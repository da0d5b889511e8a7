package console

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/workflow"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

// Req W9: the description of the API has every route, and nothing else; it is
// what is served, and what stands in docs.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	c := New(Options{System: actor.NewSystem(actor.Options{})})
	var served, described []string
	for path, methods := range c.routes.routes {
		for method := range methods {
			served = append(served, method+" "+strings.Replace(path, "...}", "}", 1))
		}
	}
	text, err := c.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Responses   map[string]json.RawMessage
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			route := strings.ToUpper(method) + " " + path
			described = append(described, route)
			if op.Summary == "" || op.OperationID == "" || ids[op.OperationID] != "" || len(op.Responses) < 2 {
				t.Errorf("%s is described by %+v; its id is that of %q", route, op, ids[op.OperationID])
			}
			ids[op.OperationID] = route
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("served are\n%s\ndescribed are\n%s", strings.Join(served, "\n"), strings.Join(described, "\n"))
	}
	if doc.OpenAPI != "3.1.0" || bytes.Contains(text, []byte("ErrorModel")) || doc.Components.Schemas["Problem"] == nil {
		t.Errorf("version %s, schemas %v", doc.OpenAPI, slices.Sorted(maps.Keys(doc.Components.Schemas)))
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/api/openapi.json", nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || !bytes.Equal(w.Body.Bytes(), text) {
		t.Errorf("served is %d %s: %.200s", w.Code, w.Header(), w.Body)
	}
	golden(t, text)
}

// golden compares the description with docs/openapi.json.
func golden(t *testing.T, text []byte) {
	t.Helper()
	const file = "../docs/openapi.json"
	var want bytes.Buffer
	if err := json.Indent(&want, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	want.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%s is not what the API is now; go test ./console -run TestOpenAPI -update writes it anew", file)
	}
}

// Every parameter that bounds a list has the bound that its constant says.
func TestOpenAPIBounds(t *testing.T) {
	t.Parallel()
	c := New(Options{System: actor.NewSystem(actor.Options{})})
	for path, want := range map[string][2]int{
		"/api/runs": {RunsDefault, RunsMax}, "/api/runs/{id}/history": {EventsPage, EventsPageMax}, "/api/runs/{id}/result": {RowsDefault, RowsMax},
		"/api/runs/{id}/timeline": {TimelinePage, TimelinePageMax}, "/api/runs/{id}/logs": {LinesPage, LinesPageMax},
	} {
		params := c.api.OpenAPI().Paths[path].Get.Parameters
		i := slices.IndexFunc(params, func(p *huma.Param) bool { return p.Name == "limit" })
		if s := params[i].Schema; s.Maximum == nil || int(*s.Maximum) != want[1] || s.Default != want[0] {
			t.Errorf("%s: limit is %v by default and at most %v, want %v", path, s.Default, s.Maximum, want)
		}
	}
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "MS54", "MS4", "1.x", "%%%", encodeCursor("a/b c"), encodeCursor("x") + "="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := decodeCursor(text)
		if err == nil && encodeCursor(key) != text {
			t.Errorf("%q is read as %q, which is written as %q", text, key, encodeCursor(key))
		}
		if len(text) < 500 && text != "" {
			if back, err := decodeCursor(encodeCursor(text)); err != nil || back != text {
				t.Errorf("the cursor of %q is read as %q, %v", text, back, err)
			}
		}
	})
}

func FuzzInstance(f *testing.F) {
	for _, seed := range []string{"sign", "sign[3]", "cell[3][7]", "a[", "a[x]", "[1]", "a[1]b", "a[00]", "é[2]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		node, iteration, err := parseInstance(text)
		if err != nil {
			return
		}
		again, same, err := parseInstance(workflow.Instance(node, iteration))
		if err != nil || again != node || !slices.Equal(same, iteration) {
			t.Errorf("%q is %q %v, and then %q %v, %v", text, node, iteration, again, same, err)
		}
	})
}
