package file

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// known are the files that were taken up, by this run and those before.
type known struct {
	identity string
	files    map[string]remembered // by what a file is known
	taken    map[string]bool       // the keys of those that this run has taken up
}

// remembered is what is kept of a file from run to run.
type remembered struct {
	// Stat is how the file was that is known by its path.
	Stat string `json:"stat,omitempty"`
	// Path is where the file was that is known by its content.
	Path string `json:"path,omitempty"`
	// At is when a run ended that took it up, in seconds.
	At int64 `json:"at"`
}

// key is by what a file is known.
func (k *known) key(f *found) string {
	if k.identity == identityContent {
		return "sha256:" + f.SHA256
	}
	return f.Path
}

// has reports whether a file was taken up as it is.
func (k *known) has(f *found) bool {
	r, ok := k.files[k.key(f)]
	return ok && (k.identity == identityContent || r.Stat == f.stat())
}

// take notes that a file is taken up.
func (k *known) take(f *found) {
	key := k.key(f)
	k.taken[key] = true
	if k.identity == identityContent {
		k.files[key] = remembered{Path: f.Path}
		return
	}
	k.files[key] = remembered{Stat: f.stat()}
}

// load learns what earlier runs have taken up.
func (k *known) load(ctx context.Context, memory *workflow.Memory) error {
	all, err := memory.All(ctx)
	if err != nil {
		return err
	}
	for key, text := range all {
		var r remembered
		if json.Unmarshal(text, &r) == nil { // else it was kept by another program, and is taken up again
			k.files[key] = r
		}
	}
	return nil
}

// save keeps what this run has taken up. Where there is no room for it, what is
// gone and was taken up longest ago is forgotten, and then the rest.
func (k *known) save(ctx context.Context, memory *workflow.Memory, now time.Time) error {
	set := make(map[string]json.RawMessage, len(k.taken))
	for key := range k.taken {
		r := k.files[key]
		r.At = now.Unix()
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		set[key] = text
	}
	return memory.Keep(ctx, set, k.forget(workflow.MemoryMax, func(path string) bool {
		_, err := os.Lstat(path)
		return err == nil
	}))
}

// forget chooses what goes, so that at most so many files are known.
func (k *known) forget(most int, there func(path string) bool) []string {
	over := len(k.files) - most
	if over <= 0 {
		return nil
	}
	type candidate struct {
		key   string
		at    int64
		there int
	}
	var old []candidate
	for key, r := range k.files {
		if k.taken[key] {
			continue
		}
		c := candidate{key: key, at: r.At}
		path := key
		if k.identity == identityContent {
			path = r.Path
		}
		if there(path) {
			c.there = 1
		}
		old = append(old, c)
	}
	slices.SortFunc(old, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.there, b.there), cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key))
	})
	var keys []string
	for _, c := range old[:min(over, len(old))] {
		keys = append(keys, c.key)
	}
	return keys
}
