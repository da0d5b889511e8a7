// Package options has the options that a .proto file can set on the methods of a
// service, see troupe/options.proto. Generated code imports it so that the
// options are known; programs rarely do.
package options

import _ "embed"

//go:generate go run ../../cmd/protoc-gen-go-troupe -opt module=github.com/troupe-dev/troupe/service/options troupe/options.proto

// Source is the text of troupe/options.proto, for tools that compile .proto files
// which import it.
//
//go:embed troupe/options.proto
var Source string
