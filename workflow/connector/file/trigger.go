// Package file is the trigger for files that appear in a folder.
//
//	kind: file
//	with: {folder: /data/in, pattern: "*.csv"}
//	inputs: {file: "${{ trigger.attributes.path }}"}
//
// The folder is looked at again and again, which works on network disks as well,
// where notifications do not. A file counts once its size and time have not
// changed for a while, so that one that is being written is left alone.
package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// By what a file is known.
const (
	identityStat    = "stat"    // path, size and time of change
	identityContent = "content" // what is in it, under whatever path
)

const (
	defaultEvery  = 5 * time.Second
	defaultStable = 2 * time.Second
	shortestEvery = 100 * time.Millisecond
	// filesMax bounds the files of a folder.
	filesMax = 100_000
	op       = "file"
)

// Config is the configuration of the trigger.
type Config struct {
	Folder    string        `yaml:"folder,required" doc:"The folder. A relative path begins at the output directory of the engine."`
	Pattern   string        `yaml:"pattern" doc:"Which files count, by their name: '*.csv'."`
	Recursive bool          `yaml:"recursive" doc:"Folders within the folder count too."`
	Every     time.Duration `yaml:"every" doc:"How often the folder is looked at."`
	Stable    time.Duration `yaml:"stable" doc:"How long a file must have been as it is."`
	Identity  string        `yaml:"identity" doc:"By what a file is known: stat, its path, size and time of change, or content, what is in it."`
	MaxAge    time.Duration `yaml:"max_age" doc:"Files that were changed longer ago do not count. 0: all count."`
}

// Register adds the type file to a registry.
func Register(r *workflow.Registry) {
	r.AddTriggers(workflow.TriggerType[Config]{
		Name: "file",
		Doc: "Starts a run for each file that appears in a folder, or changes. " +
			"Expressions find it as trigger.attributes.path, .name, .size and .modified.",
		Example: "folder: /data/in\npattern: '*.csv'\n",
		Default: Config{Pattern: "*", Every: defaultEvery, Stable: defaultStable, Identity: identityStat},
		Plan:    plan,
	})
}

func plan(c *workflow.Check, config Config) workflow.TriggerPlan {
	if config.Folder == "" {
		c.Errorf("folder", "it is empty; expected the path of a folder")
	}
	if _, err := filepath.Match(config.Pattern, "x"); err != nil || config.Pattern == "" {
		c.Report("pattern", "it is no pattern", "* stands for any letters, ? for one, [a-z] for one of these")
	} else if filepath.Base(config.Pattern) != config.Pattern {
		c.Report("pattern", "a pattern is compared with names, not with paths", "name the folder as folder, and set recursive for those in it")
	}
	if config.Every < shortestEvery {
		c.Errorf("every", "%v is too short; expected at least %v", config.Every, shortestEvery)
	}
	if config.Stable < 0 {
		c.Errorf("stable", "%v is no time; expected 0 or more", config.Stable)
	}
	if config.MaxAge < 0 {
		c.Errorf("max_age", "%v is no time; expected 0 or more", config.MaxAge)
	}
	if config.Identity != identityStat && config.Identity != identityContent {
		c.Unknown("identity", "identity", config.Identity, []string{identityStat, identityContent})
	}
	return workflow.TriggerPlan{ComesAgain: true, Source: func(env *workflow.TriggerEnv) (workflow.TriggerSource, error) {
		folder := config.Folder
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(env.Dir, folder)
		}
		return &watch{Config: config, folder: filepath.Clean(folder), env: env, files: map[string]*seen{}}, nil
	}}
}

// watch looks at a folder.
type watch struct {
	Config
	folder string
	env    *workflow.TriggerEnv
	files  map[string]*seen // by path
	round  int
}

// seen is a file as it was when it was looked at last.
type seen struct {
	size      int64
	modified  time.Time
	since     time.Time // it has been so since then
	delivered bool
	round     int
}

// Serve looks at the folder until ctx ends. A folder that is away is an error,
// and looked for again.
func (w *watch) Serve(ctx context.Context, deliver workflow.DeliverFunc) error {
	ticker := time.NewTicker(w.Every)
	defer ticker.Stop()
	for {
		if err := w.look(ctx, deliver); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look goes through the folder once.
func (w *watch) look(ctx context.Context, deliver workflow.DeliverFunc) error {
	w.round++
	err := filepath.WalkDir(w.folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == w.folder:
			return fault.Wrap(fault.Unavailable, op, err)
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went away meanwhile
		case err != nil:
			w.env.Log.Warn("a folder cannot be read", "path", path, "error", err)
			return fs.SkipDir
		case entry.IsDir() && path != w.folder && !w.Recursive:
			return fs.SkipDir
		case entry.IsDir() || ctx.Err() != nil:
			return ctx.Err()
		}
		if ok, _ := filepath.Match(w.Pattern, entry.Name()); !ok { // the pattern was checked
			return nil
		}
		return w.file(ctx, deliver, path)
	})
	if err != nil {
		return err
	}
	for path, f := range w.files {
		if f.round != w.round {
			delete(w.files, path)
		}
	}
	return nil
}

// file looks at one file, and delivers it when it is time.
func (w *watch) file(ctx context.Context, deliver workflow.DeliverFunc, path string) error {
	info, err := os.Stat(path) // of what a link leads to
	if err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // it went away meanwhile, or is no file
	}
	now := time.Now()
	f := w.files[path]
	if f == nil {
		if len(w.files) >= filesMax {
			return fault.New(fault.ResourceExhausted, op, "%s has more than %d files; move away those that are done", w.folder, filesMax)
		}
		f = &seen{}
		w.files[path] = f
	}
	f.round = w.round
	if f.size != info.Size() || !f.modified.Equal(info.ModTime()) {
		f.size, f.modified, f.since, f.delivered = info.Size(), info.ModTime(), now, false
	}
	if f.delivered || now.Sub(f.since) < w.Stable || w.MaxAge > 0 && now.Sub(f.modified) > w.MaxAge {
		return nil
	}
	d, err := w.delivery(path, info)
	if err != nil {
		w.env.Log.Warn("a file cannot be read; it is tried again", "path", path, "error", err)
		return nil
	}
	_, err = deliver(ctx, d)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // which is final, and noted
		w.env.Log.Error("a file starts no run", "path", path, "error", err)
	}
	f.delivered = true
	return nil
}

// delivery is what is told of a file.
func (w *watch) delivery(path string, info fs.FileInfo) (workflow.Delivery, error) {
	d := workflow.Delivery{Attributes: map[string]string{
		"path": path, "name": info.Name(), "size": strconv.FormatInt(info.Size(), 10), "modified": info.ModTime().UTC().Format(time.RFC3339Nano),
	}}
	if w.Identity == identityStat {
		d.ID = fmt.Sprintf("%s:%d:%d", path, info.Size(), info.ModTime().UnixNano())
		return d, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return d, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return d, err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	d.ID, d.Attributes["sha256"] = "content/"+sum, sum
	return d, nil
}
