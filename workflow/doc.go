// Package workflow runs workflows that nothing interrupts: directed graphs of
// tasks and of nodes that pass rows to each other, which go on where they were,
// whatever dies.
//
//	engine, err := workflow.Open(ctx, sys, store, workflow.EngineOptions{Registry: registry})
//	definition, err := workflow.LoadFile("invoice.yaml", workflow.LoadOptions{Registry: registry})
//	_, err = engine.Deploy(ctx, definition, "first version")
//	run, err := engine.Start(ctx, "invoice", workflow.StartOptions{Inputs: map[string]string{"month": "2026-01"}})
//	info, err := run.Wait(ctx)
//
// A workflow is defined in YAML or JSON, or in Go by a [Builder]. A [Registry] holds the node types that
// a definition may use. [LoadFile] reads a definition and validates it without
// running anything: keys, types, the graph, and the schema of the rows at every
// edge, so that an expression that names an unknown column fails at the line and
// column of the expression. [Engine.Deploy] makes it a version of the workflow,
// and runs are pinned to the version they began with.
//
// # What is promised
//
// What happens in a run is an [Event]. It is committed to the store before
// anything follows from it, and the state of the run is what its events add up
// to. So after a crash a run goes on from its last event, and a node that has
// completed is not run again. A task that was under way at the moment of a crash
// is run again with the same [Task.Key]: at least once. A sink that writes to a
// database, or a file, commits its rows together with its key: exactly once.
//
// Rows are not dropped silently: one that cannot be processed is a [Reject] with
// its file, line, column, reason and text, and when the last row has passed the
// engine checks that every row that went into a node came out of it, was
// filtered, was held in its state, or was set aside. Nodes that pass rows to each
// other are one step, all or nothing: their sinks are committed together after
// the last row, and if one of them fails nothing of them is left. A source whose
// input changes by itself, such as a topic, records in its [Journal] what it is
// going to read, and acknowledges it after the commit: see [Acknowledger].
//
// # Definitions
//
//	name: weather
//	description: What it is for.
//	inputs:                       # values that whoever runs it may set
//	  since: {type: date, default: 2012-01-01, doc: First day.}
//	batch_rows: 1000              # rows in a batch
//	queue_batches: 8              # batches that may wait in front of a node
//	rejects: rejects.csv          # all rows that are set aside, if wanted
//	nodes:
//	  - id: daily
//	    type: source.csv          # the node type
//	    with:                     # the type's own configuration
//	      path: "seattle.csv"
//	  - id: wet
//	    type: filter
//	    from: daily               # an id, or a list of ids
//	    with:
//	      where: precipitation > 0.0 && date >= inputs.since
//	  - id: joined
//	    type: join                # a type with named inputs
//	    from: {left: wet, right: places}
//	    with: {on: [place]}
//	  - id: rate
//	    type: map
//	    from: joined
//	    parallel: 4               # batches at a time; rows leave in their order
//	    overflow: wait            # or drop, or fail: where queue_batches wait already
//	    with: {columns: {inches: precipitation / 25.4}}
//	  - id: dry
//	    type: sink.csv
//	    from: wet.else            # another output of the node than "out"
//	    with: {path: dry.csv}
//	  - id: notify
//	    type: task.http           # a task: it does something once
//	    after: dry                # runs when the rows are written
//	    retry: {max: 5}
//	    with: {url: "https://example.org/done/${{ run.id }}", method: POST}
//	output: steps.notify.output   # what a run gives out
//
// A relative path of a source is relative to the definition's file, that of a
// sink or of the file of rejects to the output directory of the run. Texts in
// with blocks may contain inputs as ${since}; $${ stands for ${ itself.
// Expressions see inputs as inputs.since, see [Expr].
//
// Rows that meet in a node need the same columns. Whatever leaves a node by an
// output from which no edge leads is filtered; a node from which no edge leads
// at all is a mistake, as is a node that nothing leads into, a circle, and an
// unknown or missing key.
//
// # Control
//
// A node with after: [a, b] runs when all of these are settled and at least one
// of them leads to it: a node that completed leads on by the handle "done", or by
// that of the case that a branch took; a.failed is taken when a failed, which is
// then no failure of the run. A node that nothing leads to, or whose condition
// (when) is false, is skipped. Any other failure winds the run up: nothing more
// is begun, what is under way is cancelled, and what nodes with undo have done is
// undone, the last first.
//
// An attempt that fails is repeated as the node's retry says, by default three
// times if the error is transient ([fault.Code.Transient]). The nodes branch,
// foreach, loop, wait, sleep, approval, value and workflow are part of every
// registry; concurrency, rate and priority say how nodes of all runs compete.
//
// Expressions of control, and those in texts of tasks as ${{ … }}, see inputs,
// steps.ID.output, steps.ID.state, steps.ID.error, run.id, run.key, in a foreach
// item and index, in a loop iteration and last. They see no rows. json(text) is what
// a text means that is JSON.
//
// # Where to look
//
//	engine.go      Open: the engine, its lease, the runs in memory
//	run.go         Start and Run: what can be asked of a run
//	versions.go    Deploy, Activate; runindex.go: how runs lie in a store, lists
//	event.go       the history; runstate.go: what it adds up to
//	decide.go      what follows from what: the pure part of a run
//	rollout.go     canary and split, pure; rolloutstore.go: durable, rolloutinfo.go
//	replay.go      histories decided again by another version; replayer.go
//	diff.go        what differs between versions; document.go: the canonical form
//	runactor.go    the actor of a run: decide, commit, have done; effect.go, gate.go
//	steps.go       from nodes to steps; control.go, stepexpr.go, runvars.go
//	task.go        TaskType and Task
//
//	load.go        from text to Definition; inputs.go, graph.go
//	builder.go     a definition in Go; buildernode.go, builderproblems.go
//	drawing.go     the graph laid out; svg.go, mermaid.go
//	registry.go    SourceType, TransformType, SinkType: how one is described
//	check.go       what a node type has in hand while a definition is checked
//	node.go        Source, Transform, Sink: what a node type implements
//	defined.go     schedules and triggers of a definition; settle.go puts them in place
//	journal.go     Journal: what a source remembers of its input, rows sent to a run
//	memory.go      Memory: what it remembers from run to run
//	data.go        Row, Batch, Reject; value.go, schema.go; expr.go
//	flow.go        how rows stream; flowdecide.go, flowactor.go, nodeactor.go
//	track.go       counters, and the check that no row is lost
package workflow
