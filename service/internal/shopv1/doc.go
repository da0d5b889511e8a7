// Package shopv1 is the service that package service is tested with.
package shopv1

//go:generate go run ../../../cmd/protoc-gen-go-troupe -I .. -o .. shopv1/shop.proto
