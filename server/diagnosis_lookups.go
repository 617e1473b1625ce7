package server

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/gormoauth/gormoauth/internal/construct"
	"github.com/gormoauth/gormoauth/server/finding"
)

// lookUpLimit is how long the lookups of a diagnosis may take in total.
const lookUpLimit = 10 * time.Second

// diagnoseLookUps looks up a client and users that do not exist.
func (s *Server) diagnoseLookUps(ctx context.Context) (findings finding.List) {
	ctx, cancel := context.WithTimeout(ctx, lookUpLimit)
	defer cancel()
	findings = finding.LookUp("Config.QueryClient", func() (bool, error) {
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
func (s *Server) diagnoseQueryUser(ctx context.Context) finding.List {
	const where = "Config.QueryUser"
	var failed []error
	for _, id := range []string{"0", "00000000-0000-0000-0000-000000000000", rand.Text()} {
		others, err := finding.Safely(func() (bool, error) {
			user, err := s.config.QueryUser(ctx, id)
			return err == nil && !IsNilUser(user) && user.GetUserID() != id, err
		})
		if others {
			return finding.List{finding.LookUpFinds(where)}
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
		return finding.List{finding.LookUpFails(where, reason)}
	}
	return nil
}
