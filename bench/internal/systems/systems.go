// Package systems holds the ways to run actors that the benchmark compares:
// a channel with a goroutine and a linked queue with a goroutine, which are
// plain Go doing the least possible work, Proto.Actor, and Troupe.
package systems

import (
	"fmt"

	"github.com/troupe-dev/troupe/bench/internal/workload"
)

// All returns the systems in the order of the tables.
func All() []workload.System {
	return []workload.System{Channel{}, MPSC{}, Proto{}, Troupe{}}
}

// ByName finds a system.
func ByName(name string) (workload.System, error) {
	var names []string
	for _, s := range All() {
		if s.Name() == name {
			return s, nil
		}
		names = append(names, s.Name())
	}
	return nil, fmt.Errorf("system %q does not exist; the systems are %v", name, names)
}
