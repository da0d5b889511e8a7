//go:build !unix

package telemetry

import "time"

// processCPU is unknown here; handlers' time then counts in full.
func processCPU() time.Duration { return -1 }
