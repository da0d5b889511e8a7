// Package ui holds the console's page: HTML, style sheets and ES modules that
// a browser runs as they are. There is no build step and nothing is loaded
// from elsewhere; what is in the folder static is what a reader of the page's
// source sees.
package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed static
var embedded embed.FS

// root is the folder of the page in embedded.
const root = "static"

// contentTypes are set by hand: the table of the operating system may be
// missing or know better.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// versionMark stands in index.html where the version of the assets goes.
const versionMark = "{{version}}"

// asset is one file, ready to be sent.
type asset struct {
	body        []byte
	contentType string
	etag        string
}

// page is the handler: the document, and the assets under a path that changes
// with their content.
type page struct {
	index   asset
	version string
	prefix  string // "/assets/" and the version
	assets  map[string]asset
}

// sections are the first parts of the addresses under which the document is
// served: its script shows the page that the address names.
var sections = []string{"letters", "workflows", "runs", "schedules", "new-schedule", "triggers"}

// Handler serves the document at "/" and at the addresses of its pages, such as
// "/runs", and its files under "/assets/<version>/". The document is revalidated
// on every load, the files are immutable; modules import each other by relative
// paths and so stay within one version. It is safe for concurrent use.
func Handler() http.Handler { return load() }

// Version is a hash of all files of the page.
func Version() string { return load().version }

// load reads the embedded files once. They are part of the binary, so that
// they cannot fail to be there.
var load = sync.OnceValue(func() *page {
	p := &page{assets: map[string]asset{}}
	all := sha256.New()
	err := fs.WalkDir(embedded, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, root+"/")
		all.Write(fmt.Appendf(nil, "%s\x00%d\x00%s", name, len(body), body))
		p.assets[name] = newAsset(name, body)
		return nil
	})
	index, ok := p.assets["index.html"]
	if err != nil || !ok {
		panic(fmt.Sprintf("ui: the embedded page is incomplete: %v", err))
	}
	p.version = hex.EncodeToString(all.Sum(nil)[:8])
	p.prefix = "/assets/" + p.version + "/"
	p.index = newAsset("index.html", bytes.ReplaceAll(index.body, []byte(versionMark), []byte(p.version)))
	delete(p.assets, "index.html")
	return p
})

func newAsset(name string, body []byte) asset {
	ext := path.Ext(name)
	contentType, ok := contentTypes[ext]
	if !ok {
		contentType = mime.TypeByExtension(ext)
	}
	sum := sha256.Sum256(body)
	return asset{body: body, contentType: contentType, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page is only read", http.StatusMethodNotAllowed)
		return
	}
	if section, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); r.URL.Path == "/" || slices.Contains(sections, section) {
		p.index.send(w, r, "no-cache")
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, p.prefix); ok {
		if a, ok := p.assets[name]; ok {
			a.send(w, r, "public, max-age=31536000, immutable")
			return
		}
	}
	if strings.HasPrefix(r.URL.Path, "/assets/") || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.NotFound(w, r)
		return
	}
	p.index.lost(w, r)
}

// lost sends the document with the status of an address that has no page: its script
// says so, between the links to those there are.
func (a asset) lost(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", a.contentType)
	w.WriteHeader(http.StatusNotFound)
	if r.Method == http.MethodGet {
		_, _ = w.Write(a.body) // the reader may have gone
	}
}

func (a asset) send(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	h.Set("Cache-Control", cache)
	h.Set("ETag", a.etag)
	h.Set("Content-Type", a.contentType)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body)) // answers If-None-Match by the ETag
}
