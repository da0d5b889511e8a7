// Payments serves a method that must not be lost: its requests are kept in a file
// until they have been handled, and their answers for who asks again. What can't
// be handled is mended and brought back. The messages are plain Go types.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/service"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/wire"
)

// Payment is a request, Receipt its answer. They are kept as CBOR.
type (
	Payment struct {
		To    string `json:"to"`
		Cents int    `json:"cents"`
	}
	Receipt struct {
		Number int `json:"number"`
	}
)

// Payments is the service.
type Payments interface {
	Pay(ctx context.Context, p Payment) (Receipt, error)
}

var paymentType = wire.CBOR[Payment]("example.Payment")

// pay says how Payments.Pay is called: durably.
var pay = &service.Method[Payment, Receipt]{
	MethodInfo: service.MethodInfo{Service: "example.Payments", Name: "Pay", Durable: true},
	Request:    paymentType,
	Response:   wire.CBOR[Receipt]("example.Receipt"),
}

// bank implements the service.
type bank struct{ number int }

var errNoMoney = errors.New("there is no money to pay")

// Pay does what has to be done once, however often it is asked for.
func (b *bank) Pay(_ context.Context, p Payment) (Receipt, error) {
	switch {
	case p.Cents <= 0:
		return Receipt{}, errNoMoney // an answer
	case p.To == "":
		panic("a payment to nobody") // a failure
	}
	b.number++
	fmt.Printf("paid %d to %s\n", p.Cents, p.To)
	return Receipt{Number: b.number}, nil
}

func main() {
	dir, err := os.MkdirTemp("", "payments")
	if err == nil {
		err = errors.Join(first(context.Background(), dir), second(context.Background(), dir), os.RemoveAll(dir))
	}
	if err != nil {
		log.Print(err)
	}
}

// open serves payments with a file in a folder.
func open(ctx context.Context, dir string) (db store.Store, client *service.Client, stop func() error, err error) {
	db, err = sqlite.Open(ctx, filepath.Join(dir, "payments.db"), sqlite.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	sys := actor.NewSystem(actor.Options{Name: "bank", Logger: slog.New(slog.DiscardHandler)})
	ref, err := service.Spawn(sys, service.Spec[Payments]{
		Service: "example.Payments", Name: "payments",
		Methods: []service.Binding[Payments]{service.Bind(pay, Payments.Pay)},
		New:     func() Payments { return &bank{} },
		// All that a durable method needs. Without Retry: after 1, 2 and 4 s.
		Mailbox: service.NewMailbox(db, service.MailboxOptions{Retry: retry.Policy{Initial: time.Millisecond}}),
	})
	stop = func() error { return errors.Join(sys.Stop(context.WithoutCancel(ctx)), db.Close()) }
	if err != nil {
		return nil, nil, nil, errors.Join(err, stop())
	}
	return db, service.NewClient(ref), stop, nil
}

// first is the program until somebody stops it.
func first(ctx context.Context, dir string) error {
	_, client, stop, err := open(ctx, dir)
	if err != nil {
		return err
	}
	ask := func(id string, p Payment) {
		receipt, err := service.Invoke(service.WithRequestID(ctx, id), client, pay, p)
		switch {
		case err == nil:
			fmt.Printf("%s: receipt %d\n", id, receipt.Number)
		case errors.Is(err, durable.ErrBuried):
			fmt.Printf("%s: %v, a dead letter\n", id, fault.CodeOf(err))
		default:
			fmt.Printf("%s: the application says: %v\n", id, err)
		}
	}
	ask("rent", Payment{"landlord", 70000})
	ask("nothing", Payment{"landlord", 0})
	ask("gift", Payment{"", 2000})
	return stop()
}

// second is the program when it is started again.
func second(ctx context.Context, dir string) (err error) {
	db, client, stop, err := open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	// The client does not know whether the rent was paid, and asks again.
	receipt, err := service.Invoke(service.WithRequestID(ctx, "rent"), client, pay, Payment{"landlord", 70000})
	if err != nil {
		return err
	}
	fmt.Printf("rent, again: receipt %d\n", receipt.Number)

	// Somebody looks at what failed, mends it and brings it back.
	var types wire.Registry
	if err := wire.Register(&types, paymentType); err != nil {
		return err
	}
	letters := durable.NewLetters(db, &types)
	for letter, err := range letters.All(ctx, store.LetterFilter{Queue: "/payments"}) {
		if err != nil {
			return err
		}
		in, err := letters.Inspect(ctx, letter.ID)
		if err != nil {
			return err
		}
		fmt.Printf("%s of %s failed %d times: %s\n", in.Subject, in.RequestID, in.RetryCount+1, in.JSON)
		if _, err := letters.EditJSON(ctx, letter.ID, "", []byte(`{"to":"grandmother","cents":2000}`)); err != nil {
			return err
		}
	}
	report, err := letters.Redrive(ctx, durable.Redrive{Filter: store.LetterFilter{Queue: "/payments"}})
	fmt.Printf("%d brought back, %d handled\n", report.Redrive, report.Handled)
	return err
}
