// Package actor is an actor runtime: typed references, bounded mailboxes and
// supervision, on nothing but the standard library.
//
// An actor is a [Behavior] that handles one message at a time. It shares no
// memory with others and is reached only through its [Ref]; the reference has
// the type of the messages, so a message of the wrong type does not compile.
//
//	ref, err := actor.Spawn(sys, actor.Spec[Msg]{New: NewCounter})
//	err = ref.Tell(ctx, Add{2})
//	n, err := actor.Ask(ctx, ref, func(r actor.Reply[int]) Msg { return Get{r} })
//
// # Where to look
//
//	system.go      a System: the root of a tree, its options, its shutdown
//	spec.go        what an actor is made from, each field with its default
//	ref.go         Tell, TryTell, Stop; what a reference can point to
//	ask.go         Ask and Reply
//	context.go     what a handler can do
//	mailbox.go     the queue, its bound and its overflow policies
//	run.go         the loop that hands messages to a behaviour
//	supervise.go   what happens when an actor fails
//	stop.go        how an actor ends
//	watch.go       death notices and links
//	timer.go       messages to come; idle.go: passivation
//	pool.go        like actors behind one reference; adapter.go: another message type
//	service.go     a Serve(ctx) function as a child in the tree
//	info.go        the tree and its figures; hooks.go, events.go: what happens, as it happens
//
// # Concurrency
//
// A System, a Ref and a Reply may be used from any goroutine. A [Context]
// belongs to the handler it was given to.
//
// A handler may block. An idle actor owns no goroutine; one is started when a
// message arrives and ends when the mailbox is empty, so a blocked handler holds
// up its own actor and nobody else.
//
// # Order and loss
//
// Messages from one sender to one actor arrive in the order they were sent,
// at most once. What can't be delivered is never dropped in silence: the sender
// gets an error, or the message becomes a [DeadLetter] with its reason.
//
// # Supervision
//
// The rules are those of Erlang/OTP's supervisor behaviour: strategies, restart
// types and restart intensity have its names and its meaning. The decisions are
// made by the runtime, not by the parent's handler, so a parent that is busy
// does not delay the restart of its child.
package actor
