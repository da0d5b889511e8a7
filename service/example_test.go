package service_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
	"github.com/troupe-dev/troupe/service/servicetest"
	"github.com/troupe-dev/troupe/wire"
)

// Go types of one's own cross borders in the codec that is chosen for them.
type (
	sum      struct{ A, B int }
	result   struct{ Value int }
	calcImpl struct{}
)

// calculator is the service, as an interface.
type calculator interface {
	Add(ctx context.Context, s sum) (result, error)
	Divide(ctx context.Context, s sum) (result, error)
}

const calcName = "example.Calculator"

var (
	methodAdd = &service.Method[sum, result]{
		MethodInfo: service.MethodInfo{Service: calcName, Name: "Add", Idempotent: true},
		Request:    wire.CBOR[sum]("example.Sum"), Response: wire.CBOR[result]("example.Result"),
	}
	methodDivide = &service.Method[sum, result]{
		MethodInfo: service.MethodInfo{Service: calcName, Name: "Divide"},
		Request:    wire.CBOR[sum]("example.Sum"), Response: wire.CBOR[result]("example.Result"),
	}
)

var errZero = errors.New("division by zero")

func (calcImpl) Add(_ context.Context, s sum) (result, error) { return result{s.A + s.B}, nil }

func (calcImpl) Divide(_ context.Context, s sum) (result, error) {
	if s.B == 0 {
		return result{}, errZero
	}
	return result{s.A / s.B}, nil
}

func calcSpec() service.Spec[calculator] {
	return service.Spec[calculator]{
		Service: calcName, Name: "calc",
		New:     func() calculator { return calcImpl{} },
		Methods: []service.Binding[calculator]{service.Bind(methodAdd, calculator.Add), service.Bind(methodDivide, calculator.Divide)},
	}
}

// Without a .proto file: methods are described by hand.
func ExampleMethod() {
	ctx := context.Background()
	sys := actor.NewSystem(actor.Options{})
	defer sys.Stop(ctx)
	ref, err := service.Spawn(sys, calcSpec())
	if err != nil {
		fmt.Println(err)
		return
	}
	client := service.NewClient(ref)
	res, err := service.Invoke(ctx, client, methodAdd, sum{2, 3})
	fmt.Println(res.Value, err)
	_, err = service.Invoke(ctx, client, methodDivide, sum{2, 0})
	fmt.Println(err == errZero)
	// Output:
	// 5 <nil>
	// true
}

// The same client works over a border; an error that both sides have registered
// arrives as itself.
func ExampleRemote() {
	ctx := context.Background()
	var known service.ErrorTypes
	if err := known.RegisterErrorValue("example.Zero", errZero); err != nil {
		fmt.Println(err)
		return
	}
	sys := actor.NewSystem(actor.Options{})
	defer sys.Stop(ctx)
	spec := calcSpec()
	spec.Errors = &known
	if _, err := service.Spawn(sys, spec); err != nil {
		fmt.Println(err)
		return
	}
	link := servicetest.NewLoopback(service.NewEndpoint(sys, service.EndpointOptions{}), servicetest.Options{})
	defer link.Close()

	client := service.NewClient(service.Remote[calculator](link, "/calc", service.RemoteOptions{Errors: &known}))
	res, err := service.Invoke(ctx, client, methodAdd, sum{2, 3})
	fmt.Println(res.Value, err)
	_, err = service.Invoke(ctx, client, methodDivide, sum{2, 0})
	fmt.Println(errors.Is(err, errZero))
	link.Cut()
	_, err = service.Invoke(ctx, client, methodAdd, sum{2, 3})
	fmt.Println(fault.CodeOf(err))
	// Output:
	// 5 <nil>
	// true
	// UNAVAILABLE
}

func ExampleNamed() {
	ctx := context.Background()
	sys := actor.NewSystem(actor.Options{})
	defer sys.Stop(ctx)
	client := service.NewClient(service.Named[calculator](sys, "/calc"))
	_, err := service.Invoke(ctx, client, methodAdd, sum{2, 3})
	fmt.Println(fault.CodeOf(err))
	if _, err = service.Spawn(sys, calcSpec()); err != nil {
		fmt.Println(err)
		return
	}
	res, err := service.Invoke(ctx, client, methodAdd, sum{2, 3})
	fmt.Println(res.Value, err)
	// Output:
	// NOT_FOUND
	// 5 <nil>
}

func ExampleInterceptor() {
	ctx := context.Background()
	sys := actor.NewSystem(actor.Options{})
	defer sys.Stop(ctx)
	ref, err := service.Spawn(sys, calcSpec())
	if err != nil {
		fmt.Println(err)
		return
	}
	logged := func(next service.Handler) service.Handler {
		return func(ctx context.Context, c *service.Call) error {
			err := next(ctx, c)
			fmt.Println(c.Method.FullName(), "at", c.Target, fault.CodeOf(err), "application:", c.FromApplication)
			return err
		}
	}
	client := service.NewClient(ref, service.Intercept(logged))
	_, _ = service.Invoke(ctx, client, methodAdd, sum{2, 3})
	_, _ = service.Invoke(ctx, client, methodDivide, sum{2, 0})
	// Output:
	// example.Calculator/Add at /calc OK application: false
	// example.Calculator/Divide at /calc UNKNOWN application: true
}
