// Package file watches folders: the node type source.watch, whose rows are the files
// that appear in a folder, and the kind file of triggers, which starts a run for
// each.
//
//	type: source.watch
//	with: {folder: /data/in, pattern: "*.csv", idle: 1m}
//
//	kind: file
//	with: {folder: /data/in, pattern: "*.csv"}
//	inputs: {file: "${{ trigger.attributes.path }}"}
//
// The folder is looked at again and again, which works on network disks as well,
// where notifications do not. A file counts once its size and time have not
// changed for a while, so that one that is being written is left alone. A name
// that begins with a dot counts only where the pattern does, as in a shell: it is
// how programs, the sinks of this one too, name what is not complete.
//
// # Source
//
// The run ends by the number of files, when none has come or changed for a time, at
// a time, or when it is told so by a signal without a payload
// ([workflow.RowsSignal]); as the rows of a run are visible when it has ended, one of
// these should happen. What a run has found is recorded in its history before it is
// passed on ([workflow.Journal]): after a crash it goes on with the same files, in
// the same order, and then with those that came meanwhile. A run takes up at most
// 100,000 files, in at most 900 looks that find some; then it ends, and what is left
// is for the next one.
//
// With remember, a file that was taken up by an earlier run of the same workflow and
// node is not there for later ones, unless it changes. That is noted once the sinks
// of the run have committed ([workflow.Acknowledger]), and kept in the store
// ([workflow.Memory]): a run that fails leaves its files to the next. Two runs at a
// time may both take up a new file, so let one begin after the other has ended, as a
// schedule does by its overlap policy.
//
// Of 100,000 files that are remembered, those that are gone and were taken up longest
// ago are forgotten first.
package file

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node type source.watch, and the kind file of triggers.
func Register(r *workflow.Registry) {
	r.Add(sourceType)
	r.AddTriggers(triggerType)
}
