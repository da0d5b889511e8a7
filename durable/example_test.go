package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/wire"
)

// exampleStore opens a store in a new folder, and a system, and returns how to
// end both.
func exampleStore() (*actor.System, store.Store, func()) {
	dir, err := os.MkdirTemp("", "durable")
	if err != nil {
		panic(err)
	}
	s, err := sqlite.Open(context.Background(), filepath.Join(dir, "node.db"), sqlite.Options{})
	if err != nil {
		panic(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	return sys, s, func() {
		_ = sys.Stop(context.Background())
		_ = s.Close()
		_ = os.RemoveAll(dir)
	}
}

type order struct {
	Item string `json:"item"`
}

var orderType = wire.CBOR[order]("shop.Order")

// What a mailbox was told is on disk: it is handled even if the process ends
// first, and whoever spawns the actor next goes on where it ended.
func Example() {
	sys, s, end := exampleStore()
	defer end()
	ctx := context.Background()

	box, err := durable.NewMailbox(s, durable.MailboxSpec[order]{Queue: "orders", Codec: orderType})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, item := range []string{"tea", "milk", "sugar"} {
		if err := box.Tell(ctx, order{item}); err != nil { // nil: committed
			fmt.Println(err)
			return
		}
	}

	shipped := make(chan string)
	_, err = durable.Spawn(sys, box, durable.Spec[order]{New: func() durable.Behavior[order] {
		return durable.BehaviorFunc[order](func(ctx *durable.Context[order], o order) error {
			ctx.Then(func() { shipped <- o.Item }) // once the message is gone from the mailbox
			return nil
		})
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-shipped, <-shipped, <-shipped)
	// Output: tea milk sugar
}

// An entity's state is what its events add up to. A snapshot spares reading all of
// them, and events of an old form are brought up to date as they are read.
func ExampleSpawnEntities() {
	sys, s, end := exampleStore()
	defer end()
	ctx := context.Background()

	// An earlier version counted in whole euros.
	old, _ := wire.CBOR[euros]("wallet.Added").Encode(euros{5})
	_, err := s.Commit(ctx, &store.Batch{Appends: []store.Append{{
		Stream: "wallet/ann", Events: []store.Event{{Type: old.Codec + ":" + old.Type, Data: old.Data}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	wallets, err := durable.SpawnEntities(sys, s, durable.EntitySpec[add, any]{
		Kind: "wallet", SnapshotEvery: 10,
		New:      func(string) durable.Entity[add, any] { return &wallet{} },
		Commands: wire.CBOR[add]("wallet.Add"),
		Events: durable.NewUnion(
			durable.Type[any](wire.CBOR[added]("wallet.Added.v2")),
			durable.Upcast(wire.CBOR[euros]("wallet.Added"), func(old euros) (any, error) { return added{old.Euros * 100}, nil }),
		),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	box, err := wallets.Mailbox("ann")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, cents := range []int{20, 3} {
		sum, err := durable.Ask(ctx, box, sumType, durable.Post[add]{Message: add{cents}})
		fmt.Println(sum, err)
	}
	// Output:
	// 520 <nil>
	// 523 <nil>
}

type (
	add    struct{ Cents int }
	added  struct{ Cents int }
	euros  struct{ Euros int }
	wallet struct{ cents int }
)

var sumType = wire.CBOR[int]("wallet.Sum")

func (w *wallet) Decide(ctx *durable.Context[add], c add) ([]any, error) {
	return []any{added(c)}, durable.Answer(ctx, sumType, w.cents+c.Cents)
}

func (w *wallet) Apply(e any) { w.cents += e.(added).Cents }

func (w *wallet) Snapshot() (wire.Message, error) { return sumType.Encode(w.cents) }

func (w *wallet) Restore(m wire.Message) (err error) {
	w.cents, err = sumType.Decode(m)
	return err
}

// A request id makes a request unique: asked again, by this process or by another,
// it has the same answer, and nothing happens twice.
func ExampleAsk() {
	sys, s, end := exampleStore()
	defer end()
	ctx := context.Background()

	numbers := wire.CBOR[int]("shop.Number")
	box, err := durable.NewMailbox(s, durable.MailboxSpec[order]{Queue: "orders", Codec: orderType})
	if err != nil {
		fmt.Println(err)
		return
	}
	taken := 0
	_, err = durable.Spawn(sys, box, durable.Spec[order]{New: func() durable.Behavior[order] {
		return durable.BehaviorFunc[order](func(ctx *durable.Context[order], o order) error {
			taken++
			return durable.Answer(ctx, numbers, 100+taken)
		})
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range []string{"form-1", "form-1", "form-2"} {
		number, err := durable.Ask(ctx, box, numbers, durable.Post[order]{Message: order{"tea"}, RequestID: id})
		fmt.Println(id, number, err)
	}
	// Output:
	// form-1 101 <nil>
	// form-1 101 <nil>
	// form-2 102 <nil>
}

// A letter is rehearsed before it is redriven: its handler runs, and what it would
// do is shown instead of done.
func ExampleRehearse() {
	sys, s, end := exampleStore()
	defer end()
	ctx := context.Background()

	box, err := durable.NewMailbox(s, durable.MailboxSpec[order]{Queue: "orders", Codec: orderType})
	if err != nil {
		fmt.Println(err)
		return
	}
	bills, err := durable.NewMailbox(s, durable.MailboxSpec[order]{Queue: "bills", Codec: orderType})
	if err != nil {
		fmt.Println(err)
		return
	}
	buried, handled := make(chan struct{}), make(chan struct{})
	inStock := false
	spec := durable.Spec[order]{New: func() durable.Behavior[order] {
		return durable.BehaviorFunc[order](func(ctx *durable.Context[order], o order) error {
			if !inStock {
				return retry.Permanent(errors.New("out of stock"))
			}
			ctx.Then(func() { close(handled) })
			return durable.Emit(ctx, bills, o)
		})
	}}
	spec.Hooks.Buried = func(store.Queue, *fault.Error) { close(buried) }
	if _, err := durable.Spawn(sys, box, spec); err != nil {
		fmt.Println(err)
		return
	}
	if err := box.Tell(ctx, order{"tea"}); err != nil {
		fmt.Println(err)
		return
	}
	<-buried

	letters := durable.NewLetters(s, nil)
	all, err := letters.List(ctx, store.LetterFilter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		r, err := durable.Rehearse(ctx, box, spec, all)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("in stock %v: %v, %d outputs\n", inStock, r[0].Err, len(r[0].Outputs))
		inStock = true
	}
	report, err := letters.Redrive(ctx, durable.Redrive{})
	<-handled
	fmt.Println(report.Redrive, "redriven,", report.Handled, "handled,", report.Failed, "failed", err)
	// Output:
	// in stock false: durable.Rehearse: out of stock (UNKNOWN), 0 outputs
	// in stock true: <nil>, 1 outputs
	// 1 redriven, 1 handled, 0 failed <nil>
}

// An ordinary actor whose mailbox is full has the rest of a burst wait on disk.
func ExampleSpill() {
	sys, s, end := exampleStore()
	defer end()
	ctx := context.Background()

	gate, done := make(chan struct{}), make(chan struct{})
	var got []int
	ref, err := actor.Spawn(sys, actor.Spec[int]{Name: "slow", Mailbox: actor.Mailbox{Capacity: 4}, New: func() actor.Behavior[int] {
		return actor.BehaviorFunc[int](func(_ *actor.Context[int], n int) error {
			<-gate
			if got = append(got, n); len(got) == 100 {
				close(done)
			}
			return nil
		})
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ref, err = durable.Spill(sys, ref, s, durable.SpillSpec[int]{Queue: "burst", Codec: wire.CBOR[int]("example.Number")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for n := range 100 {
		if err := ref.Tell(ctx, n); err != nil { // does not wait for room
			fmt.Println(err)
			return
		}
	}
	close(gate)
	<-done
	fmt.Println(got[0], "to", got[99])
	// Output: 0 to 99
}
