package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/troupe-dev/troupe/service/options"
)

// A generated file, with its name relative to the output directory.
type generatedFile struct{ name, content string }

// compile reads .proto files, which are named relative to one of the import
// directories, and generates the Go code of protoc-gen-go and of this program.
func compile(ctx context.Context, imports, files []string, parameter string) ([]generatedFile, error) {
	request, err := parse(ctx, imports, files)
	if err != nil {
		return nil, err
	}
	request.Parameter = new(parameter)
	// The package has a warning in its name, but its place is the only one where
	// the generator can be had as a function; go.mod pins its version.
	messages, err := runPlugin(protogen.Options{}, request, func(p *protogen.Plugin) error {
		for _, f := range p.Files {
			if f.Generate {
				internal_gengo.GenerateFile(p, f)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	services, err := plugin(request)
	return append(messages, services...), err
}

// plugin generates what this program adds.
func plugin(request *pluginpb.CodeGeneratorRequest) ([]generatedFile, error) {
	var s settings
	return runPlugin(protogen.Options{ParamFunc: s.set}, request, s.generate)
}

func runPlugin(opts protogen.Options, request *pluginpb.CodeGeneratorRequest, run func(*protogen.Plugin) error) ([]generatedFile, error) {
	p, err := opts.New(request)
	if err != nil {
		return nil, err
	}
	if err := run(p); err != nil {
		return nil, err
	}
	response := p.Response()
	if response.Error != nil {
		return nil, errors.New(response.GetError())
	}
	var out []generatedFile
	for _, f := range response.File {
		out = append(out, generatedFile{f.GetName(), f.GetContent()})
	}
	return out, nil
}

// parse compiles the files to the request that protoc would send.
func parse(ctx context.Context, imports, files []string) (*pluginpb.CodeGeneratorRequest, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: imports},
			protocompile.ResolverFunc(embedded),
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	var mistakes []error
	compiler.Reporter = reporter.NewReporter(func(err reporter.ErrorWithPos) error {
		mistakes = append(mistakes, err)
		return nil
	}, nil)
	compiled, err := compiler.Compile(ctx, files...)
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: files}
	seen := map[string]bool{}
	for _, f := range compiled {
		addFile(request, seen, f)
	}
	// The options were read without knowing their Go types, which the generators
	// need; on their way through the wire form they get them.
	data, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	typed := &pluginpb.CodeGeneratorRequest{}
	return typed, proto.Unmarshal(data, typed)
}

// embedded finds this module's own .proto file.
func embedded(path string) (protocompile.SearchResult, error) {
	if path != "troupe/options.proto" {
		return protocompile.SearchResult{}, fs.ErrNotExist
	}
	return protocompile.SearchResult{Source: strings.NewReader(options.Source)}, nil
}

// addFile adds a file after those that it imports.
func addFile(request *pluginpb.CodeGeneratorRequest, seen map[string]bool, f protoreflect.FileDescriptor) {
	if seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		addFile(request, seen, f.Imports().Get(i).FileDescriptor)
	}
	request.ProtoFile = append(request.ProtoFile, describe(f))
}

func describe(f protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	if r, ok := f.(linker.Result); ok {
		return r.FileDescriptorProto()
	}
	return protodesc.ToFileDescriptorProto(f)
}

// writeFiles writes what was generated below a directory, and says what.
func writeFiles(dir string, files []generatedFile, out io.Writer) error {
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.content), 0o644); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, path); err != nil {
			return err
		}
	}
	return nil
}
