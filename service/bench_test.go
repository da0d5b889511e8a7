package service_test

import (
	"context"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/service"
	"github.com/troupe-dev/troupe/service/servicetest"
)

// question is what a plain actor is asked, to compare with.
type question struct {
	s     sum
	reply actor.Reply[result]
}

func spawnPlain(b *testing.B, sys *actor.System) actor.Ref[question] {
	ref, err := actor.Spawn(sys, actor.Spec[question]{New: func() actor.Behavior[question] {
		return actor.BehaviorFunc[question](func(_ *actor.Context[question], q question) error {
			q.reply.Send(result{q.s.A + q.s.B})
			return nil
		})
	}})
	if err != nil {
		b.Fatal(err)
	}
	return ref
}

// BenchmarkUnary compares a call with what it stands on: an ask with a deadline,
// as each call has one, and an ask without.
func BenchmarkUnary(b *testing.B) {
	sys := actor.NewSystem(actor.Options{})
	defer sys.Stop(context.Background())
	plain := spawnPlain(b, sys)
	ref, err := service.Spawn(sys, calcSpec())
	if err != nil {
		b.Fatal(err)
	}
	link := servicetest.NewLoopback(service.NewEndpoint(sys, service.EndpointOptions{}), servicetest.Options{})
	defer link.Close()
	ctx := context.Background()
	call := func(to service.Ref[calculator]) func() (result, error) {
		client := service.NewClient(to)
		return func() (result, error) { return service.Invoke(ctx, client, methodAdd, sum{2, 3}) }
	}
	ask := func(ctx context.Context) (result, error) {
		return actor.Ask(ctx, plain, func(r actor.Reply[result]) question { return question{sum{2, 3}, r} })
	}
	for _, bm := range []struct {
		name string
		f    func() (result, error)
	}{
		{"ask", func() (result, error) { return ask(ctx) }},
		{"ask_with_deadline", func() (result, error) {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			return ask(ctx)
		}},
		{"call", call(ref)},
		{"call_by_name", call(service.Named[calculator](sys, "/calc"))},
		{"call_over_loopback", call(service.Remote[calculator](link, "/calc", service.RemoteOptions{}))},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if res, err := bm.f(); err != nil || res.Value != 5 {
					b.Fatal(res, err)
				}
			}
		})
	}
}
