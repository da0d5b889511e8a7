// Echo serves a Protocol Buffers service by an actor and calls it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/examples/echo/echov1"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
)

// errEmpty is an error of the application: an answer, which the caller gets.
var errEmpty = errors.New("there is nothing to echo")

// server implements the service. It serves one call at a time and needs no lock.
type server struct{ count int64 }

func newServer() echov1.EchoServer { return &server{} }

// Echo returns the text.
func (s *server) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	switch req.GetText() {
	case "":
		return nil, errEmpty
	case "boom":
		panic("boom")
	}
	s.count++
	return &echov1.EchoResponse{Text: req.GetText(), Count: s.count}, nil
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	sys := actor.NewSystem(actor.Options{Name: "echo"})
	spec := echov1.EchoSpec(newServer)
	spec.Name = "echo"
	ref, err := service.Spawn(sys, spec)
	if err != nil {
		return err
	}
	client := echov1.NewEchoClient(ref)
	for _, text := range []string{"hello", "", "boom", "still here"} {
		res, err := client.Echo(ctx, &echov1.EchoRequest{Text: text})
		switch {
		case err == nil:
			fmt.Printf("%q, number %d\n", res.GetText(), res.GetCount())
		case errors.Is(err, errEmpty):
			fmt.Println("the application says:", err)
		default:
			fmt.Println("the call failed:", fault.CodeOf(err))
		}
	}
	return sys.Stop(ctx)
}
