package csv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/suggest"
)

// mismatch is a difference between a file's header and the declared columns.
type mismatch struct {
	column  string // the declared column; empty if none is at fault
	message string // begins with the position in the file
	hint    string
}

// headerNames reads the names in a header. Blanks around a name without quotes
// are not part of it.
func headerNames(rec record) []string {
	names := make([]string, len(rec.fields))
	for i, f := range rec.fields {
		names[i] = f.text
		if !f.quoted {
			names[i] = strings.TrimSpace(f.text)
		}
	}
	return names
}

// matchHeader finds the field of each declared column in a header. Unless the
// extra columns of the file are ignored, each of them is a mismatch.
func matchHeader(file string, rec record, declared []string, ignoreExtra bool) (positions []int, found []mismatch) {
	at := func(i int) string {
		return fmt.Sprintf("%s:%d:%d", file, rec.line, len([]rune(rec.raw[:rec.fields[i].at]))+1)
	}
	names := headerNames(rec)
	positions = make([]int, len(declared))
	var extra []int
	for i, name := range names {
		if !slices.Contains(declared, name) {
			extra = append(extra, i)
		}
	}
	var unclaimed []string
	for _, i := range extra {
		unclaimed = append(unclaimed, names[i])
	}
	guessed := map[string]bool{}
	for c, name := range declared {
		positions[c] = slices.Index(names, name)
		if positions[c] < 0 {
			m := mismatch{column: name, message: fmt.Sprintf("%s:%d: the header has no column %q", file, rec.line, name)}
			if close, ok := suggest.Closest(name, unclaimed); ok {
				m.hint = fmt.Sprintf("did you mean %q?", close)
				guessed[close] = true
			} else {
				m.hint = "it has " + listed(names)
			}
			found = append(found, m)
			continue
		}
		if i := lastIndex(names, name); i != positions[c] {
			found = append(found, mismatch{column: name, message: fmt.Sprintf("%s: the header has the column %q twice", at(i), name), hint: "rename one of the two in the file"})
		}
	}
	if ignoreExtra {
		return positions, found
	}
	for _, i := range extra {
		if guessed[names[i]] {
			continue // already said
		}
		found = append(found, mismatch{
			message: fmt.Sprintf("%s: the header has a column %q that is not declared", at(i), names[i]),
			hint:    "declare it under columns, or set extra: ignore",
		})
	}
	return positions, found
}

func lastIndex(names []string, name string) int {
	for i := len(names) - 1; i >= 0; i-- {
		if names[i] == name {
			return i
		}
	}
	return -1
}

// listed shows names in a message.
func listed(names []string) string {
	const shown = 20
	rest := ""
	if len(names) > shown {
		rest = fmt.Sprintf(" and %d more", len(names)-shown)
		names = names[:shown]
	}
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = name
		if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
			texts[i] = quoted // nothing of a file may reach a terminal as control characters
		}
	}
	return strings.Join(texts, ", ") + rest
}
