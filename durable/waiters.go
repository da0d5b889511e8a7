package durable

import "sync"

// waiters are those who wait, in this process, for the outcome of a request. Its
// key has the queue in it, as several mailboxes may have their waiters in common.
type waiters struct {
	mu   sync.Mutex
	byID map[string][]chan outcome
}

// outcome is what became of a request: an answer as it is stored, or an error.
type outcome struct {
	kind string // Ack.AnswerType
	data []byte
	err  error
}

// add waits for a request. The channel has room for the one outcome.
func (w *waiters) add(id string) chan outcome {
	ch := make(chan outcome, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = map[string][]chan outcome{}
	}
	w.byID[id] = append(w.byID[id], ch)
	return ch
}

func (w *waiters) remove(id string, ch chan outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := w.byID[id]
	for i, c := range left {
		if c == ch {
			left = append(left[:i:i], left[i+1:]...)
			break
		}
	}
	if len(left) == 0 {
		delete(w.byID, id)
	} else {
		w.byID[id] = left
	}
}

// tell gives the outcome to all who wait for a request.
func (w *waiters) tell(id string, o outcome) {
	w.mu.Lock()
	all := w.byID[id]
	delete(w.byID, id)
	w.mu.Unlock()
	for _, ch := range all {
		ch <- o
	}
}

// tellAll gives the outcome to everybody.
func (w *waiters) tellAll(o outcome) {
	w.mu.Lock()
	all := w.byID
	w.byID = nil
	w.mu.Unlock()
	for _, chans := range all {
		for _, ch := range chans {
			ch <- o
		}
	}
}

func (b *Mailbox[M]) waiterKey(requestID string) string {
	return string(b.spec.Queue) + "\x00" + requestID
}
