package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// LogoutStorage is the outbox of logouts. [SessionStorage] fills it.
type LogoutStorage interface {
	// DueLogouts returns some of the logouts of which it is time to tell the client.
	DueLogouts(ctx context.Context, now time.Time, limit int) ([]models.LogoutMixin, error)
	// ClaimLogout sets when a logout is due next, and counts one attempt more, unless
	// somebody else did so since it was read. Of any number of callers, one wins.
	ClaimLogout(ctx context.Context, logout *models.LogoutMixin, next time.Time) (won bool, err error)
	// DeleteLogout forgets a logout.
	DeleteLogout(ctx context.Context, logoutID string) error
}

const (
	backChannelLogoutURI  = "backchannel_logout_uri"
	frontChannelLogoutURI = "frontchannel_logout_uri"

	logoutEvent     = "http://schemas.openid.net/event/backchannel-logout"
	logoutTokenLife = 2 * time.Minute

	logoutBatch    = 64
	logoutWorkers  = 8
	logoutPause    = 5 * time.Second // between two looks at the outbox
	firstRetry     = 30 * time.Second
	slowestRetry   = time.Hour
	maxRetryDouble = 7
)

// DeliverLogouts tells clients of the sessions that ended (OpenID Connect
// Back-Channel Logout 1.0), until ctx ends: run it beside the server. It may run on
// any number of instances: each logout is told by one at a time, again and again
// until the client answers, so that a client may be told twice, and never not at all.
func (p *Provider) DeliverLogouts(ctx context.Context) {
	if p.server == nil || p.Logouts == nil {
		return
	}
	for ctx.Err() == nil {
		told, err := p.DeliverDueLogouts(ctx)
		if err != nil && ctx.Err() == nil {
			p.server.Logger().ErrorContext(ctx, "logouts could not be delivered", slog.String("cause", err.Error()))
		}
		if told == logoutBatch {
			continue
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-time.After(logoutPause):
		}
	}
}

// wakeUp has DeliverLogouts look at once.
func (p *Provider) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// DeliverDueLogouts tells the clients of the logouts that are due, some at a time, and
// returns how many it looked at: for a program that has its own way to do things now
// and then.
func (p *Provider) DeliverDueLogouts(ctx context.Context) (looked int, err error) {
	if p.server == nil {
		return 0, ErrNotRegistered
	}
	if p.Logouts == nil {
		return 0, errors.New("oidc: Provider.Logouts is missing: there is nothing to deliver")
	}
	due, err := p.Logouts.DueLogouts(ctx, p.server.Now(), logoutBatch)
	if err != nil {
		return 0, err
	}
	faults := make([]error, len(due))
	queue := make(chan int)
	var workers sync.WaitGroup
	for range min(logoutWorkers, len(due)) {
		workers.Go(func() {
			for i := range queue {
				faults[i] = p.deliver(ctx, &due[i])
			}
		})
	}
	for i := range due {
		queue <- i
	}
	close(queue)
	workers.Wait()
	return len(due), errors.Join(faults...)
}

// deliver tells one client, and forgets the logout once it has answered.
func (p *Provider) deliver(ctx context.Context, logout *models.LogoutMixin) error {
	retry := min(firstRetry<<min(logout.Attempts, maxRetryDouble), slowestRetry)
	won, err := p.Logouts.ClaimLogout(ctx, logout, p.server.Now().Add(retry))
	if err != nil || !won {
		return err
	}
	client, err := p.server.QueryClient(ctx, logout.GetClientID())
	if err != nil {
		return err
	}
	address := p.addressOf(ctx, client, backChannelLogoutURI)
	if address == nil {
		return p.Logouts.DeleteLogout(ctx, logout.LogoutID)
	}
	told := p.tell(ctx, client, logout, address.String())
	if told == nil {
		return p.Logouts.DeleteLogout(ctx, logout.LogoutID)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	level, message := slog.LevelWarn, "a client could not be told of a logout, and will be again"
	if p.server.Now().Add(retry).Unix() >= logout.ExpiresAt {
		level, message = slog.LevelError, "a client could not be told of a logout, and will not be any more"
	}
	p.server.Logger().Log(ctx, level, message,
		slog.String("client_id", logout.GetClientID()), slog.Int64("attempt", logout.Attempts+1), slog.String("cause", told.Error()))
	return nil
}

// tell posts a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.5).
func (p *Provider) tell(ctx context.Context, client server.Client, logout *models.LogoutMixin, address string) error {
	now := p.server.Now()
	token, err := p.answer("id_token").Sign(ctx, client, now, "logout+jwt", map[string]any{
		"iss": p.server.Issuer(), "aud": client.GetClientID(), "iat": now.Unix(), "exp": now.Add(logoutTokenLife).Unix(),
		"jti": logout.LogoutID, "sub": logout.Subject, "sid": logout.SID, "events": map[string]any{logoutEvent: struct{}{}},
	})
	if err != nil {
		return err
	}
	status, err := p.Fetcher.Post(ctx, address, url.Values{"logout_token": {token}})
	if err == nil && status != http.StatusOK && status != http.StatusNoContent {
		err = fmt.Errorf("it answers with %d", status)
	}
	return err
}
