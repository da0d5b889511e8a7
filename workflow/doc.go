// Package workflow runs directed graphs of typed nodes over streams of rows.
//
// A workflow is defined in YAML: sources read rows, transforms change them,
// sinks write them, and edges say who feeds whom. A [Registry] holds the node
// types that a definition may use. [Load] reads a definition and validates it
// without running anything: keys, types, the graph, and the schema of the rows
// at every edge, so that an expression that names an unknown column fails at
// the line and column of the expression. [Start] runs a definition: each node
// is a supervised actor, and batches of rows stream between bounded mailboxes,
// so that a slow sink slows its sources down.
//
// Nothing is dropped silently: a row that cannot be processed is a [Reject]
// with its file, line, column, reason and text, and at the end of a run the
// engine checks that every row that went into a node came out of it, was
// filtered, was held in its state, or was set aside. A run is all or nothing:
// sinks are committed together after the last row, and a run that fails or is
// cancelled leaves no half output.
package workflow
