package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
)

// Extents tell of most new names that a table does not have them, without a look into
// it. Names come in folders ("run/"), and those of a folder mostly grow, or shrink, as
// ids that begin with the time do: a new one is beyond all that the table has. Only
// the writer uses them.
type extents struct {
	table, column string
	of            map[string]*extent // by folder; nil: it was asked for once
}

// An extent holds all names of a folder that the table has. It may be wider than
// they are.
type extent struct {
	least, greatest string // both empty: there are none
}

// extentsKept is of how many folders the extents are kept.
const extentsKept = 1024

func newExtents(table, column string) *extents {
	return &extents{table, column, map[string]*extent{}}
}

// folderOf is a name up to its last slash, or empty.
func folderOf(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }

// lacks reports whether the table surely lacks a name. A folder must be asked for
// twice: many hold one name only, which is found as fast by itself.
func (all *extents) lacks(c *conn, name string) (bool, error) {
	folder := folderOf(name)
	if folder == "" {
		return false, nil
	}
	held, asked := all.of[folder]
	switch {
	case !asked:
		if len(all.of) >= extentsKept {
			clear(all.of)
		}
		all.of[strings.Clone(folder)] = nil
		return false, nil
	case held == nil:
		var err error
		if held, err = all.read(c, folder); err != nil {
			return false, err
		}
		all.of[strings.Clone(folder)] = held
	}
	return held.greatest == "" || name < held.least || name > held.greatest, nil
}

// read looks up the least and the greatest name of a folder, each by the index.
func (all *extents) read(c *conn, folder string) (*extent, error) {
	s := &extent{}
	beyond := folder[:len(folder)-1] + "0" // the character that follows the slash
	for edge, at := range map[string]*string{"min": &s.least, "max": &s.greatest} {
		query := fmt.Sprintf("SELECT %s(%s) FROM %s WHERE %[2]s >= ? AND %[2]s < ?", edge, all.column, all.table)
		err := c.query(context.Background(), query, []driver.Value{folder, beyond}, func(row []driver.Value) error {
			if row[0] != nil {
				*at = textOf(row[0])
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// add widens the extent of a name's folder by a name that is being written.
func (all *extents) add(name string) {
	s := all.of[folderOf(name)]
	switch {
	case s == nil:
	case s.greatest == "":
		s.least, s.greatest = name, name
	case name < s.least:
		s.least = name
	case name > s.greatest:
		s.greatest = name
	}
}
