package workflow

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
)

// ParallelMax bounds the batches that a node works on at a time.
const ParallelMax = 64

// workers let a transform work on several batches at a time. What they make of
// them leaves in the order in which the batches came: results wait for those
// before them.
type workers struct {
	most    int
	pending []chan attempted // of the batches under way, the oldest first
	running sync.WaitGroup
}

// attempted is what has become of a batch.
type attempted struct {
	batch Batch
	out   Output
	err   error
}

// batchApplied tells a node that it can pass something on.
type batchApplied struct{}

func (batchApplied) isNodeMessage() {}

// begin has a batch attempted on. Where all are busy it waits for the oldest.
func (n *nodeActor) begin(self actor.Ref[nodeMessage], batch Batch) error {
	w := &n.workers
	done := make(chan attempted, 1)
	w.pending = append(w.pending, done)
	w.running.Go(func() {
		done <- n.work(batch)
		// If there is no room for it, there are messages that do as well.
		_ = self.TryTell(batchApplied{})
	})
	if len(w.pending) >= w.most {
		if err := n.passOldest(); err != nil {
			return err
		}
	}
	return n.passReady()
}

// work applies the transform. A panic is an error of it, as it is in the node's
// own goroutine.
func (n *nodeActor) work(batch Batch) (w attempted) {
	defer func() {
		if p := recover(); p != nil {
			n.run.options.Log.Error("a node panicked", "node", n.track.node.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			w = attempted{batch: batch, err: &fault.Error{Code: fault.Internal, Message: fmt.Sprintf("panic: %v", p)}}
		}
	}()
	out, err := n.change.Apply(n.run.ctx, batch)
	return attempted{batch, out, err}
}

// passReady passes on what is ready and has nothing before it.
func (n *nodeActor) passReady() error {
	for len(n.workers.pending) > 0 && len(n.workers.pending[0]) > 0 {
		if err := n.passOldest(); err != nil {
			return err
		}
	}
	return nil
}

// passAll passes on everything, and waits for it.
func (n *nodeActor) passAll() error {
	for len(n.workers.pending) > 0 {
		if err := n.passOldest(); err != nil {
			return err
		}
	}
	return nil
}

// passOldest waits for the oldest batch and passes on what was made of it.
func (n *nodeActor) passOldest() error {
	w := <-n.workers.pending[0]
	n.workers.pending = n.workers.pending[1:]
	return n.applied(w.batch, w.out, w.err)
}
