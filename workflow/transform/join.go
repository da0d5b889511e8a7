package transform

import (
	"context"
	"fmt"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// join is a hash join. Right is held, by its keys; left streams past it once
// right has ended.
type join struct {
	joinPlan
	right   map[string][]*joined
	order   []*joined      // of right, for those that find no match
	waiting []workflow.Row // of left, until right has ended
	ended   bool           // right has
	rows    int            // held
	bytes   int
	code    []byte
}

// joined is a row of right.
type joined struct {
	row     workflow.Row
	matched bool
}

// Apply holds rows of right, and pairs those of left.
func (j *join) Apply(ctx context.Context, in workflow.Batch) (workflow.Output, error) {
	out := workflow.Output{Held: len(in.Rows)}
	switch {
	case in.Input == rightInput:
		for _, row := range in.Rows {
			if err := j.hold(row); err != nil {
				return out, err
			}
			entry := &joined{row: row}
			if j.how == joinRight || j.how == joinFull {
				j.order = append(j.order, entry)
			}
			if j.key(row, j.rightKeys) {
				j.right[string(j.code)] = append(j.right[string(j.code)], entry)
			}
		}
		return out, nil
	case !j.ended:
		for _, row := range in.Rows {
			if err := j.hold(row); err != nil {
				return out, err
			}
		}
		j.waiting = append(j.waiting, in.Rows...)
		return out, nil
	}
	rows, err := j.pair(ctx, in.Rows)
	out.Batch, out.Made = j.batch(rows), len(rows)
	return out, err
}

// hold counts a row that is kept.
func (j *join) hold(row workflow.Row) error {
	const valueBytes, rowBytes = 32, 64 // of a workflow.Value; of what leads to a row
	j.rows++
	j.bytes += rowBytes + valueBytes*len(row)
	for _, v := range row {
		j.bytes += len(v.Text())
	}
	hint := "let the smaller side be right, filter or select in front of the join, or raise "
	if j.rows > j.rowsMax {
		return joinLimit(fmt.Sprintf("it holds more than %d rows", j.rowsMax), hint+"max_rows")
	}
	if j.bytes > j.bytesMax {
		return joinLimit(fmt.Sprintf("the rows it holds take more than %d bytes", j.bytesMax), hint+"max_bytes")
	}
	return nil
}

func joinLimit(message, hint string) error {
	return &fault.Error{Code: fault.FailedPrecondition, Op: "join.Apply", Message: message, Hint: hint}
}

// key encodes the key of a row. It returns false if a part of it is null.
func (j *join) key(row workflow.Row, columns []int) bool {
	j.code = j.code[:0]
	for _, c := range columns {
		if row[c].IsNull() {
			return false
		}
		j.code = appendKey(j.code, row[c])
	}
	return true
}

// pair makes the rows that leave for rows of left.
func (j *join) pair(ctx context.Context, left []workflow.Row) (rows []workflow.Row, err error) {
	for _, row := range left {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var matches []*joined
		if j.key(row, j.leftKeys) {
			matches = j.right[string(j.code)]
		}
		if len(rows)+len(matches) > j.rowsMax {
			return nil, joinLimit(fmt.Sprintf("one batch of left makes more than %d rows", j.rowsMax), "join by more columns, or raise max_rows")
		}
		switch j.how {
		case joinSemi:
			if len(matches) > 0 {
				rows = append(rows, row)
			}
			continue
		case joinAnti:
			if len(matches) == 0 {
				rows = append(rows, row)
			}
			continue
		}
		for _, m := range matches {
			m.matched = true
			rows = append(rows, j.both(row, m.row))
		}
		if len(matches) == 0 && (j.how == joinLeft || j.how == joinFull) {
			rows = append(rows, j.both(row, nil))
		}
	}
	return rows, nil
}

// both makes a row of one of each side, either of which may be missing.
func (j *join) both(left, right workflow.Row) workflow.Row {
	row := make(workflow.Row, j.schema.Len())
	copy(row, left)
	if right == nil {
		return row
	}
	if left == nil {
		for i, at := range j.leftKeys {
			row[at] = right[j.rightKeys[i]]
		}
	}
	for i, at := range j.rest {
		row[j.width+i] = right[at]
	}
	return row
}

func (j *join) batch(rows []workflow.Row) workflow.Batch {
	return workflow.Batch{Schema: j.schema, Rows: rows}
}

// InputEnded pairs the rows of left that have waited for the end of right.
func (j *join) InputEnded(ctx context.Context, input string) (workflow.Output, error) {
	if input != rightInput {
		return workflow.Output{}, nil
	}
	j.ended = true
	rows, err := j.pair(ctx, j.waiting)
	j.waiting = nil
	return workflow.Output{Batch: j.batch(rows)}, err
}

// Flush gives the rows of right that found no match, if they are wanted.
func (j *join) Flush(context.Context) (workflow.Output, error) {
	var rows []workflow.Row
	for _, m := range j.order {
		if !m.matched {
			rows = append(rows, j.both(nil, m.row))
		}
	}
	return workflow.Output{Batch: j.batch(rows)}, nil
}
