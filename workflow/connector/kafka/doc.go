// Package kafka reads rows from and writes rows to topics of Kafka, or of any
// server that speaks its protocol: the node types source.kafka and sink.kafka, and
// the kind kafka of triggers.
//
// # Source
//
// A run reads a part of a topic that has an end: by default, the messages that are
// there when it opens; with for, those of a time; with max_rows, not more. Where
// it begins is what the group has committed, or what start says. What a run is
// going to read is recorded in the run before it is read ([workflow.Journal]), so
// that a run which is done again reads the same messages. The group's offsets are
// committed when the sinks have committed, and never set back
// ([workflow.Acknowledger]). So each message is in the result of one run, and a
// sink that keeps the key of a run with its rows, such as sink.sql, has it once.
//
// The source is no member of the group: it takes no part in the assignment of
// partitions, and cannot share a group with consumers that do. Two runs that read
// for the same group at a time both get the messages: give the node
//
//	concurrency: {limit: 1, key: GROUP}
//
// Only committed messages of transactions are read. A message that cannot be read
// as declared is set aside with its topic, partition and offset.
//
// # Sink
//
// Rows wait in a temporary file until every sink of the run is ready. Then they
// are written in one transaction, so that consumers that read committed messages
// see all of them or none. The same transaction commits an offset for a group that
// is named for the run's key, which is how a run that is done again finds that its
// rows are there: exactly once, as long as the server keeps the offsets of that
// group, by default seven days. With transactional: false, for servers without
// transactions, the promise is at least once, and nothing is taken back.
//
// The producer is idempotent and waits for all in-sync replicas. Messages with the
// same key go to the same partition, by the hash that Kafka's own clients use.
//
// # Trigger
//
//	kind: kafka
//	with: {brokers: [localhost:9092], topics: [orders], group: billing}
//	inputs: {order: "${{ trigger.body.id }}"}
//
// A trigger is a member of its group, and starts a run for each message. The offset
// of a message is committed when the start of its run is recorded; a message that
// comes again, as after a crash in between or when a partition goes to another
// member, is known by topic, partition and offset, or by what dedup says, and starts
// nothing. While the brokers are away the trigger does not listen, says why, and
// tries again.
//
// A trigger that stops leaves its group at once. A process that was killed can't:
// its partitions wait until the brokers have not heard of it for session_timeout,
// by default 45 seconds. A shorter one gives them away sooner, also when a process
// is only slow.
//
//	with: {brokers: [localhost:9092], topics: [orders], group: billing, batch: {max: 500, wait: 1s}}
//	inputs: {orders: "${{ trigger.body }}"}
//
// With batch, a run is started for several messages of one partition: for max of
// them, for what has come in the time wait, or for 1 MiB. The body is the list of
// them, each with topic, partition, offset, timestamp, key, header and value; the
// attributes are topic, partition, first and last, which are offsets, and count. The
// workflow takes them as an input of the type string, in whose expressions
// json(inputs.orders) is the list.
//
// The borders of a batch are kept in the store before its run is started, and its
// offset is committed before the next batch of the partition begins. So messages that
// come again make the batch again that they were part of, whatever has come since;
// it is known by topic, partition and borders, and starts nothing if it has. Only
// what another store knows, as when the partition was with the trigger of another
// node for a time, or an offset that an operator has set back further, can start a run
// with a message that was in one before.
package kafka

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node types source.kafka and sink.kafka, and the kind kafka of
// triggers.
func Register(r *workflow.Registry) {
	r.Add(sourceType, sinkType)
	r.AddTriggers(triggerType)
}
