package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// process is a contestant that runs.
type process struct {
	name    string
	address string
	cmd     *exec.Cmd
	stdin   io.Closer
	log     bytes.Buffer
}

// start runs a contestant in a process of its own.
func start(name, engine, dsn string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startCommand(name, exec.Command(self, "serve", name, engine, dsn)) //nolint:gosec,noctx // itself; it ends with stop
}

func startCommand(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd}
	cmd.Stderr = &p.log
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s did not start: %w\n%s", name, err, p.log.String())
	}
	p.address = strings.TrimSpace(line)
	return p, nil
}

// stop ends the process.
func (p *process) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
