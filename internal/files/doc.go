// Package files writes result files all or nothing and explains what goes
// wrong with files in words that tell a user what to do.
//
// A [Staged] file is written under a temporary name beside its final place and
// takes that place at [Staged.Commit], so that a reader of the final name sees
// the old content or the new one, never a part.
//
// A [Lock] on a file keeps two processes from using the same directory.
//
// [Explain] turns an error of the operating system into a [Reason] that callers
// map to their own codes, and a hint for the user.
package files
