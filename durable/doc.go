// Package durable makes actors that lose nothing: what they were told is on disk
// before the teller goes on, and what they did about it is on disk before anyone
// can see it.
//
//	box, err := durable.NewMailbox(s, durable.MailboxSpec[Order]{Queue: "orders", Codec: OrderType})
//	ref, err := durable.Spawn(sys, box, durable.Spec[Order]{New: NewShop})
//
//	err = ref.Tell(ctx, Order{Item: "tea"})   // nil: committed, will be handled
//
// A [Mailbox] is a queue in a [store.Store] with the type of its messages. It can
// be told from any process that has the store; ref is an ordinary [actor.Ref].
//
// # Two kinds of actors
//
// A [Behavior], spawned by [Spawn], is the durable counterpart of
// [actor.Behavior]: a message is removed from the queue once it is handled, in
// one commit with the messages that were sent on by [Emit] and the answer given
// by [Answer]. Its own state is in memory.
//
// An [Entity], hosted by [SpawnEntities], is event-sourced: a command leads to
// events, which are committed together with the command's removal, its outputs
// and its answer. State is what the events add up to. Entities have keys, are
// brought to memory when a command comes, and leave it when idle.
//
// # What is promised
//
//   - A Tell that returned nil is handled at least once, whatever crashes.
//   - Effects through the store - events, [Emit], [Answer] - happen exactly once.
//   - Messages of one sender and one priority are handled in the order in which
//     they were told; a message that waits for its next attempt holds up those
//     behind it. Who the sender is: see [Post.Sender].
//   - A message that can't be handled is not lost and does not block others for
//     ever: see Failures.
//   - A request id makes a message unique; whoever repeats it gets the answer
//     that was given the first time. See [Post.RequestID] and [Ask].
//
// # Failures
//
// A handler that returns an error is tried again after 1, 2 and 4 seconds
// ([Spec.Retry]); then the message becomes a dead letter. A panic restarts the
// actor besides. A message that does not decode becomes a dead letter at once,
// and so does one whose handler returned [retry.Permanent]. A message that was
// received again and again without an end, because the process died each time, is
// tried alone, then set aside, too. An application's own error is no failure: it
// is an answer, see [Reject].
//
// Dead letters can be listed, inspected, edited, deleted, rehearsed and redriven:
// see [Letters].
//
// A store that fails stops nothing: what was handled is kept until it can be
// acknowledged, and the actor asks the store again, less and less often.
//
// # Concurrency
//
// A Mailbox, an Entities and a Letters may be used from any goroutine. A
// [Context] belongs to the handler it was given to.
package durable
