// Package transform holds the node types that change rows between a source and
// a sink:
//
//	filter     keeps the rows for which a condition holds
//	map        makes a row of each row by expressions
//	select     keeps, orders and renames columns
//	rename     renames columns
//	aggregate  groups rows and sums them up
//	window     the same by windows of time: tumbling, sliding, sessions
//	join       pairs the rows of two inputs
//	distinct   drops rows that were there before
//	jq         changes rows by a filter of jq, also one into several
//	sort       puts all rows in order
//	limit      keeps the first rows
//	batch      puts rows together for what comes after
//	throttle   lets so many rows pass in a second
//
// The type sql, which runs a query over the rows, is in workflow/connector/sql.
//
// Conditions and computed values are expressions over the columns of a row,
// see [workflow.Expr]. A row for which an expression fails, such as a division
// by zero, is set aside with the reason; the other rows go on.
//
// Filter, map, select, rename, limit, throttle and jq hold no rows. Aggregate and window
// hold one entry for each group, distinct one for each different row, sessions
// the rows that are in open ones, join one side, sort all rows, batch those of one
// batch. Each has a bound on that, beyond which the run fails.
//
// Filter, map, select, rename and jq look at each row alone: with parallel: N at
// the node, N batches are worked on at a time, and leave in their order.
package transform

import (
	"context"

	"github.com/troupe-dev/troupe/workflow"
)

// Register adds the node types of this package.
func Register(r *workflow.Registry) {
	r.Add(filterType, mapType, selectType, renameType, aggregateType, windowType, joinType, distinctType,
		sortType, limitType, jqType, batchType, throttleType)
}

// stateless gives Flush to transforms that hold nothing.
type stateless struct{}

// Flush returns nothing.
func (stateless) Flush(context.Context) (workflow.Output, error) { return workflow.Output{}, nil }
