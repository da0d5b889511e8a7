// Package telemetry shows a running system to those who operate it: metrics for
// Prometheus, log records, health answers, and a watchdog that raises alerts.
// It is the only package that imports Prometheus; the runtime below knows
// nothing of it, and pays nothing for it between two looks.
//
//	file, err := telemetry.OpenLogFile(telemetry.LogFileOptions{Path: "logs/troupe.log"})
//	log := telemetry.NewLogger(file, &level)
//	sys := actor.NewSystem(actor.Options{Logger: log})
//
//	metrics := telemetry.NewMetrics(sys)
//	health := telemetry.NewHealth(sys)
//	watchdog := telemetry.NewWatchdog(sys, telemetry.WatchdogOptions{Logger: log})
//	health.SetWatchdog(watchdog)
//
//	err = metrics.WatchRuns(sys)
//	mux.Handle("/metrics", metrics.Handler(log))
//	mux.Handle("/", health.Handler()) // /health, /ready, /healthz
//
// # Where to look
//
//	log.go       the logger: trace and error keys on every record
//	logfile.go   the file it writes to, set aside daily
//	metrics.go   /metrics: actors, runtime, process
//	runs.go      /metrics: workflow runs
//	check.go     what /ready asks
//	health.go    /health, /ready, /healthz
//	report.go    what /healthz says of the tree
//	alert.go     rules, limits, alerts
//	detector.go  which figures are alarming: pure
//	blame.go     which actor is to blame for processor time and memory: pure
//	watchdog.go  takes samples, carries out what the detector decides
package telemetry
