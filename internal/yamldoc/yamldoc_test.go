package yamldoc_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

var update = flag.Bool("update", false, "rewrite the golden files")

type server struct {
	Address string        `yaml:"address" doc:"Where to listen."`
	Port    uint16        `yaml:"port"`
	Timeout time.Duration `yaml:"timeout"`
}

type common struct {
	Name string `yaml:"name,required" doc:"What it is called."`
}

type level int

func (l *level) UnmarshalText(text []byte) error {
	if string(text) != "high" {
		return fmt.Errorf("%q is no level; expected high", text)
	}
	*l = 1
	return nil
}

type config struct {
	common
	Server  server                  `yaml:"server"`
	Servers []server                `yaml:"servers"`
	Labels  map[string]string       `yaml:"labels"`
	Columns yamldoc.Ordered[string] `yaml:"columns"`
	Small   int8                    `yaml:"small"`
	Count   int                     `yaml:"count"`
	Ratio   float64                 `yaml:"ratio"`
	On      bool                    `yaml:"on_start"`
	Level   level                   `yaml:"level"`
	Limit   *int                    `yaml:"limit"`
	With    yamldoc.Node            `yaml:"with"`
	Ignored string                  `yaml:"-"`
}

func decode(file string, text []byte) (config, error) {
	c := config{Server: server{Port: 8080}}
	doc, err := yamldoc.Parse(file, text, yamldoc.Limits{})
	if err != nil {
		return c, err
	}
	if errs := doc.Root().Decode(&c); errs != nil {
		return c, errs
	}
	return c, nil
}

func TestDecode(t *testing.T) {
	t.Parallel()
	c, err := decode("ok.yaml", []byte(`
name: weather
server: &base
  address: 127.0.0.1
  timeout: 1m30s
servers:
  - *base
  - {address: "::1", port: 1}
labels: {a: x}
columns:
  z: 2012-01-01
  a: yes
small: -0x80
count: 1_000
ratio: 3
on_start: true
level: high
limit: 7
with: [1]
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "weather" || c.Server != (server{"127.0.0.1", 8080, 90 * time.Second}) {
		t.Errorf("got %+v", c)
	}
	if len(c.Servers) != 2 || c.Servers[0].Timeout != 90*time.Second || c.Servers[1].Address != "::1" {
		t.Errorf("servers: %+v", c.Servers)
	}
	if fmt.Sprint(c.Columns) != "[{z 2012-01-01} {a yes}]" || c.Labels["a"] != "x" {
		t.Errorf("columns %v, labels %v", c.Columns, c.Labels)
	}
	if c.Small != -128 || c.Count != 1000 || c.Ratio != 3 || !c.On || c.Level != 1 || *c.Limit != 7 {
		t.Errorf("got %+v", c)
	}
	if got := c.With.At("[0]").Pos().String(); got != "ok.yaml:19:8" {
		t.Errorf("the element of with stands at %s", got)
	}
}

// Req O1, W1, S5: JSON is read as the YAML that it is, however it is indented.
func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	c, err := decode("a.json", []byte("{\n\t\"name\": \"a\\u00e9\\/b\",\n\t\"servers\": [\n\t\t{\"port\": 80}\n\t],\n\t\"limit\": null\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "aé/b" || c.Servers[0].Port != 80 {
		t.Errorf("got %+v", c)
	}
}

// Req O1, W1: every mistake is reported at once, with position, expectation
// and suggestion. Each testdata/*.yaml has its messages beside it.
func TestErrors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = decode(filepath.Base(file), text)
		if err == nil {
			t.Errorf("%s is accepted", file)
			continue
		}
		golden := strings.TrimSuffix(file, ".yaml") + ".golden"
		got := []byte(err.Error() + "\n")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}

func TestErrorsOfTextsThatNoFileCanHold(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "f:1:1: the document is empty"},
		{"comment only", "# nothing\n", "f:1:1: the document is empty"},
		{"not UTF-8", "name: a\nb: \xc3(", "f:2:4: the byte 0xc3 is not UTF-8; expected a text in UTF-8"},
		{"UTF-16", "\xff\xfea\x00", "f:1:1: the byte 0xff is not UTF-8; expected a text in UTF-8"},
		{"NUL", "name: \x00", "f:1:7: the character U+0000 is not allowed"},
		{"depth", "with: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "f:1:70: with" + strings.Repeat("[0]", 63) + ": nested deeper than 64 levels"},
		{"size", strings.Repeat("#", 1<<20+1), "f:1:1: the text is longer than 1048576 bytes"},
		{"laughs", laughs(), "f:6:46: a5[9]: more than 100000 values"},
		{"cycle", "name: x\nwith: &a [*a]", "f:2:11: with[0]: the alias *a stands inside of what it repeats"},
	} {
		_, err := decode("f", []byte(tc.text))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: got %v\nwant %s", tc.name, err, tc.want)
		}
		var one *yamldoc.Error
		if !errors.As(err, &one) || one.Line < 1 || one.Column < 1 {
			t.Errorf("%s: no position in %#v", tc.name, err)
		}
	}
}

func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 lol\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), i-1)
	}
	return b.String()
}

func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	text := "name: x\n"
	for i := range 500 {
		text += fmt.Sprintf("unknown%03d: 1\n", i)
	}
	_, err := decode("f", []byte(text))
	var errs yamldoc.Errors
	if !errors.As(err, &errs) || len(errs) != yamldoc.ErrorsMax {
		t.Fatalf("got %d errors", len(errs))
	}
	if got := errs[yamldoc.ErrorsMax-1].Error(); got != "f:101:1: 401 more mistakes from here on are not shown" {
		t.Errorf("the last one is %q", got)
	}
}

func TestPosAt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text string }{
		{"plain", "where: temp > X\n"},
		{"plain over lines", "where: temp >\n   1 &&\n   X\n"},
		{"single quoted", "where: 'a == ''b'' && X'\n"},
		{"single quoted over lines", "where: 'a\n  ''b''\n\n  X'\n"},
		{"double quoted", `where: "\u00e9 \x41 \t\"q\" \\ X"` + "\n"},
		{"double quoted over lines", "where: \"a \\\n   b \\\n   \\  X\"\n"},
		{"literal", "where: |\n  temp >\n    1\n  && X\n"},
		{"literal with indicator", "where: |2- # why\n    temp\n    X\n"},
		{"folded", "where: >-\n  größe >\n  X\n"},
		{"anchor", "where: &a  a X\n"},
		{"tag", "where: !!str 'a X'\n"},
		{"carriage returns", "where: |\r\n  temp >\r\n  X\r\n"},
		{"in a list", "where:\n  - 1\n  - a X\n"},
		{"JSON", "{\"where\": \"\\u00e4 \\/ X\"}"},
		{"beyond ASCII", "größe: ok\nwhere: ä > 'ö' X\n"},
	} {
		doc, err := yamldoc.Parse("f", []byte(tc.text), yamldoc.Limits{})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		n := doc.Root().At("where")
		if n.IsList() {
			n = n.At("[1]")
		}
		got := n.PosAt(strings.IndexByte(n.Text(), 'X'))
		before, _, _ := strings.Cut(tc.text, "X")
		line := strings.Count(before, "\n") + 1
		column := len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
		if want := (yamldoc.Pos{File: "f", Line: line, Column: column}); got != want {
			t.Errorf("%s: X in %q stands at %s, want %s", tc.name, n.Text(), got, want)
		}
	}
}

func TestPosAtTheEnd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"where: a +\nnext: 1\n":          "f:1:11",
		"where: 'a +'\nnext: 1\n":        "f:1:12",
		"where: |\n  a +\n\nnext: 1\n":   "f:2:6",
		"where: ''\nnext: 1\n":           "f:1:9",
		"where: a +\n    b\n\nnext: 1\n": "f:2:6",
	} {
		doc, err := yamldoc.Parse("f", []byte(text), yamldoc.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		n := doc.Root().At("where")
		if got := n.PosAt(len(n.Text())).String(); got != want {
			t.Errorf("%q: the end of %q is at %s, want %s", text, n.Text(), got, want)
		}
	}
}

func TestAtStopsWhereThePathEnds(t *testing.T) {
	t.Parallel()
	doc, err := yamldoc.Parse("f", []byte("a:\n  - b: {\"x.y\": 1}\n  - c\n"), yamldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                "f:1:1 ",
		"a[0].b":          "f:2:8 a[0].b",
		`a[0].b."x.y"`:    `f:2:16 a[0].b."x.y"`,
		"a[0].missing.x":  "f:2:5 a[0]",
		"a[9].b":          "f:2:3 a",
		"a[x":             "f:2:3 a",
		`a[0].b."unended`: "f:2:8 a[0].b",
	} {
		n := doc.Root().At(path)
		if got := n.Pos().String() + " " + n.Path(); got != want {
			t.Errorf("At(%s) is %q, want %q", path, got, want)
		}
	}
}

func TestExpandLeavesNamedTypesAlone(t *testing.T) {
	t.Parallel()
	type expression string
	var c struct {
		Path  string     `yaml:"path"`
		Where expression `yaml:"where"`
		Bad   string     `yaml:"bad"`
	}
	doc, err := yamldoc.Parse("f", []byte("path: $x\nwhere: $x\nbad: '!'\n"), yamldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	d := yamldoc.Decoder{Expand: func(s string) (string, error) {
		if s == "!" {
			return "", errors.New("no input of that name")
		}
		return strings.ReplaceAll(s, "$x", "value"), nil
	}}
	errs := d.Decode(doc.Root(), &c)
	if c.Path != "value" || c.Where != "$x" {
		t.Errorf("got %+v", c)
	}
	if errs.Error() != "f:3:6: bad: no input of that name" {
		t.Errorf("got %v", errs)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	var print func(indent string, fields []yamldoc.Field)
	print = func(indent string, fields []yamldoc.Field) {
		for _, f := range fields {
			fmt.Fprintf(&got, "%s%s %s required=%t default=%q %s\n", indent, f.Name, f.Type, f.Required, f.Default, f.Doc)
			print(indent+"  ", f.Fields)
		}
	}
	print("", yamldoc.Describe(config{Server: server{Port: 8080}, Ratio: 0.5}))
	const want = `name text required=true default="" What it is called.
server mapping required=false default="" 
  address text required=false default="" Where to listen.
  port integer required=false default="8080" 
  timeout duration required=false default="" 
servers list of mapping required=false default="" 
  address text required=false default="" Where to listen.
  port integer required=false default="" 
  timeout duration required=false default="" 
labels mapping of text required=false default="" 
columns mapping of text required=false default="" 
small integer required=false default="" 
count integer required=false default="" 
ratio number required=false default="0.5" 
on_start boolean required=false default="" 
level text required=false default="" 
limit integer required=false default="" 
with any required=false default="" 
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

// Req S5: whatever the bytes, there is a value or an error with a position.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{"", "a: [", "&a [*a]", laughs(), "? [a]\n: b", "name: \"\\ud83d\\ude00\"", "a: |9\n x", "--- >\n\n", "<<: *x", "\ufeffname: x", "name: >-\r x\r"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := decode("f", text)
		if err == nil {
			checkPositions(t, text)
			return
		}
		var errs yamldoc.Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, e := range errs {
			if e.File != "f" || e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Fatalf("no position: %#v", e)
			}
		}
	})
}

// checkPositions asks for the place of every character of every text.
func checkPositions(t *testing.T, text []byte) {
	doc, err := yamldoc.Parse("f", text, yamldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) + bytes.Count(text, []byte("\u0085")) +
		bytes.Count(text, []byte("\u2028")) + bytes.Count(text, []byte("\u2029")) + 1
	var walk func(n yamldoc.Node)
	walk = func(n yamldoc.Node) {
		for i := range len(n.Text()) + 2 {
			if p := n.PosAt(i - 1); p.Line < 1 || p.Line > lines || p.Column < 1 {
				t.Fatalf("%s %q byte %d is at %s", n.Path(), n.Text(), i-1, p)
			}
		}
		for _, e := range n.Elements() {
			walk(e)
		}
		for _, e := range n.Entries() {
			walk(e.Key)
			walk(e.Value)
		}
	}
	walk(doc.Root())
}

func ExampleNode_Decode() {
	var c struct {
		Name string `yaml:"name,required"`
		Port int    `yaml:"port"`
	}
	doc, err := yamldoc.Parse("node.yaml", []byte("nmae: a\nport: many\n"), yamldoc.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(doc.Root().Decode(&c))
	// Output:
	// node.yaml:1:1: nmae: unknown key "nmae"; did you mean "name"?
	// node.yaml:2:7: port: expected an integer, found the text "many"
}
