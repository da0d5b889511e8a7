package breaker_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/fault"
)

func Example() {
	b, err := breaker.New(breaker.Config{
		Target:   "/orders",
		OnChange: func(c breaker.Change) { fmt.Println(c.Target, "is", c.To, "after", c.Failures, "failures") },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	calls := 0
	for range 20 {
		err = b.Do(context.Background(), func(context.Context) error {
			calls++
			return fault.New(fault.Unavailable, "orders.Get", "connection refused")
		})
	}
	fmt.Println(calls, "calls; open:", errors.Is(err, breaker.ErrOpen))
	// Output:
	// /orders is open after 10 failures
	// 10 calls; open: true
}

func ExampleDoValue() {
	b, err := breaker.New(breaker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := breaker.DoValue(context.Background(), b, func(context.Context) (int, error) { return 42, nil })
	fmt.Println(n, err)
	// Output: 42 <nil>
}

func ExampleGroup() {
	g, err := breaker.NewGroup(breaker.Config{MinCalls: 1}, 100)
	if err != nil {
		fmt.Println(err)
		return
	}
	down := func(context.Context) error { return fault.Unavailable }
	_ = g.Get("a").Do(context.Background(), down)
	_ = g.Get("b").Do(context.Background(), func(context.Context) error { return nil })
	for _, i := range g.Infos() {
		fmt.Println(i.Target, i.State)
	}
	// Output:
	// a open
	// b closed
}

func ExampleBreaker_Allow() {
	b, err := breaker.New(breaker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	permit, err := b.Allow()
	if err != nil {
		fmt.Println("not now:", err)
		return
	}
	answered := func(err error) { permit.Done(err) } // from wherever the answer comes
	answered(nil)
	fmt.Println(b.Info().Calls)
	// Output: 1
}
