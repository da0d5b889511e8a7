package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// The durable part of the demonstration is a shop that loses nothing, however the
// node ends:
//
//	/shop                  supervisor
//	/shop/accounts         event-sourced accounts, one for each customer
//	/shop/orders           durable mailbox; charges the customer's account
//	/shop/clerk            places an order from time to time
//
// Now and then the clerk misspells an item. That order cannot be handled and
// becomes a dead letter, to be looked at, mended, rehearsed and redriven.

// The queue of the shop's orders, and the kind of its accounts.
const (
	DemoOrders  store.Queue = "shop/orders"
	demoAccount string      = "shop-account"
)

// DemoOrder is what the shop's customers order.
type DemoOrder struct {
	Number   int64  `json:"number"`
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Count    int    `json:"count"`
}

// DemoStatement is what an account adds up to.
type DemoStatement struct {
	Customer string `json:"customer"`
	Orders   int    `json:"orders"`
	Cents    int    `json:"cents"`
}

// shopCommand is what an account is told.
type shopCommand interface{ isShopCommand() }

// charge takes an order's price.
type charge struct {
	Order int64  `json:"order"`
	Item  string `json:"item"`
	Cents int    `json:"cents"`
}

// statementDue asks for a DemoStatement.
type statementDue struct{}

func (charge) isShopCommand()       {}
func (statementDue) isShopCommand() {}

// charged is the event of a charge.
type charged struct {
	Order int64  `json:"order"`
	Item  string `json:"item"`
	Cents int    `json:"cents"`
}

// The types of the shop as they cross into the store.
var (
	orderType     = wire.CBOR[DemoOrder]("shop.Order")
	chargeType    = wire.CBOR[charge]("shop.Charge")
	dueType       = wire.CBOR[statementDue]("shop.StatementDue")
	chargedType   = wire.CBOR[charged]("shop.Charged")
	statementType = wire.CBOR[DemoStatement]("shop.Statement")
)

// demoPrices are in cents.
var demoPrices = map[string]int{"tea": 350, "coffee": 420, "cake": 290}

// The clerk's customers and wishes. Every demoMisspelt-th order is misspelt, while
// there are fewer than demoLetters dead letters: less than what the watchdog raises
// an alert for, so that the demonstration is healthy by itself.
var (
	demoCustomers = [...]string{"ada", "grace", "hedy", "joan"}
	demoWishes    = [...]string{"tea", "coffee", "cake"}
)

const (
	demoMisspelt = 20
	demoLetters  = 9
	demoNext     = "shop/next-order" // entry with the number of the clerk's next order
)

// DemoShop is the way to the demonstration's shop.
type DemoShop struct {
	orders   *durable.Mailbox[DemoOrder]
	accounts *durable.Entities[shopCommand]
}

// Order places an order; nil means that it will be handled. The same number is
// one order, however often it is placed.
func (s *DemoShop) Order(ctx context.Context, o DemoOrder) error {
	number := strconv.FormatInt(o.Number, 10)
	_, err := s.orders.Send(ctx, durable.Post[DemoOrder]{Message: o, Sender: o.Customer, RequestID: "order-" + number})
	return err
}

// Statement asks the account of a customer what it adds up to.
func (s *DemoShop) Statement(ctx context.Context, customer string) (DemoStatement, error) {
	account, err := s.accounts.Mailbox(customer)
	if err != nil {
		return DemoStatement{}, err
	}
	return durable.Ask(ctx, account, statementType, durable.Post[shopCommand]{Message: statementDue{}})
}

// shopSupervisor owns the actors of the shop.
type shopSupervisor struct {
	node  *Node
	every time.Duration // between two orders
	ready func(*DemoShop)
}

// spawnShop starts the shop and returns it.
func spawnShop(n *Node, config DemoConfig) (shop *DemoShop, err error) {
	types := n.Types()
	for _, err := range []error{
		wire.Register(types, orderType), wire.Register(types, chargeType), wire.Register(types, dueType),
		wire.Register(types, chargedType), wire.Register(types, statementType),
	} {
		if err != nil {
			return nil, err
		}
	}
	// Start runs on this goroutine the first time, so the shop is there when Spawn
	// returns; after a restart the old one goes on to work, as it is only names.
	_, err = actor.Spawn(n.sys, actor.Spec[struct{}]{
		Name: "shop",
		Type: "shop-supervisor",
		New: func() actor.Behavior[struct{}] {
			return &shopSupervisor{node: n, every: config.OrderEvery, ready: func(s *DemoShop) {
				if shop == nil {
					shop = s
				}
			}}
		},
	})
	return shop, err
}

// Receive has nothing to receive.
func (s *shopSupervisor) Receive(*actor.Context[struct{}], struct{}) error { return nil }

// Start opens the shop.
func (s *shopSupervisor) Start(ctx *actor.Context[struct{}]) error {
	accounts, err := HostEntities(s.node, ctx, durable.EntitySpec[shopCommand, charged]{
		Kind: demoAccount,
		New:  func(key string) durable.Entity[shopCommand, charged] { return &account{customer: key} },
		Commands: durable.NewUnion(
			durable.Type[shopCommand](chargeType),
			durable.Type[shopCommand](dueType),
		),
		Events:  chargedType,
		Options: durable.Options{Name: "accounts", Type: "shop-account"},
	})
	if err != nil {
		return err
	}
	orders, err := durable.NewMailbox(s.node.store, durable.MailboxSpec[DemoOrder]{Queue: DemoOrders, Codec: orderType})
	if err != nil {
		return err
	}
	_, err = Host(s.node, ctx, orders, durable.Spec[DemoOrder]{
		New:     func() durable.Behavior[DemoOrder] { return orderDesk{accounts} },
		Options: durable.Options{Name: "orders", Type: "shop-orders"},
	})
	if err != nil {
		return err
	}
	shop := &DemoShop{orders, accounts}
	s.ready(shop)
	if s.every <= 0 {
		return nil
	}
	_, err = actor.Spawn(ctx, actor.Spec[orderDue]{
		Name: "clerk",
		Type: "shop-clerk",
		New: func() actor.Behavior[orderDue] {
			return &clerk{shop: shop, store: s.node.store, mail: s.node.mail, every: s.every}
		},
	})
	return err
}

// orderDesk handles orders.
type orderDesk struct {
	accounts *durable.Entities[shopCommand]
}

// Receive charges the customer. The charge and the end of the order are one
// commit, so that an order is charged once, whatever happens.
func (d orderDesk) Receive(ctx *durable.Context[DemoOrder], o DemoOrder) error {
	price, ok := demoPrices[o.Item]
	switch {
	case !ok:
		return retry.Permanent(&fault.Error{
			Code: fault.NotFound, Op: "shop", Target: fmt.Sprintf("order %d", o.Number), Message: fmt.Sprintf("there is no item %q", o.Item),
			Hint: "the items are tea, coffee and cake: edit the letter and redrive it",
		})
	case o.Count < 1:
		return retry.Permanent(fault.New(fault.InvalidArgument, "shop", "order %d is for %d of an item", o.Number, o.Count))
	}
	account, err := d.accounts.Mailbox(o.Customer)
	if err != nil {
		return retry.Permanent(err)
	}
	return durable.Emit(ctx, account, shopCommand(charge{o.Number, o.Item, o.Count * price}))
}

// account is the account of a customer. Its events are all there is to it.
type account struct {
	customer string
	orders   int
	cents    int
}

// Decide charges, or answers.
func (a *account) Decide(ctx *durable.Context[shopCommand], c shopCommand) ([]charged, error) {
	switch c := c.(type) {
	case charge:
		return []charged{charged(c)}, nil
	case statementDue:
		return nil, durable.Answer(ctx, statementType, DemoStatement{a.customer, a.orders, a.cents})
	}
	return nil, nil
}

// Apply adds a charge up.
func (a *account) Apply(e charged) {
	a.orders++
	a.cents += e.Cents
}

// Snapshot implements durable.Snapshotter.
func (a *account) Snapshot() (wire.Message, error) {
	return statementType.Encode(DemoStatement{a.customer, a.orders, a.cents})
}

// Restore implements durable.Snapshotter.
func (a *account) Restore(m wire.Message) error {
	s, err := statementType.Decode(m)
	a.orders, a.cents = s.Orders, s.Cents
	return err
}

// orderDue tells the clerk to place an order.
type orderDue struct{}

// clerk places orders, numbered from where the last clerk ended, also the one of a
// node that was killed.
type clerk struct {
	shop  *DemoShop
	store store.Store
	mail  *Mail
	every time.Duration

	next    int64
	version int64 // of the entry with next
}

// Start finds out where to go on.
func (c *clerk) Start(ctx *actor.Context[orderDue]) error {
	entry, err := c.store.Entry(ctx, demoNext)
	switch {
	case errors.Is(err, store.ErrNoEntry):
		c.next, c.version = 1, store.Absent
	case err != nil:
		return err
	default:
		c.version = entry.Version
		if c.next, err = strconv.ParseInt(string(entry.Value), 10, 64); err != nil {
			return fmt.Errorf("the entry %s: %w", demoNext, err)
		}
	}
	ctx.Every(c.every, orderDue{})
	return nil
}

// Receive places an order and then writes down that it has. If it is stopped in
// between the next clerk places it again, which changes nothing.
func (c *clerk) Receive(ctx *actor.Context[orderDue], _ orderDue) error {
	order := DemoOrder{
		Number: c.next, Customer: demoCustomers[c.next%int64(len(demoCustomers))],
		Item: demoWishes[c.next%int64(len(demoWishes))], Count: 1 + int(c.next%3),
	}
	if c.next%demoMisspelt == 5 {
		if o, err := c.mail.Overview(ctx); err == nil && o.DeadLetters < demoLetters {
			order.Item = order.Item[:1] + order.Item
		}
	}
	if err := c.shop.Order(ctx, order); err != nil {
		ctx.Log().Warn("an order waits until the store takes it", "error", err)
		return nil // the same order is placed next time
	}
	result, err := c.store.Commit(ctx, &store.Batch{Sets: []store.Set{{
		Key: demoNext, Value: strconv.AppendInt(nil, c.next+1, 10), Expected: c.version,
	}}})
	if err != nil {
		return err // a new clerk reads again where to go on
	}
	c.next, c.version = c.next+1, result.Versions[0]
	return nil
}
