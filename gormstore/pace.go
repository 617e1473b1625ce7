package gormstore

import (
	"context"
	"time"
)

// pace says how long a batch of what nobody waits for may take, and how long to rest after
// it: not at all while nobody else uses the database.
type pace struct {
	table *Table
	// longBatch is how long a batch may take: others may have to wait for one.
	longBatch time.Duration
	// longest is how many times as long as a batch the rest after it is at most.
	longest float64

	factor float64       // of the next rest
	least  time.Duration // that a look at the database took
}

// pace is leisurely on SQLite: it has one writer, whom all others wait for.
func (t *Table) pace() *pace {
	if t.turn != nil {
		return &pace{table: t, longBatch: 2 * time.Millisecond, longest: 8, factor: 8}
	}
	return &pace{table: t, longBatch: 25 * time.Millisecond, longest: 4, factor: 1}
}

const (
	// noise is by how much one look may differ from another although nobody else is there.
	noise = 200 * time.Microsecond
	// fewRests is a factor that is no rest any more.
	fewRests = 0.05
)

// after returns how long to rest after a batch. It looks how long others would wait now.
func (p *pace) after(ctx context.Context, took, behind time.Duration) (time.Duration, error) {
	waited, err := p.table.waits(ctx)
	return p.next(waited, took, behind), err
}

// next is the rest after a batch. Where others wait for more than twice as long as when nobody
// is there, the rests become longer, else shorter. What is long behind rests for less.
func (p *pace) next(waited, took, behind time.Duration) time.Duration {
	if p.least == 0 || waited < p.least {
		p.least = waited
	}
	p.least += p.least / 64 // a database may become slower for other reasons
	longest := p.longest
	switch {
	case behind > 24*time.Hour:
		longest /= 4
	case behind > time.Hour:
		longest /= 2
	}
	if waited > 2*p.least+noise {
		p.factor = min(max(2*p.factor, 1), longest)
	} else if p.factor *= 0.75; p.factor < fewRests {
		p.factor = 0
	}
	return time.Duration(min(p.factor, longest) * float64(took))
}

// waits returns how long the database takes for a statement that does nothing; of SQLite,
// which has one writer, how long it takes until it is one's turn.
func (t *Table) waits(ctx context.Context) (took time.Duration, err error) {
	if t.transaction(ctx) != nil {
		return 0, nil
	}
	err = retry(ctx, func(ctx context.Context) error {
		began := time.Now()
		if t.turn != nil {
			give, err := t.takeTurn(ctx)
			if err != nil {
				return err
			}
			give()
			took = time.Since(began)
			return nil
		}
		var one int
		err := t.bare(ctx).Raw("SELECT 1").Scan(&one).Error
		took = time.Since(began)
		return err
	})
	return took, err
}
