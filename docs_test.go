package troupe_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestDocuments checks what the documents say against the tree.
func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, d := range documentRules {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for _, breach := range d.check(os.DirFS(".")) {
				t.Error(breach)
			}
		})
	}
}

// A documentRule checks files that are not Go. TestDocumentsCatch shows that
// each can fail.
type documentRule struct {
	name  string
	check func(fs.FS) []string
}

var documentRules = []documentRule{
	{"links lead somewhere", brokenLinks},
	{"README shows the program in examples/hello", readmeProgram},
	{"README's map names every package", readmeMap},
	{"CI runs README's commands", readmeCommands},
	{"make help lists every target", makeTargets},
	{"go.mod can be installed from", installable},
}

var (
	mdFence   = regexp.MustCompile("^\\s*(```|~~~)")
	mdLink    = regexp.MustCompile(`\]\(([^()\s]+)(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s+(\S+)`)
	mdCode    = regexp.MustCompile("`[^`]*`")
	mdHeading = regexp.MustCompile(`^#{1,6}\s+(.+?)\s*#*$`)
	urlScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// brokenLinks checks that relative links in all Markdown files lead to a file,
// and to a heading in it if they name one. It does not use the network.
func brokenLinks(fsys fs.FS) []string {
	var found []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && unseen(name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		return eachProseLine(fsys, name, func(number int, line string) {
			for _, m := range mdLink.FindAllStringSubmatch(mdCode.ReplaceAllString(line, "code"), -1) {
				if why := brokenLink(fsys, name, m[1]+m[2]); why != "" {
					found = append(found, fmt.Sprintf("%s:%d: link %s%s: %s", name, number, m[1], m[2], why))
				}
			}
		})
	})
	if err != nil {
		found = append(found, err.Error())
	}
	return found
}

// brokenLink says what is wrong with a link found in a file, or nothing.
func brokenLink(fsys fs.FS, from, link string) string {
	if urlScheme.MatchString(link) {
		return ""
	}
	target, anchor, _ := strings.Cut(link, "#")
	name := from
	if target != "" {
		name = path.Join(path.Dir(from), target)
		if !fs.ValidPath(name) {
			return "leads out of the repository"
		}
		if _, err := fs.Stat(fsys, name); err != nil {
			return "no such file"
		}
	}
	if anchor == "" || path.Ext(name) != ".md" {
		return ""
	}
	there := false
	if err := eachProseLine(fsys, name, func(_ int, line string) {
		if m := mdHeading.FindStringSubmatch(line); m != nil && slug(m[1]) == anchor {
			there = true
		}
	}); err != nil {
		return err.Error()
	}
	if !there {
		return "no such heading"
	}
	return ""
}

// eachProseLine calls f with the lines of a Markdown file outside code blocks.
func eachProseLine(fsys fs.FS, name string, f func(number int, line string)) error {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	fenced, number := false, 0
	for line := range strings.Lines(string(src)) {
		number++
		if mdFence.MatchString(line) {
			fenced = !fenced
		} else if !fenced {
			f(number, strings.TrimRight(line, "\r\n"))
		}
	}
	return nil
}

// slug is the anchor that Markdown hosts give a heading.
func slug(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ' || r == '-':
			b.WriteByte('-')
		case r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// readmeProgram checks that the Go program in README is the one that the build
// compiles and a test runs.
func readmeProgram(fsys fs.FS) []string {
	const name = "examples/hello/main.go"
	readme, err := fs.ReadFile(fsys, "README.md")
	if err != nil {
		return []string{err.Error()}
	}
	program, err := fs.ReadFile(fsys, name)
	if err != nil {
		return []string{err.Error()}
	}
	_, rest, _ := strings.Cut(string(readme), "\n```go\n")
	shown, _, ok := strings.Cut(rest, "```\n")
	if !ok || shown != string(program) {
		return []string{"README.md: the first Go block is not " + name + ", letter by letter"}
	}
	return nil
}

// readmeMap checks that README links every directory at the top of the tree that
// holds packages for users, and every program. Links to what does not exist are
// found by brokenLinks.
func readmeMap(fsys fs.FS) []string {
	readme, err := fs.ReadFile(fsys, "README.md")
	if err != nil {
		return []string{err.Error()}
	}
	tree, err := loadTree(fsys)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, p := range tree.sorted() {
		if p.name() == "" || p.dir == "." || p.nested || under(p.dir, []string{"internal"}) {
			continue
		}
		dir, rest, _ := strings.Cut(p.dir, "/")
		if dir == "cmd" {
			dir += "/" + rest
		}
		missing := fmt.Sprintf("README.md: does not link %s", dir)
		if !strings.Contains(string(readme), "]("+dir+")") && !slices.Contains(found, missing) {
			found = append(found, missing)
		}
	}
	return found
}

// readmeCommands checks that the two commands README promises are what CI runs.
func readmeCommands(fsys fs.FS) []string {
	var found []string
	for _, name := range []string{"README.md", ".ci/run"} {
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return []string{err.Error()}
		}
		for _, command := range []string{"go run ./cmd/troupe dev", "go test ./..."} {
			if !strings.Contains(string(src), command) {
				found = append(found, fmt.Sprintf("%s: has no %q", name, command))
			}
		}
	}
	return found
}

var (
	makeTarget    = regexp.MustCompile(`(?m)^([A-Za-z][\w-]*):[^=\n]*$`)
	makeDescribed = regexp.MustCompile(`^[a-z]+:.*## [A-Z]`)
)

// makeTargets checks that each target that is no file is described and phony.
func makeTargets(fsys fs.FS) []string {
	src, err := fs.ReadFile(fsys, "Makefile")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, m := range makeTarget.FindAllStringSubmatch(string(src), -1) {
		if !makeDescribed.MatchString(m[0]) {
			found = append(found, fmt.Sprintf("Makefile: target %s has no description after ##", m[1]))
		}
		if !strings.Contains(string(src), "\n.PHONY: "+m[1]+"\n") {
			found = append(found, fmt.Sprintf("Makefile: target %s is not .PHONY", m[1]))
		}
	}
	if len(found) == 0 && !makeTarget.Match(src) {
		found = append(found, "Makefile: has no targets")
	}
	return found
}

var modOverride = regexp.MustCompile(`(?m)^\s*(replace|exclude)\b.*$`)

// installable checks that the root go.mod has no directive with which
// "go install …@version" refuses a module.
func installable(fsys fs.FS) []string {
	src, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, m := range modOverride.FindAllString(string(src), -1) {
		found = append(found, fmt.Sprintf("go.mod: %q makes go install refuse the module", strings.TrimSpace(m)))
	}
	return found
}

// TestDocumentsCatch shows that each rule can fail, and where it does not.
func TestDocumentsCatch(t *testing.T) {
	t.Parallel()
	const (
		links    = "links lead somewhere"
		program  = "README shows the program in examples/hello"
		packages = "README's map names every package"
		commands = "CI runs README's commands"
		targets  = "make help lists every target"
		mod      = "go.mod can be installed from"
		both     = "go run ./cmd/troupe dev\ngo test ./...\n"
	)
	tests := []struct {
		rule  string
		files map[string]string
		want  string
	}{
		{links, map[string]string{"a.md": "[x](b/c.md#two-words) [y](https://example.com/none) [z](#here)\n# Here", "b/c.md": "## Two words\n[up](../a.md)"}, ""},
		{links, map[string]string{"a.md": "line\n[x](gone.md)"}, "a.md:2: link gone.md: no such file"},
		{links, map[string]string{"a.md": "[x]: gone.md"}, "a.md:1: link gone.md: no such file"},
		{links, map[string]string{"a.md": "[x](#none)\n# Some"}, "no such heading"},
		{links, map[string]string{"a.md": "[x](../up.md)"}, "leads out of the repository"},
		{links, map[string]string{"a.md": "```\n[x](gone.md)\n```\n`[x](gone.md)`"}, ""},
		{program, map[string]string{"README.md": "x\n```go\npackage main\n```\n", "examples/hello/main.go": "package main\n"}, ""},
		{program, map[string]string{"README.md": "x\n```go\npackage  main\n```\n", "examples/hello/main.go": "package main\n"}, "letter by letter"},
		{program, map[string]string{"README.md": "x", "examples/hello/main.go": "package main\n"}, "letter by letter"},
		{packages, map[string]string{"README.md": "[a](a) [c](cmd/c)", "a/a.go": "package a", "a/b/b.go": "package b", "cmd/c/c.go": "package main", "internal/i/i.go": "package i"}, ""},
		{packages, map[string]string{"README.md": "a", "a/a.go": "package a", "a/b/b.go": "package b"}, "does not link a"},
		{packages, map[string]string{"README.md": "[c](cmd)", "cmd/c/c.go": "package main"}, "does not link cmd/c"},
		{commands, map[string]string{"README.md": both, ".ci/run": both}, ""},
		{commands, map[string]string{"README.md": both, ".ci/run": "go run ./cmd/troupe dev"}, `.ci/run: has no "go test ./..."`},
		{targets, map[string]string{"Makefile": "\n.PHONY: a\na: b ## Do a\n\tx\nbin/x: go.mod\n\tx\nV := 1\n"}, ""},
		{targets, map[string]string{"Makefile": "\n.PHONY: a\na: b\n\tx\n"}, "target a has no description"},
		{targets, map[string]string{"Makefile": "a: ## Do a\n"}, "target a is not .PHONY"},
		{targets, map[string]string{"Makefile": "V := 1\n"}, "has no targets"},
		{mod, map[string]string{"go.mod": "module x\nrequire replace.example/exclude v1.0.0\n"}, ""},
		{mod, map[string]string{"go.mod": "module x\nreplace a => ../a\n"}, `"replace a => ../a" makes go install refuse`},
	}
	caught := map[string]bool{}
	for i, tt := range tests {
		caught[tt.rule] = caught[tt.rule] || tt.want != ""
		at := slices.IndexFunc(documentRules, func(d documentRule) bool { return d.name == tt.rule })
		t.Run(fmt.Sprint(tt.rule, " ", i), func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{}
			for name, src := range tt.files {
				fsys[name] = &fstest.MapFile{Data: []byte(src)}
			}
			expectOne(t, documentRules[at].check(fsys), tt.want)
		})
	}
	for _, d := range documentRules {
		if !caught[d.name] {
			t.Errorf("rule %q has no sample that it catches", d.name)
		}
		if got := d.check(fstest.MapFS{}); d.name != links && len(got) == 0 {
			t.Errorf("rule %q is content with nothing", d.name)
		}
	}
}
