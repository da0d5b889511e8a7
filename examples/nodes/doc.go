// Package nodes has examples of workflows: each type of nodes is in at least one
// of them. A test runs them all, and compares what they do with the files in
// testdata.
//
//	files.yaml       source.csv, .json, .jsonl, .text; sink.csv, .jsonl, .parquet
//	parquet.yaml     source.parquet, sink.console
//	rows.yaml        source.memory, .sequence; filter, map, select, rename, sort,
//	                 limit, distinct, batch, throttle
//	groups.yaml      aggregate, window, join
//	query.yaml       sql, jq
//	database.yaml    sink.sql, source.sql
//	http.yaml        source.http, sink.http, task.http
//	kafka.yaml       sink.kafka, source.kafka
//	batches.yaml     a trigger that starts a run for each batch of messages of Kafka
//	posts.yaml       source.webhook
//	watch.yaml       source.watch
//	control.yaml     value, branch, loop, foreach, sleep, task.shell
//	people.yaml      approval, wait
//	trip.yaml        undo: what was done is undone when a later node fails
//	orders.yaml      workflow: runs order.yaml for each order
//
// Run one with
//
//	troupe run examples/nodes/rows.yaml
package nodes
