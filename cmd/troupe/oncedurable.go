package main

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/store"
)

// oncePoll is the time between two looks at something that is to happen.
const oncePoll = 5 * time.Millisecond

// checkDurable places orders in the demonstration's shop, one of which cannot be
// handled, mends that one and brings it back. All of it goes through the API, as a
// person's does.
func (o *onceRun) checkDurable(ctx context.Context) (string, error) {
	begun := time.Now()
	const customer = "once"
	shop := o.node.DemoShop()
	for i, item := range []string{"tea", "coffee", "taa"} {
		if err := shop.Order(ctx, node.DemoOrder{Number: int64(-1 - i), Customer: customer, Item: item, Count: 1}); err != nil {
			return "", err
		}
	}
	if err := awaitOrders(ctx, shop, customer, 2); err != nil {
		return "", err
	}
	mail := console.NewClient(o.node.URL(), o.node.Token())
	letter, err := awaitLetter(ctx, mail, console.LetterFilter{Queue: node.DemoOrders, Request: "order--3"})
	if err != nil {
		return "", err
	}
	if err := rehearsed(ctx, mail, letter.ID, false); err != nil {
		return "", err
	}
	edit := console.LetterEdit{Version: letter.Version, Payload: []byte(`{"number": -3, "customer": "once", "item": "tea", "count": 1}`)}
	if _, err := mail.EditLetter(ctx, letter.ID, edit); err != nil {
		return "", err
	}
	if err := rehearsed(ctx, mail, letter.ID, true); err != nil {
		return "", err
	}
	if _, err := mail.Redrive(ctx, console.RedriveRequest{LetterChoice: console.LetterChoice{IDs: []store.LetterID{letter.ID}}}); err != nil {
		return "", err
	}
	if err := awaitOrders(ctx, shop, customer, 3); err != nil {
		return "", err
	}
	return fmt.Sprintf("letter %d (%s) edited, rehearsed, redriven; all in %s", letter.ID, letter.ErrorMessage, time.Since(begun).Round(time.Millisecond)), nil
}

// awaitOrders waits until a customer's account has been charged for n orders.
func awaitOrders(ctx context.Context, shop *node.DemoShop, customer string, n int) error {
	for {
		statement, err := shop.Statement(ctx, customer)
		if err != nil || statement.Orders == n {
			return err
		}
		if statement.Orders > n {
			return fmt.Errorf("the account was charged for %d orders, want %d", statement.Orders, n)
		}
		if err := pause(ctx, fmt.Sprintf("the account was charged for %d orders of %d", statement.Orders, n)); err != nil {
			return err
		}
	}
}

// awaitLetter waits for a dead letter.
func awaitLetter(ctx context.Context, m console.Mail, f console.LetterFilter) (console.LetterSummary, error) {
	for {
		page, err := m.Letters(ctx, console.LetterQuery{LetterFilter: f})
		if err != nil {
			return console.LetterSummary{}, err
		}
		if len(page.Letters) > 0 {
			return page.Letters[0], nil
		}
		if err := pause(ctx, "what cannot be handled does not become a dead letter"); err != nil {
			return console.LetterSummary{}, err
		}
	}
}

// pause waits a moment; what tells what it was that did not happen.
func pause(ctx context.Context, what string) error {
	timer := time.NewTimer(oncePoll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// rehearsed rehearses a letter, which would be handled or not.
func rehearsed(ctx context.Context, m console.Mail, id store.LetterID, handled bool) error {
	all, err := m.Rehearse(ctx, []store.LetterID{id})
	if err != nil {
		return err
	}
	if len(all) != 1 || (all[0].Error == "") != handled || (len(all[0].Outputs) == 1) != handled {
		return fmt.Errorf("the rehearsal of letter %d says %+v", id, all)
	}
	return nil
}
