package transform

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// aggregatePlan is a checked configuration.
type aggregatePlan struct {
	schema      workflow.Schema
	keys        []key
	measures    []measure
	groupsMax   int
	distinctMax int
}

// key is a part of what rows are grouped by.
type key struct {
	name string
	of   operand
}

// measure is one aggregate column.
type measure struct {
	name     string
	function string
	kind     workflow.Kind
	rows     bool // it counts rows and has no operand
	of       operand
	start    func(*aggregate) accumulator
}

// group is the state of one group.
type group struct {
	key  []workflow.Value
	fold []accumulator
}

// aggregate groups rows and folds each group.
type aggregate struct {
	aggregatePlan
	groups   map[string]*group
	distinct int // values held by all countDistinct

	cells []workflow.Value // the keys and operands of the row under way
	code  []byte           // its key, encoded
}

func newAggregate(p aggregatePlan) *aggregate {
	a := &aggregate{aggregatePlan: p, groups: map[string]*group{}, cells: make([]workflow.Value, len(p.keys)+len(p.measures))}
	if len(p.keys) == 0 {
		a.groupOf(nil) // the one group is there even without rows
	}
	return a
}

// Apply takes the rows of a batch into their groups. A row counts for all of
// its aggregates or, if one of the expressions fails, for none.
func (a *aggregate) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	var out workflow.Output
	for i, row := range in.Rows {
		if column, err := a.evaluate(row); err != nil {
			out.Rejects = append(out.Rejects, in.Reject(i, column, err.Error()))
			continue
		}
		keys, operands := a.cells[:len(a.keys)], a.cells[len(a.keys):]
		g := a.groupOf(keys)
		for m, v := range operands {
			if a.measures[m].rows || !v.IsNull() {
				g.fold[m].add(v)
			}
		}
		out.Held++
		if len(a.groups) > a.groupsMax {
			return out, tooMany("groups", a.groupsMax, "group by something with fewer values, or raise max_groups")
		}
		if a.distinct > a.distinctMax {
			return out, tooMany("distinct values", a.distinctMax, "count something with fewer values, or raise max_distinct")
		}
	}
	return out, nil
}

func tooMany(what string, limit int, hint string) error {
	return &fault.Error{
		Code: fault.FailedPrecondition, Op: "aggregate.Apply",
		Message: fmt.Sprintf("there are more than %d %s", limit, what), Hint: hint,
	}
}

// evaluate fills a.cells from a row.
func (a *aggregate) evaluate(row workflow.Row) (column string, err error) {
	for i, k := range a.keys {
		if a.cells[i], err = k.of.value(row); err != nil {
			return k.name, err
		}
	}
	for i, m := range a.measures {
		if m.rows {
			continue
		}
		if a.cells[len(a.keys)+i], err = m.of.value(row); err != nil {
			return m.name, err
		}
	}
	return "", nil
}

// groupOf finds the group of a key or begins it.
func (a *aggregate) groupOf(keys []workflow.Value) *group {
	a.code = a.code[:0]
	for _, v := range keys {
		a.code = appendKey(a.code, v)
	}
	g := a.groups[string(a.code)]
	if g == nil {
		g = &group{key: make([]workflow.Value, len(keys)), fold: make([]accumulator, len(a.measures))}
		for i, v := range keys {
			g.key[i] = own(v)
		}
		for i, m := range a.measures {
			g.fold[i] = m.start(a)
		}
		a.groups[string(a.code)] = g
	}
	return g
}

// Flush gives one row for each group, sorted by the keys.
func (a *aggregate) Flush(context.Context) (workflow.Output, error) {
	batch, err := a.take(func(*group) bool { return true })
	return workflow.Output{Batch: batch}, err
}

// take gives a row for each group that is wanted, sorted by the keys, and drops
// the group.
func (a *aggregate) take(wanted func(*group) bool) (workflow.Batch, error) {
	groups := make([]*group, 0, len(a.groups))
	for code, g := range a.groups {
		if wanted(g) {
			groups = append(groups, g)
			delete(a.groups, code)
		}
	}
	slices.SortFunc(groups, func(g, h *group) int {
		for i := range g.key {
			if c := g.key[i].Compare(h.key[i]); c != 0 {
				return c
			}
		}
		return 0
	})
	rows := workflow.NewRows(len(groups), a.schema.Len())
	for r, g := range groups {
		copy(rows[r], g.key)
		for i, fold := range g.fold {
			v, err := fold.value()
			if err != nil {
				return workflow.Batch{}, &fault.Error{
					Code: fault.FailedPrecondition, Op: "aggregate.Flush",
					Message: fmt.Sprintf("%s of the column %q%s", a.measures[i].function, a.measures[i].name, a.named(g)), Cause: err,
				}
			}
			rows[r][len(g.key)+i] = v
		}
	}
	return workflow.Batch{Schema: a.schema, Rows: rows}, nil
}

// named tells in a message which group it is about.
func (a *aggregate) named(g *group) string {
	var parts []string
	for i, k := range a.keys {
		parts = append(parts, k.name+"="+cmp.Or(g.key[i].String(), "null"))
	}
	if parts == nil {
		return ""
	}
	return " in the group " + strings.Join(parts, ", ")
}
