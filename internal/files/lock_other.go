//go:build !unix || aix || solaris

package files

import "os"

// lock does nothing: these systems have no flock.
func lock(*os.File) (held bool, err error) { return false, nil }

func unlock(*os.File) error { return nil }
