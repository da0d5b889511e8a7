package csv

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

// ColumnConfig declares one column of a source. In a definition it is the
// name of a type, or a mapping with further keys.
type ColumnConfig struct {
	Type     workflow.Kind `yaml:"type,required" doc:"bool, int, float, string, date or time."`
	Layout   string        `yaml:"layout" doc:"How a date or time is written, as the reference time 2006-01-02T15:04:05Z07:00 would be; for example 02.01.2006. A time without a zone is UTC."`
	Required bool          `yaml:"required" doc:"Set rows aside in which the column is null."`
}

// UnmarshalNode reads the short form and the long one.
func (c *ColumnConfig) UnmarshalNode(d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() {
		type long ColumnConfig
		return d.Decode(n, (*long)(c))
	}
	return d.Decode(n, &c.Type)
}

// MarshalTree writes the short form where it says all.
func (c ColumnConfig) MarshalTree() yamldoc.Tree {
	if c == (ColumnConfig{Type: c.Type}) {
		return yamldoc.TreeOf(c.Type)
	}
	type long ColumnConfig
	return yamldoc.TreeOf(long(c))
}

// YAMLType names the type in the documentation of the node type.
func (ColumnConfig) YAMLType() string { return "type, or mapping of type, layout, required" }

// check reports what is wrong with the declaration at path.
func (c ColumnConfig) check(check *workflow.Check, path string) {
	if c.Layout == "" {
		return
	}
	if c.Type != workflow.KindDate && c.Type != workflow.KindTime {
		check.Report(path, fmt.Sprintf("a column of the type %s has no layout", c.Type), "declare the type date or time, or leave the layout out")
		return
	}
	// A layout has to tell one day from another.
	one := time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC)
	if t, err := time.Parse(c.Layout, one.Format(c.Layout)); err != nil || !t.Equal(one) {
		check.Report(workflow.KeyPath(path, "layout"), fmt.Sprintf("the layout %q does not give year, month and day", c.Layout),
			"write the date 2006-01-02, the day in January on which Go's reference time falls, as the file would: 02.01.2006, Jan 2 2006, 20060102")
	}
}

// column parses the fields of one column.
type column struct {
	ColumnConfig
	name  string
	nulls []string
}

// value reads a field. A field that is no value gives the reason.
func (c *column) value(f field) (v workflow.Value, reason string) {
	text := f.text
	if c.Type == workflow.KindString {
		if !f.quoted && slices.Contains(c.nulls, text) {
			return c.null()
		}
		return workflow.String(text), ""
	}
	text = strings.TrimSpace(text)
	if slices.Contains(c.nulls, text) {
		return c.null()
	}
	if c.Layout == "" {
		v, err := workflow.ParseValue(c.Type, text)
		if err != nil {
			return v, err.Error()
		}
		return v, ""
	}
	t, err := time.Parse(c.Layout, text)
	if err != nil {
		return v, fmt.Sprintf("%s is not a %s written like %s", short(text), c.Type, c.Layout)
	}
	if c.Type == workflow.KindDate {
		return workflow.Date(t), ""
	}
	return workflow.Time(t), ""
}

func (c *column) null() (workflow.Value, string) {
	if c.Required {
		return workflow.Value{}, "the value is missing and the column is required"
	}
	return workflow.Null(), ""
}

// short quotes a text for a message.
func short(text string) string {
	const quoteMax = 60
	if len(text) > quoteMax {
		text = strings.ToValidUTF8(text[:quoteMax], "") + "…"
	}
	return fmt.Sprintf("%q", text)
}
