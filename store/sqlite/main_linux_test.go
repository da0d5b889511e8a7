package sqlite_test

import (
	"flag"
	"os"
	"syscall"
	"testing"
)

// Tests have their files in memory where that has room: no test can cut the
// power, and short of that it is like a disk. Benchmarks have them on a disk.
func TestMain(m *testing.M) {
	flag.Parse()
	const memory, room = "/dev/shm", 4 << 30
	var fs syscall.Statfs_t
	bench := flag.Lookup("test.bench").Value.String() != ""
	if !bench && syscall.Statfs(memory, &fs) == nil && fs.Bavail*uint64(fs.Bsize) >= room {
		if err := os.Setenv("TMPDIR", memory); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
