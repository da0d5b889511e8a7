// Package measure holds the arithmetic of a benchmark: latency histograms,
// medians with their range, and the cost of a stretch of code in time and
// allocations. It knows nothing about actors.
package measure
