package servicetest_test

import (
	"context"
	"fmt"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/service/servicetest"
)

type stock struct{}

func (stock) Count(context.Context, *shop.CountRequest) (*shop.CountResponse, error) {
	return &shop.CountResponse{Count: 3}, nil
}

func ExampleLoopback() {
	ctx := context.Background()
	sys := actor.NewSystem(actor.Options{})
	defer sys.Stop(ctx)
	spec := shop.StockSpec(func() shop.StockServer { return stock{} })
	spec.Name = "stock"
	if _, err := service.Spawn(sys, spec); err != nil {
		fmt.Println(err)
		return
	}
	link := servicetest.NewLoopback(service.NewEndpoint(sys, service.EndpointOptions{}), servicetest.Options{})
	defer link.Close()
	client := shop.NewStockClient(service.Remote[shop.StockServer](link, "/stock", service.RemoteOptions{}))

	res, err := client.Count(ctx, &shop.CountRequest{})
	fmt.Println(res.GetCount(), err, link.State())
	link.Cut()
	_, err = client.Count(ctx, &shop.CountRequest{})
	fmt.Println(fault.CodeOf(err), link.State())
	// Output:
	// 3 <nil> connected
	// UNAVAILABLE reconnecting
}
