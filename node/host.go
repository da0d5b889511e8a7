package node

import (
	"context"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/durable"
	"github.com/troupe-dev/troupe/store"
)

// Host spawns the actor of a durable mailbox, as durable.Spawn does, and makes it
// known to the node: the console shows its queue with what happened to its
// messages, its failures are counted, and dead letters of the mailbox can be
// rehearsed. The mailbox is in the node's store; the parent is the node's system
// or an actor in it. Call it from Options.Setup, or from an actor that owns the
// mailbox.
func Host[M any](n *Node, parent actor.Parent, box *durable.Mailbox[M], spec durable.Spec[M]) (actor.Ref[M], error) {
	n.observe(&spec.Options)
	ref, err := durable.Spawn(parent, box, spec)
	if err != nil {
		return ref, err
	}
	n.mail.register(box.Queue(), hostOf(ref.Address().Path, func(ctx context.Context, l []store.Letter) ([]durable.Rehearsal, error) {
		return durable.Rehearse(ctx, box, spec, l)
	}))
	return ref, nil
}

// HostEntities spawns the host of a kind of entities, as durable.SpawnEntities
// does with the node's store, and makes it known to the node, as [Host] does.
func HostEntities[C, E any](n *Node, parent actor.Parent, spec durable.EntitySpec[C, E]) (*durable.Entities[C], error) {
	n.observe(&spec.Options)
	entities, err := durable.SpawnEntities(parent, n.store, spec)
	if err != nil {
		return nil, err
	}
	h := hostOf("", entities.Rehearse)
	h.prefix = true
	n.mail.register(store.Queue(spec.Kind+"/"), h)
	return entities, nil
}

func hostOf(path string, rehearse func(context.Context, []store.Letter) ([]durable.Rehearsal, error)) host {
	return host{path: path, rehearse: rehearse}
}

// observe counts what happens to a durable actor, and gives it the node's name as
// that of its owner.
func (n *Node) observe(o *durable.Options) {
	o.Hooks = n.mail.figures.hooks(o.Hooks)
	if o.Owner == "" {
		o.Owner = n.config.Name
	}
}
