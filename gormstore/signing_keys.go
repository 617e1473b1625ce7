package gormstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// SigningKeyModel is a pointer to a model that embeds models.SigningKeyMixin.
type SigningKeyModel[M any] interface {
	*M
	keyRow
}

type keyRow interface {
	Described
	AsSigningKeyMixin() *models.SigningKeyMixin
}

// SigningKeyOptions say how keys come and go. The zero value is useful.
type SigningKeyOptions struct {
	// Algorithms are what there are keys for; nil is ES256.
	Algorithms []jose.SignatureAlgorithm
	// EncryptionAlgorithms are those by which others encrypt for the server, such
	// as request objects (RFC 9101); nil is none. There are keys for ECDH-ES,
	// ECDH-ES+A256KW and RSA-OAEP-256.
	EncryptionAlgorithms []jose.KeyAlgorithm
	// RotateEvery is how long a key signs; 0 is 90 days.
	RotateEvery time.Duration
	// AnnounceFor is how long a key is published before it signs, so that
	// nobody meets a signature by a key that they have not seen; 0 is a day.
	AnnounceFor time.Duration
	// KeepFor is how long a key is published after it last signed: at least as
	// long as anything that is signed lasts; 0 is two days.
	KeepFor time.Duration
	// CacheFor is for how long keys are remembered after they were read; 0 is a
	// minute. It is much shorter than AnnounceFor. Nothing is signed with keys that were
	// read more than ten seconds ago. While the database is away, the keys that were read
	// last go on verifying and decrypting until they expire.
	CacheFor time.Duration
	// Secrets encrypt the private keys in the database: those of server.Config.Secrets.
	// Keys that were stored in another form are read as well.
	Secrets server.Secrets
	// NoOlderInstances is server.Config.NoOlderInstances: keys that were stored in another
	// form are encrypted by Secrets, too. Without it that begins in a new database alone:
	// one in which the first key is encrypted by Secrets.
	NoOlderInstances bool
	// EncryptionKey encrypts the private keys in the database where Secrets do not, and
	// reads those that it encrypted before: 32 random bytes, the same on every instance,
	// kept apart from the database. Secrets can be rotated, and it cannot. Without either,
	// keys are readable to whoever can read the database.
	EncryptionKey []byte
	// PairwiseSalt is the salt of pairwise subjects that is kept, in the place of a random
	// one, where none is kept yet: that of oidc.Provider.PairwiseSalt, for a program that
	// has one and no longer wants to give it to each instance.
	PairwiseSalt []byte
}

func (o SigningKeyOptions) withDefaults() (SigningKeyOptions, error) {
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{{&o.RotateEvery, 90 * 24 * time.Hour}, {&o.AnnounceFor, 24 * time.Hour}, {&o.KeepFor, 48 * time.Hour}, {&o.CacheFor, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if o.Algorithms == nil {
		o.Algorithms = []jose.SignatureAlgorithm{jose.ES256}
	}
	var faults []error
	for _, algorithm := range o.Algorithms {
		if !slices.Contains(server.SignatureAlgorithms(), algorithm) {
			faults = append(faults, fmt.Errorf("gormstore: SigningKeyOptions.Algorithms: %q is none of %v", algorithm, server.SignatureAlgorithms()))
		}
	}
	for _, algorithm := range o.EncryptionAlgorithms {
		if known := []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256}; !slices.Contains(known, algorithm) {
			faults = append(faults, fmt.Errorf("gormstore: SigningKeyOptions.EncryptionAlgorithms: %q is none of %v", algorithm, known))
		}
	}
	if o.KeepFor < time.Second || o.CacheFor < 0 || o.AnnounceFor < 2*o.CacheFor || o.RotateEvery < 2*o.AnnounceFor {
		faults = append(faults, errors.New("gormstore: SigningKeyOptions: RotateEvery must be at least twice AnnounceFor, which must be at least twice CacheFor, and KeepFor a second"))
	}
	if len(o.EncryptionKey) != 0 && len(o.EncryptionKey) != 32 {
		faults = append(faults, errors.New("gormstore: SigningKeyOptions.EncryptionKey must have 32 bytes"))
	}
	if len(o.PairwiseSalt) != 0 && len(o.PairwiseSalt) < saltBytes {
		faults = append(faults, fmt.Errorf("gormstore: SigningKeyOptions.PairwiseSalt must have at least %d random bytes", saltBytes))
	}
	faults = append(faults, o.Secrets.Check())
	return o, errors.Join(faults...)
}

// SigningKeys keeps the key pairs with which the server signs in rows of the
// program's model; it is a [server.SigningKeys]. Keys are made when they are
// needed, by whichever instance needs one first, and rotated without a restart:
// a key is announced, then signs, then is kept as long as its signatures are
// verified.
type SigningKeys struct {
	table   *Table
	options SigningKeyOptions

	known    atomic.Pointer[knownKeys] // what was read last, nil before anything was
	readings atomic.Int64              // how many have begun

	mu       sync.Mutex     // of what follows; nobody reads or writes while it is held
	underway *keyReading    // the one refresher
	failedAt time.Time      // when it failed last, by the clock of whoever asked; zero after a success
	prepared map[string]any // key pairs that wait to be the next of their algorithm
}

// NewSigningKeys returns the keys, or what is wrong with the model or the
// options.
func NewSigningKeys[M any, P SigningKeyModel[M]](db *gorm.DB, options SigningKeyOptions) (*SigningKeys, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	return &SigningKeys{table: table, options: options, prepared: make(map[string]any)}, nil
}

// Pruned returns the table of keys.
func (k *SigningKeys) Pruned() []*Table { return []*Table{k.table} }

// SigningKey returns the private key that signs by the algorithm now. It makes
// the next one when it is time to announce it. The keys were read no more than ten
// seconds ago, so that none signs for longer than that after another instance has
// discarded it; an error is for a database that is away for longer.
func (k *SigningKeys) SigningKey(ctx context.Context, algorithm jose.SignatureAlgorithm, now time.Time) (*jose.JSONWebKey, error) {
	if !slices.Contains(k.options.Algorithms, algorithm) {
		return nil, fmt.Errorf("gormstore: there are no keys for %q: add it to SigningKeyOptions.Algorithms", algorithm)
	}
	known, err := k.await(ctx, now, min(k.options.CacheFor, signsWithin), string(algorithm))
	if err != nil {
		return nil, err
	}
	current := known.current(string(algorithm), now)
	if current == nil {
		return nil, fmt.Errorf("gormstore: no key signs by %q now", algorithm)
	}
	return &current.key, nil
}

// SignatureAlgorithms are those for which there are keys.
func (k *SigningKeys) SignatureAlgorithms() []jose.SignatureAlgorithm {
	return k.options.Algorithms
}

// PublishedFor is how long a key is published after it last signed.
func (k *SigningKeys) PublishedFor() time.Duration { return k.options.KeepFor }

// EncryptionAlgorithms are those by which others may encrypt for the server.
func (k *SigningKeys) EncryptionAlgorithms() []jose.KeyAlgorithm {
	return k.options.EncryptionAlgorithms
}

// DecryptionKeys returns the private keys for which others encrypt.
func (k *SigningKeys) DecryptionKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error) {
	known, err := k.published(ctx, now, k.options.CacheFor)
	if err != nil {
		return nil, err
	}
	set := new(jose.JSONWebKeySet)
	for _, key := range known.keys {
		if key.ExpiresAt > now.Unix() && key.key.Use == "enc" {
			set.Keys = append(set.Keys, key.key)
		}
	}
	return set, nil
}

// PublicKeys returns the public keys of all that is published. While the database is
// away, they are those that were read last, as long as one of them has not expired.
func (k *SigningKeys) PublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error) {
	return k.publicKeys(ctx, now, k.options.CacheFor)
}

// FreshPublicKeys is PublicKeys for somebody who met a key that was not among them: they
// are read again, but not twice in a second.
func (k *SigningKeys) FreshPublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error) {
	return k.publicKeys(ctx, now, min(k.options.CacheFor, freshWithin))
}

func (k *SigningKeys) publicKeys(ctx context.Context, now time.Time, maxAge time.Duration) (*jose.JSONWebKeySet, error) {
	known, err := k.published(ctx, now, maxAge)
	if err != nil {
		return nil, err
	}
	set := &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range known.keys {
		if key.ExpiresAt > now.Unix() {
			set.Keys = append(set.Keys, key.key.Public())
		}
	}
	return set, nil
}

// Maintain makes keys before anybody waits for one, encrypts those that an older secret
// encrypted by the newest one, and deletes those that are published no more, until ctx
// ends: run it beside the server. It may run on any number of instances, of which one
// makes the next key.
func (k *SigningKeys) Maintain(ctx context.Context, log *slog.Logger) {
	every := time.NewTicker(max(min(k.options.AnnounceFor/4, time.Hour), time.Second))
	defer every.Stop()
	for {
		if err := k.MaintainOnce(ctx, time.Now()); err != nil && ctx.Err() == nil && log != nil {
			log.ErrorContext(ctx, "signing keys could not be maintained", slog.String("cause", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// MaintainOnce does so once, for a program that has its own way to do things now and
// then.
func (k *SigningKeys) MaintainOnce(ctx context.Context, now time.Time) error {
	ctx = outside(ctx)
	if err := k.prepare(ctx, now); err != nil {
		return err
	}
	known, err := k.ensure(ctx, now, k.options.names()...)
	if err != nil {
		return err
	}
	if err := k.sealAnew(ctx, known); err != nil {
		return err
	}
	return pruning{table: k.table}.run(ctx, PruneOptions{Before: now, BatchSize: defaultPruneBatch}, func(int64) {})
}

// prepare makes the key pairs that are due, while others sign: an RSA key takes its
// time.
func (k *SigningKeys) prepare(ctx context.Context, now time.Time) error {
	known, err := k.read(ctx, now)
	if err != nil {
		return err
	}
	for _, algorithm := range k.options.names() {
		if known.current(algorithm, now) != nil && !k.isToFollow(known, algorithm, now) || k.isPrepared(algorithm) {
			continue
		}
		private, err := generateKey(algorithm)
		if err != nil {
			return err
		}
		k.mu.Lock()
		k.prepared[algorithm] = private
		k.mu.Unlock()
	}
	return nil
}

func (k *SigningKeys) isPrepared(algorithm string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.prepared[algorithm] != nil
}

// takePrepared returns the key pair that waits for its algorithm, or nil.
func (k *SigningKeys) takePrepared(algorithm string) any {
	k.mu.Lock()
	defer k.mu.Unlock()
	private := k.prepared[algorithm]
	delete(k.prepared, algorithm)
	return private
}

// Rotate has a new key sign from now on, for the day the old one has leaked. The
// old one stays published for KeepFor, unless discard: then what it signed is
// void at once, as far as others ask for the keys again. Another instance may sign with
// it for ten seconds more. The algorithm is one of the options.
func (k *SigningKeys) Rotate(ctx context.Context, algorithm jose.SignatureAlgorithm, now time.Time, discard bool) error {
	if !slices.Contains(k.options.names(), string(algorithm)) {
		return fmt.Errorf("gormstore: there are no keys for %q to rotate: the options have %v", algorithm, k.options.names())
	}
	ctx = outside(ctx)
	known, err := k.read(ctx, now)
	if err != nil {
		return err
	}
	old := known.latest(string(algorithm))
	if err := k.create(ctx, known, string(algorithm), now); err != nil {
		return err
	}
	for _, key := range known.keys {
		if key.Algorithm != string(algorithm) || key.Generation > old.Generation || key.SignsUntil <= now.Unix() && !discard {
			continue
		}
		signsUntil, expires := min(key.SignsUntil, now.Unix()), min(key.ExpiresAt, now.Add(k.options.KeepFor).Unix())
		if discard {
			signsUntil, expires = 0, 0 // for an instance, too, whose clock is behind
		}
		err := k.table.do(ctx, step{}, func(tx *tx) error {
			_, err := tx.update(map[string]any{"SignsUntil": signsUntil, "ExpiresAt": expires}, k.table.is("KeyID", key.KeyID))
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err = k.read(ctx, now)
	return err
}

const rsaBits = 3072

// names are the names of all algorithms.
func (o SigningKeyOptions) names() (names []string) {
	for _, algorithm := range o.Algorithms {
		names = append(names, string(algorithm))
	}
	for _, algorithm := range o.EncryptionAlgorithms {
		names = append(names, string(algorithm))
	}
	return names
}

// useOf returns what keys of an algorithm are for (RFC 7517 section 4.2).
func useOf(algorithm string) string {
	if slices.Contains(server.SignatureAlgorithms(), jose.SignatureAlgorithm(algorithm)) {
		return "sig"
	}
	return "enc"
}

func generateKey(algorithm string) (any, error) {
	switch algorithm {
	case string(jose.ES256), string(jose.ECDH_ES), string(jose.ECDH_ES_A256KW):
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case string(jose.ES384):
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case string(jose.ES512):
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case string(jose.EdDSA):
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case string(jose.RS256), string(jose.RS384), string(jose.RS512), string(jose.PS256), string(jose.PS384), string(jose.PS512), string(jose.RSA_OAEP_256):
		return rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return nil, fmt.Errorf("gormstore: there is no kind of key for %q", algorithm)
	}
}
