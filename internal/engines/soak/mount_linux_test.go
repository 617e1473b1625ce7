package soak

import (
	"os"
	"os/exec"
	"syscall"
)

// mount gives the process a file system of its own, which fills soon.
func mount(dir string) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256m")
}

// inNamespace lets the process mount, where the system allows that.
func inNamespace(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}
