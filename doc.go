// Package troupe is the map of the Troupe repository. It has no API.
//
// Troupe is a library and a program for software made of actors: supervised in
// a process, durable on disk, spread over a cluster, scheduled as workflows,
// and visible while it runs. One sentence decides most questions: everything
// that lives is an actor under a supervisor, everything that must survive is an
// event in a store, and everything that crosses a border is a typed message
// with a code, a deadline and a trace.
//
// Start with package [github.com/troupe-dev/troupe/actor] and the program in
// examples/hello. The packages stand on floors, and each imports only lower
// ones; layers_test.go beside this file holds the list and enforces it.
//
// docs/ARCHITECTURE.md says how data moves and where to change what.
// HACKING.md says how to build, test and find one's way.
package troupe
