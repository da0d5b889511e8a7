// Package echov1 is the service of the example, generated from echo.proto.
package echov1

//go:generate go run ../../../cmd/protoc-gen-go-troupe -I .. -o .. echov1/echo.proto
