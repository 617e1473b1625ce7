package gormstore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/strictjson"
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
	// minute. It is much shorter than AnnounceFor.
	CacheFor time.Duration
	// EncryptionKey encrypts the private keys in the database: 32 random bytes,
	// the same on every instance, kept apart from it. nil leaves them readable
	// to whoever can read the database.
	EncryptionKey []byte
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

	mu     sync.Mutex
	known  []signingKey // those that have not expired, by generation
	readAt time.Time
	// generations are the last ones by algorithm, of expired keys as well.
	generations map[string]int64
	// prepared are key pairs that wait to be the next of their algorithm.
	prepared map[string]any
}

// signingKey is a row whose key was read.
type signingKey struct {
	*models.SigningKeyMixin
	key jose.JSONWebKey
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
// the next one when it is time to announce it.
func (k *SigningKeys) SigningKey(ctx context.Context, algorithm jose.SignatureAlgorithm, now time.Time) (*jose.JSONWebKey, error) {
	if !slices.Contains(k.options.Algorithms, algorithm) {
		return nil, fmt.Errorf("gormstore: there are no keys for %q: add it to SigningKeyOptions.Algorithms", algorithm)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(outside(ctx), now, string(algorithm)); err != nil {
		return nil, err
	}
	current := k.current(string(algorithm), now)
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
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(outside(ctx), now, k.options.names()...); err != nil {
		return nil, err
	}
	set := new(jose.JSONWebKeySet)
	for _, known := range k.known {
		if known.ExpiresAt > now.Unix() && known.key.Use == "enc" {
			set.Keys = append(set.Keys, known.key)
		}
	}
	return set, nil
}

// PublicKeys returns the public keys of all that is published.
func (k *SigningKeys) PublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(outside(ctx), now, k.options.names()...); err != nil {
		return nil, err
	}
	set := &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, known := range k.known {
		if known.ExpiresAt > now.Unix() {
			set.Keys = append(set.Keys, known.key.Public())
		}
	}
	return set, nil
}

// Maintain makes keys before anybody waits for one, and deletes those that are
// published no more, until ctx ends: run it beside the server. It may run on any
// number of instances, of which one makes the next key.
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
	if err := k.prepare(ctx, now); err != nil {
		return err
	}
	if _, err := k.PublicKeys(ctx, now); err != nil {
		return err
	}
	return pruning{table: k.table}.run(ctx, PruneOptions{Before: now, BatchSize: defaultPruneBatch}, func(int64) {})
}

// prepare makes the key pairs that are due, while others sign: an RSA key takes its
// time.
func (k *SigningKeys) prepare(ctx context.Context, now time.Time) error {
	due, err := k.due(ctx, now)
	for _, algorithm := range due {
		private, makeErr := generateKey(algorithm)
		if makeErr != nil {
			return makeErr
		}
		k.mu.Lock()
		k.prepared[algorithm] = private
		k.mu.Unlock()
	}
	return err
}

// due returns the algorithms for which there is no key to sign, or to follow the one
// that does.
func (k *SigningKeys) due(ctx context.Context, now time.Time) (algorithms []string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.read(outside(ctx), now); err != nil {
		return nil, err
	}
	for _, algorithm := range k.options.names() {
		if k.prepared[algorithm] == nil && (k.current(algorithm, now) == nil || k.isToFollow(algorithm, now)) {
			algorithms = append(algorithms, algorithm)
		}
	}
	return algorithms, nil
}

// isToFollow reports whether it is time to announce the key after the one that signs.
func (k *SigningKeys) isToFollow(algorithm string, now time.Time) bool {
	current := k.current(algorithm, now)
	return k.latest(algorithm) == current && now.Unix() >= current.SignsUntil-int64(k.options.AnnounceFor/time.Second)
}

// Rotate has a new key sign from now on, for the day the old one has leaked. The
// old one stays published for KeepFor, unless discard: then what it signed is
// void at once, as far as others ask for the keys again.
func (k *SigningKeys) Rotate(ctx context.Context, algorithm jose.SignatureAlgorithm, now time.Time, discard bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx = outside(ctx)
	if err := k.read(ctx, now); err != nil {
		return err
	}
	old := k.latest(string(algorithm))
	if err := k.create(ctx, string(algorithm), now, now); err != nil {
		return err
	}
	expires := now.Add(k.options.KeepFor)
	if discard {
		expires = now
	}
	for _, known := range k.known {
		if known.Algorithm != string(algorithm) || old == nil || known.Generation > old.Generation || known.SignsUntil <= now.Unix() && !discard {
			continue
		}
		err := k.table.do(ctx, step{}, func(tx *tx) error {
			_, err := tx.update(map[string]any{
				"SignsUntil": min(known.SignsUntil, now.Unix()), "ExpiresAt": min(known.ExpiresAt, expires.Unix()),
			}, k.table.is("KeyID", known.KeyID))
			return err
		})
		if err != nil {
			return err
		}
	}
	return k.read(ctx, now)
}

// refresh reads the keys again when it is time to, and sees to it that there is
// one to sign by each of the algorithms, and one to follow each that there is: it
// takes its time to make the first RSA key, for which nobody has asked.
func (k *SigningKeys) refresh(ctx context.Context, now time.Time, algorithms ...string) error {
	if age := now.Sub(k.readAt); k.readAt.IsZero() || age < 0 || age >= k.options.CacheFor {
		if err := k.read(ctx, now); err != nil {
			return err
		}
	}
	for _, algorithm := range k.options.names() {
		current, latest := k.current(algorithm, now), k.latest(algorithm)
		var err error
		switch {
		case current == nil && (latest != nil || slices.Contains(algorithms, algorithm)):
			err = k.create(ctx, algorithm, now, now)
		case current == nil:
		case k.isToFollow(algorithm, now):
			err = k.create(ctx, algorithm, now, time.Unix(current.SignsUntil, 0))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// current returns the key that signs: the latest of those whose time it is.
func (k *SigningKeys) current(algorithm string, now time.Time) *signingKey {
	for i := range slices.Backward(k.known) {
		known := &k.known[i]
		if known.Algorithm == algorithm && known.SignsFrom <= now.Unix() && now.Unix() < known.SignsUntil {
			return known
		}
	}
	return nil
}

func (k *SigningKeys) latest(algorithm string) *signingKey {
	for i := range slices.Backward(k.known) {
		if k.known[i].Algorithm == algorithm {
			return &k.known[i]
		}
	}
	return nil
}

// read reads the keys.
func (k *SigningKeys) read(ctx context.Context, now time.Time) error {
	rows, err := k.table.list(ctx, nil, clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column(k.table.column("Generation"))}}})
	if err != nil {
		return err
	}
	k.known, k.generations, k.readAt = nil, make(map[string]int64), now
	for _, of := range rows {
		row := of.(keyRow).AsSigningKeyMixin()
		k.generations[row.Algorithm] = row.Generation
		if row.ExpiresAt <= now.Unix() {
			continue
		}
		key, err := k.open(row.PrivateKey)
		if err != nil {
			k.readAt = time.Time{}
			return fmt.Errorf("gormstore: the signing key %s cannot be read (is SigningKeyOptions.EncryptionKey that with which it was written?): %w", row.KeyID, err)
		}
		key.KeyID, key.Algorithm, key.Use = row.KeyID, row.Algorithm, useOf(row.Algorithm)
		k.known = append(k.known, signingKey{row, *key})
	}
	return nil
}

// create makes the key that follows those that were read. When another instance
// was faster, its key is it.
func (k *SigningKeys) create(ctx context.Context, algorithm string, now, signsFrom time.Time) error {
	private := k.prepared[algorithm]
	delete(k.prepared, algorithm)
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
	text, err := k.seal(key)
	if err != nil {
		return err
	}
	until := signsFrom.Add(k.options.RotateEvery)
	record := models.SigningKeyMixin{
		KeyID: base64.RawURLEncoding.EncodeToString(thumbprint), Algorithm: algorithm, Generation: k.generations[algorithm] + 1, PrivateKey: text,
		SignsFrom: signsFrom.Unix(), SignsUntil: until.Unix(), ExpiresAt: until.Add(k.options.KeepFor).Unix(),
	}
	err = k.table.do(ctx, step{own: k.table.is("KeyID", record.KeyID)}, func(tx *tx) error {
		row := k.table.newRow().(keyRow)
		*row.AsSigningKeyMixin() = record
		_, err := tx.insert(row)
		return err
	})
	if err != nil && !isDuplicate(err) {
		return fmt.Errorf("gormstore: store a signing key: %w", err)
	}
	return k.read(ctx, now)
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
	default:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
}

// seal returns a private key as it is stored.
func (k *SigningKeys) seal(key jose.JSONWebKey) (string, error) {
	text, err := json.Marshal(key)
	if err != nil || k.options.EncryptionKey == nil {
		return string(text), err
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: k.options.EncryptionKey}, nil)
	if err != nil {
		return "", err
	}
	sealed, err := encrypter.Encrypt(text)
	if err != nil {
		return "", err
	}
	return sealed.CompactSerialize()
}

// isSealed reports whether a stored key is encrypted: a readable one is JSON.
func isSealed(stored string) bool { return !strings.HasPrefix(stored, "{") }

// open reads a private key as it was stored. One that was stored before keys
// were encrypted is read as well.
func (k *SigningKeys) open(stored string) (*jose.JSONWebKey, error) {
	text := []byte(stored)
	if isSealed(stored) {
		sealed, err := jwt.ParseEncrypted(stored, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
		if err != nil {
			return nil, err
		}
		if text, err = sealed.Decrypt(k.options.EncryptionKey); err != nil {
			return nil, err
		}
	}
	key := new(jose.JSONWebKey)
	if err := strictjson.Unmarshal(text, key); err != nil {
		return nil, err
	}
	return key, nil
}
