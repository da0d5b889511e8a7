// Package actortest helps to test code made of actors: without sleeps, without
// goroutines left behind, and in every order that matters.
//
//   - [Run] gives a test a system in virtual time: timers, backoffs and deadlines
//     of hours pass in microseconds, and what is left at the end fails the test.
//   - [Explore] runs a test in many orders of the actors' steps, each a function
//     of a seed, so that a failing order can be run again.
//   - [Probe] is an actor that keeps what it is told for the test to look at.
//   - [ExpectDown] waits for the end of an actor and returns its reason.
//   - [NoLeaks] fails a test that leaves goroutines behind; it needs no system.
//
// The helpers that fail a test belong to the goroutine of the test.
package actortest
