package node_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/troupe-dev/troupe/node"
)

// A node on a free port, asked for its health.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	config := node.DefaultConfig()
	config.DataDir = dir
	config.HTTP.Port = 0

	n, err := node.New(config, node.Options{Log: io.Discard})
	if err != nil {
		panic(err)
	}
	if err := n.Start(context.Background()); err != nil {
		panic(err)
	}
	defer func() { _ = n.Stop(context.Background()) }()

	resp, err := http.Get(n.URL() + "health")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(os.Stdout, resp.Body)
	// Output: {"status":"ok"}
}

// Each layer overrides the one before, and every value knows where it was set.
func ExampleLoad() {
	settings, err := node.Load(node.Sources{
		NoFile: true,
		Env:    []string{"TROUPE_HTTP_PORT=9000", "TROUPE_NAME=west"},
		Flags:  []node.Assignment{{Flag: "--port", Key: "http.port", Value: "9001"}},
	})
	if err != nil {
		panic(err)
	}
	for _, key := range []string{"name", "http.port", "http.address"} {
		fmt.Println(key, "is set by", settings.Origin(key))
	}
	fmt.Println(settings.Config.HTTP.HostPort())
	// Output:
	// name is set by env TROUPE_NAME
	// http.port is set by flag --port
	// http.address is set by default
	// 127.0.0.1:9001
}

// What is wrong is reported at once, with its place and a suggestion.
func ExampleLoad_problems() {
	_, err := node.Load(node.Sources{NoFile: true, Env: []string{"TROUPE_HTTP_PROT=1", "TROUPE_LOG_LEVEL=loud"}})
	fmt.Println(err)
	// Output:
	// TROUPE_LOG_LEVEL: log.level: want debug, info, warn or error, got "loud"
	// TROUPE_HTTP_PROT: unknown variable; every TROUPE_ variable is a setting; did you mean "TROUPE_HTTP_PORT"?
}
