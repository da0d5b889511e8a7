package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/troupe-dev/troupe/workflow"
)

const (
	// triggerPoll is how many messages a trigger takes before it commits their
	// offsets: as many come again after a crash, and start nothing.
	triggerPoll = 100
	// partitionsAtATime bounds the partitions whose messages start runs at a time.
	partitionsAtATime = 16
)

// TriggerConfig is the configuration of a trigger of the kind kafka.
type TriggerConfig struct {
	Server
	Topics  []string      `yaml:"topics,required" doc:"The topics whose messages start runs."`
	Group   string        `yaml:"group,required" doc:"The group of consumers that shares the partitions; its offsets tell what was taken."`
	Start   string        `yaml:"start" doc:"Where to begin where the group has committed nothing: earliest or latest."`
	Session time.Duration `yaml:"session_timeout" doc:"How long the brokers wait for a member that does not answer, such as a process that was killed, before its partitions go to another. The brokers bound it, by default to 6 seconds to 30 minutes."`
	Batch   *Batch        `yaml:"batch" doc:"A run for several messages of a partition, instead of one for each: {max: 500, wait: 1s}."`
}

var triggerType = workflow.TriggerType[TriggerConfig]{
	Name: "kafka",
	Doc: "Starts a run for each message of some topics. It is a member of the group, and commits an offset when the start of the run is recorded. " +
		"Expressions find the message as trigger.body or trigger.text, its headers as trigger.header, and trigger.attributes.topic, .partition, .offset, .key and .timestamp.",
	Example: "brokers: [localhost:9092]\ntopics: [orders]\ngroup: billing\n",
	Default: TriggerConfig{Server: Server{Timeout: DefaultTimeout}, Start: startEarliest, Session: DefaultSession},
	Plan:    planTrigger,
}

// DefaultSession is how long the brokers wait for a silent member of a group where
// nothing is said. It is the default of Kafka's own clients.
const DefaultSession = 45 * time.Second

// What a session can be: what brokers allow where nobody changed it.
const (
	shortestSession = 6 * time.Second
	longestSession  = 30 * time.Minute
	beatsInASession = 10              // heartbeats, so that a late one does no harm
	heartbeatMax    = 3 * time.Second // by which a change of the group is noticed
)

func planTrigger(c *workflow.Check, config TriggerConfig) workflow.TriggerPlan {
	config.Server.check(c)
	checkTopics(c, config.Topics)
	if config.Group == "" {
		c.Report("group", "it is empty", "name the group of consumers whose offsets tell what was taken")
	}
	if known := []string{startEarliest, startLatest}; !slices.Contains(known, config.Start) {
		c.Unknown("start", "place to begin", config.Start, known)
	}
	if config.Session < shortestSession || config.Session > longestSession {
		c.Errorf("session_timeout", "%s is out of range; expected %s to %s", config.Session, shortestSession, longestSession)
	}
	if config.Batch != nil {
		config.Batch.check(c)
	}
	return workflow.TriggerPlan{Source: func(env *workflow.TriggerEnv) (workflow.TriggerSource, error) {
		return &listener{TriggerConfig: config, env: env}, nil
	}}
}

// listener takes messages as a member of a group.
type listener struct {
	TriggerConfig
	env    *workflow.TriggerEnv
	client *kgo.Client
	topics map[string]string // ids of the topics, by name
}

// Serve takes messages until ctx ends, or the brokers are away.
func (l *listener) Serve(ctx context.Context, deliver workflow.DeliverFunc) error {
	begin := kgo.NewOffset().AtStart()
	if l.Start == startLatest {
		begin = kgo.NewOffset().AtEnd()
	}
	client, err := l.dial(
		kgo.ConsumerGroup(l.Group), kgo.ConsumeTopics(l.Topics...), kgo.ConsumeResetOffset(begin), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(l.Session), kgo.HeartbeatInterval(min(l.Session/beatsInASession, heartbeatMax)),
		kgo.BlockRebalanceOnPoll(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytesMax), kgo.FetchMaxPartitionBytes(fetchPartBytesMax),
	)
	if err != nil {
		return err
	}
	l.client = client
	defer client.CloseAllowingRebalance()
	if err := l.look(ctx); err != nil {
		return err
	}
	take := l.take
	if l.Batch != nil {
		b, err := l.batches(ctx)
		if err != nil {
			return err
		}
		take = b.take
	}
	for {
		if err := take(ctx, deliver); err != nil {
			return err
		}
	}
}

// look finds out whether the brokers and the topics are there.
func (l *listener) look(ctx context.Context) error {
	limited, cancel := l.limited(ctx)
	defer cancel()
	topics, err := kadm.NewClient(l.client).ListTopics(limited, l.Topics...)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return failed(limited, "kafka.Listen", strings.Join(l.Topics, ", "), err)
	}
	l.topics = map[string]string{}
	for name, t := range topics {
		if t.ID != (kadm.TopicID{}) {
			l.topics[name] = base64.RawURLEncoding.EncodeToString(t.ID[:])
		}
	}
	return nil
}

// take takes the messages that have come, starts their runs, and commits their
// offsets. Without any it makes sure, after the timeout, that the brokers are
// there.
func (l *listener) take(ctx context.Context, deliver workflow.DeliverFunc) error {
	limited, cancel := context.WithTimeout(ctx, l.Timeout)
	fetches := l.client.PollRecords(limited, triggerPoll)
	cancel()
	defer l.client.AllowRebalance()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) && fetches.NumRecords() == 0 {
			return l.look(ctx)
		}
		if !errors.Is(e.Err, context.DeadlineExceeded) {
			return failed(ctx, "kafka.Listen", fmt.Sprintf("%s/%d", e.Topic, e.Partition), e.Err)
		}
	}
	if err := l.commit(ctx, l.deliver(ctx, fetches, deliver)); err != nil {
		return err
	}
	return ctx.Err()
}

// commit commits the offsets of messages whose runs are started, also when the
// trigger is stopped.
func (l *listener) commit(ctx context.Context, taken []*kgo.Record) error {
	if len(taken) == 0 {
		return nil
	}
	commit, cancel := l.limited(context.WithoutCancel(ctx))
	defer cancel()
	if err := l.client.CommitRecords(commit, taken...); err != nil {
		return failed(commit, "kafka.Commit", "group "+l.Group, err)
	}
	return nil
}

// deliver starts the runs of messages, those of a partition in their order. It
// returns the last message of each partition that was delivered.
func (l *listener) deliver(ctx context.Context, fetches kgo.Fetches, deliver workflow.DeliverFunc) []*kgo.Record {
	var (
		mu    sync.Mutex
		taken []*kgo.Record
		wg    sync.WaitGroup
	)
	places := make(chan struct{}, partitionsAtATime)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			var last *kgo.Record
			for _, r := range p.Records {
				_, err := deliver(ctx, l.delivery(r))
				if ctx.Err() != nil && err != nil {
					break
				}
				if err != nil { // which is final, and noted
					l.env.Log.Error("a message starts no run", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
				}
				last = r
			}
			if last != nil {
				mu.Lock()
				taken = append(taken, last)
				mu.Unlock()
			}
		})
	})
	wg.Wait()
	return taken
}

// delivery is what is told of a message. A topic that is made anew under its name
// begins with its offsets again, so its id is part of the message's.
func (l *listener) delivery(r *kgo.Record) workflow.Delivery {
	d := workflow.Delivery{
		ID: fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset), Body: r.Value, Header: map[string][]string{},
		Attributes: map[string]string{
			"topic": r.Topic, "partition": strconv.Itoa(int(r.Partition)), "offset": strconv.FormatInt(r.Offset, 10),
			"key": string(r.Key), "timestamp": r.Timestamp.UTC().Format(time.RFC3339Nano),
		},
	}
	if id := l.topics[r.Topic]; id != "" {
		d.ID += "@" + id
	}
	for _, h := range r.Headers {
		d.Header[h.Key] = append(d.Header[h.Key], string(h.Value))
	}
	return d
}
