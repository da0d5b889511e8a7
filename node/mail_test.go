package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// parcel is a message of the tests: a negative weight is one that nobody can
// handle.
type parcel struct{ Weight int }

var (
	parcelType  = wire.CBOR[parcel]("test.Parcel")
	receiptType = wire.CBOR[string]("test.Receipt")
	errNegative = fault.New(fault.FailedPrecondition, "test", "a parcel weighs something")
)

// depot hosts a mailbox of parcels on a node, whose handler sends a receipt on.
type depot struct {
	handled chan int
	box     *durable.Mailbox[parcel]
}

func (d *depot) setup(_ context.Context, n *Node) error {
	if err := errors.Join(wire.Register(n.Types(), parcelType), wire.Register(n.Types(), receiptType)); err != nil {
		return err
	}
	receipts, err := durable.NewMailbox(n.Store(), durable.MailboxSpec[string]{Queue: "receipts", Codec: receiptType})
	if err != nil {
		return err
	}
	d.box, err = durable.NewMailbox(n.Store(), durable.MailboxSpec[parcel]{Queue: "parcels", Codec: parcelType})
	if err != nil {
		return err
	}
	_, err = Host(n, n.System(), d.box, durable.Spec[parcel]{New: func() durable.Behavior[parcel] {
		return durable.BehaviorFunc[parcel](func(ctx *durable.Context[parcel], p parcel) error {
			if p.Weight < 0 {
				return retry.Permanent(errNegative)
			}
			if err := durable.Emit(ctx, receipts, fmt.Sprintf("%d g", p.Weight)); err != nil {
				return err
			}
			ctx.Then(func() { d.handled <- p.Weight })
			return nil
		})
	}})
	return err
}

// tell sends parcels with the given weights.
func (d *depot) tell(t *testing.T, weights ...int) {
	t.Helper()
	for _, w := range weights {
		if _, err := d.box.Send(t.Context(), durable.Post[parcel]{Message: parcel{w}, Sender: fmt.Sprintf("sender %d", w), RequestID: fmt.Sprintf("request %d", w)}); err != nil {
			t.Fatal(err)
		}
	}
}

// await waits until a parcel has been handled.
func (d *depot) await(t *testing.T, weight int) {
	t.Helper()
	select {
	case got := <-d.handled:
		if got != weight {
			t.Errorf("handled %d, want %d", got, weight)
		}
	case <-time.After(testTimeout):
		t.Fatalf("the parcel of %d g was not handled", weight)
	}
}

// letters waits until there are n dead letters and returns them.
func awaitLetters(t *testing.T, m console.Mail, n int) []console.LetterSummary {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-poll.C {
		page, err := m.Letters(t.Context(), console.LetterQuery{})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Letters) == n && page.Total == int64(n) {
			return page.Letters
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d dead letters, want %d", page.Total, n)
		}
	}
}

// awaitRedrive waits for the end of a redrive.
func awaitRedrive(t *testing.T, m console.Mail, id string) console.Redrive {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-poll.C {
		r, err := m.RedriveOf(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if r.Done() {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("the redrive does not end: %+v", r)
		}
	}
}

// Req F9: a dead letter is listed, inspected, rehearsed, edited, redriven and
// deleted; the same through the node itself and through its API.
func TestMail(t *testing.T) {
	t.Parallel()
	for name, through := range map[string]func(*Node) console.Mail{
		"node": func(n *Node) console.Mail { return n.Mail() },
		"API":  func(n *Node) console.Mail { return console.NewClient(n.URL(), n.Token()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &depot{handled: make(chan int, 100)}
			n := startNode(t, testConfig(t), Options{Setup: d.setup})
			exerciseMail(t, d, through(n))
		})
	}
}

func exerciseMail(t *testing.T, d *depot, m console.Mail) {
	t.Helper()
	ctx := t.Context()
	d.tell(t, 1, -1, -2, -3)
	d.await(t, 1)
	letters := awaitLetters(t, m, 3)
	first := letters[0]
	if first.Queue != "parcels" || first.Type != "test.Parcel" || first.ErrorType != "FAILED_PRECONDITION" ||
		!strings.Contains(first.ErrorMessage, "weighs something") || first.RequestID != "request -1" || first.CallerID != "sender -1" {
		t.Errorf("the first letter: %+v", first)
	}
	page, err := m.Letters(ctx, console.LetterQuery{LetterFilter: console.LetterFilter{Request: "request -2"}})
	if err != nil || len(page.Letters) != 1 || page.Total != 1 || page.Letters[0].ID != letters[1].ID {
		t.Errorf("by request: %+v, %v", page, err)
	}
	page, err = m.Letters(ctx, console.LetterQuery{Limit: 2})
	if err != nil || len(page.Letters) != 2 || page.Next != letters[1].ID || page.Total != 3 {
		t.Errorf("the first page: %+v, %v", page, err)
	}
	checkRehearsal(t, m, first.ID, "weighs something", 0)
	edited := checkEdit(t, m, first.ID)
	checkRehearsal(t, m, first.ID, "", 1)
	awaitLetters(t, m, 3) // a rehearsal changes nothing
	checkRedrive(t, d, m, edited.ID)
	letters = awaitLetters(t, m, 2)

	if n, err := m.DeleteLetters(ctx, console.LetterDelete{LetterChoice: console.LetterChoice{Filter: console.LetterFilter{Queue: "parcels"}}, DryRun: true}); err != nil || n != 2 {
		t.Errorf("a dry run of a delete: %d, %v", n, err)
	}
	if _, err := m.DeleteLetters(ctx, console.LetterDelete{LetterChoice: console.LetterChoice{IDs: []store.LetterID{letters[0].ID}}, Version: 9}); !errors.Is(err, fault.Aborted) {
		t.Errorf("a delete of another version: %v", err)
	}
	if n, err := m.DeleteLetters(ctx, console.LetterDelete{LetterChoice: console.LetterChoice{All: true}}); err != nil || n != 2 {
		t.Errorf("a delete: %d, %v", n, err)
	}
	awaitLetters(t, m, 0)
}

// checkRehearsal rehearses a letter, which has the error or the outputs.
func checkRehearsal(t *testing.T, m console.Mail, id store.LetterID, wantErr string, outputs int) {
	t.Helper()
	done, err := m.Rehearse(t.Context(), []store.LetterID{id})
	if err != nil || len(done) != 1 || done[0].Letter != id || len(done[0].Outputs) != outputs ||
		!strings.Contains(done[0].Error, wantErr) || (wantErr == "") != (done[0].Error == "") {
		t.Fatalf("rehearsal: %+v, %v", done, err)
	}
	for _, o := range done[0].Outputs {
		if o.To != "receipts" || o.Type != "test.Receipt" || string(o.Payload) != `"7 g"` {
			t.Errorf("output %+v, payload %s", o, o.Payload)
		}
	}
}

// checkEdit makes a letter one that can be handled.
func checkEdit(t *testing.T, m console.Mail, id store.LetterID) console.Letter {
	t.Helper()
	ctx := t.Context()
	l, err := m.Letter(ctx, id)
	if err != nil || string(l.Payload) != `{"Weight":-1}` || l.Codec != "cbor" || !l.CanTry || len(l.TypeNames) != 2 {
		t.Fatalf("the letter: %+v, payload %s, %v", l, l.Payload, err)
	}
	for want, e := range map[string]console.LetterEdit{
		"Wieght":         {Version: l.Version, Payload: []byte(`{"Wieght":7}`)},
		"hexadecimal":    {Version: l.Version, Hex: "xyz"},
		"nothing":        {Version: l.Version},
		"expected one":   {Version: l.Version, Hex: "00", Payload: []byte(`{}`)},
		"not registered": {Version: l.Version, Type: "test.None", Payload: []byte(`{}`)},
	} {
		if _, err := m.EditLetter(ctx, id, e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("edit %+v: %v, want %q", e, err, want)
		}
	}
	if _, err := m.EditLetter(ctx, id, console.LetterEdit{Version: l.Version + 1, Payload: []byte(`{"Weight":7}`)}); !errors.Is(err, fault.Aborted) {
		t.Errorf("an edit of another version: %v", err)
	}
	edited, err := m.EditLetter(ctx, id, console.LetterEdit{Version: l.Version, Payload: []byte(`{"Weight":7}`)})
	if err != nil || string(edited.Payload) != `{"Weight":7}` || edited.Version != l.Version+1 {
		t.Fatalf("edited: %+v, payload %s, %v", edited, edited.Payload, err)
	}
	return edited
}

// checkRedrive brings one letter back, and then all that are left, of which none
// can be handled.
func checkRedrive(t *testing.T, d *depot, m console.Mail, id store.LetterID) {
	t.Helper()
	ctx := t.Context()
	if _, err := m.Redrive(ctx, console.RedriveRequest{}); err == nil || !strings.Contains(err.Error(), "no letters are chosen") {
		t.Errorf("a redrive of nothing: %v", err)
	}
	if _, err := m.Redrive(ctx, console.RedriveRequest{LetterChoice: console.LetterChoice{All: true}, Wave: -1}); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("a redrive with a wrong wave: %v", err)
	}
	one := console.LetterChoice{IDs: []store.LetterID{id}}
	dry, err := m.Redrive(ctx, console.RedriveRequest{LetterChoice: one, DryRun: true})
	if err != nil || dry.ID != "" || dry.Redriven != 1 || dry.Total != 1 || !dry.Done() {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	begun, err := m.Redrive(ctx, console.RedriveRequest{LetterChoice: one})
	if err != nil {
		t.Fatal(err)
	}
	d.await(t, 7)
	if r := awaitRedrive(t, m, begun.ID); r.Redriven != 1 || r.Handled != 1 || r.Stopped != "" {
		t.Errorf("redrive: %+v", r)
	}
	begun, err = m.Redrive(ctx, console.RedriveRequest{LetterChoice: console.LetterChoice{Filter: console.LetterFilter{ErrorType: "FAILED_PRECONDITION"}}, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if r := awaitRedrive(t, m, begun.ID); r.Redriven != 2 || r.Failed != 2 || r.Handled != 0 || !strings.Contains(r.Stopped, "failed again") {
		t.Errorf("redrive of what fails: %+v", r)
	}
	if l := awaitLetters(t, m, 2); l[0].RequestID != "request -2" {
		t.Errorf("after the redrive: %+v", l)
	}
	o, err := m.Overview(ctx)
	if err != nil || o.Engine != "sqlite" || len(o.Redrives) != 2 || o.Redrives[0].ID != begun.ID {
		t.Errorf("overview: %+v, %v", o, err)
	}
	if _, err := m.RedriveOf(ctx, "redrive-9"); !errors.Is(err, fault.NotFound) {
		t.Errorf("a redrive that is not there: %v", err)
	}
}

// Req F9: a redrive at a rate can be watched and stopped; what it has not brought
// back stays.
func TestStopRedrive(t *testing.T) {
	t.Parallel()
	actortest.NoLeaks(t)
	d := &depot{handled: make(chan int, 100)}
	n := startNode(t, testConfig(t), Options{Setup: d.setup})
	weights := make([]int, 40)
	for i := range weights {
		weights[i] = -1 - i
	}
	d.tell(t, weights...)
	awaitLetters(t, n.Mail(), len(weights))
	begun, err := n.Mail().Redrive(t.Context(), console.RedriveRequest{LetterChoice: console.LetterChoice{All: true}, Rate: 0.01, FailShare: 1})
	if err != nil || begun.Total != int64(len(weights)) {
		t.Fatalf("%+v, %v", begun, err)
	}
	infoAt(t, n.System(), "/"+begun.ID)
	if _, err := n.Mail().StopRedrive(t.Context(), begun.ID); err != nil {
		t.Fatal(err)
	}
	if r := awaitRedrive(t, n.Mail(), begun.ID); r.Stopped != "stopped by request" || r.Redriven > 5 {
		t.Errorf("%+v", r)
	}
	awaitLetters(t, n.Mail(), len(weights))
}

// Req O4: without a node, the dead letters are there, and what needs a handler
// says so. A node that runs keeps others out.
func TestOpenMail(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	d := &depot{handled: make(chan int, 100)}
	n := startNode(t, c, Options{Setup: d.setup})
	d.tell(t, -1)
	id := awaitLetters(t, n.Mail(), 1)[0].ID
	if _, _, err := OpenMail(t.Context(), c, nil, nil); !errors.Is(err, store.ErrInUse) {
		t.Errorf("beside a node: %v", err)
	}
	if url, running, err := RunningNode(c.DataDir); err != nil || !running || url != n.URL() {
		t.Errorf("the running node: %q, %v, %v", url, running, err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if url, running, err := RunningNode(c.DataDir); err != nil || running {
		t.Errorf("no running node: %q, %v, %v", url, running, err)
	}
	m, closeMail, err := OpenMail(t.Context(), c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	awaitLetters(t, m, 1)
	if l, err := m.Letter(t.Context(), id); err != nil || l.Payload != nil || l.Hex == "" || l.Problem == "" {
		t.Errorf("a letter of an unknown type: %+v, %v", l, err)
	}
	if _, err := m.Rehearse(t.Context(), []store.LetterID{id}); !errors.Is(err, fault.FailedPrecondition) || !strings.Contains(err.Error(), "not part of this program") {
		t.Errorf("a rehearsal without the handler: %v", err)
	}
	begun, err := m.Redrive(t.Context(), console.RedriveRequest{LetterChoice: console.LetterChoice{All: true}, SettleSeconds: -1})
	if err != nil {
		t.Fatal(err)
	}
	if r := awaitRedrive(t, m, begun.ID); r.Redriven != 1 || r.Stopped != "" {
		t.Errorf("a redrive without a node: %+v", r)
	}
	if err := closeMail(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Req T1, F3: what happens to durable messages is at /metrics, and the overview
// tells it by queue.
func TestMailFigures(t *testing.T) {
	t.Parallel()
	d := &depot{handled: make(chan int, 100)}
	n := startNode(t, testConfig(t), Options{Setup: d.setup})
	d.tell(t, -1, -2)
	awaitLetters(t, n.Mail(), 2)
	n.Mail().figures.hooks(durable.Hooks{}).StoreFailed("parcels", store.ErrDisk)
	n.Mail().figures.hooks(durable.Hooks{}).Retried("parcels", errNegative)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.Now().Add(testTimeout)
	for _, want := range []string{"dlq_message_count 2", "durable_dead_letters_total 2", "durable_store_failures_total 1", "durable_retries_total 1", "rpc_calls_total", "rpc_retry_count 0"} {
		for { // a letter is counted when it is stored already
			_, text := get(t, n.URL()+"metrics")
			if strings.Contains(text, "\n"+want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("/metrics lacks %q", want)
			}
			<-poll.C
		}
	}
	d.tell(t, 5)
	d.await(t, 5)
	for ; ; <-poll.C {
		o, err := n.Mail().Overview(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("overview: %+v, %v", o, err)
		}
		i := slices.IndexFunc(o.Queues, func(q console.Queue) bool { return q.Name == "receipts" })
		if i < 0 || o.Queues[i].Ready != 1 {
			continue // the figures may be a moment old
		}
		if o.DeadLetters != 2 || o.Queues[i].Actor != "" || o.Queues[i].Oldest.IsZero() {
			t.Errorf("overview: %+v", o)
		}
		return
	}
}

// A store is not counted more often than its size allows, and not at all while
// nobody asks.
func TestFiguresArePaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &countedStore{takes: 2 * time.Second}
		var f figures
		for range 100 {
			if _, err := f.read(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		if s.counts > 4 {
			t.Errorf("counted %d times in 100 s, which took %v each time", s.counts, s.takes)
		}
	})
}

// countedStore takes its time to count letters.
type countedStore struct {
	store.Store
	takes  time.Duration
	counts int
}

func (s *countedStore) CountLetters(ctx context.Context, _ store.LetterFilter) (int64, error) {
	s.counts++
	select {
	case <-time.After(s.takes):
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *countedStore) QueueStats(context.Context, store.QueueFilter) ([]store.QueueInfo, error) {
	return nil, nil
}
