package file

import (
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// SourceConfig is the "with" block of a node of the type source.watch.
type SourceConfig struct {
	Folder string `yaml:"folder,required" doc:"The folder. A relative path is relative to the definition."`
	Watching
	Digest   bool          `yaml:"digest" doc:"A column sha256 has the digest of what is in the file."`
	MaxFiles int64         `yaml:"max_files" doc:"Ends with so many files. 0: not by their number."`
	Idle     time.Duration `yaml:"idle" doc:"Ends when no file has come or changed for so long. 0: not by that."`
	For      time.Duration `yaml:"for" doc:"Ends after this time. 0: not by the time."`
	Remember bool          `yaml:"remember" doc:"Files that earlier runs of this workflow and node took up do not count, unless they have changed."`
}

var sourceType = workflow.SourceType[SourceConfig]{
	Name: "source.watch",
	Doc: "Watches a folder: each file that is there, appears or changes is a row, with the columns path, name, size and modified, once it is as it was for a while. " +
		"It ends by their number, when none comes, by time, or with a signal of nothing.",
	Example: "folder: in\npattern: '*.csv'\nidle: 1m\nremember: true",
	Default: SourceConfig{Watching: defaultWatching},
	Plan:    planSource,
}

func planSource(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
	config.check(c, config.Folder)
	folder, _ := c.InputPath("folder", config.Folder) // it may be away at present
	if config.MaxFiles < 0 || config.MaxFiles > filesMax {
		c.Errorf("max_files", "%d is out of range; expected 1 to %d, or 0 for no end by their number", config.MaxFiles, filesMax)
	}
	if config.Idle < 0 {
		c.Errorf("idle", "%v is no time; expected 0 or more", config.Idle)
	}
	if config.For < 0 {
		c.Errorf("for", "%v is no time; expected 0 or more", config.For)
	}
	columns := []workflow.Column{
		{Name: "path", Kind: workflow.KindString}, {Name: "name", Kind: workflow.KindString},
		{Name: "size", Kind: workflow.KindInt}, {Name: "modified", Kind: workflow.KindTime},
	}
	if config.Digest {
		columns = append(columns, workflow.Column{Name: "sha256", Kind: workflow.KindString})
	}
	schema, ok := c.Schema("", columns...)
	if !ok || c.Failed() {
		return workflow.SourcePlan{}
	}
	return workflow.SourcePlan{Schema: schema, Ends: true, New: func(env *workflow.Env) (workflow.Source, error) {
		return &source{config: config, folder: folder, schema: schema, env: env}, nil
	}}
}
