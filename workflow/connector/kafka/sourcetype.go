package kafka

import (
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/json"
)

// shortestPoll is how often a source that reads for a time looks for messages that have
// come since, where nothing is said and that is not too often.
const shortestPoll = time.Second

// pollsMax bounds how often a run may look, as each look that finds something is
// kept in the run.
const pollsMax = 900

// Formats of messages.
const (
	formatJSON = "json"
	formatText = "text"
)

// Where a source begins that has no group, or whose group has committed nothing.
const (
	startEarliest = "earliest"
	startLatest   = "latest"
)

// valueColumn is the column of a message that is no JSON.
const valueColumn = "value"

// SourceConfig is the "with" block of a node of the type source.kafka.
type SourceConfig struct {
	Server
	Topics  []string                            `yaml:"topics,required" doc:"The topics to read."`
	Group   string                              `yaml:"group" doc:"The group whose offsets tell what was read. Without it, each run begins at start."`
	Start   string                              `yaml:"start" doc:"Where to begin where the group has committed nothing: earliest, latest, or a time such as 2026-01-31T00:00:00Z."`
	Format  string                              `yaml:"format" doc:"json: a message is an object; text: it is a text, in the column value."`
	Columns workflow.Mapping[json.ColumnConfig] `yaml:"columns" doc:"Names and types of the columns, as for source.json. Required for the format json."`
	Record  RecordColumns                       `yaml:"record" doc:"Further columns, for what is known of a message beside its value."`
	MaxRows int64                               `yaml:"max_rows" doc:"How many messages a run reads at most. 0: all that are there."`
	For     time.Duration                       `yaml:"for" doc:"How long a run waits for more messages. 0: it ends with those that are there when it begins."`
	Poll    time.Duration                       `yaml:"poll" doc:"How often a run that waits looks for messages, at most 900 times. 0: each second, or less often."`
}

// RecordColumns are the names of columns for what is known of a message; an empty
// name is no column.
type RecordColumns struct {
	Topic     string `yaml:"topic" doc:"Name of the column for the topic, a string."`
	Partition string `yaml:"partition" doc:"Name of the column for the partition, an int."`
	Offset    string `yaml:"offset" doc:"Name of the column for the offset, an int."`
	Timestamp string `yaml:"timestamp" doc:"Name of the column for the message's time, a time."`
	Key       string `yaml:"key" doc:"Name of the column for the key, a string; null if there is none."`
}

var sourceType = workflow.SourceType[SourceConfig]{
	Name:    "source.kafka",
	Doc:     "Reads the messages of topics that are there when the run begins, or that come in a time. The offsets of the group are committed after the sinks. Messages that cannot be read as declared are set aside.",
	Example: "brokers: [localhost:9092]\ntopics: [orders]\ngroup: billing\ncolumns: {id: int, total: float}\nrecord: {offset: at, timestamp: placed}",
	Default: SourceConfig{Server: Server{Timeout: DefaultTimeout}, Start: startEarliest, Format: formatJSON},
	Plan:    planSource,
}

func planSource(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
	config.Server.check(c)
	checkTopics(c, config.Topics)
	if _, err := time.Parse(time.RFC3339Nano, config.Start); err != nil && config.Start != startEarliest && config.Start != startLatest {
		c.Report("start", "\""+config.Start+"\" is no place to begin", "expected earliest, latest, or a time such as 2026-01-31T00:00:00Z")
	}
	if config.MaxRows < 0 {
		c.Errorf("max_rows", "%d is out of range; expected 0 or more", config.MaxRows)
	}
	switch {
	case config.For < 0:
		c.Errorf("for", "%s is out of range; expected 0 or more", config.For)
	case config.Poll == 0:
		config.Poll = max(shortestPoll, config.For/pollsMax)
	case config.Poll < config.For/pollsMax:
		c.Errorf("poll", "%s is out of range; expected at least %s, which is for/%d", config.Poll, config.For/pollsMax, pollsMax)
	}
	columns, schema, ok := planColumns(c, config)
	if !ok || c.Failed() {
		return workflow.SourcePlan{}
	}
	return workflow.SourcePlan{Schema: schema, New: func(env *workflow.Env) (workflow.Source, error) {
		return &source{config: config, columns: columns, schema: schema, journal: env.Journal, log: env.Log}, nil
	}}
}

func checkTopics(c *workflow.Check, topics []string) {
	if len(topics) == 0 {
		c.Errorf("topics", "there are none")
	}
	for i, topic := range topics {
		if !isTopic(topic) {
			c.Errorf(workflow.IndexPath("topics", i), "%q is no name of a topic", topic)
		}
		if slices.Contains(topics[:i], topic) {
			c.Errorf(workflow.IndexPath("topics", i), "the topic %q stands twice", topic)
		}
	}
}

// isTopic reports whether a topic can have the name.
func isTopic(name string) bool {
	const topicBytesMax = 249
	return name != "" && len(name) <= topicBytesMax && name != "." && name != ".." &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// rowColumns fills rows from messages.
type rowColumns struct {
	object  json.Columns // of the format json
	text    bool
	width   int // columns of the value
	further []further
}

// planColumns checks what stands under columns and record.
func planColumns(c *workflow.Check, config SourceConfig) (columns rowColumns, schema workflow.Schema, ok bool) {
	switch config.Format {
	case formatJSON:
		if len(config.Columns) == 0 {
			c.Report("columns", "the columns of the messages are not declared", "add columns: {name: type, …}")
			return columns, schema, false
		}
		if columns.object, schema, ok = json.NewColumns(c, config.Columns); !ok {
			return columns, schema, false
		}
	case formatText:
		if len(config.Columns) > 0 {
			c.Report("columns", "a message of the format text has the column value alone", "leave columns out, or set format: json")
		}
		columns.text = true
		schema, _ = c.Schema("", workflow.Column{Name: valueColumn, Kind: workflow.KindString})
	default:
		c.Unknown("format", "format", config.Format, []string{formatJSON, formatText})
		return columns, schema, false
	}
	all := schema.Columns()
	columns.width = len(all)
	for _, f := range config.Record.columns() {
		columns.further = append(columns.further, f)
		all = append(all, workflow.Column{Name: f.name, Kind: f.kind})
	}
	schema, ok = c.Schema("record", all...)
	return columns, schema, ok
}
