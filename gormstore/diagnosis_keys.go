package gormstore

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// Diagnose finds keys that cannot be read, or that can be read in the database, and RSA keys
// for which somebody will wait. It makes none.
func (k *SigningKeys) Diagnose(ctx context.Context, s *server.Server) (findings server.Findings) {
	rows, err := k.table.loadAll(k.table.primary(ctx), nil)
	if err != nil {
		return server.Findings{{
			Check: "unseen", Severity: server.Hint, Where: "table " + k.table.schema.Table, Problem: "could not be looked at: " + strings.Join(strings.Fields(err.Error()), " "),
			Remedy: "let the role read it, or run the doctor as one that may",
		}}
	}
	keys := make([]*models.SigningKeyMixin, len(rows))
	for i, row := range rows {
		keys[i] = row.(keyRow).AsSigningKeyMixin()
	}
	findings = k.diagnoseUnreadable(keys, s.Now())
	if loopback.Serves(s.Issuer()) {
		return findings
	}
	return slices.Concat(findings, k.diagnoseReadable(keys, s.Now()), k.diagnoseRSA(keys, s.Now()))
}

// diagnoseUnreadable finds keys that are in use and that the server cannot read.
func (k *SigningKeys) diagnoseUnreadable(keys []*models.SigningKeyMixin, now time.Time) server.Findings {
	var found rowFaults
	for _, key := range keys {
		if key.ExpiresAt <= now.Unix() {
			continue
		}
		if _, err := k.open(key.PrivateKey); err != nil {
			found.add("key_id "+strconv.Quote(key.KeyID), strings.Join(strings.Fields(err.Error()), " "))
		}
	}
	if found.rows == 0 {
		return nil
	}
	return server.Findings{{
		Check: "unreadable_keys", Severity: server.Grave, Where: "table " + k.table.schema.Table, Problem: "has keys that cannot be read, " + found.String(),
		Consequence: "nothing is signed, and no key is published",
		Remedy:      "SigningKeyOptions.EncryptionKey: that with which they were written; where it is lost, delete those rows, which voids what they have signed",
	}}
}

// diagnoseReadable finds keys that are in use and not encrypted.
func (k *SigningKeys) diagnoseReadable(keys []*models.SigningKeyMixin, now time.Time) server.Findings {
	readable := false
	for _, key := range keys {
		readable = readable || key.ExpiresAt > now.Unix() && !isSealed(key.PrivateKey)
	}
	remedy := "SigningKeyOptions.EncryptionKey: 32 random bytes that are kept apart from the database, and then SigningKeys.Rotate"
	switch {
	case !readable:
		return nil
	case k.options.EncryptionKey != nil:
		remedy = "SigningKeys.Rotate for each algorithm: they were made before there was an EncryptionKey"
	}
	return server.Findings{{
		Check: "readable_keys", Severity: server.Warning, Where: "table " + k.table.schema.Table, Problem: "keeps private keys that are not encrypted",
		Consequence: "whoever reads the database, or a copy of it, can sign as the server", Remedy: remedy,
	}}
}

// diagnoseRSA finds that an RSA key is to be made while a request waits for it.
func (k *SigningKeys) diagnoseRSA(keys []*models.SigningKeyMixin, now time.Time) server.Findings {
	var missing []string
	for _, algorithm := range k.options.names() {
		if isRSA(algorithm) && !hasCurrent(keys, algorithm, now) {
			missing = append(missing, algorithm)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return server.Findings{{
		Check: "rsa_key", Severity: server.Hint, Where: "table " + k.table.schema.Table, Problem: "has no key for " + strings.Join(missing, ", "),
		Consequence: "it is made while the first request that needs it waits, for a second or more",
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

// isRSA reports whether keys of an algorithm take long to make.
func isRSA(algorithm string) bool {
	return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
}
