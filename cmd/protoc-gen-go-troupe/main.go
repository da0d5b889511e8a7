// Protoc-gen-go-troupe generates Go code for the services in .proto files: an
// interface to implement, a typed client, and a function that makes an actor of
// an implementation.
//
// It is a plugin of protoc and buf, beside protoc-gen-go:
//
//	protoc --go_out=. --go-troupe_out=. --go_opt=paths=source_relative --go-troupe_opt=paths=source_relative echo.proto
//
// With arguments it needs neither, nor protoc-gen-go: it compiles the files itself
// and writes the code for messages and services.
//
//	protoc-gen-go-troupe [-I DIR]... [-o DIR] [-opt PARAMETERS] FILE.proto...
//
// Files are named relative to one of the -I directories (default: the current
// one). troupe/options.proto and Google's well-known types are always there.
//
// Parameters, comma-separated, as of protoc-gen-go: paths=source_relative (the
// default with arguments), module=PREFIX, M<file>=<package>. One more:
// package_suffix=NAME puts the code for services into a package of its own below
// that of the messages, for .proto files whose services are generated for gRPC as
// well.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "protoc-gen-go-troupe:", err)
		os.Exit(1)
	}
}

// errUsage is an error that has been explained already.
var errUsage = errors.New("wrong usage")

// run is the program: a plugin without arguments, a compiler with some.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) error {
	if len(args) == 0 {
		return serve(in, out)
	}
	flags := flag.NewFlagSet("protoc-gen-go-troupe", flag.ContinueOnError)
	flags.SetOutput(errs)
	var imports []string
	flags.Func("I", "a `directory` to find .proto files in; may be given more than once (default \".\")", func(dir string) error {
		imports = append(imports, dir)
		return nil
	})
	dir := flags.String("o", ".", "the `directory` to write to")
	parameter := flags.String("opt", "paths=source_relative", "comma-separated `parameters`, as of protoc-gen-go")
	flags.Usage = func() {
		fmt.Fprintln(errs, "usage: protoc-gen-go-troupe [-I DIR]... [-o DIR] [-opt PARAMETERS] FILE.proto...")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return errUsage
	}
	if imports == nil {
		imports = []string{"."}
	}
	files, err := compile(ctx, imports, flags.Args(), *parameter)
	if err != nil {
		return err
	}
	return writeFiles(*dir, files, out)
}

// serve answers one request of protoc. What is wrong with the .proto files is
// said in the response, as the protocol of plugins wants it.
func serve(in io.Reader, out io.Writer) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{}
	if err := proto.Unmarshal(data, request); err != nil {
		return fmt.Errorf("standard input is no request of protoc; with arguments this program works without protoc, see -help: %w", err)
	}
	response := &pluginpb.CodeGeneratorResponse{
		SupportedFeatures: new(features),
		MinimumEdition:    new(int32(minEdition)), MaximumEdition: new(int32(maxEdition)),
	}
	files, err := plugin(request)
	if err != nil {
		response.Error = new(err.Error())
	}
	for _, f := range files {
		response.File = append(response.File, &pluginpb.CodeGeneratorResponse_File{Name: new(f.name), Content: new(f.content)})
	}
	if data, err = proto.Marshal(response); err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}
