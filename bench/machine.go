package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine describes where the figures come from.
func machine(w *workplace, engines []engine) string {
	lines := []string{
		fmt.Sprintf("%d × %s", runtime.NumCPU(), fileValue("/proc/cpuinfo", "model name")),
		fileValue("/proc/meminfo", "MemTotal") + " of memory",
		"Linux " + command("uname", "-r"), runtime.Version(),
	}
	for _, e := range engines {
		if e.server != "" {
			lines = append(lines, e.name+" "+e.server)
		}
		if e.oidcProvider != "" {
			lines = append(lines, "Node.js "+command("node", "--version"))
		}
	}
	return strings.Join(append(lines, "databases on "+fileSystem(w.dir)+", where an fsync takes "+milliseconds(fsyncTime(w.dir))+" ms"), "; ")
}

func fileValue(path, key string) string {
	text, _ := os.ReadFile(path) //nolint:gosec // of /proc
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func command(name string, args ...string) string {
	output, err := exec.Command(name, args...).Output() //nolint:gosec,noctx // uname, node
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}

// fileSystem is the type of the mount that a directory is on.
func fileSystem(dir string) string {
	text, _ := os.ReadFile("/proc/mounts")
	kind, longest := "unknown", 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || len(fields[1]) < longest {
			continue
		}
		if point := strings.TrimSuffix(fields[1], "/"); strings.HasPrefix(dir, point+"/") {
			kind, longest = fields[2], len(fields[1])
		}
	}
	return kind
}

// fsyncTime is what a commit cannot be faster than.
func fsyncTime(dir string) time.Duration {
	file, err := os.Create(filepath.Join(dir, "fsync")) //nolint:gosec // in the workplace
	if err != nil {
		return 0
	}
	defer file.Close()
	var all []time.Duration
	for range 50 {
		_, _ = file.Write(make([]byte, 4096))
		began := time.Now()
		_ = file.Sync()
		all = append(all, time.Since(began))
	}
	return median(all)
}
