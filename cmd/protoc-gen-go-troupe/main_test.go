package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// checkedIn are the generated files of this repository: what is given to the
// program in the directory of the go:generate line, and what it writes.
var checkedIn = []struct {
	dir     string
	imports string
	opt     string
	file    string
	out     []string
}{
	{"../../service/internal", ".", "paths=source_relative", "shopv1/shop.proto", []string{"shopv1/shop.pb.go", "shopv1/shop.troupe.go"}},
	{"../../examples/echo", ".", "paths=source_relative", "echov1/echo.proto", []string{"echov1/echo.pb.go", "echov1/echo.troupe.go"}},
	{"../../service/options", ".", "module=github.com/troupe-dev/troupe/service/options", "troupe/options.proto", []string{"options.pb.go"}},
}

// What is checked in is what the program generates from what is checked in.
func TestCheckedIn(t *testing.T) {
	t.Parallel()
	for _, tt := range checkedIn {
		files, err := compile(t.Context(), []string{filepath.Join(tt.dir, tt.imports)}, []string{tt.file}, tt.opt)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != len(tt.out) {
			t.Errorf("%s: %d files are generated, want %d", tt.file, len(files), len(tt.out))
		}
		for i, f := range files {
			want, err := os.ReadFile(filepath.Join(tt.dir, f.name))
			if err != nil {
				t.Fatal(err)
			}
			if f.name != tt.out[i] || f.content != string(want) {
				t.Errorf("%s is not what is generated; run go generate in its directory", f.name)
			}
		}
	}
}

// generated compiles one file with the given text.
func generated(t *testing.T, parameter, text string) ([]generatedFile, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.proto"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return compile(t.Context(), []string{dir}, []string{"a.proto"}, parameter)
}

const head = `syntax = "proto3";
package a.v1;
option go_package = "example.com/av1";
import "troupe/options.proto";
message M { string id = 1; repeated string many = 2; map<string, string> table = 3; double ratio = 4; N inner = 5; }
message N { uint64 number = 1; bytes raw = 2; bool flag = 3; sint32 small = 4; uint32 tiny = 5; Kind kind = 6; }
enum Kind { NONE = 0; }
`

// Mistakes have file:line:col and say what was expected.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ parameter, text, want string }{
		{"", head + "service S { rpc A(stream M) returns (M); }", "a.proto:8:13: method a.v1.S.A is a stream"},
		{"", head + "service S { rpc A(M) returns (stream M); }", "a.proto:8:13: method a.v1.S.A is a stream"},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).timeout = "5"; } }`, `a.proto:8:13: method a.v1.S.A has the timeout "5"; expected a duration above zero such as "500ms"`},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).timeout = "-1s"; } }`, `has the timeout "-1s"`},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).key = "idd"; } }`, `has the key "idd": a.v1.M has no field "idd"; did you mean "id"?`},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).key = "zzzzzzz"; } }`, `its fields are id, many, table, ratio, inner`},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).key = "many"; } }`, "field many has many values"},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).key = "table"; } }`, "field table has many values"},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).key = "ratio"; } }`, "floating-point"},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).key = "inner"; } }`, "field inner is the message a.v1.N"},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).key = "id.x"; } }`, "field id is no message"},
		{"", head + `service S { rpc A(M) returns (M) { option (troupe.method).durible = true; } }`, "durible"},
		{"", head + "message SClient {} service S { rpc A(M) returns (M); }", "a.proto:8:20: service a.v1.S: a.v1.SClient is generated and has the Go name SClient as well"},
		{"", head + "service S { rpc A(Nobody) returns (M); }", "a.proto:8:19"},
		{"", "syntax = ", "a.proto:1"},
		{"", `syntax = "proto3"; import "none.proto";`, "none.proto"},
		{"suffix=x", head + "service S { rpc A(M) returns (M); }", `unknown parameter "suffix"`},
		{"package_suffix=X-Y", head + "service S { rpc A(M) returns (M); }", "expected lower-case letters and digits"},
	} {
		var err error
		if tt.parameter == "" {
			_, err = generated(t, "paths=source_relative", tt.text)
		} else { // protoc-gen-go would refuse it first
			err = pluginError(t, tt.parameter, tt.text)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80s: error %v, want %q", strings.TrimPrefix(tt.text, head), err, tt.want)
		}
	}
}

// pluginError runs this plugin alone, as protoc does.
func pluginError(t *testing.T, parameter, text string) error {
	t.Helper()
	response := asPlugin(t, parameter, text)
	if response.Error == nil {
		return nil
	}
	return errors.New(response.GetError())
}

// asPlugin gives the program a request on its standard input.
func asPlugin(t *testing.T, parameter, text string) *pluginpb.CodeGeneratorResponse {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.proto"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	request, err := parse(t.Context(), []string{dir}, []string{"a.proto"})
	if err != nil {
		t.Fatal(err)
	}
	request.Parameter = new(parameter)
	data, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), nil, bytes.NewReader(data), &out, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out.Bytes(), response); err != nil {
		t.Fatal(err)
	}
	return response
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	response := asPlugin(t, "paths=source_relative", head+"service S { rpc A(M) returns (M); }")
	if response.Error != nil || len(response.File) != 1 || response.File[0].GetName() != "a.troupe.go" || response.GetSupportedFeatures() != features {
		t.Errorf("response %v", response)
	}
	if response = asPlugin(t, "paths=source_relative", head); response.Error != nil || len(response.File) != 0 {
		t.Errorf("a file without services: %v", response)
	}
	err := run(t.Context(), nil, strings.NewReader("\xff"), &bytes.Buffer{}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "no request of protoc; with arguments this program works without protoc") {
		t.Errorf("error %v", err)
	}
}

// Every kind of key gives code that compiles, with messages in the same package
// and in another.
func TestGeneratedCompiles(t *testing.T) {
	t.Parallel()
	text := strings.Replace(head, "example.com/av1", "github.com/troupe-dev/troupe/internal/av1", 1) + "service S {"
	for i, key := range []string{"id", "inner.number", "inner.raw", "inner.flag", "inner.small", "inner.tiny", "inner.kind"} {
		text += "\nrpc R" + string(rune('A'+i)) + `(M) returns (N) { option (troupe.method) = { key: "` + key + `" timeout: "1h30m" }; }`
	}
	text += "\nrpc Old(M) returns (N) { option deprecated = true; }\n}\n// Empty has no methods.\nservice Empty { option deprecated = true; }"
	files, err := generated(t, "paths=source_relative", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range asPlugin(t, "paths=source_relative,package_suffix=troupe", text).File {
		files = append(files, generatedFile{f.GetName(), f.GetContent()})
	}
	dir := t.TempDir()
	if err := writeFiles(dir, files, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	// The compiler is told that the files are in this module.
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for _, f := range files {
		there, err := filepath.Abs(filepath.Join("../../internal/av1", f.name))
		if err != nil {
			t.Fatal(err)
		}
		overlay.Replace[there] = filepath.Join(dir, f.name)
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"),
		"github.com/troupe-dev/troupe/internal/av1", "github.com/troupe-dev/troupe/internal/av1/av1troupe")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.proto"), []byte(head+"service S { rpc A(M) returns (M); }"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"-I", dir, "-o", filepath.Join(dir, "out"), "a.proto"}, nil, &out, &errs); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.pb.go", "a.troupe.go"} {
		path := filepath.Join(dir, "out", name)
		if _, err := os.Stat(path); err != nil || !strings.Contains(out.String(), path+"\n") {
			t.Errorf("%v; output %s", err, &out)
		}
	}
	for _, tt := range []struct {
		args []string
		err  error
		want string
	}{
		{[]string{"-I", dir}, errUsage, "usage: protoc-gen-go-troupe"},
		{[]string{"-x", "a.proto"}, errUsage, "flag provided but not defined: -x"},
		{[]string{"-help"}, flag.ErrHelp, "usage: protoc-gen-go-troupe"},
	} {
		errs.Reset()
		if err := run(t.Context(), tt.args, nil, &out, &errs); !errors.Is(err, tt.err) || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%v: %v, %s", tt.args, err, &errs)
		}
	}
	if err := run(t.Context(), []string{"-I", dir, "none.proto"}, nil, &out, &errs); err == nil || !strings.Contains(err.Error(), "none.proto") {
		t.Errorf("error %v", err)
	}
	blocked := filepath.Join(dir, "a.proto", "out")
	if err := run(t.Context(), []string{"-I", dir, "-o", blocked, "a.proto"}, nil, &out, &errs); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("error %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ended, []string{"-I", dir, "a.proto"}, nil, &out, &errs); err == nil {
		t.Error("it goes on after an interrupt")
	}
}
