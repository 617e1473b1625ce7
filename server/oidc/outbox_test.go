package oidc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/storage"
)

// queue is an outbox of the program's own, whose logouts are always due. It remembers what
// it is asked.
type queue struct {
	rows []models.LogoutMixin

	mu      sync.Mutex
	looks   [][]string // the clients to leave out
	claimed map[string]int
	nexts   []time.Time
	deleted []string
	lost    bool // whether others claim everything
}

// enqueue adds n logouts of a client.
func (q *queue) enqueue(clientID string, n int) *queue {
	for range n {
		q.rows = append(q.rows, models.LogoutMixin{LogoutID: fmt.Sprint(len(q.rows)), ClientID: clientID, ExpiresAt: 2_000_000_000})
	}
	return q
}

func (q *queue) DueLogouts(ctx context.Context, now time.Time, limit int) ([]models.LogoutMixin, error) {
	return q.DueLogoutsExcept(ctx, now, limit, nil)
}

func (q *queue) DueLogoutsExcept(_ context.Context, _ time.Time, limit int, clientIDs []string) ([]models.LogoutMixin, error) {
	q.looks = append(q.looks, clientIDs)
	var due []models.LogoutMixin
	for _, row := range q.rows {
		if len(due) < limit && !slices.Contains(clientIDs, row.ClientID) {
			due = append(due, row)
		}
	}
	return due, nil
}

func (q *queue) ClaimLogout(_ context.Context, logout *models.LogoutMixin, next time.Time) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.claimed == nil {
		q.claimed = make(map[string]int)
	}
	q.claimed[logout.ClientID]++
	q.nexts = append(q.nexts, next)
	return !q.lost, nil
}

func (q *queue) DeleteLogout(_ context.Context, logoutID string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted = append(q.deleted, logoutID)
	return nil
}

// unfair is a queue that leaves out nobody.
type unfair struct{ q *queue }

func (u unfair) DueLogouts(ctx context.Context, now time.Time, limit int) ([]models.LogoutMixin, error) {
	return u.q.DueLogouts(ctx, now, limit)
}

func (u unfair) ClaimLogout(ctx context.Context, logout *models.LogoutMixin, next time.Time) (bool, error) {
	return u.q.ClaimLogout(ctx, logout, next)
}

func (u unfair) DeleteLogout(ctx context.Context, logoutID string) error {
	return u.q.DeleteLogout(ctx, logoutID)
}

// A batch has at most 64 logouts and 8 of each client, and is looked for at most four times.
func TestWhatABatchOfLogoutsHas(t *testing.T) {
	each := func(q *queue, clients, logouts int) *queue {
		for i := range clients {
			q.enqueue(fmt.Sprintf("c%03d", i), logouts)
		}
		return q
	}
	for rule, row := range map[string]struct {
		queue                *queue
		fair                 bool
		looks, clients, each int
	}{
		"nothing":                               {new(queue), true, 1, 0, 0},
		"a few":                                 {each(new(queue), 3, 3), true, 1, 3, 3},
		"8 of one":                              {each(new(queue), 1, 8), true, 1, 1, 8},
		"9 of one":                              {each(new(queue), 1, 9), true, 1, 1, 8},
		"a page of one":                         {each(new(queue), 1, 64), true, 2, 1, 8},
		"pages of two":                          {each(new(queue), 2, 64), true, 3, 2, 8},
		"pages of many":                         {each(new(queue), 9, 64), true, 4, 4, 8},
		"one of each":                           {each(new(queue), 65, 1), true, 1, 64, 1},
		"7 of each":                             {each(new(queue), 12, 7), true, 1, 10, 7},
		"a page of one, by an outbox for all":   {each(new(queue), 2, 64), false, 1, 1, 8},
		"the same for several":                  {each(new(queue), 4, 16), false, 1, 4, 8},
		"the same for all that a page can have": {each(new(queue), 80, 1), false, 1, 64, 1},
	} {
		t.Run(rule, func(t *testing.T) {
			p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) {
				if o.Logouts = row.queue; !row.fair {
					o.Logouts = unfair{row.queue}
				}
			})
			looked, err := p.oidc.DeliverDueLogouts(t.Context())
			require.NoError(t, err)
			total := 0
			counts := make(map[int]int)
			for _, n := range row.queue.claimed {
				total += n
				counts[n]++
			}
			assert.Equal(t, total, looked)
			assert.LessOrEqual(t, total, 64)
			assert.GreaterOrEqual(t, counts[row.each], row.clients-1, "%v", row.queue.claimed)
			assert.Len(t, row.queue.looks, row.looks)
			if row.clients > 0 {
				assert.Len(t, row.queue.claimed, row.clients)
			}
			assert.Len(t, row.queue.deleted, total, "a client that is gone need not be told")
		})
	}
}

// An outbox for all returns the logouts of a client that was silent as well: they are not sent.
func TestASilentClientOfAnOutboxForAll(t *testing.T) {
	q := new(queue)
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.Logouts = unfair{q} })
	var asked, told atomic.Int64
	silent := p.client("backchannel_logout_uri", serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	good := p.client("backchannel_logout_uri", serve(t, func(http.ResponseWriter, *http.Request) { told.Add(1) }))
	q.enqueue(silent.ClientID, 2).enqueue(good.ClientID, 1)
	for range 2 {
		_, err := p.oidc.DeliverDueLogouts(t.Context())
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, asked.Load())
	assert.EqualValues(t, 2, told.Load())
}

// lines collects what is logged.
type lines struct {
	all  []slog.Record
	then func() // what is done after a line, if anything
}

func (*lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) Handle(_ context.Context, record slog.Record) error {
	if l.all = append(l.all, record); l.then != nil {
		l.then()
	}
	return nil
}
func (l *lines) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *lines) WithGroup(string) slog.Handler      { return l }

// A client that does not take a logout is told again later each time, and the last failure is
// an error in the log.
func TestWhenALogoutIsTriedAgain(t *testing.T) {
	log := new(lines)
	q := new(queue)
	p := newConfiguredProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) { c.PKCE, c.Logger = server.PKCEOptional, slog.New(log) },
		func(o *oidc.Provider) { o.Logouts = q })
	for attempts, retry := range map[int64]time.Duration{
		0: 30 * time.Second, 1: time.Minute, 2: 2 * time.Minute, 6: 32 * time.Minute, 7: time.Hour, 8: time.Hour, 60: time.Hour,
	} {
		for _, last := range []bool{false, true} {
			client := p.client("backchannel_logout_uri", serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
			*q = queue{rows: []models.LogoutMixin{{LogoutID: "1", ClientID: client.ClientID, Attempts: attempts, ExpiresAt: p.Now.Add(retry).Unix()}}}
			if !last {
				q.rows[0].ExpiresAt++
			}
			log.all = nil
			looked, err := p.oidc.DeliverDueLogouts(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, looked)
			assert.Equal(t, []time.Time{p.Now.Add(retry)}, q.nexts, attempts)
			assert.Empty(t, q.deleted)
			require.Len(t, log.all, 1)
			level, message := slog.LevelWarn, "a client could not be told of a logout; delivery will be retried"
			if last {
				level, message = slog.LevelError, "a client could not be told of a logout; delivery will not be retried"
			}
			assert.Equal(t, []any{level, message}, []any{log.all[0].Level, log.all[0].Message})
			values := make(map[string]string)
			log.all[0].Attrs(func(a slog.Attr) bool { values[a.Key] = a.Value.String(); return true })
			assert.Equal(t, map[string]string{"client_id": client.ClientID, "attempt": fmt.Sprint(attempts + 1), "cause": "it responded with status 418"}, values)
		}
	}
}

// A client that fails is left alone for 5 seconds, then for twice as long each time, up to ten
// minutes, and no longer once it has answered.
func TestHowLongASilentClientIsLeftAlone(t *testing.T) {
	q := new(queue)
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.Logouts = q })
	var status, asked atomic.Int64
	status.Store(http.StatusInternalServerError)
	client := p.client("backchannel_logout_uri", serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	q.enqueue(client.ClientID, 2)
	tries := func() int64 {
		before := asked.Load()
		_, err := p.oidc.DeliverDueLogouts(t.Context())
		require.NoError(t, err)
		return asked.Load() - before
	}
	assert.EqualValues(t, 1, tries(), "its next one would fail as well")
	for i := range 10 {
		pause := min(5*time.Second<<i, 10*time.Minute)
		p.Now = p.Now.Add(pause - time.Second)
		assert.Zero(t, tries(), pause)
		p.Now = p.Now.Add(time.Second)
		assert.EqualValues(t, 1, tries(), pause)
	}
	p.Now = p.Now.Add(10 * time.Minute)
	status.Store(http.StatusOK)
	assert.EqualValues(t, 2, tries(), "it is back")
	assert.Equal(t, []string{"0", "1"}, q.deleted)
	status.Store(http.StatusInternalServerError)
	assert.EqualValues(t, 1, tries())
	p.Now = p.Now.Add(5 * time.Second)
	assert.EqualValues(t, 1, tries(), "and begins anew")
}

// Of the clients that fail, 200 are left alone.
func TestHowManySilentClientsAreRemembered(t *testing.T) {
	q := new(queue)
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.Logouts = q })
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	for range 203 {
		q.enqueue(p.StoreClient(func(c *oauthtest.Client) {
			c.ClientMetadata.Extra = map[string]json.RawMessage{"backchannel_logout_uri": json.RawMessage(`"` + address + `"`)}
		}).ClientID, 1)
	}
	for range 4 {
		looked, err := p.oidc.DeliverDueLogouts(t.Context())
		require.NoError(t, err)
		assert.NotZero(t, looked)
	}
	_, err := p.oidc.DeliverDueLogouts(t.Context())
	require.NoError(t, err)
	first := q.looks[len(q.looks)-1]
	assert.Len(t, first, 200)
	assert.True(t, slices.IsSorted(first), "so that a statement is the same")
}

// unavailableKeys cannot be read.
type unavailableKeys struct{ jwk.SigningKeys }

func (unavailableKeys) SigningKey(context.Context, jose.SignatureAlgorithm, time.Time) (*jose.JSONWebKey, error) {
	return nil, fmt.Errorf("read the keys: %w", storage.ErrUnavailable)
}

// What is not a client's fault is an error of the delivery, and the client is not left alone for
// it. What another instance has claimed is not told.
func TestALogoutThatIsNobodysFault(t *testing.T) {
	q := new(queue)
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.Logouts = q })
	var told atomic.Int64
	q.enqueue(p.client("backchannel_logout_uri", serve(t, func(http.ResponseWriter, *http.Request) { told.Add(1) })).ClientID, 1)
	keys := p.oidc.Keys
	p.oidc.Keys = unavailableKeys{keys}
	_, err := p.oidc.DeliverDueLogouts(t.Context())
	require.ErrorIs(t, err, storage.ErrUnavailable)
	p.oidc.Keys, q.lost = keys, true
	looked, err := p.oidc.DeliverDueLogouts(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, looked)
	assert.Zero(t, told.Load())
	assert.Empty(t, q.deleted)
	q.lost = false
	_, err = p.oidc.DeliverDueLogouts(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1, told.Load(), "at once")
	assert.Equal(t, []string{"0"}, q.deleted)
}
