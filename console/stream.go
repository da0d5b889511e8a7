package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Bounds of one stream.
const (
	beatInterval  = 5 * time.Second  // between signs of life
	writeTimeout  = 10 * time.Second // for one batch of messages to a client
	retryInterval = time.Second      // after which a browser reconnects
	moreMax       = 32               // parents whose limit a client may change
)

// stream sends what changes as server-sent events, until the client goes or
// the console is closed:
//
//	event: node    as /api/node
//	event: tree    as /api/tree
//	event: runs    as /api/runs, the newest; also when another run has changed
//	event: workflows  as /api/workflows
//	event: schedules  a number that is another one when a schedule has changed
//	event: run     as /api/runs/{id}, without the rows set aside
//	event: mail    as /api/mail
//	event: events  as /api/events: all of them first, then the new ones
//	event: beat    every 5 s, so that a client can tell silence from death
//
// The parameters are run (an id; default, or if unknown, the newest run), limit (children per
// parent) and more (repeated, "N:PATH": N children for that parent). A client
// that comes back with Last-Event-ID gets only the events it has not seen.
//
// Nothing is queued: each client gets the newest state when it is ready for
// it, at most once per StreamInterval, and only what differs from what it has.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) {
	sub, err := c.subscribe(r)
	if err != nil {
		fail(w, err)
		return
	}
	select {
	case <-c.closed:
		fail(w, fault.New(fault.Unavailable, "console", "the node is shutting down"))
		return
	default:
	}
	if c.streams.Add(1) > int64(c.opts.StreamsMax) {
		c.streams.Add(-1)
		w.Header().Set("Retry-After", "5")
		fail(w, fault.New(fault.Unavailable, "console", "%d clients are watching already, as many as are allowed", c.opts.StreamsMax))
		return
	}
	defer c.streams.Add(-1)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	sub.out = http.NewResponseController(w)
	sub.w = w
	// A server's ReadTimeout would end the request's context in mid-stream, its
	// WriteTimeout the connection. Not all writers have deadlines.
	_ = sub.out.SetReadDeadline(time.Time{})
	_ = sub.out.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprintf(w, "retry: %d\n\n", retryInterval.Milliseconds()); err != nil {
		return
	}
	c.serveStream(r, sub)
}

func (c *Console) serveStream(r *http.Request, sub *subscriber) {
	tick := time.NewTicker(c.opts.StreamInterval)
	defer tick.Stop()
	beat := time.NewTicker(beatInterval)
	defer beat.Stop()
	defer sub.shown.close()
	for {
		if err := c.send(sub); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-beat.C:
			if err := sub.write("beat", "", []byte("{}")); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-c.closed:
			return
		}
	}
}

// subscriber is the state of one client: what it asked for and what it has.
type subscriber struct {
	w      http.ResponseWriter
	out    *http.ResponseController
	run    string
	window window
	key    string // of the window, in the encodings of a snapshot
	seen   uint64 // the last event it has
	reset  bool   // it has events of which we know nothing
	have   map[string][]byte
	shown  liveRun
}

// subscribe reads a client's parameters.
func (c *Console) subscribe(r *http.Request) (*subscriber, error) {
	q := r.URL.Query()
	limit, err := number(q, "limit", ChildrenDefault, ChildrenMax)
	if err != nil {
		return nil, err
	}
	sub := &subscriber{
		run:    q.Get("run"),
		window: window{limit: limit, more: map[string]int{}},
		reset:  true,
		have:   map[string][]byte{},
	}
	if len(q["more"]) > moreMax {
		return nil, invalid("more", "more stands %d times; at most %d are allowed", len(q["more"]), moreMax)
	}
	for _, m := range q["more"] {
		count, path, _ := strings.Cut(m, ":")
		n, err := number(url.Values{"more": {count}}, "more", 0, ChildrenMax*10)
		if err != nil || !strings.HasPrefix(path, "/") {
			return nil, invalid("more", "more is %q; expected a number of children and a path, such as 200:/demo", short(m))
		}
		sub.window.more[path] = min(n, ChildrenMax)
	}
	sub.key = "tree " + strconv.Itoa(limit) + " " + strings.Join(q["more"], " ")
	if boot, seq, ok := strings.Cut(r.Header.Get("Last-Event-ID"), "."); ok && boot == c.boot {
		if n, err := strconv.ParseUint(seq, 10, 64); err == nil {
			sub.seen, sub.reset = n, false
		}
	}
	return sub, nil
}

// send brings a client up to date.
func (c *Console) send(sub *subscriber) error {
	s := c.snapshot()
	if err := sendChanged(sub, s, "node", "node", func() Node { return s.node }); err != nil {
		return err
	}
	if err := sendChanged(sub, s, "tree", sub.key, func() Tree { return s.tree(&s.root, sub.window) }); err != nil {
		return err
	}
	runs, workflows, schedules := c.liveLists()
	if err := sendChanged(sub, s, "runs", "runs", func() RunList { return runs }); err != nil {
		return err
	}
	if err := sendChanged(sub, s, "workflows", "workflows", func() WorkflowList { return workflows }); err != nil {
		return err
	}
	if err := sendChanged(sub, s, "schedules", "schedules", func() ScheduleChanges { return schedules }); err != nil {
		return err
	}
	if err := c.sendMail(sub, s); err != nil {
		return err
	}
	if run := c.show(&sub.shown, sub.run, runs.Runs); run != nil {
		view := func() RunView {
			slim := *run
			slim.Rejects = nil
			return RunView{Run: slim, Layouts: layoutsOf(&slim)}
		}
		if err := sendChanged(sub, s, "run", "run "+run.ID, view); err != nil {
			return err
		}
	}
	if err := c.sendEvents(sub); err != nil {
		return err
	}
	return sub.out.Flush()
}

// mailPatience is how long a stream waits for the figures of a store: without an
// answer in time it says what there was before.
const mailPatience = 100 * time.Millisecond

func (c *Console) sendMail(sub *subscriber, s *snapshot) error {
	if c.opts.Mail == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), mailPatience)
	defer cancel()
	overview, err := c.opts.Mail.Overview(ctx)
	if err != nil {
		overview.Error = err.Error()
	}
	return sendChanged(sub, s, "mail", "mail", func() MailOverview { return overview })
}

func (c *Console) sendEvents(sub *subscriber) error {
	last := c.opts.Events.last()
	if last == sub.seen && !sub.reset {
		return nil
	}
	list := EventList{Reset: sub.reset, Events: c.opts.Events.Since(sub.seen), Counts: c.opts.Events.Counts()}
	if n := len(list.Events); n > 0 {
		last = list.Events[n-1].Seq
	}
	body, err := json.Marshal(list)
	if err != nil {
		return err
	}
	sub.seen, sub.reset = last, false
	return sub.write("events", c.boot+"."+strconv.FormatUint(last, 10), body)
}

// sendChanged sends a message if it differs from the last of its name.
func sendChanged[T any](sub *subscriber, s *snapshot, name, key string, make func() T) error {
	body, err := encode(s, key, make)
	if err != nil {
		return err
	}
	if bytes.Equal(sub.have[name], body) {
		return nil
	}
	sub.have[name] = body
	return sub.write(name, "", body)
}

// write sends one message and fails if the client does not take it in time.
func (sub *subscriber) write(name, id string, body []byte) error {
	_ = sub.out.SetWriteDeadline(time.Now().Add(writeTimeout)) // not all writers have deadlines
	var b bytes.Buffer
	b.Grow(len(body) + 64)
	b.WriteString("event: " + name + "\n")
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("data: ")
	b.Write(body)
	b.WriteString("\n\n")
	if _, err := sub.w.Write(b.Bytes()); err != nil {
		return err
	}
	if name == "beat" {
		return sub.out.Flush()
	}
	return nil
}
