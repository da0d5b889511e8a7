package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

// transactionTimeout is when the broker aborts a transaction that nobody ends: one
// whose process died and is not run again. While it is open, consumers of committed
// messages wait behind it. By default brokers allow at most 15 minutes.
const transactionTimeout = 5 * time.Minute

// requestRetry spaces requests that the coordinator of a transaction is not ready
// for, as when it still ends the one before.
var requestRetry = retry.Policy{Max: 30, Initial: 20 * time.Millisecond, Cap: time.Second, Jitter: 0.5}

// name is the transactional id of the sink, and the group in which its transaction
// leaves a mark: that of the run's key, so that each attempt of the same work fences
// the one before.
func (s *sink) name() string { return "troupe/" + s.key }

// committed reports whether an earlier attempt has committed. The transaction that
// one may have left open is ended first.
func (s *sink) committed(ctx context.Context) (bool, error) {
	if _, _, err := s.client.ProducerID(ctx); err != nil {
		return false, err
	}
	offsets, err := retry.DoValue(ctx, requestRetry, func(ctx context.Context) (kadm.OffsetResponses, error) {
		offsets, err := offsetsOf(kadm.RequireStable(ctx), s.admin, s.name(), s.config.Topic)
		return offsets, transient(err)
	})
	if err != nil {
		return false, err
	}
	mark, ok := offsets.Lookup(s.config.Topic, 0)
	return ok && mark.At >= 0, nil
}

// mark has the transaction commit an offset of the group, too.
func (s *sink) mark(ctx context.Context) error {
	id, epoch, err := s.client.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = s.name(), id, epoch, s.name()
	err = retry.Do(ctx, requestRetry, func(ctx context.Context) error {
		answer, err := add.RequestWith(ctx, s.client)
		if err == nil {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		return transient(err)
	})
	if err != nil {
		return err
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group, commit.ProducerID, commit.ProducerEpoch, commit.Generation = s.name(), s.name(), id, epoch, -1
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Offset = s.rows
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = s.config.Topic, s.topic, []kmsg.TxnOffsetCommitRequestTopicPartition{partition}
	commit.Topics = []kmsg.TxnOffsetCommitRequestTopic{topic}
	return retry.Do(ctx, requestRetry, func(ctx context.Context) error {
		answer, err := commit.RequestWith(ctx, s.client)
		for i := 0; err == nil && i < len(answer.Topics); i++ {
			for _, p := range answer.Topics[i].Partitions {
				if err == nil {
					err = kerr.ErrorForCode(p.ErrorCode)
				}
			}
		}
		return transient(err)
	})
}

// transient makes an error that Kafka calls retriable one that a retry heeds.
func transient(err error) error {
	if kerr.IsRetriable(err) {
		return fault.Wrap(fault.Unavailable, "kafka", err)
	}
	return err
}
