package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// Actor is one actor in the answer of /api/tree.
type Actor struct {
	Path        string      `json:"path"`
	Name        string      `json:"name"`
	ID          uint64      `json:"id"`
	Type        string      `json:"type"`
	Message     string      `json:"message_type,omitempty"` // the Go type of its messages
	State       actor.State `json:"state"`
	Busy        bool        `json:"busy"`      // a handler is running
	Mailbox     int         `json:"mailbox"`   // messages waiting
	Capacity    int         `json:"capacity"`  // -1: no limit; 0: takes no messages
	Blocked     int         `json:"blocked"`   // senders waiting for room
	Processed   uint64      `json:"processed"` // messages handled
	Rate        float64     `json:"rate"`      // messages handled per second
	Load        float64     `json:"load"`      // share of the time spent in handlers, 0 to 1
	Restarts    uint64      `json:"restarts"`
	Failures    uint64      `json:"failures"`
	LastError   string      `json:"last_error,omitempty"`
	LastErrorAt time.Time   `json:"last_error_at,omitzero"`
	MeanSeconds float64     `json:"handler_mean_seconds"`
	MaxSeconds  float64     `json:"handler_max_seconds"`
	Memory      int64       `json:"memory_bytes"` // mailbox, and what the behaviour reports
	Total       Totals      `json:"total"`
	Children    []Actor     `json:"children,omitempty"`
	More        *More       `json:"more,omitempty"` // the children left out
}

// More stands for the children of an actor that an answer leaves out.
type More struct {
	Totals
	Children int  `json:"children"` // direct ones
	CanShow  bool `json:"can_show"` // a larger limit would show more of them
}

// Tree is the answer of /api/tree.
type Tree struct {
	At    time.Time              `json:"at,omitzero"` // left out in the stream
	Root  Actor                  `json:"root"`
	Types map[string]HandlerTime `json:"types"` // by Actor.Type, of those in the answer
}

// window says how much of a tree is shown.
type window struct {
	limit  int            // children per parent
	offset int            // children of the root to skip
	more   map[string]int // other limits, by path
}

func (w window) limitOf(path string) int {
	if n, ok := w.more[path]; ok {
		return n
	}
	return w.limit
}

// view makes the answer for a subtree: breadth first, so that when ActorsMax
// is reached it is the deepest actors that are left out.
func (s *sampled) view(w window) Actor {
	root := actorOf(s)
	type pending struct {
		from *sampled
		to   *Actor
	}
	left := ActorsMax - 1
	for queue := []pending{{s, &root}}; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		children := p.from.children
		if p.from == s {
			children = children[min(w.offset, len(children)):]
		}
		limit := w.limitOf(p.from.info.Path)
		n := min(len(children), limit, left)
		left -= n
		if n > 0 {
			p.to.Children = make([]Actor, n)
		}
		for i := range n {
			p.to.Children[i] = actorOf(&children[i])
			queue = append(queue, pending{&children[i], &p.to.Children[i]})
		}
		if n == len(children) {
			continue
		}
		more := &More{Children: len(children) - n, CanShow: limit < ChildrenMax && left > 0}
		for i := n; i < len(children); i++ {
			more.add(children[i].total)
		}
		p.to.More = more
	}
	return root
}

// find returns the actor with that path below s, or nil.
func (s *sampled) find(path string) *sampled {
	for s != nil && s.info.Path != path {
		var next *sampled
		for i := range s.children {
			child := &s.children[i]
			if child.info.Path == path || strings.HasPrefix(path, child.info.Path+"/") {
				next = child
				break
			}
		}
		s = next
	}
	return s
}

func actorOf(s *sampled) Actor {
	i := &s.info
	a := Actor{
		Path: i.Path, Name: i.Name, ID: i.ID, Type: i.Type, Message: i.Message, State: i.State, Busy: i.Busy,
		Mailbox: i.Mailbox, Capacity: i.Capacity, Blocked: i.Blocked, Processed: i.Processed, Rate: s.rate, Load: s.load,
		Restarts: i.Restarts, Failures: i.Failures, LastError: clip(i.LastError), LastErrorAt: i.LastErrorAt,
		MaxSeconds: i.Longest.Seconds(), Memory: i.Memory, Total: s.total,
	}
	if i.Processed > 0 {
		a.MeanSeconds = i.BusyTime.Seconds() / float64(i.Processed)
	}
	return a
}

func (c *Console) getTree(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := number(q, "limit", ChildrenDefault, ChildrenMax)
	if err != nil {
		fail(w, err)
		return
	}
	offset, err := number(q, "offset", 0, maxOffset)
	if err != nil {
		fail(w, err)
		return
	}
	s := c.snapshot()
	root := &s.root
	if path := q.Get("path"); path != "" && path != "/" {
		if root = root.find(path); root == nil {
			fail(w, fault.New(fault.NotFound, "console", "there is no actor %s", path).WithTarget(path))
			return
		}
	}
	tree := s.tree(root, window{limit: limit, offset: offset})
	tree.At = s.at
	reply(w, http.StatusOK, tree)
}

// maxOffset bounds how far a page may start from the first row.
const maxOffset = 1 << 40

// number reads a parameter between 0 and max.
func number(q url.Values, name string, def, max int) (int, error) {
	text := q.Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > max {
		return 0, invalid(name, "%s is %q; expected a whole number from 0 to %d", name, short(text), max)
	}
	return n, nil
}
