package soak

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// program is one instance: a process, and its client.
type program struct {
	*client
	setting setting
	cmd     *exec.Cmd
	stdin   io.Closer
	log     bytes.Buffer
}

// startProgram starts an instance. The process ends with the test.
func startProgram(t *testing.T, s setting) *program {
	t.Helper()
	p := &program{client: newClient(t), setting: s}
	if err := p.start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("an instance logged\n%s", p.log.String())
		}
	})
	return p
}

func (p *program) start() error {
	text, err := json.Marshal(p.setting)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), instanceVariable+"="+string(text))
	p.log.Reset()
	p.cmd.Stderr = &p.log
	if p.setting.Mount != "" {
		inNamespace(p.cmd)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.kill()
		return &exec.Error{Name: p.log.String(), Err: err}
	}
	p.address.Store(strings.TrimSpace(address))
	return nil
}

// kill ends the process by SIGKILL.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}
