package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/storage"
)

// outbox is one of the program's own, which fails.
type outbox struct {
	due    []models.LogoutMixin
	fails  error
	looks  []time.Time
	claims atomic.Int64
}

func (o *outbox) DueLogouts(context.Context, time.Time, int) ([]models.LogoutMixin, error) {
	o.looks = append(o.looks, time.Now())
	if o.due == nil {
		return nil, o.fails
	}
	return o.due, nil
}

func (o *outbox) ClaimLogout(context.Context, *models.LogoutMixin, time.Time) (bool, error) {
	o.claims.Add(1)
	return false, o.fails
}

func (o *outbox) DeleteLogout(context.Context, string) error { return o.fails }

// While the outbox fails, whichever part of it, the worker looks less and less often, and
// what others do does not change that.
func TestTheWorkerPausesWhileItsOutboxFails(t *testing.T) {
	var full []models.LogoutMixin
	for i := range 64 {
		full = append(full, models.LogoutMixin{LogoutID: fmt.Sprint(i), ClientID: fmt.Sprint(i)})
	}
	for fault, storage := range map[string]*outbox{
		"it cannot be read":        {fails: errors.New("away")},
		"nothing can be claimed":   {fails: errors.New("read only"), due: full},
		"others claim all of them": {due: full},
	} {
		t.Run(fault, func(t *testing.T) {
			p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.Logouts = storage })
			if storage.fails == nil {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				p.oidc.DeliverLogouts(ctx)
				assert.Len(t, storage.looks, 1, "there is nothing to do for it")
				return
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				p.oidc.DeliverLogouts(ctx)
				var pauses []time.Duration
				for i := range len(storage.looks) - 1 {
					pauses = append(pauses, storage.looks[i+1].Sub(storage.looks[i]))
				}
				require.GreaterOrEqual(t, len(pauses), 12)
				for i, pause := range pauses {
					assert.Equal(t, min(time.Second<<i, 5*time.Minute), pause)
				}
				assert.LessOrEqual(t, storage.claims.Load(), int64(8*len(storage.looks)), "a batch ends with the first failure")
			})
		})
	}
}

// recovering is an outbox that fails, then has full batches, then fails again.
type recovering struct {
	outbox

	full []models.LogoutMixin
}

func (o *recovering) DueLogouts(context.Context, time.Time, int) ([]models.LogoutMixin, error) {
	o.looks = append(o.looks, time.Now())
	switch len(o.looks) {
	case 4, 5: // there is more
		return o.full, nil
	case 8: // there is none
		return nil, nil
	}
	return nil, errors.New("away")
}

func (*recovering) ClaimLogout(context.Context, *models.LogoutMixin, time.Time) (bool, error) {
	return true, nil
}

// Once the outbox works again, the pauses begin anew.
func TestTheWorkerForgetsFailuresThatAreOver(t *testing.T) {
	own := new(recovering)
	for i := range 64 {
		own.full = append(own.full, models.LogoutMixin{LogoutID: fmt.Sprint(i), ClientID: fmt.Sprint(i)})
	}
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	config := p.BareConfig()
	config.QueryClient = func(context.Context, string) (storage.Client, error) { return nil, nil }
	synctest.Test(t, func(t *testing.T) {
		srv, err := server.New(config)
		require.NoError(t, err)
		provider := &oidc.Provider{Keys: signingKeys(), Fetcher: fetch.New(fetch.Options{}), Logouts: own, Sessions: struct{ oidc.SessionStorage }{}}
		require.NoError(t, provider.Register(srv, p.Protector))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		provider.DeliverLogouts(ctx)
	})
	var pauses []time.Duration
	for i := range 9 {
		pauses = append(pauses, own.looks[i+1].Sub(own.looks[i]))
	}
	assert.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 0, 0, time.Second, 2 * time.Second, logoutPause, time.Second}, pauses)
}

// logoutPause is how long the worker waits while there is nothing to do.
const logoutPause = 5 * time.Second

// addLogouts writes logouts that are due into the outbox.
func addLogouts(t *testing.T, p *provider, clientID string, n int, due time.Time) {
	t.Helper()
	var rows []oauthtest.Logout
	for i := range n {
		rows = append(rows, oauthtest.Logout{LogoutMixin: models.LogoutMixin{
			LogoutID: fmt.Sprintf("%s %d", clientID, i), ClientID: clientID, SID: "s", Subject: "u", NextAttemptAt: due.Unix(), ExpiresAt: p.Now.Add(24 * time.Hour).Unix(),
		}})
	}
	require.NoError(t, p.DB.CreateInBatches(rows, 100).Error)
}

// A client that does not answer, however many logouts wait for it, keeps no other waiting,
// and is asked once, and then later and later.
func TestASilentClientHoldsUpNobody(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db, func(o *oidc.Provider) {
			o.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true, Timeout: 200 * time.Millisecond})
		})
		var asked, told atomic.Int64
		silent := p.client("backchannel_logout_uri", serve(t, func(_ http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			_ = r.ParseForm()
			<-r.Context().Done()
		}))
		good := p.client("backchannel_logout_uri", serve(t, func(http.ResponseWriter, *http.Request) { told.Add(1) }))
		addLogouts(t, p, silent.ClientID, 300, p.Now.Add(-time.Hour))
		addLogouts(t, p, good.ClientID, 3, p.Now)
		deliver := func() {
			looked, err := p.oidc.DeliverDueLogouts(t.Context())
			require.NoError(t, err)
			assert.LessOrEqual(t, looked, 8+1, "few of each client")
		}
		deliver()
		assert.EqualValues(t, 3, told.Load(), "it does not stand behind the backlog")
		assert.EqualValues(t, 1, asked.Load())
		deliver()
		assert.EqualValues(t, 1, asked.Load(), "it is left alone for a while")
		for i, want := range []int64{2, 2, 3} { // after 6, 12 and 18 seconds: the second pause is twice as long
			p.Now = p.Now.Add(6 * time.Second)
			deliver()
			assert.Equal(t, want, asked.Load(), i)
		}
		assert.EqualValues(t, 300, p.Rows(&oauthtest.Logout{}), "nothing is lost")
	})
}

// A client that was away and is back gets its backlog without a pause, and what nobody need be told of is deleted in the
// same way.
func TestABacklogIsDelivered(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	var told atomic.Int64
	client := p.client("backchannel_logout_uri", serve(t, func(http.ResponseWriter, *http.Request) { told.Add(1) }))
	addLogouts(t, p, client.ClientID, 100, p.Now)
	addLogouts(t, p, p.client().ClientID, 100, p.Now.Add(-time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.oidc.DeliverLogouts(ctx)
	}()
	assert.Eventually(t, func() bool { return told.Load() == 100 }, 20*time.Second, 10*time.Millisecond, "thirteen batches, and not one in five seconds")
	cancel()
	<-done
}

// The worker ends with its context, whatever a client does.
func TestTheWorkerEndsWithItsContext(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) {
		o.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true, Timeout: time.Hour})
	})
	asked := make(chan struct{}, 100)
	for range 20 {
		client := p.client("backchannel_logout_uri", serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm() // only then is it seen that the other end goes away
			asked <- struct{}{}
			<-r.Context().Done()
		}))
		addLogouts(t, p, client.ClientID, 10, p.Now)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.oidc.DeliverLogouts(ctx)
	}()
	for range 8 {
		<-asked
	}
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	assert.EqualValues(t, 200, p.Rows(&oauthtest.Logout{}), "and nothing is lost")
}
