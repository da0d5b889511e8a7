package workflow

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// definitionCache keeps the definitions that were used last.
type definitionCache struct {
	mu        sync.Mutex
	byKey     map[string]*Definition
	active    map[string]int64
	deletions int // how many workflows were deleted
}

// cacheKey tells a version with its inputs from all others.
func cacheKey(name string, version int64, inputs map[string]string) string {
	parts := []string{name, strconv.FormatInt(version, 10)}
	for _, input := range slices.Sorted(maps.Keys(inputs)) {
		parts = append(parts, input, inputs[input])
	}
	return strings.Join(parts, "\x00")
}

// definitionsKept bounds the cache; beyond it, it begins anew.
const definitionsKept = 256

func (c *definitionCache) get(key string) *Definition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byKey[key]
}

func (c *definitionCache) put(key string, d *Definition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byKey) >= definitionsKept || c.byKey == nil {
		c.byKey = map[string]*Definition{}
	}
	c.byKey[key] = d
}

// activeOf is the active version, 0 if it has to be read, and what read is to be
// given then.
func (c *definitionCache) activeOf(name string) (version int64, deletions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active[name], c.deletions
}

// read keeps an active version that was read, unless it may have been deleted
// meanwhile.
func (c *definitionCache) read(name string, version int64, deletions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deletions == deletions {
		c.keepActive(name, version)
	}
}

// forget drops all that is known of a workflow that was deleted.
func (c *definitionCache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deletions++
	delete(c.active, name)
	maps.DeleteFunc(c.byKey, func(key string, _ *Definition) bool { return strings.HasPrefix(key, name+"\x00") })
}

func (c *definitionCache) forgetActive(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.active, name)
}

func (c *definitionCache) setActive(name string, version int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepActive(name, version)
}

func (c *definitionCache) keepActive(name string, version int64) {
	if c.active == nil {
		c.active = map[string]int64{}
	}
	c.active[name] = version
}
