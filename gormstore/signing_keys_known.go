package gormstore

import (
	"context"
	"crypto"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

const (
	// signsWithin is how old what is known may be of which one signs.
	signsWithin = 10 * time.Second
	// freshWithin is how old it may be to somebody who misses a key.
	freshWithin = time.Second
	// readingTakes is how long one reading may take, however many wait for it.
	readingTakes = 10 * time.Second
	// patience is how long somebody waits for a reading who could do without.
	patience = time.Second
	// readingPause is how long after one that failed such a person begins no other.
	readingPause = time.Second
)

// knownKeys is what was read of the table at one time. It never changes.
type knownKeys struct {
	keys        []signingKey     // those that had not expired, by generation
	generations map[string]int64 // the last ones by algorithm, of expired keys as well
	forms       map[keyForm]bool // those of all rows
	salt        []byte           // that of pairwise subjects, nil where there is none
	saltRow     *models.SigningKeyMixin
	saltErr     error // why it cannot be read, which is nobody's fault who signs
	readAt      time.Time
	reading     int64 // which one it was
}

// signingKey is a row whose key was read.
type signingKey struct {
	*models.SigningKeyMixin
	key jose.JSONWebKey
}

// within reports whether the keys were read so long ago at most. Whoever asks may be
// somewhat older than the reading.
func (k *knownKeys) within(age time.Duration, now time.Time) bool {
	return k != nil && now.Sub(k.readAt).Abs() < age
}

// current returns the key that signs: the latest of those whose time it is. Where it is
// none's, that is the first whose time comes: it was made by an instance whose clock is
// ahead.
func (k *knownKeys) current(algorithm string, now time.Time) *signingKey {
	var next *signingKey
	for i := range slices.Backward(k.keys) {
		key := &k.keys[i]
		if key.Algorithm != algorithm || now.Unix() >= key.SignsUntil || key.SignsFrom >= key.SignsUntil {
			continue
		}
		if key.SignsFrom <= now.Unix() {
			return key
		}
		next = key
	}
	return next
}

func (k *knownKeys) latest(algorithm string) *signingKey {
	for i := range slices.Backward(k.keys) {
		if k.keys[i].Algorithm == algorithm {
			return &k.keys[i]
		}
	}
	return nil
}

// lacks reports whether there is nothing that signs by one of the algorithms.
func (k *knownKeys) lacks(algorithms []string, now time.Time) bool {
	return slices.ContainsFunc(algorithms, func(algorithm string) bool {
		if algorithm == saltAlgorithm {
			return k.salt == nil && k.saltErr == nil
		}
		return k.current(algorithm, now) == nil
	})
}

// serves reports whether a key is published still.
func (k *knownKeys) serves(now time.Time) bool {
	return k != nil && slices.ContainsFunc(k.keys, func(key signingKey) bool { return key.ExpiresAt > now.Unix() })
}

// find returns the key with an id that was read before, nil where there is none.
func (k *knownKeys) find(id string) *jose.JSONWebKey {
	if k == nil {
		return nil
	}
	i := slices.IndexFunc(k.keys, func(key signingKey) bool { return key.KeyID == id })
	if i < 0 {
		return nil
	}
	return &k.keys[i].key
}

// keyReading is a reading of the keys that is under way, by one for all who wait.
type keyReading struct {
	done chan struct{}
	err  error // once it is done
}

// await returns what was read within maxAge, with keys that sign by the algorithms, and
// waits for that.
func (k *SigningKeys) await(ctx context.Context, now time.Time, maxAge time.Duration, algorithms ...string) (*knownKeys, error) {
	for {
		known := k.known.Load()
		if known.within(maxAge, now) && !known.lacks(algorithms, now) {
			return known, nil
		}
		reading, own := k.refresh(ctx, now, algorithms)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-reading.done:
		}
		known = k.known.Load()
		switch {
		case known.within(maxAge, now) && !known.lacks(algorithms, now):
			return known, nil
		case reading.err != nil:
			return nil, reading.err
		case own: // and maxAge is nothing at all
			return known, nil
		}
	}
}

// published returns what was read within maxAge, or else what was read last: keys that
// verify serve as long as they are valid, and nobody who has them waits for the database.
func (k *SigningKeys) published(ctx context.Context, now time.Time, maxAge time.Duration) (*knownKeys, error) {
	known, names := k.known.Load(), k.options.names()
	if !known.serves(now) {
		return k.await(ctx, now, maxAge, names...)
	}
	lacks := known.lacks(names, now)
	if known.within(maxAge, now) && !lacks {
		return known, nil
	}
	reading := k.refreshUnlessAway(ctx, now, names)
	if reading == nil {
		return known, nil
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	enough := wait.C
	if lacks { // an RSA key that is made takes longer
		enough = nil
	}
	select {
	case <-reading.done:
	case <-enough:
	case <-ctx.Done():
	}
	return k.known.Load(), nil
}

// refresh begins a reading, or joins the one that is under way.
func (k *SigningKeys) refresh(ctx context.Context, now time.Time, algorithms []string) (reading *keyReading, own bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.underway != nil {
		return k.underway, false
	}
	return k.begin(ctx, now, algorithms), true
}

// refreshUnlessAway begins a reading. It is nil where one is under way, or has failed just
// now.
func (k *SigningKeys) refreshUnlessAway(ctx context.Context, now time.Time, algorithms []string) *keyReading {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.underway != nil || now.Sub(k.failedAt).Abs() < readingPause {
		return nil
	}
	return k.begin(ctx, now, algorithms)
}

// begin begins a reading that ends for itself, however many of those who wait for it go
// away. k.mu is held.
func (k *SigningKeys) begin(ctx context.Context, now time.Time, algorithms []string) *keyReading {
	reading := &keyReading{done: make(chan struct{})}
	k.underway = reading
	ctx, cancel := context.WithTimeout(context.WithoutCancel(eachStep(outside(ctx))), readingTakes)
	go func() {
		defer cancel()
		defer func() { // also after a panic of the program's own hooks
			if fault := recover(); fault != nil {
				reading.err = fmt.Errorf("gormstore: reading the signing keys: a panic: %v", fault)
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			k.underway, k.failedAt = nil, time.Time{}
			if reading.err != nil {
				k.failedAt = now
			}
			close(reading.done)
		}()
		_, reading.err = k.ensure(ctx, now, algorithms...)
		if reading.err != nil && ctx.Err() != nil {
			reading.err = fmt.Errorf("%w: the signing keys could not be read in time: %w", server.ErrUnavailable, reading.err)
		}
	}()
	return reading
}

// ensure reads the keys, and sees to it that there is one to sign by each of the
// algorithms, and one to follow each that there is: it takes its time to make the first
// RSA key, for which nobody has asked.
func (k *SigningKeys) ensure(ctx context.Context, now time.Time, algorithms ...string) (known *knownKeys, err error) {
	if known, err = k.read(ctx, now); err != nil {
		return nil, err
	}
	if slices.Contains(algorithms, saltAlgorithm) && known.saltRow == nil {
		if known, err = k.makeSalt(ctx, known, now); err != nil {
			return nil, err
		}
	}
	for _, algorithm := range k.options.names() {
		current, latest := known.current(algorithm, now), known.latest(algorithm)
		from := now
		switch {
		case current == nil && (latest != nil || slices.Contains(algorithms, algorithm)):
		case current != nil && k.isToFollow(known, algorithm, now):
			from = time.Unix(current.SignsUntil, 0)
		default:
			continue
		}
		if err := k.create(ctx, known, algorithm, from); err != nil {
			return nil, err
		}
		if known, err = k.read(ctx, now); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// isToFollow reports whether it is time to announce the key after the one that signs.
func (k *SigningKeys) isToFollow(known *knownKeys, algorithm string, now time.Time) bool {
	current := known.current(algorithm, now)
	return current != nil && known.latest(algorithm) == current && now.Unix() >= current.SignsUntil-int64(k.options.AnnounceFor/time.Second)
}

// read reads the keys, for everybody from then on. A key that was read before is not
// decrypted again: its id is its thumbprint.
func (k *SigningKeys) read(ctx context.Context, now time.Time) (*knownKeys, error) {
	known := &knownKeys{generations: make(map[string]int64), forms: make(map[keyForm]bool), readAt: now, reading: k.readings.Add(1)}
	rows, err := k.table.list(ctx, nil, clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column(k.table.column("Generation"))}}})
	if err != nil {
		return nil, err
	}
	before := k.known.Load()
	for _, of := range rows {
		row := of.(keyRow).AsSigningKeyMixin()
		known.generations[row.Algorithm] = row.Generation
		known.forms[formOf(row.PrivateKey)] = true
		switch {
		case row.ExpiresAt <= now.Unix():
			continue
		case row.Algorithm == saltAlgorithm:
			known.saltRow = row
			if before != nil && before.salt != nil {
				known.salt = before.salt
			} else if known.salt, err = k.options.Secrets.Open(server.PairwiseSaltSecret, row.PrivateKey); err != nil {
				known.saltErr = fmt.Errorf("gormstore: the salt of pairwise subjects cannot be read: %w", err)
			}
			continue
		}
		key := before.find(row.KeyID)
		if key == nil {
			if key, err = k.open(row.PrivateKey); err != nil {
				return nil, fmt.Errorf("gormstore: the signing key %s cannot be read: %w", row.KeyID, err)
			}
			key.KeyID, key.Algorithm, key.Use = row.KeyID, row.Algorithm, useOf(row.Algorithm)
		}
		known.keys = append(known.keys, signingKey{row, *key})
	}
	for {
		latest := k.known.Load()
		if latest != nil && latest.reading > known.reading { // one that began later was faster
			return known, nil
		}
		if k.known.CompareAndSwap(latest, known) {
			return known, nil
		}
	}
}

// create makes the key that follows those that are known. When another instance
// was faster, its key is it.
func (k *SigningKeys) create(ctx context.Context, known *knownKeys, algorithm string, signsFrom time.Time) error {
	private := k.takePrepared(algorithm)
	if private == nil {
		var err error
		if private, err = generateKey(algorithm); err != nil {
			return err
		}
	}
	key := jose.JSONWebKey{Key: private}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return err
	}
	text, err := k.seal(known, key)
	if err != nil {
		return err
	}
	until := signsFrom.Add(k.options.RotateEvery)
	return k.insert(ctx, models.SigningKeyMixin{
		KeyID: base64.RawURLEncoding.EncodeToString(thumbprint), Algorithm: algorithm, Generation: known.generations[algorithm] + 1, PrivateKey: text,
		SignsFrom: signsFrom.Unix(), SignsUntil: until.Unix(), ExpiresAt: until.Add(k.options.KeepFor).Unix(),
	})
}

// insert stores a row, unless another instance stored the one of its generation.
func (k *SigningKeys) insert(ctx context.Context, record models.SigningKeyMixin) error {
	err := k.table.do(ctx, step{own: k.table.is("KeyID", record.KeyID)}, func(tx *tx) error {
		row := k.table.newRow().(keyRow)
		*row.AsSigningKeyMixin() = record
		_, err := tx.insertNew(row)
		return err
	})
	if err != nil {
		return fmt.Errorf("gormstore: store a signing key: %w", err)
	}
	return nil
}
