//go:build !unix

package testdb

import (
	"context"
	"fmt"
)

// errNoSupervisor: on this system no private server would end with the process
// that started it.
var errNoSupervisor = fmt.Errorf("what ends private servers, a Unix shell, is %w", errMissing)

type home struct{ dir string }

func newHome(string, string) (*home, error) { return nil, errNoSupervisor }

func (*home) remove() {}

func (*home) start(string, ...string) (*process, error) { return nil, errNoSupervisor }

func (*home) run(context.Context, ...string) ([]byte, error) { return nil, errNoSupervisor }

type process struct {
	log    output
	exited chan struct{}
}

func (*process) stop() {}

func (*process) crash() {}

type output struct{}

func (*output) Bytes() []byte { return nil }
