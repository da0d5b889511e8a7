package main

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine is what a figure depends on apart from the code.
type machine struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	Go    string `json:"go"`
}

func describe() machine {
	return machine{CPU: cpuModel(), Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version()}
}

// cpuModel is the processor's name where the system tells it, else "unknown".
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// cpuTime is how long all cores together have been busy and in existence, in
// ticks of the kernel's accounting.
type cpuTime struct{ busy, total uint64 }

// readCPUTime is false where the kernel has no /proc/stat.
func readCPUTime() (cpuTime, bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTime{}, false
	}
	return parseCPUTime(string(text))
}

// parseCPUTime reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal; what follows is contained in those.
func parseCPUTime(stat string) (cpuTime, bool) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return cpuTime{}, false
	}
	var t cpuTime
	for i, field := range fields[1:9] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return cpuTime{}, false
		}
		t.total += n
		if i != 3 && i != 4 {
			t.busy += n
		}
	}
	return t, true
}

// foreignShare is the part of the machine, 0 to 1, that others used while a
// child ran for elapsed seconds and used ownSeconds of processor time itself.
func foreignShare(before, after cpuTime, elapsed, ownSeconds float64, cores int) float64 {
	if after.total <= before.total || elapsed <= 0 {
		return 0
	}
	busy := float64(after.busy-before.busy) / float64(after.total-before.total)
	return min(max(busy-ownSeconds/(elapsed*float64(cores)), 0), 1)
}
