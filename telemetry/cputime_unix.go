//go:build unix

package telemetry

import (
	"syscall"
	"time"
)

// processCPU is the processor time that the process has used in user mode, or
// negative if it can't be known. Time in the kernel does not count: it is not
// spent in handlers' code.
func processCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return -1
	}
	return time.Duration(usage.Utime.Nano())
}
