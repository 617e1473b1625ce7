package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/construct"
)

// lookUpLimit is how long the lookups of a diagnosis may take in total.
const lookUpLimit = 10 * time.Second

// DiagnoseLookUp looks up something that does not exist, such as the digest of a token that was
// never issued, and returns a finding if the lookup fails or finds something. where names the
// function as the program knows it.
func DiagnoseLookUp(where string, lookUp func() (found bool, err error)) Findings {
	found, err := safely(lookUp)
	switch {
	case err != nil:
		return Findings{lookUpFails(where, err)}
	case found:
		return Findings{lookUpFinds(where)}
	default:
		return nil
	}
}

// safely turns a panic, such as that of a method called on a nil pointer, into an error.
func safely(lookUp func() (bool, error)) (found bool, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return lookUp()
}

func lookUpFails(where string, err error) Finding {
	return Finding{
		Check: "lookup", Severity: Grave, Where: where, Problem: "fails: " + strings.Join(strings.Fields(err.Error()), " "),
		Consequence: "every request that needs it fails", Remedy: "check the condition of the handle that it was made from, and its table",
	}
}

func lookUpFinds(where string) Finding {
	return Finding{
		Check: "lookup", Severity: Grave, Where: where, Problem: "finds something that does not exist",
		Consequence: "another row is used in its place", Remedy: "return nothing, and no error, for what is not there",
	}
}

// diagnoseLookUps looks up a client and users that do not exist.
func (s *Server) diagnoseLookUps(ctx context.Context) (findings Findings) {
	ctx, cancel := context.WithTimeout(ctx, lookUpLimit)
	defer cancel()
	findings = DiagnoseLookUp("Config.QueryClient", func() (bool, error) {
		client, err := s.config.QueryClient(ctx, rand.Text())
		return !construct.IsNil(client), err
	})
	if s.config.QueryUser == nil {
		return findings
	}
	return append(findings, s.diagnoseQueryUser(ctx)...)
}

// diagnoseQueryUser looks up an id of each kind, since the kind of the program's user ids is not
// known. A function of the program may return an error for an id of another kind.
func (s *Server) diagnoseQueryUser(ctx context.Context) Findings {
	const where = "Config.QueryUser"
	var failed []error
	for _, id := range []string{"0", "00000000-0000-0000-0000-000000000000", rand.Text()} {
		others, err := safely(func() (bool, error) {
			user, err := s.config.QueryUser(ctx, id)
			return err == nil && !IsNilUser(user) && user.GetUserID() != id, err
		})
		if others {
			return Findings{lookUpFinds(where)}
		}
		failed = append(failed, err)
	}
	takesText, fails := failed[2] == nil, 0
	var reason error
	for _, err := range failed {
		if err != nil {
			fails, reason = fails+1, err
		}
	}
	if fails == len(failed) || takesText && fails > 0 {
		return Findings{lookUpFails(where, reason)}
	}
	return nil
}
