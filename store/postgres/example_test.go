package postgres_test

import (
	"context"
	"fmt"
	"log"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/postgres"
)

// It needs a server, so go test compiles it only.
func ExampleOpen() { //nolint:testableexamples // as said
	ctx := context.Background()
	s, err := postgres.Open(ctx, "postgres://troupe@db.example/troupe", postgres.Options{MaxConns: 20})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	r, err := s.Commit(ctx, &store.Batch{
		Appends: []store.Append{{Stream: "account/42", Expected: store.NoStream, Events: []store.Event{{Type: "paid", Data: []byte("10")}}}},
		Puts:    []store.Put{{Queue: "mail", Envelope: store.Envelope{Data: []byte("receipt")}}},
	})
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println("account/42 is at", r.Heads[0])
}
