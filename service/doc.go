// Package service serves Protocol Buffers services by actors and calls them with
// typed clients, wherever the actor lives.
//
// From a service in a .proto file, cmd/protoc-gen-go-troupe generates an
// interface to implement, a client with the same methods, and a function that
// makes an actor of an implementation:
//
//	ref, err := service.Spawn(sys, echov1.EchoSpec(newEcho))
//	client := echov1.NewEchoClient(ref)
//	res, err := client.Echo(ctx, &echov1.EchoRequest{Text: "hello"})
//
// Go types of one's own, in CBOR, MessagePack or JSON, need no .proto: see
// [Method].
//
// # Addresses
//
// A client has an address, a [Ref], not a location: [Spawn] returns one, [Named]
// is a path in this system, [Remote] a path on the node behind a [Link]. A call
// to an actor in this process passes the request as it is; over a border it is
// encoded, see package wire.
//
// # What travels
//
// With each call go its deadline, request id, caller id and trace. A handler
// finds the deadline and the trace in its context and the rest with [CallFrom];
// what it calls in turn with that context ends with it, has the same trace, and
// names the handler's actor as the caller.
//
// # One at a time
//
// An implementation serves one call at a time, as an actor does, and needs no
// lock for what is its own. [Spec.Concurrency] runs several implementations side
// by side; a key, such as an order's id, then keeps together what belongs
// together.
//
// # Durable methods
//
// The request of a durable method is kept in a store until it has been handled,
// whatever happens to its caller and to the server, and its answer for who asks
// again with the same request id:
//
//	spec.Mailbox = service.NewMailbox(store, service.MailboxOptions{})
//
// See [NewMailbox]; docs/services.md in the repository leads through it.
//
// # When it fails
//
// What the implementation returns as an error is an answer: the caller gets it
// typed, and nobody repeats it. Everything else is a *fault.Error with a code,
// see [Invoke]. A panic is INTERNAL for its caller, logged with the request id,
// and the next call is served; a [Spec.Supervised] service is restarted instead.
// A handler that outlives its deadline can't be ended from outside, as this is
// Go: its caller gets DEADLINE_EXCEEDED at once, its context ends, and if it goes
// on all the same it is logged and counted in [Stats].
package service
