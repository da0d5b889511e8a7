package file

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// Config is the configuration of the trigger.
type Config struct {
	Folder string `yaml:"folder,required" doc:"The folder. A relative path begins at the output directory of the engine."`
	Watching
}

var triggerType = workflow.TriggerType[Config]{
	Name: "file",
	Doc: "Starts a run for each file that appears in a folder, or changes. " +
		"Expressions find it as trigger.attributes.path, .name, .size and .modified.",
	Example: "folder: /data/in\npattern: '*.csv'\n",
	Default: Config{Watching: defaultWatching},
	Plan: func(c *workflow.Check, config Config) workflow.TriggerPlan {
		config.check(c, config.Folder)
		return workflow.TriggerPlan{ComesAgain: true, Source: func(env *workflow.TriggerEnv) (workflow.TriggerSource, error) {
			folder := config.Folder
			if !filepath.IsAbs(folder) {
				folder = filepath.Join(env.Dir, folder)
			}
			return &listener{newWatcher(config.Watching, folder, false, env.Log)}, nil
		}}
	},
}

// listener delivers the files of a folder.
type listener struct{ *watcher }

// Serve looks at the folder until ctx ends. A folder that is away is an error,
// and looked for again.
func (l *listener) Serve(ctx context.Context, deliver workflow.DeliverFunc) error {
	ticker := time.NewTicker(l.Every)
	defer ticker.Stop()
	for {
		err := l.look(ctx, func(f found) error {
			_, err := deliver(ctx, l.delivery(f))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil { // which is final, and noted
				l.log.Error("a file starts no run", "path", f.Path, "error", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// delivery is what is told of a file.
func (l *listener) delivery(f found) workflow.Delivery {
	d := workflow.Delivery{ID: f.Path + ":" + f.stat(), Attributes: map[string]string{
		"path": f.Path, "name": filepath.Base(f.Path), "size": strconv.FormatInt(f.Size, 10), "modified": f.Modified.Format(time.RFC3339Nano),
	}}
	if l.Identity == identityContent {
		d.ID, d.Attributes["sha256"] = "content/"+f.SHA256, f.SHA256
	}
	return d
}
