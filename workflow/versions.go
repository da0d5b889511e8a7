package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

const (
	versionPrefix = "workflow/"
	activePrefix  = "wf/active/"
)

// Version is a version of a workflow. Versions never change: a run is pinned to
// the one it began with.
type Version struct {
	Workflow string `json:"workflow"`
	// Version counts from 1.
	Version int64     `json:"version"`
	Active  bool      `json:"active"` // new runs begin with it
	Created time.Time `json:"created"`
	File    string    `json:"file"`
	Comment string    `json:"comment,omitempty"`
	// Text is the definition. It is missing in lists.
	Text string `json:"text,omitempty"`
}

// versionRecord is a version as it is stored.
type versionRecord struct {
	File     string `cbor:"f"` // for messages
	Dir      string `cbor:"d"` // where relative paths of sources begin
	Embedded bool   `cbor:"e,omitempty"`
	Text     []byte `cbor:"t"`
	Comment  string `cbor:"c,omitempty"`
}

var versionType = wire.CBOR[versionRecord]("workflow.Version")

// Deploy makes a definition a version of the workflow of its name, the one that
// new runs begin with; a rollout that is active ends. A text that is that of the
// newest version makes no new one. Relative paths of its sources remain relative
// to the file's directory.
//
// The schedules and triggers of the definition are those of the workflow when it
// returns, and those of the version before are gone; with an error of theirs, such
// as RESOURCE_EXHAUSTED, the version is deployed all the same and it is tried
// again. So it is with [Engine.Activate] and [Engine.SetRollout].
//
// Errors: INVALID_ARGUMENT for a definition of an embedded file system that is
// not [EngineOptions.Files], and those of the store.
func (e *Engine) Deploy(ctx context.Context, d *Definition, comment string) (Version, error) {
	return e.addVersion(ctx, d, comment, true)
}

// Stage is [Engine.Deploy] without making the version the one that new runs begin
// with, unless there is none: for [Engine.SetRollout], [Engine.Replay] or
// [Engine.Activate].
func (e *Engine) Stage(ctx context.Context, d *Definition, comment string) (Version, error) {
	return e.addVersion(ctx, d, comment, false)
}

func (e *Engine) addVersion(ctx context.Context, d *Definition, comment string, activate bool) (Version, error) {
	const op = "workflow.Engine.Deploy"
	record := versionRecord{File: d.File, Dir: d.files.dir, Embedded: d.files.fsys != nil, Text: d.text, Comment: comment}
	if record.Embedded && e.options.Files == nil {
		return Version{}, &fault.Error{
			Code: fault.InvalidArgument, Op: op, Target: d.File, Message: "the definition is in a file system that the engine does not know",
			Hint: "set EngineOptions.Files to it",
		}
	}
	if !record.Embedded {
		dir, err := filepath.Abs(d.files.dir)
		if err != nil {
			return Version{}, fault.Wrap(fault.FailedPrecondition, op, err)
		}
		record.Dir = dir
	}
	for {
		version, err := e.deploy(ctx, d, record, activate)
		if errors.Is(err, store.ErrWrongPosition) {
			continue
		}
		if err == nil {
			err = e.settle(ctx, d.Name)
		}
		if err == nil && len(d.open) == 0 {
			e.cache.put(cacheKey(d.Name, version.Version, d.given), d)
		}
		return version, err
	}
}

func (e *Engine) deploy(ctx context.Context, d *Definition, record versionRecord, activate bool) (Version, error) {
	name := d.Name
	stream := store.Stream(versionPrefix + name)
	head, newest, err := e.newest(ctx, name)
	if err != nil {
		return Version{}, err
	}
	_, err = e.active(ctx, name)
	deleted := head > 0 && fault.CodeOf(err) == fault.NotFound
	if newest != nil && bytes.Equal(newest.Text, record.Text) && newest.Dir == record.Dir && newest.Embedded == record.Embedded {
		if deleted {
			if err := e.Activate(ctx, name, head); err != nil {
				return Version{}, err
			}
		}
		return e.Version(ctx, name, head)
	}
	m, err := versionType.Encode(record)
	if err != nil {
		return Version{}, err
	}
	batch := &store.Batch{
		Fence:   e.fence,
		Appends: []store.Append{{Stream: stream, Expected: store.Position(head), Events: []store.Event{{Type: versionType.Name(), Data: m.Data}}}},
	}
	if head > 0 && !activate && !deleted {
		if _, err := e.store.Commit(ctx, batch); err != nil {
			return Version{}, err
		}
		return e.Version(ctx, name, head+1)
	}
	value, err := json.Marshal(activeVersion{Version: head + 1})
	if err != nil {
		return Version{}, err
	}
	e.rollouts.changing.Lock()
	defer e.rollouts.changing.Unlock()
	sets, stored, err := e.endsWith(name, fmt.Sprintf("version %d was deployed", head+1))
	if err != nil {
		return Version{}, err
	}
	owed, err := e.owe(ctx, name, 0)
	if err != nil {
		return Version{}, err
	}
	if owed == nil && len(d.Schedules)+len(d.Triggers) > 0 && !e.options.ByHand {
		e.settling.set(name, true)
		owed = []store.Set{settleSet(name)}
	}
	batch.Sets = slices.Concat(sets, owed)
	batch.Sets = append(batch.Sets, store.Set{Key: activePrefix + name, Value: value, Expected: store.AnyVersion})
	if _, err := e.store.Commit(ctx, batch); err != nil {
		return Version{}, errors.Join(err, e.rereadRollout(ctx, name))
	}
	e.cache.setActive(name, head+1)
	stored()
	return e.Version(ctx, name, head+1)
}

// activeVersion is the entry of a workflow.
type activeVersion struct {
	Version int64 `json:"version"`
}

// newest reads the newest version of a workflow: 0 and nil if there is none.
func (e *Engine) newest(ctx context.Context, name string) (int64, *versionRecord, error) {
	streams, err := e.store.Streams(ctx, store.StreamFilter{Prefix: store.Stream(versionPrefix + name), Limit: 1})
	if err != nil {
		return 0, nil, err
	}
	if len(streams) == 0 || streams[0].Stream != store.Stream(versionPrefix+name) {
		return 0, nil, nil
	}
	head := int64(streams[0].Head)
	record, _, err := e.record(ctx, name, head)
	return head, record, err
}

// record reads a version.
func (e *Engine) record(ctx context.Context, name string, version int64) (*versionRecord, time.Time, error) {
	for stored, err := range e.store.Read(ctx, store.Stream(versionPrefix+name), store.Position(version)) {
		if errors.Is(err, store.ErrUnknownStream) {
			return nil, time.Time{}, e.noWorkflow(ctx, name)
		}
		if err != nil {
			return nil, time.Time{}, err
		}
		record, err := versionType.Decode(wire.Message{Type: versionType.Name(), Codec: versionType.CodecName(), Data: stored.Data})
		return &record, stored.Time, err
	}
	return nil, time.Time{}, &fault.Error{Code: fault.NotFound, Op: "workflow.Engine", Target: name, Message: "the workflow has no such version"}
}

func (e *Engine) noWorkflow(ctx context.Context, name string) error {
	err := &fault.Error{Code: fault.NotFound, Op: "workflow.Engine", Target: name, Message: "there is no such workflow"}
	if names, listed := e.activeNames(ctx); listed == nil && len(names) > 0 {
		err.Hint = "there are " + strings.Join(names, ", ")
	} else if listed == nil {
		err.Hint = "deploy it first"
	}
	return err
}

// names lists the workflows, with those that were deleted and have versions yet.
func (e *Engine) names(ctx context.Context) ([]string, error) {
	var names []string
	filter := store.StreamFilter{Prefix: versionPrefix, Limit: 1000}
	for {
		streams, err := e.store.Streams(ctx, filter)
		if err != nil || len(streams) == 0 {
			return names, err
		}
		for _, s := range streams {
			names = append(names, strings.TrimPrefix(string(s.Stream), versionPrefix))
		}
		filter.After = streams[len(streams)-1].Stream
	}
}

// activeNames lists the workflows that can be started.
func (e *Engine) activeNames(ctx context.Context) ([]string, error) {
	var names []string
	err := e.eachEntry(ctx, activePrefix, func(stored store.Entry) error {
		names = append(names, strings.TrimPrefix(stored.Key, activePrefix))
		return nil
	})
	return names, err
}

// Workflows lists the active versions of all workflows by name.
func (e *Engine) Workflows(ctx context.Context) ([]Version, error) {
	names, err := e.activeNames(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Version, 0, len(names))
	for _, name := range names {
		v, err := e.Version(ctx, name, 0)
		if fault.CodeOf(err) == fault.NotFound {
			continue // it was deleted at the same moment
		}
		if err != nil {
			return nil, err
		}
		v.Text = ""
		out = append(out, v)
	}
	return out, nil
}

// Version returns a version of a workflow with its text; 0 is the active one.
// Errors: NOT_FOUND.
func (e *Engine) Version(ctx context.Context, name string, version int64) (Version, error) {
	active, err := e.active(ctx, name)
	if err != nil {
		return Version{}, err
	}
	if version == 0 {
		version = active
	}
	record, created, err := e.record(ctx, name, version)
	if err != nil {
		return Version{}, err
	}
	return Version{
		Workflow: name, Version: version, Active: version == active, Created: created, File: record.File, Comment: record.Comment,
		Text: string(record.Text),
	}, nil
}

// Versions lists all versions of a workflow, the newest first, without texts.
func (e *Engine) Versions(ctx context.Context, name string) ([]Version, error) {
	head, _, err := e.newest(ctx, name)
	if err != nil {
		return nil, err
	}
	if head == 0 {
		return nil, e.noWorkflow(ctx, name)
	}
	out := make([]Version, 0, head)
	for v := head; v > 0; v-- {
		version, err := e.Version(ctx, name, v)
		if err != nil {
			return nil, err
		}
		version.Text = ""
		out = append(out, version)
	}
	return out, nil
}

// Activate has new runs begin with a version, such as an older one. Runs under
// way stay with theirs. A rollout that is active ends.
func (e *Engine) Activate(ctx context.Context, name string, version int64) error {
	return e.activateVersion(ctx, name, version, store.AnyVersion)
}

// ActivateFrom is [Engine.Activate] if the active version is the one that is
// expected. Errors: ABORTED if it is another one.
func (e *Engine) ActivateFrom(ctx context.Context, name string, expected, version int64) error {
	const op = "workflow.Engine.ActivateFrom"
	entry, err := e.store.Entry(ctx, activePrefix+name)
	if errors.Is(err, store.ErrNoEntry) || errors.Is(err, store.ErrInvalid) {
		return e.noWorkflow(ctx, name)
	}
	if err != nil {
		return err
	}
	var a activeVersion
	if err := json.Unmarshal(entry.Value, &a); err != nil {
		return err
	}
	if a.Version == expected {
		err = e.activateVersion(ctx, name, version, entry.Version)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return &fault.Error{
		Code: fault.Aborted, Op: op, Target: name, Message: fmt.Sprintf("the active version is not %d any more", expected),
		Hint: "look which one is active, and decide again",
	}
}

// activateVersion makes a version the active one if the entry that says so is
// still of that version of its own.
func (e *Engine) activateVersion(ctx context.Context, name string, version, entry int64) error {
	e.rollouts.changing.Lock()
	defer e.rollouts.changing.Unlock()
	if _, _, err := e.record(ctx, name, version); err != nil {
		return err
	}
	value, err := json.Marshal(activeVersion{Version: version})
	if err != nil {
		return err
	}
	sets, stored, err := e.endsWith(name, fmt.Sprintf("version %d was made the active one", version))
	if err != nil {
		return err
	}
	owed, err := e.owe(ctx, name, version)
	if err != nil {
		return err
	}
	sets = append(slices.Concat(sets, owed), store.Set{Key: activePrefix + name, Value: value, Expected: entry})
	if _, err := e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: sets}); err != nil {
		return errors.Join(err, e.rereadRollout(ctx, name))
	}
	e.cache.setActive(name, version)
	stored()
	return e.settle(ctx, name)
}

func (e *Engine) active(ctx context.Context, name string) (int64, error) {
	v, deletions := e.cache.activeOf(name)
	if v > 0 {
		return v, nil
	}
	entry, err := e.store.Entry(ctx, activePrefix+name)
	if errors.Is(err, store.ErrNoEntry) || errors.Is(err, store.ErrInvalid) {
		return 0, e.noWorkflow(ctx, name)
	}
	if err != nil {
		return 0, err
	}
	var a activeVersion
	if err := json.Unmarshal(entry.Value, &a); err != nil {
		return 0, err
	}
	e.cache.read(name, a.Version, deletions)
	return a.Version, nil
}

// Definition returns a version of a workflow as it was read; 0 is the active
// one. Inputs without a default have no value in it. Errors: NOT_FOUND.
func (e *Engine) Definition(ctx context.Context, name string, version int64) (*Definition, error) {
	if version == 0 {
		active, err := e.active(ctx, name)
		if err != nil {
			return nil, err
		}
		version = active
	}
	record, _, err := e.record(ctx, name, version)
	if err != nil {
		return nil, err
	}
	return e.load(record, LoadOptions{Registry: e.options.Registry, Open: true})
}

// definition returns a version with values for its inputs.
func (e *Engine) definition(ctx context.Context, name string, version int64, inputs map[string]string) (*Definition, error) {
	key := cacheKey(name, version, inputs)
	if d := e.cache.get(key); d != nil {
		return d, nil
	}
	record, _, err := e.record(ctx, name, version)
	if err != nil {
		return nil, err
	}
	d, err := e.load(record, LoadOptions{Registry: e.options.Registry, Inputs: inputs})
	if err != nil {
		return nil, err
	}
	e.cache.put(key, d)
	return d, nil
}

// load reads the text of a version.
func (e *Engine) load(record *versionRecord, options LoadOptions) (*Definition, error) {
	files := fileSet{dir: record.Dir}
	var info fs.FileInfo
	if record.Embedded {
		files.fsys = e.options.Files
	} else if stat, err := os.Stat(filepath.Join(record.Dir, filepath.Base(record.File))); err == nil {
		info = stat
	}
	d, err := loadBytes(record.Text, record.File, files, options)
	if err != nil {
		return nil, err
	}
	if info != nil {
		d.setInfo(info)
	}
	return d, nil
}

// pinned returns the definition that a run is pinned to.
func (e *Engine) pinned(ctx context.Context, name string, start *RunStart) (*Definition, error) {
	d, err := e.definition(ctx, name, start.Version, start.Inputs)
	if err != nil {
		return nil, &fault.Error{Code: fault.FailedPrecondition, Target: name, Message: "the version that the run began with cannot be read any more", Cause: err}
	}
	return d, nil
}
