package ui_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/console/ui"
)

func get(t *testing.T, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	ui.Handler().ServeHTTP(w, r)
	return w
}

// prefix is where the page says that its files are.
func prefix(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`src="(/assets/[0-9a-f]{16}/)js/main\.js"`).FindStringSubmatch(get(t, "/").Body.String())
	if m == nil {
		t.Fatal("the page names no versioned main.js")
	}
	return m[1]
}

func TestPage(t *testing.T) {
	t.Parallel()
	w := get(t, "/")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	if got := w.Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("the document must be revalidated, but Cache-Control is %q", got)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="(/assets[^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		if a := get(t, m[1]); a.Code != http.StatusOK || a.Body.Len() == 0 {
			t.Errorf("%s: status %d, %d bytes", m[1], a.Code, a.Body.Len())
		}
	}
	for _, target := range []string{"/letters", "/runs", "/runs/0192", "/workflows/a%2Fb"} {
		if a := get(t, target); a.Code != http.StatusOK || a.Body.String() != w.Body.String() {
			t.Errorf("%s is not the document: status %d", target, a.Code)
		}
	}
	again := get(t, "/", "If-None-Match", w.Header().Get("ETag"))
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("unchanged document: status %d, %d bytes", again.Code, again.Body.Len())
	}
}

func TestAssetsAreImmutable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"js/main.js": "text/javascript; charset=utf-8", "css/base.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		w := get(t, prefix(t)+name)
		if got := w.Header().Get("Content-Type"); got != want {
			t.Errorf("%s has type %q, want %q", name, got, want)
		}
		if got := w.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s has Cache-Control %q", name, got)
		}
		if w.Header().Get("ETag") == "" {
			t.Errorf("%s has no ETag", name)
		}
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	p := prefix(t)
	for _, target := range []string{"/index.html", "/runs.html", "/actors", "/assets/", "/assets/0000000000000000/js/main.js", p, p + "index.html", p + "js/", p + "../ui.go", p + "js/none.js"} {
		if w := get(t, target); w.Code != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", target, w.Code)
		}
	}
	// Who comes by a browser gets a page that says so, and leads on.
	for target, page := range map[string]bool{"/actors": true, "/index.html": true, p + "js/none.js": false} {
		w := get(t, target, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		if has := strings.Contains(w.Body.String(), `id="lost"`); w.Code != http.StatusNotFound || has != page {
			t.Errorf("GET %s by a browser: status %d, the page: %t, want 404, %t", target, w.Code, has, page)
		}
	}
	w := httptest.NewRecorder()
	ui.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// files returns the page's files by path.
func files(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	root := os.DirFS("static")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(root, name)
		all[name] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A missing module shows only in a browser, so each import is followed here;
// and a module that nobody imports is dead.
func TestModulesFindEachOther(t *testing.T) {
	t.Parallel()
	all := files(t)
	used := []string{"js/main.js", "js/theme.js"}
	for name, body := range all {
		if path.Ext(name) != ".js" {
			continue
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:import|export) .*? from "([^"]+)";$`).FindAllStringSubmatch(body, -1) {
			to := path.Join(path.Dir(name), m[1])
			if _, ok := all[to]; !ok {
				t.Errorf("%s imports %s, which does not exist", name, m[1])
			}
			used = append(used, to)
		}
	}
	for name := range all {
		if path.Ext(name) == ".js" && !slices.Contains(used, name) {
			t.Errorf("%s is imported by nobody", name)
		}
		if path.Ext(name) == ".css" && !strings.Contains(all["index.html"], "/"+name+`"`) {
			t.Errorf("%s is linked by nobody", name)
		}
	}
}

// Req S4: the page keeps a policy without inline scripts and styles and without
// other origins, and never turns text into HTML.
func TestPageKeepsThePolicy(t *testing.T) {
	t.Parallel()
	forbidden := map[string]*regexp.Regexp{
		".html": regexp.MustCompile(`<style|<script>|\sstyle=|\son[a-z]+=|https?://`),
		".css":  regexp.MustCompile(`@import|url\(|https?://`),
		".js":   regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|cssText|setAttribute\("style"|https?://`),
	}
	namespace := "http://www.w3.org/2000/svg"
	for name, body := range files(t) {
		rule := forbidden[path.Ext(name)]
		if rule == nil {
			continue
		}
		if found := rule.FindString(strings.ReplaceAll(body, namespace, "")); found != "" {
			t.Errorf("%s has %q", name, found)
		}
	}
}

// The page uses only colours that are defined once, in tokens.css.
func TestStylesUseTokens(t *testing.T) {
	t.Parallel()
	all := files(t)
	defined := map[string]bool{"--depth": true, "--series": true, "--soft": true, "--rows": true} // set by scripts
	for _, m := range regexp.MustCompile(`(?m)^\s+(--[a-z0-9-]+):`).FindAllStringSubmatch(all["css/tokens.css"], -1) {
		defined[m[1]] = true
	}
	for name, body := range all {
		if path.Ext(name) != ".css" {
			continue
		}
		for _, m := range regexp.MustCompile(`var\((--[a-z0-9-]+)`).FindAllStringSubmatch(body, -1) {
			if !defined[m[1]] {
				t.Errorf("%s uses %s, which tokens.css does not define", name, m[1])
			}
		}
	}
}

// Every id that a script looks up exists in the document.
func TestScriptsFindTheirElements(t *testing.T) {
	t.Parallel()
	all := files(t)
	for name, body := range all {
		if path.Ext(name) != ".js" {
			continue
		}
		for _, m := range regexp.MustCompile(`byId\("([^"]+)"\)`).FindAllStringSubmatch(body, -1) {
			if !strings.Contains(all["index.html"], `id="`+m[1]+`"`) {
				t.Errorf("%s looks for #%s, which index.html does not have", name, m[1])
			}
		}
	}
}

func ExampleHandler() {
	server := httptest.NewServer(ui.Handler())
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.Status, response.Header.Get("Content-Type"))
	// Output: 200 OK text/html; charset=utf-8
}

// Each page that the script routes to is served when its address is opened.
func TestRoutesAreServed(t *testing.T) {
	t.Parallel()
	script := get(t, prefix(t)+"js/main.js").Body.String()
	routes := regexp.MustCompile(`route\("(/[^"]*)"`).FindAllStringSubmatch(script, -1)
	if len(routes) < 8 {
		t.Fatalf("the script has %d routes", len(routes))
	}
	for _, route := range routes {
		if w := get(t, strings.NewReplacer(":name", "a", ":id", "b").Replace(route[1])); w.Code != http.StatusOK {
			t.Errorf("%s is answered with %d", route[1], w.Code)
		}
	}
}
