package workflow

import "github.com/troupe-dev/troupe/store"

// A commitRoom is the memory of one commit, which the next one uses again.
type commitRoom struct {
	batch  store.Batch
	first  [1]store.Append
	events []store.Event
	data   []byte
}

// commitRoomMax is how many events' room is kept.
const commitRoomMax = 64

// commitRoom returns room for a batch that appends so many events to a stream.
func (e *Engine) commitRoom(n int) *commitRoom {
	room, reused := e.commits.Get().(*commitRoom)
	if !reused {
		room = &commitRoom{}
	}
	if cap(room.events) < n {
		room.events, room.data = make([]store.Event, 0, n), make([]byte, 0, eventBytes*n)
	}
	return room
}

// free gives room back once the store is done with it.
func (e *Engine) free(room *commitRoom) {
	if cap(room.events) > commitRoomMax || cap(room.data) > commitRoomMax*eventBytes {
		return
	}
	clear(room.events)
	*room = commitRoom{events: room.events[:0], data: room.data[:0]}
	e.commits.Put(room)
}

// put encodes events into the room.
func (room *commitRoom) put(events []Event) error {
	for i := range events {
		start := len(room.data)
		var err error
		if room.data, err = appendEvent(room.data, &events[i]); err != nil {
			return err
		}
		end := len(room.data)
		room.events = append(room.events, store.Event{Time: events[i].At, Type: string(events[i].Type), Data: room.data[start:end:end]})
	}
	return nil
}
