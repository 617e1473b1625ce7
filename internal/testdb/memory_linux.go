package testdb

import (
	"bufio"
	"fmt"
	"os"
	"syscall"
)

// enough is what has to be free, in bytes, for databases to be in memory: several times what
// the packages that run side by side have been seen to use.
const enough = 6 << 30

// inMemory returns a directory of a file system in memory that has room for databases, or onDisk
// if there is none.
func inMemory() string {
	if leftOut("memory") {
		return onDisk
	}
	const directory, tmpfs = "/dev/shm", 0x01021994
	var system syscall.Statfs_t
	if err := syscall.Statfs(directory, &system); err != nil || system.Type != tmpfs {
		return onDisk
	}
	//nolint:gosec,unconvert // its type depends on the architecture
	if system.Bavail*uint64(system.Bsize) < enough || available() < enough || syscall.Access(directory, 7) != nil {
		return onDisk
	}
	return directory
}

// available returns how many bytes of memory programs can still get, or 0 if the system does
// not say.
func available() uint64 {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer file.Close()
	var kilobytes uint64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kilobytes); n == 1 {
			break
		}
	}
	return kilobytes << 10
}
