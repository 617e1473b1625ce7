package attack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// honest are the clients that must not notice an attack. They all have one address.
type honest struct {
	t       *testing.T
	client  *client // signed in
	service *client
	access  string      // a user's
	own     string      // a service's
	refresh chan string // refresh tokens that nobody is using
}

// operation is something that honest clients do at a steady rate, whether or not
// the answers come.
type operation struct {
	name  string
	every time.Duration
	do    func(ctx context.Context) error
}

const concurrentRefreshes = 16

func newHonest(t *testing.T, p *program) *honest {
	t.Helper()
	h := &honest{t: t, client: p.clientAt("127.0.0.1"), service: p.clientAt("127.0.0.1"), refresh: make(chan string, concurrentRefreshes)}
	require.NoError(t, h.client.signIn(t.Context(), "alice", "wonderland"))
	for range concurrentRefreshes {
		_, refresh, err := h.client.tokens(t.Context())
		require.NoError(t, err)
		h.refresh <- refresh
	}
	access, _, err := h.client.tokens(t.Context()) // which no refresh replaces
	require.NoError(t, err)
	h.access = access
	own, err := h.ownToken(t.Context())
	require.NoError(t, err)
	h.own = own
	return h
}

func (h *honest) operations() []operation {
	return []operation{
		{"client credentials", 100 * time.Millisecond, h.clientCredentials},
		{"code flow, with its page", 250 * time.Millisecond, func(ctx context.Context) error {
			_, _, err := h.client.tokens(ctx)
			return err
		}},
		{"refresh", 200 * time.Millisecond, h.rotate},
		{"API call", 100 * time.Millisecond, func(ctx context.Context) error {
			return right(h.service.me(ctx, h.access))
		}},
		{"introspection", 200 * time.Millisecond, h.introspect},
		{"sign-in", 2 * time.Second, func(ctx context.Context) error {
			return h.service.withoutCookies().signIn(ctx, "alice", "wonderland")
		}},
		{"client with a slow secret", 2 * time.Second, func(ctx context.Context) error {
			return right(h.service.post(ctx, "/oauth/token", form("grant_type", "client_credentials"), basic(slowClient, slowSecret)))
		}},
	}
}

func right(a answer, err error) error {
	if err != nil {
		return err
	}
	return a.want(http.StatusOK)
}

func (h *honest) clientCredentials(ctx context.Context) error {
	_, err := h.ownToken(ctx)
	return err
}

func (h *honest) ownToken(ctx context.Context) (string, error) {
	a, err := h.service.post(ctx, "/oauth/token", form("grant_type", "client_credentials", "scope", "profile"), basic("demo-service", "demo-service-secret"))
	if err := right(a, err); err != nil {
		return "", err
	}
	token := a.member("access_token")
	if token == "" {
		return "", fmt.Errorf("no access token: %s", a)
	}
	return token, nil
}

func (h *honest) introspect(ctx context.Context) error {
	a, err := h.service.post(ctx, "/oauth/introspect", form("token", h.own), basic("demo-service", "demo-service-secret"))
	if err := right(a, err); err != nil {
		return err
	}
	if !strings.Contains(a.body, `"active":true`) {
		return fmt.Errorf("an active token is %s", a)
	}
	return nil
}

func (h *honest) rotate(ctx context.Context) error {
	token := <-h.refresh
	a, err := h.client.refresh(ctx, token)
	if err := right(a, err); err != nil {
		return err
	}
	h.refresh <- a.member("refresh_token")
	return nil
}

// work has every operation done at its rate until ctx ends, and each that has begun
// to its end. A wait begins when the operation was due: one that had to wait for
// others has waited.
func (h *honest) work(ctx context.Context) *figures {
	f := new(figures)
	var all sync.WaitGroup
	for _, op := range h.operations() {
		all.Go(func() {
			paced(ctx, op.every, func(_ int, due time.Time) {
				all.Go(func() {
					if err := op.do(context.WithoutCancel(ctx)); err != nil {
						h.t.Errorf("honest clients, %s: %v", op.name, err)
					}
					f.add(op.name, time.Since(due))
				})
			})
		})
	}
	all.Wait()
	return f
}

// paced calls f again and again until ctx ends, at a steady rate and at random times
// (a Poisson process): people, programs and strangers do not keep in step with each
// other. f must not block.
func paced(ctx context.Context, every time.Duration, f func(n int, due time.Time)) {
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			f(n, due)
			due = due.Add(time.Duration(rand.ExpFloat64() * float64(every)))
		}
	}
}
