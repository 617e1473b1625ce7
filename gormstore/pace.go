package gormstore

import (
	"context"
	"time"
)

// pace says how long a batch of background work may take, and how long to rest after it:
// not at all while nothing else uses the database.
type pace struct {
	table *Table
	// longBatch is how long a batch may take, because others may have to wait for it.
	longBatch time.Duration
	// longest is the maximum length of a rest, as a multiple of the batch before it.
	longest float64

	factor float64       // of the next rest, as a multiple of the batch
	least  time.Duration // shortest time that a probe of the database took
}

// pace returns short batches and long rests for SQLite, because all other writers wait
// for the one that writes.
func (t *Table) pace() *pace {
	if t.turn != nil {
		return &pace{table: t, longBatch: 2 * time.Millisecond, longest: 8, factor: 8}
	}
	return &pace{table: t, longBatch: 25 * time.Millisecond, longest: 4, factor: 1}
}

const (
	// noise is by how much probes of an idle database may differ.
	noise = 200 * time.Microsecond
	// fewRests is the factor below which there is no rest.
	fewRests = 0.05
)

// after returns how long to rest after a batch. It measures how long others would
// currently wait.
func (p *pace) after(ctx context.Context, took, behind time.Duration) (time.Duration, error) {
	waited, err := p.table.waits(ctx)
	return p.next(waited, took, behind), err
}

// next returns the rest after a batch. If others wait more than twice as long as on an idle
// database, the rests become longer, otherwise shorter. The further pruning is behind, the
// shorter the longest rest.
func (p *pace) next(waited, took, behind time.Duration) time.Duration {
	if p.least == 0 || waited < p.least {
		p.least = waited
	}
	p.least += p.least / 64 // the database may have become slower for other reasons
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

// waits returns how long the database takes for a statement that does nothing; on SQLite,
// which has one writer, how long it takes to get the turn to write.
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
