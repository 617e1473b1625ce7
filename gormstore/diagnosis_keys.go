package gormstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/secret"
)

// Diagnose finds keys that the server cannot read, keys that are stored unencrypted,
// older secrets that are still needed, keys that stay as they are until no older instance
// runs, and missing RSA keys, which a request would have to wait for. It creates no keys.
func (k *SigningKeys) Diagnose(ctx context.Context, s *server.Server) (findings finding.List) {
	rows, _, err := k.table.loadAll(k.table.primary(ctx), nil)
	if err != nil {
		return finding.List{{
			Check: "unseen", Severity: finding.Hint, Where: "table " + k.table.schema.Table, Problem: "could not be read: " + strings.Join(strings.Fields(err.Error()), " "),
			Remedy: "allow the role to read it, or run the doctor as a role that may",
		}}
	}
	var keys []*models.SigningKeyMixin // those that are in use
	forms := make(map[keyForm]bool)
	for _, row := range rows {
		key := row.(keyRow).AsSigningKeyMixin()
		forms[formOf(key.PrivateKey)] = true
		if key.ExpiresAt > s.Now().Unix() {
			keys = append(keys, key)
		}
	}
	findings = slices.Concat(k.diagnoseUnreadable(keys), k.diagnoseSecrets(keys))
	if loopback.Serves(s.Issuer()) {
		return findings
	}
	pending := len(k.options.Secrets) > 0 && !k.sealsBySecrets(&knownKeys{forms: forms})
	return slices.Concat(findings, k.diagnoseForms(keys, pending), k.diagnoseRSA(keys, s.Now()))
}

// diagnoseUnreadable finds keys that the server cannot decrypt or parse.
func (k *SigningKeys) diagnoseUnreadable(keys []*models.SigningKeyMixin) finding.List {
	var found rowFaults
	missing := new(secret.MissingError)
	for _, key := range keys {
		_, err := k.open(key.PrivateKey)
		if key.Algorithm == saltAlgorithm {
			_, err = k.options.Secrets.Open(secret.ForPairwiseSalt, key.PrivateKey)
		}
		if err != nil {
			errors.As(err, &missing)
			found.add("key_id "+strconv.Quote(key.KeyID), strings.Join(strings.Fields(err.Error()), " "))
		}
	}
	if found.rows == 0 {
		return nil
	}
	remedy := "SigningKeyOptions.EncryptionKey: set the key that they were encrypted with; if it is lost, delete those rows, which invalidates everything they signed"
	if missing.ID != "" {
		remedy = "Config.Secrets: add the secret with the id " + strconv.Quote(missing.ID) + " again, after the newest one; if it is lost, delete those rows, which invalidates everything they signed"
	}
	return finding.List{{
		Check: "unreadable_keys", Severity: finding.Grave, Where: "table " + k.table.schema.Table, Problem: "has keys that cannot be read, " + found.String(),
		Consequence: "nothing can be signed, and no key is published", Remedy: remedy,
	}}
}

// diagnoseSecrets finds keys that are encrypted with an older secret.
func (k *SigningKeys) diagnoseSecrets(keys []*models.SigningKeyMixin) (findings finding.List) {
	if len(k.options.Secrets) == 0 {
		return nil
	}
	for _, id := range k.options.Secrets.IDs()[1:] {
		if slices.ContainsFunc(keys, func(key *models.SigningKeyMixin) bool { return secret.SealedBy(key.PrivateKey) == id }) {
			findings = append(findings, finding.Finding{
				Check: "older_secret", Severity: finding.Hint, Where: "table " + k.table.schema.Table, Problem: "has keys that are encrypted with the secret with the id " + strconv.Quote(id),
				Consequence: "it must not be removed from Config.Secrets yet", Remedy: "go srv.MaintainKeys(ctx) beside the server, which encrypts them with the newest secret",
			})
		}
	}
	return findings
}

// diagnoseForms finds keys that are not encrypted, and keys that wait to be encrypted
// with Secrets until no older instance runs.
func (k *SigningKeys) diagnoseForms(keys []*models.SigningKeyMixin, pending bool) finding.List {
	readable := slices.ContainsFunc(keys, func(key *models.SigningKeyMixin) bool { return formOf(key.PrivateKey) == readableForm })
	begins := "set Config.NoOlderInstances: true once no instance of an older release runs; go srv.MaintainKeys(ctx) then encrypts them"
	switch {
	case !readable && pending:
		return finding.List{{
			Check: "pending_keys", Severity: finding.Hint, Where: "table " + k.table.schema.Table, Problem: "has keys that are not encrypted with Config.Secrets yet, because an older instance could not read them then",
			Consequence: "SigningKeyOptions.EncryptionKey cannot be rotated, and no salt of pairwise subjects is stored", Remedy: begins,
		}}
	case !readable:
		return nil
	}
	remedy := "Config.Secrets, or SigningKeyOptions.Secrets: 32 random bytes that are not stored in the database"
	switch {
	case pending:
		remedy = begins
	case len(k.options.Secrets) > 0:
		remedy = "go srv.MaintainKeys(ctx) beside the server, which encrypts them"
	case k.options.EncryptionKey != nil:
		remedy = "call SigningKeys.Rotate for each algorithm: the keys were created before EncryptionKey was set"
	}
	return finding.List{{
		Check: "readable_keys", Severity: finding.Warning, Where: "table " + k.table.schema.Table, Problem: "has private keys that are not encrypted",
		Consequence: "anyone who reads the database, or a copy of it, can sign as the server", Remedy: remedy,
	}}
}

// diagnoseRSA finds that a request will have to wait until an RSA key is created.
func (k *SigningKeys) diagnoseRSA(keys []*models.SigningKeyMixin, now time.Time) finding.List {
	var missing []string
	for _, algorithm := range k.options.names() {
		if isRSA(algorithm) && !hasCurrent(keys, algorithm, now) {
			missing = append(missing, algorithm)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return finding.List{{
		Check: "rsa_key", Severity: finding.Hint, Where: "table " + k.table.schema.Table, Problem: "has no key for " + strings.Join(missing, ", "),
		Consequence: "the first request that needs it waits for a second or more until it is created",
		Remedy:      "err := srv.PrepareKeys(ctx) before the server serves, and go srv.MaintainKeys(ctx) beside it",
	}}
}

func hasCurrent(keys []*models.SigningKeyMixin, algorithm string, now time.Time) bool {
	for _, key := range keys {
		if key.Algorithm == algorithm && key.SignsFrom <= now.Unix() && now.Unix() < key.SignsUntil {
			return true
		}
	}
	return false
}

// isRSA reports whether an algorithm uses RSA keys, which are slow to create.
func isRSA(algorithm string) bool {
	return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
}
