package store

// Versions that a [Set] can expect other than a number.
const (
	Absent     int64 = 0  // there is no such entry
	AnyVersion int64 = -1 // whatever there is, or nothing
)

// An Entry is a key with a small value.
type Entry struct {
	Key     string
	Value   []byte
	Version int64 // rises with each set of the key; the first is 1
}

// A Set writes or deletes an entry if it has the expected version; otherwise the
// batch fails with [ErrConflict] and a [*ConflictError] that has the actual one.
// An entry that was deleted and is written again begins with version 1.
type Set struct {
	Key      string
	Value    []byte
	Expected int64 // [Absent], [AnyVersion] or a version
	Delete   bool  // remove the entry; Value is ignored
}

// An EntryFilter says which entries to list.
type EntryFilter struct {
	Prefix string // keys that begin so; all if empty
	After  string // keys after this one: the last of the page before
	Limit  int    // default 100, at most 10,000
}
