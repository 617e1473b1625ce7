package gormstore

import (
	"context"

	"github.com/gormoauth/gormoauth/server/storage"
)

// presented is a single-use credential that the request presents and that is stored in a
// table of this pool.
type presented struct {
	*storage.Spend
	table *Table
	mark  func(tx *tx, spend *storage.Spend) (first bool, err error)
}

// spending returns what the request presents that is stored in this pool's database. The rest is
// left to the engine.
func (t *Table) spending(ctx context.Context) (spends []presented) {
	for _, spend := range storage.SpendsFromContext(ctx) {
		if p, ok := t.presented(spend); ok {
			spends = append(spends, p)
		}
	}
	return spends
}

// doSpending is do for the outcome of a request that presents single-use credentials. It spends
// them in the same step: of two requests with the same credential, only one stores its outcome,
// and a request whose outcome is not stored spends nothing.
func (t *Table) doSpending(ctx context.Context, s step, spends []presented, f func(tx *tx) error) error {
	s.outcome, s.several = false, true
	err := t.do(ctx, s, func(tx *tx) error {
		for _, spend := range spends {
			// After a lost connection the row may be this step's own: do checks that.
			if first, err := spend.mark(tx.on(spend.table), spend.Spend); err != nil || !first {
				return orRefusal(err, spend.Refusal)
			}
		}
		return f(tx)
	})
	if err == nil {
		for _, spend := range spends {
			spend.MarkSpent()
		}
	}
	return err
}

func orRefusal(err, refusal error) error {
	if err != nil {
		return err
	}
	return refusal
}

// presented returns the table of a single-use credential. ok is false if it is not stored
// in this connection pool's database.
func (t *Table) presented(spend *storage.Spend) (p presented, ok bool) {
	p.Spend = spend
	if requests, is := spend.PushedRequests.(*PushedRequests); is {
		p.table, p.mark = requests.table, markPushedRequest
	} else if replays, is := spend.Replays.(*Replays); is {
		p.table, p.mark = replays.table, markReplay
	} else {
		return p, false
	}
	return p, t.pool != nil && t.pool == p.table.pool
}

func markReplay(tx *tx, spend *storage.Spend) (first bool, err error) {
	return newReplay(tx, spend.Key, spend.ExpiresAt)
}

func markPushedRequest(tx *tx, spend *storage.Spend) (first bool, err error) {
	changed, err := tx.void(spend.Time, tx.table.is("RequestURI", spend.Key))
	return err == nil && changed == 1, err
}
