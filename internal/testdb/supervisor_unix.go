//go:build unix

package testdb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// keep removes the directory $1 once nobody holds the writing end of the pipe
// on file descriptor 3 any more. The test process holds it, and so does every
// process that runs in the directory: none of them is left by then, in whatever
// way each of them ended.
const keep = `
read -r _ <&3
rm -rf "$1"
`

// supervise runs a program until it ends by itself or the pipe on file
// descriptor 3 closes, and then ends it by the signal $1. The test process holds
// the pipe's only writing end, so that the kernel closes it however that
// process ends: by return, by panic, by a timeout or by SIGKILL.
//
// The signal is sent again until it has been heard: a server that has only
// just begun does not listen yet.
//
// A word in the pipe is the order to crash: the program and its children die
// at once, the program being stopped first so that it does not see them die.
const supervise = `
trap : PIPE # nobody reads what this script has to say of a killed program, once the test process is gone
signal=$1; shift
"$@" 3<&- &
server=$!
(
	if read -r _ <&3; then
		kill -STOP "$server"
		kill -KILL $(pgrep -P "$server") "$server"
	fi
	while kill "-$signal" "$server"; do sleep 1; done
) >/dev/null 2>&1 &
wait "$server"; status=$?
trap : TERM
kill -TERM 0 # the watcher
[ "$status" = 0 ] && exit
echo "ended with status $status"
kill -KILL 0 # the helpers that it left behind, some of which block SIGTERM
`

// home is a directory for servers and their files.
type home struct {
	dir     string
	owner   *syscall.Credential // nil: this process's own user
	held    *os.File            // every process of the home has it open
	removed chan struct{}       // closed when the directory is gone
}

// newHome makes a directory in the parent, or where temporary files are if that is "". Many
// servers refuse to run as root, who therefore hands it to the named account, if one is; that
// account may be unable to enter root's TMPDIR, but can enter /tmp.
func newHome(parent, account string) (*home, error) {
	h := &home{removed: make(chan struct{})}
	if os.Geteuid() == 0 && account != "" {
		var err error
		if h.owner, err = credential(account); err != nil {
			return nil, err
		}
		parent = cmp.Or(parent, "/tmp")
	}
	var err error
	if h.dir, err = os.MkdirTemp(parent, "gormoauth-testdb-"); err != nil {
		return nil, err
	}
	if h.owner != nil {
		err = os.Chown(h.dir, int(h.owner.Uid), int(h.owner.Gid))
	}
	if err == nil {
		err = h.keep()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(h.dir))
	}
	return h, nil
}

func credential(account string) (*syscall.Credential, error) {
	found, err := user.Lookup(account)
	if err != nil {
		return nil, fmt.Errorf("the user %s, for a server that refuses to run as root, is %w", account, errMissing)
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (h *home) keep() error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd := h.command(keep, h.dir)
	cmd.ExtraFiles = []*os.File{read}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, write.Close())
	}
	h.held = write
	go func() {
		_ = cmd.Wait()
		close(h.removed)
	}()
	return nil
}

// command runs a script, in a session of its own: an interrupt typed at the
// terminal ends the tests, and they end their servers. What it writes in passing
// goes to its home, as its user may be unable to enter this process's TMPDIR.
func (h *home) command(script string, arguments ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, arguments...)...) //nolint:gosec,noctx // the programs are those that were found, and live as long as this process
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+h.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.owner, Setsid: true}
	return cmd
}

// remove removes the directory when the last process in it has ended.
func (h *home) remove() {
	_ = h.held.Close()
	waitFor(h.removed)
}

// process is a program that runs in a home.
type process struct {
	log    output
	alive  *os.File      // closing it ends the program
	exited chan struct{} // closed when it and all its children have ended
	err    error         // how it ended
}

// start runs a program, which ends by the signal when this process ends.
func (h *home) start(signal string, program ...string) (*process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	p := &process{alive: write, exited: make(chan struct{})}
	cmd := h.command(supervise, append([]string{signal}, program...)...)
	// Since the output is no file but a pipe to here, Wait waits for the last
	// process that holds it.
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.ExtraFiles = []*os.File{read, h.held}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	go func() {
		p.err = cmd.Wait()
		_ = write.Close()
		close(p.exited)
	}()
	return p, nil
}

// run runs a program to its end, and returns its output.
func (h *home) run(ctx context.Context, program ...string) ([]byte, error) {
	p, err := h.start("KILL", program...)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.exited:
		err = p.err
	case <-ctx.Done():
		p.stop()
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", program[0], err, p.log.Bytes())
	}
	return p.log.Bytes(), nil
}

// stop ends the program and waits until it has ended.
func (p *process) stop() {
	_ = p.alive.Close()
	waitFor(p.exited)
}

// crash kills the program and its children, and waits until they have ended.
func (p *process) crash() {
	_, _ = p.alive.WriteString("crash\n") // fails when it has ended by itself
	waitFor(p.exited)
}

func waitFor(done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(30 * time.Second):
	}
}

// output is what a program has written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

// Bytes returns the end of it, which says what went wrong.
func (o *output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := bytes.TrimSpace(o.text.Bytes())
	return bytes.Clone(text[max(0, len(text)-8<<10):])
}
