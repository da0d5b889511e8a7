// Package node assembles a whole Troupe node from one configuration: the actor
// system, the workflows that run in it, metrics, health, logs and the console,
// all of them children of one supervision tree.
//
// A [Config] says everything there is to choose. Start from [DefaultConfig] in
// code, or let [Load] read it the way the troupe command does: defaults, then
// a file, then TROUPE_ variables, then flags, each layer overriding the one
// before. [Settings] keeps where every value came from.
//
// [New] prepares a node, [Node.Start] binds its address and starts the tree,
// [Node.Stop] drains it:
//
//	n, err := node.New(node.DefaultConfig(), node.Options{})
//	...
//	if err := n.Start(ctx); err != nil { ... }
//	defer n.Stop(context.Background())
//
// A node owns no signal handlers and no package-level state; several may live
// in one process.
package node
