package workflow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ColumnsMax bounds the columns of a [Schema].
const ColumnsMax = 10_000

// Column is one named, typed column. A value in it is of the column's kind or
// null.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"type"`
}

// Schema is an immutable list of uniquely named columns. It is a small value
// to be passed by copy and is safe for concurrent use. The zero Schema has no
// columns.
type Schema struct {
	columns []Column
	index   map[string]int
}

// NewSchema makes a schema. It fails if a name is empty or stands twice, or if
// there are more than [ColumnsMax] columns.
func NewSchema(columns ...Column) (Schema, error) {
	if len(columns) > ColumnsMax {
		return Schema{}, fmt.Errorf("%d columns; at most %d are allowed", len(columns), ColumnsMax)
	}
	s := Schema{columns: slices.Clone(columns), index: make(map[string]int, len(columns))}
	for i, c := range s.columns {
		if c.Name == "" {
			return Schema{}, fmt.Errorf("column %d has no name", i+1)
		}
		if first, taken := s.index[c.Name]; taken {
			return Schema{}, fmt.Errorf("column %q stands twice, as column %d and %d", c.Name, first+1, i+1)
		}
		s.index[c.Name] = i
	}
	return s, nil
}

// MustSchema is [NewSchema] for columns that are known when the program is
// written; it panics where NewSchema fails.
func MustSchema(columns ...Column) Schema {
	s, err := NewSchema(columns...)
	if err != nil {
		panic("workflow.MustSchema: " + err.Error())
	}
	return s
}

// Len is the number of columns.
func (s Schema) Len() int { return len(s.columns) }

// Column gives the column at position i, from 0.
func (s Schema) Column(i int) Column { return s.columns[i] }

// Columns gives a copy of the columns in order.
func (s Schema) Columns() []Column { return slices.Clone(s.columns) }

// Names gives the columns' names in order.
func (s Schema) Names() []string {
	names := make([]string, len(s.columns))
	for i, c := range s.columns {
		names[i] = c.Name
	}
	return names
}

// Index finds a column's position by its exact name.
func (s Schema) Index(name string) (int, bool) {
	i, ok := s.index[name]
	return i, ok
}

// Equal reports whether both have the same columns in the same order.
func (s Schema) Equal(t Schema) bool {
	if len(s.columns) > 0 && len(s.columns) == len(t.columns) && &s.columns[0] == &t.columns[0] {
		return true // copies of one schema, as in the batches of one node
	}
	return slices.Equal(s.columns, t.columns)
}

// String lists the columns: "date date, temp_max float".
func (s Schema) String() string {
	var b strings.Builder
	for i, c := range s.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.Name)
		b.WriteByte(' ')
		b.WriteString(c.Kind.String())
	}
	return b.String()
}

// MarshalJSON writes the columns as a list of {"name", "type"}.
func (s Schema) MarshalJSON() ([]byte, error) {
	if s.columns == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(s.columns)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Schema) UnmarshalJSON(data []byte) error {
	var columns []Column
	if err := json.Unmarshal(data, &columns); err != nil {
		return err
	}
	parsed, err := NewSchema(columns...)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
