// Hello asks an actor for greetings.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/troupe-dev/troupe/actor"
)

// Greet is the only message that a greeter takes. Its answer is a string.
type Greet struct {
	Name  string
	Reply actor.Reply[string]
}

// newGreeter makes the actor's behaviour: at first, and again if it fails.
func newGreeter() actor.Behavior[Greet] {
	count := 0 // no lock: an actor handles one message at a time
	return actor.BehaviorFunc[Greet](func(_ *actor.Context[Greet], m Greet) error {
		count++
		m.Reply.Send(fmt.Sprintf("Hello, %s. You are number %d.", m.Name, count))
		return nil
	})
}

func main() {
	ctx := context.Background()
	sys := actor.NewSystem(actor.Options{Name: "hello"})
	greeter, err := actor.Spawn(sys, actor.Spec[Greet]{Name: "greeter", New: newGreeter})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"Ada", "Grace"} {
		answer, err := actor.Ask(ctx, greeter, func(r actor.Reply[string]) Greet { return Greet{name, r} })
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer)
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
}
