package gormstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/rsakey"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/secret"
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

// SigningKeyOptions configure keys and their rotation. The zero value is useful: an ES256
// key that rotates every 90 days.
type SigningKeyOptions struct {
	// Algorithms are the signature algorithms to have keys for; nil means ES256.
	Algorithms []jose.SignatureAlgorithm
	// EncryptionAlgorithms are the algorithms with which others may encrypt for the server,
	// for example request objects (RFC 9101); nil means none. Supported are ECDH-ES,
	// ECDH-ES+A256KW and RSA-OAEP-256.
	EncryptionAlgorithms []jose.KeyAlgorithm
	// RotateEvery is how long a key signs; 0 means 90 days.
	RotateEvery time.Duration
	// AnnounceFor is how long a key is published before it signs, so that verifiers already
	// have the key when they see its first signature; 0 means one day.
	AnnounceFor time.Duration
	// KeepFor is how long a key is published after it last signed. It must be at least the
	// lifetime of anything that is signed; 0 means two days.
	KeepFor time.Duration
	// CacheFor is how long keys are cached after they were read; 0 means one minute. It must
	// be much shorter than AnnounceFor. Keys that were read more than ten seconds ago do not
	// sign. While the database is unavailable, the keys that were read last still verify and
	// decrypt until they expire.
	CacheFor time.Duration
	// Secrets encrypt the private keys in the database: pass server.Config.Secrets. Keys
	// that were stored in another form can still be read.
	Secrets secret.Keyring
	// NoOlderInstances is server.Config.NoOlderInstances. With it, keys that were stored in
	// another form are encrypted with Secrets as well. Without it, Secrets encrypt keys only
	// in a database whose first key was already encrypted with Secrets.
	NoOlderInstances bool
	// EncryptionKey encrypts the private keys in the database where Secrets do not, and
	// decrypts those that it encrypted before: 32 random bytes, the same on every instance,
	// stored apart from the database. Unlike Secrets, it cannot be rotated. Without either,
	// anyone who can read the database can read the keys.
	EncryptionKey []byte
	// PairwiseSalt is the salt of pairwise subjects to store, instead of a random one, if
	// none is stored yet. It is for a program that used oidc.Provider.PairwiseSalt and no
	// longer wants to configure it on each instance.
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
		if !slices.Contains(jwk.SignatureAlgorithms(), algorithm) {
			faults = append(faults, fmt.Errorf("gormstore: SigningKeyOptions.Algorithms: %q is not one of %v", algorithm, jwk.SignatureAlgorithms()))
		}
	}
	for _, algorithm := range o.EncryptionAlgorithms {
		if known := []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256}; !slices.Contains(known, algorithm) {
			faults = append(faults, fmt.Errorf("gormstore: SigningKeyOptions.EncryptionAlgorithms: %q is not one of %v", algorithm, known))
		}
	}
	if o.KeepFor < time.Second || o.CacheFor < 0 || o.AnnounceFor < 2*o.CacheFor || o.RotateEvery < 2*o.AnnounceFor {
		faults = append(faults, errors.New("gormstore: SigningKeyOptions: RotateEvery must be at least twice AnnounceFor, AnnounceFor at least twice CacheFor, and KeepFor at least one second"))
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

// maintainEvery returns how often keys are maintained: several times while a key is announced.
func (o SigningKeyOptions) maintainEvery() time.Duration {
	return max(min(o.AnnounceFor/4, time.Hour), time.Second)
}

// SigningKeys stores the key pairs with which the server signs in rows of the program's
// model; it is a [jwk.SigningKeys]. A key is created when it is needed, by the first
// instance that needs it. Keys rotate without a restart: a key is published, then signs,
// and is then kept until its last signature has expired.
type SigningKeys struct {
	table   *Table
	options SigningKeyOptions

	known    atomic.Pointer[knownKeys] // what was read last; nil before the first reading
	readings atomic.Int64              // how many readings have begun

	mu       sync.Mutex     // guards the fields below; not held during database calls
	underway *keyReading    // the one reading in progress; nil if there is none
	failedAt time.Time      // when the last reading failed, by the caller's clock; zero after a success
	prepared map[string]any // key pairs prepared to be the next of their algorithm
}

// NewSigningKeys returns the store, or an error that says what is wrong with the model or
// the options.
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

// SigningKey returns the private key that currently signs with the algorithm, and creates
// the next key when it is time to publish it. It uses only keys that were read within the
// last ten seconds, so that no key signs for longer than that after another instance has
// discarded it; it returns an error if the database is unavailable for longer.
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
		return nil, fmt.Errorf("gormstore: no key for %q signs at present", algorithm)
	}
	return &current.key, nil
}

// SignatureAlgorithms returns the signature algorithms that there are keys for.
func (k *SigningKeys) SignatureAlgorithms() []jose.SignatureAlgorithm {
	return k.options.Algorithms
}

// PublishedFor returns how long a key is published after it last signed.
func (k *SigningKeys) PublishedFor() time.Duration { return k.options.KeepFor }

// EncryptionAlgorithms returns the algorithms with which others may encrypt for the
// server.
func (k *SigningKeys) EncryptionAlgorithms() []jose.KeyAlgorithm {
	return k.options.EncryptionAlgorithms
}

// DecryptionKeys returns the private keys that decrypt what others encrypted for the
// server.
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

// PublicKeys returns all published public keys. While the database is unavailable, it
// returns the keys that were read last, as long as one of them has not expired.
func (k *SigningKeys) PublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error) {
	return k.publicKeys(ctx, now, k.options.CacheFor)
}

// FreshPublicKeys is PublicKeys for a caller that did not find a key in the set: the keys
// are read again, but at most once per second.
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

// Maintain creates keys before a request has to wait for one, encrypts keys that are
// encrypted with an older secret with the newest one, and deletes keys that are no longer
// published, until ctx ends. Run it in a goroutine beside the server. It may run on any
// number of instances, of which only one creates the next key. log may be nil.
func (k *SigningKeys) Maintain(ctx context.Context, log *slog.Logger) {
	every := time.NewTicker(k.options.maintainEvery())
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

// MaintainOnce does the work of Maintain once, for a program with its own scheduler.
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

// prepare creates the key pairs that are due while requests go on signing, because
// creating an RSA key takes long.
func (k *SigningKeys) prepare(ctx context.Context, now time.Time) error {
	known, err := k.read(ctx, now)
	if err != nil {
		return err
	}
	for _, algorithm := range k.options.names() {
		if known.current(algorithm, now) != nil && !k.isToFollow(known, algorithm, now) || k.isPrepared(algorithm) {
			continue
		}
		private, err := generateKey(ctx, algorithm)
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

// takePrepared takes the prepared key pair of an algorithm; nil if there is none.
func (k *SigningKeys) takePrepared(algorithm string) any {
	k.mu.Lock()
	defer k.mu.Unlock()
	private := k.prepared[algorithm]
	delete(k.prepared, algorithm)
	return private
}

// Rotate makes a new key sign from now on, for example because the old one has leaked.
// The old key remains published for KeepFor, unless discard is true: then everything it
// signed is void as soon as verifiers fetch the keys again. Other instances may sign with
// the old key for up to ten more seconds. The algorithm must be one of the options.
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
			signsUntil, expires = 0, 0 // also for an instance whose clock is behind
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

// names returns the names of all algorithms.
func (o SigningKeyOptions) names() (names []string) {
	for _, algorithm := range o.Algorithms {
		names = append(names, string(algorithm))
	}
	for _, algorithm := range o.EncryptionAlgorithms {
		names = append(names, string(algorithm))
	}
	return names
}

// useOf returns the "use" of keys of an algorithm (RFC 7517 section 4.2).
func useOf(algorithm string) string {
	if slices.Contains(jwk.SignatureAlgorithms(), jose.SignatureAlgorithm(algorithm)) {
		return "sig"
	}
	return "enc"
}

func generateKey(ctx context.Context, algorithm string) (any, error) {
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
		return rsakey.New(ctx, rsaBits)
	default:
		return nil, fmt.Errorf("gormstore: unknown algorithm %q", algorithm)
	}
}
