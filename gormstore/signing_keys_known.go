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
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	// signsWithin is the maximum age of a reading for a key to sign.
	signsWithin = 10 * time.Second
	// freshWithin is the maximum age of a reading for a caller that did not find a key.
	freshWithin = time.Second
	// readingTakes is how long one reading may take, regardless of how many wait for it.
	readingTakes = 10 * time.Second
	// patience is how long a caller that could do without a new reading waits for it.
	patience = time.Second
	// readingPause is how long after a failed reading such a caller does not begin another.
	readingPause = time.Second
)

// knownKeys is the result of one reading of the table. It is never changed.
type knownKeys struct {
	keys        []signingKey     // those that had not expired, ordered by generation
	generations map[string]int64 // the latest by algorithm, including those of expired keys
	forms       map[keyForm]bool // the forms of all rows
	salt        []byte           // of pairwise subjects; nil if there is none
	saltRow     *models.SigningKeyMixin
	saltErr     error // why the salt cannot be read; it does not prevent signing
	readAt      time.Time
	reading     int64 // the number of the reading
}

// signingKey is a row with its parsed key.
type signingKey struct {
	*models.SigningKeyMixin
	key jose.JSONWebKey
}

// within reports whether the keys were read within age of now. now may be somewhat
// earlier than the reading.
func (k *knownKeys) within(age time.Duration, now time.Time) bool {
	return k != nil && now.Sub(k.readAt).Abs() < age
}

// current returns the key that signs at now: the latest of those within their signing
// time. If there is none, it returns the first key whose time has not yet come, which was
// created by an instance whose clock is ahead. It returns nil if there is no such key
// either.
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

// lacks reports whether one of the algorithms has no key that signs.
func (k *knownKeys) lacks(algorithms []string, now time.Time) bool {
	return slices.ContainsFunc(algorithms, func(algorithm string) bool {
		if algorithm == saltAlgorithm {
			return k.salt == nil && k.saltErr == nil
		}
		return k.current(algorithm, now) == nil
	})
}

// serves reports whether any key is still published.
func (k *knownKeys) serves(now time.Time) bool {
	return k != nil && slices.ContainsFunc(k.keys, func(key signingKey) bool { return key.ExpiresAt > now.Unix() })
}

// find returns the key with an id; nil if there is none.
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

// keyReading is a reading of the keys in progress, shared by all who wait for it.
type keyReading struct {
	done chan struct{}
	err  error // set once done is closed
}

// await returns a reading no older than maxAge with keys that sign with the algorithms,
// and waits for one if necessary.
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
		case own: // maxAge is 0
			return known, nil
		}
	}
}

// published returns a reading no older than maxAge, or else the last one: keys verify for
// as long as they are valid, so a caller that has them does not wait long for the
// database.
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
	if lacks { // creating an RSA key takes longer
		enough = nil
	}
	select {
	case <-reading.done:
	case <-enough:
	case <-ctx.Done():
	}
	return k.known.Load(), nil
}

// refresh begins a reading, or joins the one in progress.
func (k *SigningKeys) refresh(ctx context.Context, now time.Time, algorithms []string) (reading *keyReading, own bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.underway != nil {
		return k.underway, false
	}
	return k.begin(ctx, now, algorithms), true
}

// refreshUnlessAway begins a reading. It returns nil if one is in progress, or has just
// failed.
func (k *SigningKeys) refreshUnlessAway(ctx context.Context, now time.Time, algorithms []string) *keyReading {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.underway != nil || now.Sub(k.failedAt).Abs() < readingPause {
		return nil
	}
	return k.begin(ctx, now, algorithms)
}

// begin begins a reading that goes on even if those who wait for it give up. The caller
// holds k.mu.
func (k *SigningKeys) begin(ctx context.Context, now time.Time, algorithms []string) *keyReading {
	reading := &keyReading{done: make(chan struct{})}
	k.underway = reading
	ctx, cancel := context.WithTimeout(context.WithoutCancel(eachStep(outside(ctx))), readingTakes)
	go func() {
		defer cancel()
		defer func() { // also after a panic in one of the program's hooks
			if fault := recover(); fault != nil {
				reading.err = fmt.Errorf("gormstore: read the signing keys: panic: %v", fault)
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
			reading.err = fmt.Errorf("%w: the signing keys could not be read in time: %w", storage.ErrUnavailable, reading.err)
		}
	}()
	return reading
}

// ensure reads the keys, and creates a key for each of the algorithms that has none, and
// the next key of every algorithm when it is due. It does not create the first key of an
// algorithm that was not asked for, because creating an RSA key takes long.
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

// isToFollow reports whether it is time to publish the successor of the key that signs.
func (k *SigningKeys) isToFollow(known *knownKeys, algorithm string, now time.Time) bool {
	current := known.current(algorithm, now)
	return current != nil && known.latest(algorithm) == current && now.Unix() >= current.SignsUntil-int64(k.options.AnnounceFor/time.Second)
}

// read reads the keys and makes them the known ones. A key that was read before is not
// decrypted again, because its id is its thumbprint.
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
			} else if known.salt, err = k.options.Secrets.Open(secret.ForPairwiseSalt, row.PrivateKey); err != nil {
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
		if latest != nil && latest.reading > known.reading { // a later reading was faster
			return known, nil
		}
		if k.known.CompareAndSwap(latest, known) {
			return known, nil
		}
	}
}

// create creates the key of the next generation. If another instance was faster, that
// instance's key is used.
func (k *SigningKeys) create(ctx context.Context, known *knownKeys, algorithm string, signsFrom time.Time) error {
	private := k.takePrepared(algorithm)
	if private == nil {
		var err error
		if private, err = generateKey(ctx, algorithm); err != nil {
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

// insert stores a row, unless another instance has stored one of the same generation.
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
