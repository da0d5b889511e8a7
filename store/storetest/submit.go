package storetest

import (
	"github.com/troupe-dev/troupe/store"
)

// submitTests are for a [store.Submitter]; others pass them.
var submitTests = []test{
	{"a receive comes after what was submitted", func(h *harness) {
		s, ok := h.s.(store.Submitter)
		if !ok {
			return
		}
		put := func(data string) store.Put {
			return store.Put{Queue: "q", Key: "k", Envelope: store.Envelope{Data: []byte(data)}}
		}
		h.commit(store.Batch{Puts: []store.Put{put("1"), put("2"), put("3")}})
		request := store.ReceiveRequest{Queue: "q", Max: 1, Hold: hold, Ordered: true}
		for _, want := range []string{"1", "2", "3"} {
			got := h.receive(request, want)
			wait := s.Submit(&store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}})
			defer func() {
				_, err := wait()
				h.must(err)
			}()
		}
	}},
	{"what was submitted is refused as a commit is", func(h *harness) {
		s, ok := h.s.(store.Submitter)
		if !ok {
			return
		}
		append1 := &store.Batch{Appends: []store.Append{{Stream: "s", Expected: store.NoStream, Events: []store.Event{{Type: "t"}}}}}
		first, second := s.Submit(append1), s.Submit(append1)
		invalid := s.Submit(&store.Batch{Puts: []store.Put{{Queue: ""}}})
		r, err := first()
		h.must(err)
		if len(r.Heads) != 1 || r.Heads[0] != 1 {
			h.Errorf("heads %v", r.Heads)
		}
		_, err = second()
		h.is(err, store.ErrWrongPosition)
		_, err = invalid()
		h.is(err, store.ErrInvalid)
		h.must(h.s.Close())
		_, err = s.Submit(append1)()
		h.is(err, store.ErrClosed)
	}},
}
