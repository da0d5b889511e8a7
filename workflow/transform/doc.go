// Package transform holds the node types that change rows between a source and
// a sink:
//
//	filter     keeps the rows for which a condition holds
//	compute    adds or replaces columns by expressions
//	select     keeps, orders and renames columns
//	rename     renames columns
//	aggregate  groups rows and sums them up
//	sort       puts all rows in order
//	limit      keeps the first rows
//
// Conditions and computed values are expressions over the columns of a row,
// see [workflow.Expr]. A row for which an expression fails, such as a division
// by zero, is set aside with the reason; the other rows go on.
//
// Filter, compute, select, rename and limit hold no rows. Aggregate holds one
// entry for each group, sort holds all rows; both have a bound on that, beyond
// which the run fails.
package transform

import (
	"context"

	"github.com/troupe-dev/troupe/workflow"
)

// Register adds the node types of this package.
func Register(r *workflow.Registry) {
	r.Add(filterType, computeType, selectType, renameType, aggregateType, sortType, limitType)
}

// stateless gives Flush to transforms that hold nothing.
type stateless struct{}

// Flush returns nothing.
func (stateless) Flush(context.Context) (workflow.Output, error) { return workflow.Output{}, nil }
