package gormstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
)

// keyForm is the form in which a private key is stored. The stored text shows it: an
// unencrypted key is a JSON object; an encrypted one is a JWE, whose "kid" is the id of
// the secret that encrypted it. A key encrypted with SigningKeyOptions.EncryptionKey has
// no "kid".
type keyForm string

const (
	readableForm keyForm = "readable"
	keyedForm    keyForm = "by EncryptionKey"
	secretForm   keyForm = "by Secrets"
)

func formOf(stored string) keyForm {
	switch {
	case strings.HasPrefix(stored, "{"):
		return readableForm
	case secret.SealedBy(stored) != "":
		return secretForm
	default:
		return keyedForm
	}
}

// sealsBySecrets reports whether keys may be encrypted with Secrets, which older
// instances cannot read: in a new database, in one that already has such keys, or if no
// older instance runs.
func (k *SigningKeys) sealsBySecrets(known *knownKeys) bool {
	return len(k.options.Secrets) > 0 && (k.options.NoOlderInstances || len(known.forms) == 0 || known.forms[secretForm])
}

// seal returns the stored form of a private key.
func (k *SigningKeys) seal(known *knownKeys, key jose.JSONWebKey) (string, error) {
	text, err := json.Marshal(key)
	switch {
	case err != nil:
		return "", err
	case k.sealsBySecrets(known):
		return k.options.Secrets.Seal(secret.ForSigningKeys, text)
	case k.options.EncryptionKey == nil:
		return string(text), nil
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

// open reads a private key that was stored in any form.
func (k *SigningKeys) open(stored string) (*jose.JSONWebKey, error) {
	text := []byte(stored)
	var err error
	switch formOf(stored) {
	case readableForm:
	case secretForm:
		text, err = k.options.Secrets.Open(secret.ForSigningKeys, stored)
	default:
		text, err = k.openKeyed(stored)
	}
	if err != nil {
		return nil, err
	}
	key := new(jose.JSONWebKey)
	if err := strictjson.Unmarshal(text, key); err != nil {
		return nil, err
	}
	return key, nil
}

func (k *SigningKeys) openKeyed(stored string) ([]byte, error) {
	sealed, err := jwt.ParseEncrypted(stored, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, err
	}
	text, err := sealed.Decrypt(k.options.EncryptionKey)
	if err != nil {
		return nil, fmt.Errorf("is SigningKeyOptions.EncryptionKey the key that it was encrypted with? %w", err)
	}
	return text, nil
}

// sealAnew encrypts keys in another form, or encrypted with an older secret, with the
// newest secret, unless older instances may run.
func (k *SigningKeys) sealAnew(ctx context.Context, known *knownKeys) error {
	if !k.sealsBySecrets(known) {
		return nil
	}
	for _, key := range known.keys {
		plain := func() ([]byte, error) {
			opened, err := k.open(key.PrivateKey)
			if err != nil {
				return nil, err
			}
			return json.Marshal(opened)
		}
		if err := k.sealRow(ctx, key.SigningKeyMixin, secret.ForSigningKeys, plain); err != nil {
			return err
		}
	}
	if known.saltRow == nil || known.salt == nil {
		return nil
	}
	return k.sealRow(ctx, known.saltRow, secret.ForPairwiseSalt, func() ([]byte, error) { return known.salt, nil })
}

// sealRow encrypts a row with the newest secret, unless it already is, or the row has
// changed since it was read. A row that is encrypted with an unknown secret is left to
// the instances that know the secret.
func (k *SigningKeys) sealRow(ctx context.Context, row *models.SigningKeyMixin, use secret.Use, plain func() ([]byte, error)) error {
	secrets := k.options.Secrets
	if by := secret.SealedBy(row.PrivateKey); by == secrets.Newest() || by != "" && !slices.Contains(secrets.IDs(), by) {
		return nil
	}
	text, err := plain()
	if err != nil {
		return err
	}
	sealed, err := secrets.Seal(use, text)
	if err != nil {
		return err
	}
	return k.table.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.update(map[string]any{"PrivateKey": sealed}, k.table.is("KeyID", row.KeyID), k.table.is("PrivateKey", row.PrivateKey))
		return err
	})
}

const (
	// saltAlgorithm is the algorithm, and the key id, of the row with the salt of pairwise
	// subjects. Because of the unique index on the key id, there is only one such row.
	saltAlgorithm = "pairwise-salt"
	saltBytes     = 32
	// never is the expiry of a row that does not expire: the last second of the year 9999.
	never = 253402300799
)

// PairwiseSalt returns the salt of pairwise subjects (OpenID Connect Core section 8.1):
// 32 random bytes that are created once, by the first instance that needs them, and
// stored among the keys, encrypted with Secrets. They never change, whatever is rotated.
//
// It returns an error without Secrets, and as long as older instances may run, because
// they cannot read the keys if there is a salt among them. See
// oidc.Provider.PairwiseSubjects.
func (k *SigningKeys) PairwiseSalt(ctx context.Context, now time.Time) ([]byte, error) {
	if known := k.known.Load(); known != nil && known.salt != nil {
		return known.salt, nil // it never changes
	}
	if len(k.options.Secrets) == 0 {
		return nil, errors.New("gormstore: the salt of pairwise subjects is stored encrypted: set SigningKeyOptions.Secrets, or oidc.Provider.PairwiseSalt")
	}
	known, err := k.await(ctx, now, k.options.CacheFor, saltAlgorithm)
	switch {
	case err != nil:
		return nil, err
	case known.saltErr != nil:
		return nil, known.saltErr
	}
	return known.salt, nil
}

// makeSalt stores the salt. If another instance was faster, that instance's salt is used.
func (k *SigningKeys) makeSalt(ctx context.Context, known *knownKeys, now time.Time) (*knownKeys, error) {
	if !k.sealsBySecrets(known) {
		return nil, errors.New("gormstore: the salt of pairwise subjects is stored among the signing keys, which an older instance then cannot read: set NoOlderInstances once none runs, or set oidc.Provider.PairwiseSalt")
	}
	salt := k.options.PairwiseSalt
	if len(salt) == 0 {
		salt = make([]byte, saltBytes)
		_, _ = rand.Read(salt) // never fails
	}
	text, err := k.options.Secrets.Seal(secret.ForPairwiseSalt, salt)
	if err != nil {
		return nil, err
	}
	err = k.insert(ctx, models.SigningKeyMixin{
		KeyID: saltAlgorithm, Algorithm: saltAlgorithm, Generation: 1, PrivateKey: text, SignsFrom: now.Unix(), SignsUntil: now.Unix(), ExpiresAt: never,
	})
	if err != nil {
		return nil, err
	}
	return k.read(ctx, now)
}
