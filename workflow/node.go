package workflow

import "context"

// The engine calls the methods of one node from one goroutine at a time, in
// the order stated at each interface. A context given to a method ends when
// the run is cancelled or fails elsewhere; a method that blocks must return
// soon after. An error fails the run: rows that merely cannot be processed are
// returned as rejects instead.

// Source reads rows from outside.
type Source interface {
	// Open is called once, before the first Read.
	Open(ctx context.Context) error
	// Read returns up to max rows, and the rows that it had to set aside on
	// the way. It returns io.EOF after the last row; the call that returns
	// io.EOF may carry rows and rejects, too, and they count. A Read without
	// rows, rejects and error is allowed: it is called again.
	Read(ctx context.Context, max int) (Batch, []Reject, error)
	// Close is called once after Open, whether or not Open or a Read failed.
	Close() error
}

// Counter is an optional ability of a [Source]: RowsRead is the number of rows
// met so far in the input, good or bad. At the end of a run the engine checks
// that each of them was passed on or set aside.
type Counter interface {
	RowsRead() int64
}

// Acknowledger is an optional ability of a [Source] whose input notes what was
// taken from it, such as a queue. Acknowledge is called once every sink that the
// rows go to has committed. If the process dies before, or Acknowledge fails, the
// work is done again under the same [Env.Key]: the source has to give the same
// rows, see [Journal], the sinks have them already, and Acknowledge is called
// again. So it must be repeatable. Its context does not end with the run's.
type Acknowledger interface {
	Acknowledge(ctx context.Context) error
}

// Transform turns batches into batches.
type Transform interface {
	// Apply handles one batch. The engine checks that every row of it is
	// accounted for, see [Output].
	Apply(ctx context.Context, in Batch) (Output, error)
	// Flush is called once, after the last Apply of a run in which every
	// input has ended. It returns what is still held, such as the groups of
	// an aggregate. The engine cuts it into batches of the run's size.
	Flush(ctx context.Context) (Output, error)
}

// Output is what a [Transform] made of a batch. For Apply, the rows of the
// input are conserved:
//
//	len(in.Rows) + Made = len(Batch.Rows) + rows in Side + len(Rejects) + Filtered + Held
//
// A violation is an INTERNAL error that fails the run. Flush may return any
// number of rows and rejects, all of them made; Made, Filtered and Held mean
// nothing there.
type Output struct {
	// Batch leaves by the handle "out". Its Schema is the one that the node
	// type promised when the definition was checked. It may be empty.
	Batch Batch
	// Side leaves by further handles of the node type, by name. Rows sent to
	// a handle that no edge leaves from count as filtered.
	Side map[string]Batch
	// Rejects are rows set aside.
	Rejects []Reject
	// Filtered is the number of rows dropped on purpose.
	Filtered int
	// Held is the number of rows taken into the transform's own state: summed
	// up, or kept back until Flush.
	Held int
	// Made is the number of rows among those given out that are not rows of
	// the input: those a row was expanded to, or a window that has closed.
	Made int
}

// InputEnder is an optional ability of a [Transform] whose type has named
// inputs.
type InputEnder interface {
	// InputEnded is called for each input after its last row, and before
	// Flush. What it returns counts as that of Flush does.
	InputEnded(ctx context.Context, input string) (Output, error)
}

// Sink writes rows to the outside, all or nothing: nothing of a run is visible
// before Commit, and after Abort nothing of it is left.
//
// It is also idempotent by [Env].Key. After a crash the engine runs the work
// again and gives the same key, not knowing how far it came before. So a Commit
// leaves the key where the rows are, in the same step: a database has it in a
// table, a file on its inode. A sink whose Open finds its key there takes no
// rows: Write and Commit then succeed without effect. What a process that died
// has left aside has a name that comes from the key, and is removed by Open. A
// run of several sinks that died between two commits thus completes with each
// of them applied once. Where the outside offers no place for a key, the node
// type's documentation says what is promised instead.
type Sink interface {
	// Open is called once, before the first Write. The schema is that of
	// every batch to come.
	Open(ctx context.Context, schema Schema) error
	// Write takes one batch.
	Write(ctx context.Context, batch Batch) error
	// Commit makes the run's rows visible. It is called once every node of
	// the run has come to its end without an error. If it fails, Abort is
	// called.
	Commit(ctx context.Context) error
	// Abort undoes everything. It is called instead of Commit, or after a
	// Commit that failed, and also after an Open that failed. Its context
	// does not end with the run's.
	Abort(ctx context.Context) error
}

// Preparer is an optional ability of a [Sink]. When a run has several sinks,
// all are prepared before the first is committed: Prepare does everything that
// may still fail, such as flushing and syncing a file, so that Commit is as
// short and sure as it can be.
type Preparer interface {
	Prepare(ctx context.Context) error
}

// Artifact tells where a sink's result is to be found.
type Artifact struct {
	// Type is the kind of store: "csv", "sqlite".
	Type string `json:"type"`
	// Path is the file's absolute path.
	Path string `json:"path,omitempty"`
	// Table is the table in Path, where it has tables.
	Table string `json:"table,omitempty"`
}

// overlaps reports whether two sinks that write both would be in each other's
// way.
func (a Artifact) overlaps(b Artifact) bool { return a.Path == b.Path && !a.shares(b) }

// shares reports whether two sinks can write to the same file.
func (a Artifact) shares(b Artifact) bool { return a.Type == b.Type && a.Table != b.Table }

// Producer is an optional ability of a [Sink]: it names what the sink writes.
// It is called after Open.
type Producer interface {
	Artifact() Artifact
}
