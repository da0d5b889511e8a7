// Package workflow runs directed graphs of typed nodes over streams of rows.
//
// A workflow is defined in YAML or JSON: sources read rows, transforms change
// them, sinks write them, and edges say who feeds whom. A [Registry] holds the
// node types that a definition may use. [LoadFile] reads a definition and
// validates it without running anything: keys, types, the graph, and the
// schema of the rows at every edge, so that an expression that names an unknown
// column fails at the line and column of the expression. [Start] runs a
// definition: each node is a supervised actor, and batches of rows stream
// between bounded mailboxes, so that a slow sink slows its sources down.
//
// Nothing is dropped silently: a row that cannot be processed is a [Reject]
// with its file, line, column, reason and text, and at the end of a run the
// engine checks that every row that went into a node came out of it, was
// filtered, was held in its state, or was set aside. A run is all or nothing:
// sinks are committed together after the last row, and a run that fails or is
// cancelled leaves no half output.
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
//	  - id: dry
//	    type: sink.csv
//	    from: wet.else            # another output of the node than "out"
//	    with: {path: dry.csv}
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
// # Where to look
//
//	node.go        Source, Transform, Sink: what a node type implements
//	registry.go    SourceType, TransformType, SinkType: how one is described
//	check.go       what a node type has in hand while a definition is checked
//	data.go        Row, Batch, Reject; value.go, schema.go
//	expr.go        expressions
//	load.go        from text to Definition; inputs.go, graph.go
//	decide.go      what follows from what: the pure part of a run
//	run.go         Start and Run; runactor.go, nodeactor.go
//	track.go       counters, and the check that no row is lost
package workflow
