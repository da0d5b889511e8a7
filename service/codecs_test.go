package service_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/service"
	"github.com/troupe-dev/troupe/service/servicetest"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/wire"
)

// parcel is a message of several kinds of fields, for every codec.
type parcel struct {
	To    string            `json:"to"`
	Tags  map[string]string `json:"tags"`
	Sizes []int             `json:"sizes"`
}

// post is a service of Go types; it adds a size and sends the parcel back.
type post struct{}

func (post) Send(ctx context.Context, p parcel) (parcel, error) {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if left > time.Second && left <= service.DefaultTimeout {
		p.Sizes = append(p.Sizes, 30)
	}
	return p, nil
}

// Go types cross a link and a mailbox in the codec that is chosen for each, and a
// call has 30 s unless it is said otherwise. Req F8
func TestCodecs(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(t.Context(), file(t), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	defer func() { _ = sys.Stop(context.Background()) }()
	link := servicetest.NewLoopback(service.NewEndpoint(sys, service.EndpointOptions{}), servicetest.Options{})
	defer link.Close()

	for name, types := range map[string][2]wire.Type[parcel]{
		"cbor":    {wire.CBOR[parcel]("q"), wire.CBOR[parcel]("a")},
		"msgpack": {wire.MessagePack[parcel]("q"), wire.MessagePack[parcel]("a")},
		"json":    {wire.JSON[parcel]("q"), wire.JSON[parcel]("a")},
		"mixed":   {wire.JSON[parcel]("q"), wire.CBOR[parcel]("a")},
	} {
		for _, durable := range []bool{false, true} {
			send := &service.Method[parcel, parcel]{
				MethodInfo: service.MethodInfo{Service: "test.Post", Name: "Send", Durable: durable},
				Request:    types[0], Response: types[1],
			}
			at := name
			if durable {
				at += "-kept"
			}
			_, err := service.Spawn(sys, service.Spec[post]{
				Service: "test.Post", Name: at, Methods: []service.Binding[post]{service.Bind(send, post.Send)}, New: func() post { return post{} },
				Mailbox: service.NewMailbox(db, service.MailboxOptions{}),
			})
			if err != nil {
				t.Fatal(err)
			}
			client := service.NewClient(service.Remote[post](link, "/"+at, service.RemoteOptions{}))
			got, err := service.Invoke(t.Context(), client, send, parcel{To: "Lyon", Tags: map[string]string{"a": "b"}, Sizes: []int{1, -2}})
			if err != nil || got.To != "Lyon" || got.Tags["a"] != "b" || len(got.Sizes) != 3 || got.Sizes[1] != -2 || got.Sizes[2] != 30 {
				t.Errorf("%s: %+v, %v", at, got, err)
			}
		}
	}
}
