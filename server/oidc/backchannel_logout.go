package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// LogoutStorage is the outbox of logouts. [SessionStorage] adds to it.
type LogoutStorage interface {
	// DueLogouts returns up to limit logouts that are due.
	DueLogouts(ctx context.Context, now time.Time, limit int) ([]models.LogoutMixin, error)
	// ClaimLogout sets the time when a logout is due next, and increments its number of
	// attempts, unless another caller did so since it was read. Of several concurrent
	// callers, only one wins.
	ClaimLogout(ctx context.Context, logout *models.LogoutMixin, next time.Time) (won bool, err error)
	// DeleteLogout deletes a logout.
	DeleteLogout(ctx context.Context, logoutID string) error
}

// FairLogoutStorage is a [LogoutStorage] that can leave out some clients, so that clients
// that do not respond, or have many logouts, do not delay the others.
type FairLogoutStorage interface {
	LogoutStorage
	// DueLogoutsExcept is like DueLogouts, without the logouts of clientIDs.
	DueLogoutsExcept(ctx context.Context, now time.Time, limit int, clientIDs []string) ([]models.LogoutMixin, error)
}

const (
	backChannelLogoutURI  = "backchannel_logout_uri"
	frontChannelLogoutURI = "frontchannel_logout_uri"

	logoutEvent     = "http://schemas.openid.net/event/backchannel-logout"
	logoutTokenLife = 2 * time.Minute

	logoutBatch    = 64
	logoutsOfOne   = 8 // logouts of one client in a batch
	logoutLooks    = 4 // queries of the outbox for one batch
	logoutWorkers  = 8
	logoutPause    = 5 * time.Second // between two queries of the outbox
	firstFailure   = time.Second     // the pause after the outbox failed; it doubles each time
	longestFailure = 5 * time.Minute
	firstRetry     = 30 * time.Second
	slowestRetry   = time.Hour
	maxRetryDouble = 7
)

// DeliverLogouts sends clients logout tokens for ended sessions (OpenID Connect
// Back-Channel Logout 1.0), until ctx is done. Run it in a goroutine beside the server. It
// may run on any number of instances: each logout is sent by one instance at a time, and
// retried until the client responds or the logout expires, so a client may be told more
// than once. While the outbox cannot be read or written, the pause between tries grows to
// five minutes.
func (p *Provider) DeliverLogouts(ctx context.Context) {
	if p.server == nil || p.Logouts == nil {
		return
	}
	failure := firstFailure
	for ctx.Err() == nil {
		batch, err := p.deliverBatch(ctx)
		pause, wake := logoutPause, p.wake
		switch {
		case err != nil && ctx.Err() == nil:
			p.server.Logger().ErrorContext(ctx, "logouts could not be delivered", slog.String("cause", err.Error()), slog.Duration("pause", failure))
			pause, failure, wake = failure, min(2*failure, longestFailure), nil // the end of a session does not cut this pause short
		case batch.told > 0 && batch.more:
			failure = firstFailure
			continue
		default:
			failure = firstFailure
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(pause):
		}
	}
}

// wakeUp makes DeliverLogouts query the outbox at once.
func (p *Provider) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// DeliverDueLogouts sends one batch of due logouts, with only a few of each client, and
// returns how many it tried. Use it instead of DeliverLogouts in a program with its own
// scheduler.
func (p *Provider) DeliverDueLogouts(ctx context.Context) (looked int, err error) {
	if p.server == nil {
		return 0, ErrNotRegistered
	}
	if p.Logouts == nil {
		return 0, errors.New("oidc: Provider.Logouts is missing, so there is nothing to deliver")
	}
	batch, err := p.deliverBatch(ctx)
	return batch.looked, err
}

// delivered is the result of a batch.
type delivered struct {
	looked, told int
	more         bool // to tell
}

// deliverBatch sends one batch. It stops when the outbox fails.
func (p *Provider) deliverBatch(ctx context.Context) (result delivered, err error) {
	batch, more, err := p.dueLogouts(ctx)
	if err != nil {
		return result, err
	}
	result.more = more
	queue := make(chan []models.LogoutMixin, len(batch))
	for _, ofOne := range batch {
		queue <- ofOne
	}
	close(queue)
	var mu sync.Mutex
	var failure error
	note := func(outcome outcome, err error) (goOn bool) {
		mu.Lock()
		defer mu.Unlock()
		result.looked++
		if outcome == clientTold {
			result.told++
		}
		failure = errors.Join(failure, err)
		return failure == nil && ctx.Err() == nil
	}
	var workers sync.WaitGroup
	for range min(logoutWorkers, len(batch)) {
		workers.Go(func() {
			for ofOne := range queue {
				for i := range ofOne {
					outcome, err := p.deliver(ctx, &ofOne[i])
					if !note(outcome, err) {
						return
					}
					if outcome == clientSilent { // its next logout would fail as well
						break
					}
				}
			}
		})
	}
	workers.Wait()
	return result, failure
}

// dueLogouts returns due logouts, grouped by client: a few of each client, and none of
// clients that recently did not respond. more is whether there are further ones.
func (p *Provider) dueLogouts(ctx context.Context) (batch [][]models.LogoutMixin, more bool, err error) {
	now := p.server.Now()
	silent := p.silent.now(now)
	at := make(map[string]int) // in the batch, by client
	for total, look := 0, 0; ; look++ {
		except := slices.AppendSeq(slices.Clone(silent), maps.Keys(at))
		page, fair, err := p.lookForLogouts(ctx, now, except)
		if err != nil {
			return nil, false, err
		}
		for _, logout := range page {
			id := logout.GetClientID()
			if slices.Contains(except, id) {
				continue
			}
			i, known := at[id]
			if !known {
				i = len(batch)
				at[id], batch = i, append(batch, nil)
			}
			if len(batch[i]) == logoutsOfOne || total == logoutBatch {
				more = true
				continue
			}
			batch[i], total = append(batch[i], logout), total+1
		}
		switch {
		case len(page) < logoutBatch:
			return batch, more, nil
		case !fair, total == logoutBatch, look == logoutLooks-1:
			return batch, true, nil
		}
	}
}

// lookForLogouts returns due logouts. fair is whether the storage left out those of except.
func (p *Provider) lookForLogouts(ctx context.Context, now time.Time, except []string) (page []models.LogoutMixin, fair bool, err error) {
	if storage, ok := p.Logouts.(FairLogoutStorage); ok {
		page, err = storage.DueLogoutsExcept(ctx, now, logoutBatch, except)
		return page, true, err
	}
	page, err = p.Logouts.DueLogouts(ctx, now, logoutBatch)
	return page, false, err
}

// outcome is the result of telling a client.
type outcome int

const (
	nothingTold  outcome = iota // an internal failure, or another instance tells it
	clientTold                  // or the client has no logout URI
	clientSilent                // it did not answer
)

// deliver tells one client, and deletes the logout once the client has responded.
func (p *Provider) deliver(ctx context.Context, logout *models.LogoutMixin) (outcome, error) {
	retry := min(firstRetry<<min(logout.Attempts, maxRetryDouble), slowestRetry)
	won, err := p.Logouts.ClaimLogout(ctx, logout, p.server.Now().Add(retry))
	if err != nil || !won {
		return nothingTold, err
	}
	client, err := p.server.QueryClient(ctx, logout.GetClientID())
	if err != nil {
		return nothingTold, err
	}
	address := p.addressOf(ctx, client, backChannelLogoutURI)
	if address == nil {
		return clientTold, p.Logouts.DeleteLogout(ctx, logout.LogoutID)
	}
	told := p.tell(ctx, client, logout, address.String())
	switch {
	case told == nil:
		p.silent.answered(logout.GetClientID())
		return clientTold, p.Logouts.DeleteLogout(ctx, logout.LogoutID)
	case ctx.Err() != nil:
		return nothingTold, ctx.Err()
	case errors.Is(told, storage.ErrUnavailable): // not the client's fault
		return nothingTold, told
	}
	p.silent.failed(logout.GetClientID(), p.server.Now())
	level, message := slog.LevelWarn, "a client could not be told of a logout; delivery will be retried"
	if p.server.Now().Add(retry).Unix() >= logout.ExpiresAt {
		level, message = slog.LevelError, "a client could not be told of a logout; delivery will not be retried"
	}
	p.server.Logger().Log(ctx, level, message,
		slog.String("client_id", logout.GetClientID()), slog.Int64("attempt", logout.Attempts+1), slog.String("cause", told.Error()))
	return clientSilent, nil
}

// silentClients are the clients that did not respond. This instance skips them for a while,
// longer each time, so that an unreachable client costs little however many logouts wait
// for it.
type silentClients struct {
	mu      sync.Mutex
	clients map[string]silence
}

type silence struct {
	until  time.Time
	lasted time.Duration
}

const (
	firstSilence     = 5 * time.Second
	longestSilence   = 10 * time.Minute
	maxSilentClients = 200
)

// failed records that a client did not respond.
func (s *silentClients) failed(clientID string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients == nil {
		s.clients = make(map[string]silence)
	}
	lasts := min(max(2*s.clients[clientID].lasted, firstSilence), longestSilence)
	s.clients[clientID] = silence{now.Add(lasts), lasts}
	for id := range s.clients {
		if len(s.clients) <= maxSilentClients {
			break
		}
		delete(s.clients, id)
	}
}

// answered records that a client responded.
func (s *silentClients) answered(clientID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, clientID)
}

// now returns the clients to skip.
func (s *silentClients) now(now time.Time) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, silence := range s.clients {
		if now.Before(silence.until) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// tell posts a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.5).
func (p *Provider) tell(ctx context.Context, client storage.Client, logout *models.LogoutMixin, address string) error {
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
		err = fmt.Errorf("it responded with status %d", status)
	}
	return err
}
