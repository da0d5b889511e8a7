package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

const (
	// MemoryMax bounds the texts that a [Memory] keeps.
	MemoryMax = 100_000
	// MemoryBytesMax bounds each of them, with its key.
	MemoryBytesMax = 16 << 10

	memoryPrefix        = "wf/memory/"
	triggerMemoryPrefix = "wf/trigger-memory/"
	// memoryPage is how many entries are read or written at a time.
	memoryPage = 1000
)

// Memory is what a source knows of earlier runs: small texts by their keys, kept in
// the store for the workflow and the node, whatever the version and the iteration. A
// [Journal] is for what belongs to one run. The source of a trigger has one as well,
// see [TriggerEnv].
//
// What comes of a run is to be kept by [Acknowledger], and no sooner: a run that fails
// then leaves no trace in it. Runs at a time see what the others have kept when they
// ask for it. A memory is safe for concurrent use. It goes with the workflow when that
// is deleted with its versions, see [DeleteOptions].
type Memory struct {
	engine *Engine
	prefix string
}

// memory is that of a node.
func (e *Engine) memory(workflow, node string) *Memory {
	return &Memory{engine: e, prefix: memoryPrefix + workflow + "/" + node + "/"}
}

// triggerMemory is that of a trigger's source.
func (e *Engine) triggerMemory(trigger string) *Memory {
	return &Memory{engine: e, prefix: triggerMemoryPrefix + trigger + "/"}
}

// memoryEntry is how a text lies in the store. The key of the entry is a digest of
// its key, which may be long.
type memoryEntry struct {
	Key  string          `json:"k"`
	Text json.RawMessage `json:"v"`
}

// All returns what is kept.
func (m *Memory) All(ctx context.Context) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	filter := store.EntryFilter{Prefix: m.prefix, Limit: memoryPage}
	for {
		entries, err := m.engine.store.Entries(ctx, filter)
		if err != nil || len(entries) == 0 {
			return all, err
		}
		for _, entry := range entries {
			var e memoryEntry
			if err := json.Unmarshal(entry.Value, &e); err != nil {
				return nil, fault.New(fault.Internal, "workflow.Memory.All", "the entry %s of the store cannot be read: %s", entry.Key, err)
			}
			all[e.Key] = e.Text
		}
		filter.After = entries[len(entries)-1].Key
	}
}

// Keep keeps texts, JSON each, and forgets keys. More than [MemoryMax] texts are
// RESOURCE_EXHAUSTED, and one that is too large is INVALID_ARGUMENT: then nothing
// has changed. Otherwise an error leaves some of it done, and Keep is to be called
// again.
func (m *Memory) Keep(ctx context.Context, texts map[string]json.RawMessage, forget []string) error {
	const op = "workflow.Memory.Keep"
	var sets []store.Set
	for _, key := range forget {
		sets = append(sets, store.Set{Key: m.entryKey(key), Expected: store.AnyVersion, Delete: true})
	}
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		value, err := json.Marshal(memoryEntry{key, texts[key]})
		if err != nil {
			return fault.New(fault.InvalidArgument, op, "what is to be kept for %q is no JSON: %s", key, err)
		}
		if len(value) > MemoryBytesMax {
			return fault.New(fault.InvalidArgument, op, "what is to be kept for %.100q has %d bytes; at most %d are allowed", key, len(value), MemoryBytesMax)
		}
		sets = append(sets, store.Set{Key: m.entryKey(key), Value: value, Expected: store.AnyVersion})
	}
	if err := m.room(ctx, texts, forget); err != nil {
		return err
	}
	for page := range slices.Chunk(sets, memoryPage) {
		if _, err := m.engine.store.Commit(ctx, &store.Batch{Fence: m.engine.fence, Sets: page}); err != nil {
			return err
		}
	}
	return nil
}

// room is an error if so many texts cannot be kept.
func (m *Memory) room(ctx context.Context, texts map[string]json.RawMessage, forget []string) error {
	all, err := m.All(ctx)
	if err != nil {
		return err
	}
	for key := range texts {
		all[key] = nil
	}
	for _, key := range forget {
		if _, kept := texts[key]; !kept {
			delete(all, key)
		}
	}
	if len(all) > MemoryMax {
		return fault.New(fault.ResourceExhausted, "workflow.Memory.Keep", "%d texts are to be kept; at most %d are allowed", len(all), MemoryMax)
	}
	return nil
}

func (m *Memory) entryKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return m.prefix + hex.EncodeToString(sum[:16])
}

// forgetMemories removes the memories whose keys begin so: those of a workflow's
// sources, or that of a trigger.
func (e *Engine) forgetMemories(ctx context.Context, prefix string) error {
	filter := store.EntryFilter{Prefix: prefix + "/", Limit: memoryPage}
	for {
		entries, err := e.store.Entries(ctx, filter)
		if err != nil || len(entries) == 0 {
			return err
		}
		sets := make([]store.Set, len(entries))
		for i, entry := range entries {
			sets[i] = store.Set{Key: entry.Key, Expected: store.AnyVersion, Delete: true}
		}
		if _, err := e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: sets}); err != nil {
			return err
		}
		filter.After = entries[len(entries)-1].Key
	}
}
