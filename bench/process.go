package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// process is a contestant that runs.
type process struct {
	name    string
	address string
	cmd     *exec.Cmd
	stdin   io.Closer
	log     bytes.Buffer
	once    sync.Once // stops it
}

// runs reports whether a contestant can run on the engine.
func (e engine) runs(name string) bool { return name != oidcProviderName || e.oidcProvider != "" }

// start runs a contestant in a process of its own. It ends with stop, or else
// with the workplace.
func (e engine) start(name, dsn string) (p *process, err error) {
	var cmd *exec.Cmd
	if name == oidcProviderName {
		cmd, err = oidcProviderCommand(e.oidcProvider, dsn)
	} else {
		var self string
		self, err = os.Executable()
		cmd = exec.Command(self, "serve", name, e.kind, dsn) //nolint:gosec,noctx // itself
	}
	if err != nil {
		return nil, err
	}
	if p, err = startCommand(name, cmd); err == nil {
		e.place.started(p)
	}
	return p, err
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

// stop ends the process, if it runs.
func (p *process) stop() {
	p.once.Do(func() {
		_ = p.stdin.Close()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
}
