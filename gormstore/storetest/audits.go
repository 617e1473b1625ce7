package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// auditStore reads a gormstore.Audits of any model.
type auditStore func(ctx context.Context, query gormstore.AuditQuery) ([]*models.AuditMixin, error)

// Audits tests the model M of an audit trail. Config.DB and Config.Instances have to be
// handles of gormstore.WithAudit, so that everything else is tested with the audit trail,
// too.
func Audits[M any, P gormstore.AuditModel[M]]() Part {
	return Part{
		name: "audits",
		assemble: func(t testing.TB, in *instance) {
			t.Helper()
			audits := must(gormstore.NewAudits[M, P](in.db, gormstore.AuditOptions{Retention: refreshTokenLife}))(t)
			in.keeps(audits)
			in.audits = func(ctx context.Context, query gormstore.AuditQuery) (entries []*models.AuditMixin, err error) {
				page, err := audits.Query(ctx, query)
				for _, e := range page {
					entries = append(entries, P(e).AsAuditMixin())
				}
				return entries, err
			}
		},
		test: func(k *kit, t *testing.T) { k.audits(t) },
	}
}

// events counts a client's entries by event. The clients of the kit have few entries.
func (in *instance) events(t testing.TB, c client) map[string]int {
	t.Helper()
	page, err := in.audits(t.Context(), gormstore.AuditQuery{ClientID: c.id, Limit: 10_000})
	check(t, err)
	events := make(map[string]int)
	for _, e := range page {
		events[e.Event]++
	}
	return events
}

// audits: every change leaves exactly one entry, whatever races and whatever fails, and
// entries are read back as they were stored.
func (k *kit) audits(t *testing.T) {
	all, in := k.racing(t)
	if in(0).events(t, k.publicClient(t))[models.AuditClientRegistered] == 0 {
		t.Fatal("storetest: a new client leaves no audit entry: Config.DB and Config.Instances have to be handles of gormoauth.WithAudit[…]")
	}
	t.Run("columns", func(t *testing.T) {
		stored := &models.TokenMixin{}
		fill(stored)
		now := time.Now()
		check(t, all[0].tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeIssue, Token: stored, User: k.user, Time: now, GrantType: oddText}))
		page, err := in(1).audits(t.Context(), gormstore.AuditQuery{UserID: k.user.GetUserID(), GrantID: stored.GrantID})
		check(t, err)
		if len(page) != 1 {
			t.Fatalf("a token has %d entries", len(page))
		}
		same(t, &models.AuditMixin{
			AuditKey: page[0].AuditKey, Event: models.AuditTokenIssued, OccurredAt: now.Unix(), ClientID: stored.ClientID, LongClientID: stored.LongClientID,
			GrantID: stored.GrantID, GrantType: oddText, Scope: stored.Scope, Audience: stored.Audience, AuthorizationDetails: stored.AuthorizationDetails,
		}, page[0])
	})
	t.Run("who races for a credential leaves one entry", func(t *testing.T) {
		for round := range rounds {
			c := k.publicClient(t)
			first := in(round).grant(t, c, k.user)
			race(k, racers/4, func(i int) answer { return in(round+i).refresh(c, first.Refresh) })
			events := in(round).events(t, c)
			if events[models.AuditTokenIssued] != 1 || events[models.AuditTokenRefreshed] != 1 || events[models.AuditGrantRevoked] != 1 {
				t.Errorf("one grant, one refresh and its reuse left the entries %v", events)
			}
		}
	})
	t.Run("one act leaves one entry, whatever fails", func(t *testing.T) {
		const calls = 14 // more than any exchange makes
		tellsOf := map[string]string{
			"authorize": models.AuditAuthorizationGranted, "redeem": models.AuditTokenIssued,
			"refresh": models.AuditTokenRefreshed, "revoke": models.AuditGrantRevoked,
		}
		healthy, plan := k.instances(t)[0], &faults.Plan{}
		broken := k.on(t, faults.DB(healthy.db, plan))
		for name, exchange := range exchanges {
			for _, fault := range []faults.Fault{{Err: faults.ErrCut}, {Err: faults.ErrCut, After: true}, {Err: faults.ErrSerialization}} {
				for call := range calls {
					c := k.publicClient(t)
					plan.Next = faults.At(call, fault)
					ask := exchange(t, healthy, c, k.user)
					plan.Reset()
					if a, _ := ask(broken); !a.ok() {
						t.Fatalf("%s, %+v at call %d: %+v", name, fault, call, a)
					}
					if events := healthy.events(t, c); events[tellsOf[name]] != 1 {
						t.Fatalf("%s, %+v at call %d: the audit trail has %v", name, fault, call, events)
					}
				}
			}
		}
	})
}
