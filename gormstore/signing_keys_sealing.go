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
	"github.com/gormoauth/gormoauth/server"
)

// keyForm is how a private key is stored. What is stored says it itself: a readable key
// is a JSON object, and an encrypted one a JWE, whose "kid" is the secret that encrypted
// it, and which has none where it was SigningKeyOptions.EncryptionKey.
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
	case server.SealedBy(stored) != "":
		return secretForm
	default:
		return keyedForm
	}
}

// sealsBySecrets reports whether what is stored may be encrypted by Secrets, which no
// older instance reads: where everything began with that, or no such instance runs.
func (k *SigningKeys) sealsBySecrets(known *knownKeys) bool {
	return len(k.options.Secrets) > 0 && (k.options.NoOlderInstances || len(known.forms) == 0 || known.forms[secretForm])
}

// seal returns a private key as it is stored.
func (k *SigningKeys) seal(known *knownKeys, key jose.JSONWebKey) (string, error) {
	text, err := json.Marshal(key)
	switch {
	case err != nil:
		return "", err
	case k.sealsBySecrets(known):
		return k.options.Secrets.Seal(server.SigningKeySecret, text)
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

// open reads a private key in whichever form it was stored.
func (k *SigningKeys) open(stored string) (*jose.JSONWebKey, error) {
	text := []byte(stored)
	var err error
	switch formOf(stored) {
	case readableForm:
	case secretForm:
		text, err = k.options.Secrets.Open(server.SigningKeySecret, stored)
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
		return nil, fmt.Errorf("is SigningKeyOptions.EncryptionKey that with which it was written? %w", err)
	}
	return text, nil
}

// sealAnew encrypts by the newest secret what another form or an older secret has, if no
// older instance runs.
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
		if err := k.sealRow(ctx, key.SigningKeyMixin, server.SigningKeySecret, plain); err != nil {
			return err
		}
	}
	if known.saltRow == nil || known.salt == nil {
		return nil
	}
	return k.sealRow(ctx, known.saltRow, server.PairwiseSaltSecret, func() ([]byte, error) { return known.salt, nil })
}

// sealRow encrypts what a row has by the newest secret, unless it is already, or somebody
// else changed it since it was read. What was made by a secret that is not known here is
// left to those who know it.
func (k *SigningKeys) sealRow(ctx context.Context, row *models.SigningKeyMixin, use server.SecretUse, plain func() ([]byte, error)) error {
	secrets := k.options.Secrets
	if by := server.SealedBy(row.PrivateKey); by == secrets.Newest() || by != "" && !slices.Contains(secrets.IDs(), by) {
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
	// saltAlgorithm is what the row of the salt of pairwise subjects has as its algorithm,
	// and as its id, so that there is one.
	saltAlgorithm = "pairwise-salt"
	saltBytes     = 32
	// never is later than anything else: the last second of the year 9999.
	never = 253402300799
)

// PairwiseSalt returns the salt of pairwise subjects (OpenID Connect Core section 8.1):
// 32 random bytes that are made once, by whichever instance needs them first, and kept
// among the keys, encrypted by Secrets. They are the same for ever, whatever is rotated.
//
// An older instance cannot read keys among which there is a salt: where one may run, it is
// an error, and so it is without Secrets. See oidc.Provider.PairwiseSubjects.
func (k *SigningKeys) PairwiseSalt(ctx context.Context, now time.Time) ([]byte, error) {
	if known := k.known.Load(); known != nil && known.salt != nil {
		return known.salt, nil // it never changes
	}
	if len(k.options.Secrets) == 0 {
		return nil, errors.New("gormstore: the salt of pairwise subjects is kept encrypted: set SigningKeyOptions.Secrets, or oidc.Provider.PairwiseSalt")
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

// makeSalt stores the salt. When another instance was faster, its salt is it.
func (k *SigningKeys) makeSalt(ctx context.Context, known *knownKeys, now time.Time) (*knownKeys, error) {
	if !k.sealsBySecrets(known) {
		return nil, errors.New("gormstore: the salt of pairwise subjects is kept among the signing keys, which an older instance cannot read then: set NoOlderInstances once none runs, or set oidc.Provider.PairwiseSalt")
	}
	salt := k.options.PairwiseSalt
	if len(salt) == 0 {
		salt = make([]byte, saltBytes)
		_, _ = rand.Read(salt) // never fails
	}
	text, err := k.options.Secrets.Seal(server.PairwiseSaltSecret, salt)
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
