package gormstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientFactory creates and changes clients. It returns a client's secret only once, when
// it is generated.
type ClientFactory[M any] struct {
	clients *Clients
	server  *server.Server
}

// ErrNoClient is returned for a client that does not exist.
var ErrNoClient = errors.New("gormstore: no such client")

// NewClientFactory returns a factory, or an error that says what is wrong with the model.
// The server checks every client before it is stored (see [server.Server.CheckClient]),
// so register its grants, extensions and authentication methods before creating the first
// client.
func NewClientFactory[M any, P ClientModel[M]](db *gorm.DB, srv *server.Server) (*ClientFactory[M], error) {
	clients, err := NewClients[M, P](db)
	if srv == nil {
		err = errors.Join(err, errors.New("gormstore: ClientFactory: the *server.Server is nil: pass the server that the clients are for, which checks their metadata"))
	}
	if err != nil {
		return nil, err
	}
	return &ClientFactory[M]{clients, srv}, nil
}

// Create stores a new client. Set its metadata first, and APIResources if it is an API. Metadata that is left out
// gets the defaults of RFC 7591 section 2, so a client without grant types uses the authorization code grant; an
// empty list that is not nil stays empty. An empty client id is replaced by a generated one. Metadata that the
// server does not allow is refused with a [*clientmeta.Error].
//
// The secret is returned only here, because only its digest is stored. It is empty for a
// client that authenticates without one, such as a public client ("none") or one that
// signs with its own key ("private_key_jwt"). A ClientSecret that is already set is kept:
// a digest (see [models.IsHashedClientSecret]) is stored as it is, and secret is empty; a
// plaintext is stored as its digest by [models.HashClientSecret], which is safe only for
// 128 random bits, so first hash a secret that a person chose with bcrypt or argon2id.
func (f *ClientFactory[M]) Create(ctx context.Context, client *M) (secret string, err error) {
	if client == nil {
		return "", fmt.Errorf("gormstore: Create was called with a nil %T; pass a pointer to the client to store", client)
	}
	mixin := any(client).(clientRow).AsClientMixin()
	if mixin.ClientID == "" {
		mixin.ClientID = rand.Text()
	}
	if !clientmeta.IsClientID(mixin.ClientID) {
		return "", fmt.Errorf("gormstore: the client id %q has a character that is not allowed in a client id (RFC 6749 appendix A.1)", mixin.ClientID)
	}
	if err := f.check(ctx, mixin); err != nil {
		return "", err
	}
	if err := clientmeta.CheckAPIResources(mixin.GetAPIResources()); err != nil {
		return "", err
	}
	if secret, err = f.setSecret(mixin); err != nil {
		return "", err
	}
	mixin.ClientID, mixin.LongClientID = models.SplitClientID(mixin.ClientID)
	mixin.ClientIDIssuedAt = f.server.Now().Unix()
	mixin.ClientSource = models.ClientByHand
	t := f.clients.table
	// An id that the program chose may already belong to another client.
	own := clause.And(t.is("ClientID", mixin.ClientID), t.is("ClientSecret", mixin.ClientSecret), t.is("ClientIDIssuedAt", mixin.ClientIDIssuedAt))
	if err := t.do(ctx, step{own: own, noted: true}, func(tx *tx) error {
		row := *client // copied in each attempt, because an INSERT that was lost has set the primary key
		if _, err := tx.insert(&row); err != nil {
			return err
		}
		*client = row
		return tx.note(clientEntry(models.AuditClientRegistered, mixin.GetClientID(), f.server.Now()))
	}); err != nil {
		return "", err
	}
	return secret, nil
}

// check has the server check a client's metadata, as it does for every client.
func (f *ClientFactory[M]) check(ctx context.Context, client *models.ClientMixin) error {
	metadata, err := f.server.CheckClient(ctx, server.ClientCheck{Source: models.ClientByHand, Metadata: client.ClientMetadata})
	if err == nil {
		client.ClientMetadata = *metadata
	}
	return err
}

// setSecret gives a client a secret, unless it has one, and returns the secret to tell
// the client.
func (f *ClientFactory[M]) setSecret(client *models.ClientMixin) (told string, err error) {
	given, method := client.ClientSecret, client.GetTokenEndpointAuthMethod()
	switch {
	case given == "":
		told, client.ClientSecret = f.server.NewClientSecret(method, client.GetClientID())
		return told, nil
	case !models.UsesClientSecret(method):
		return "", fmt.Errorf("gormstore: ClientSecret is set, but a client that authenticates with %s has no secret: leave it empty", method)
	case models.IsDerivedClientSecret(given) != (method == models.ClientSecretJWT):
		return "", fmt.Errorf("gormstore: ClientSecret has a form that a client that authenticates with %s cannot use: leave it empty to have one generated", method)
	case models.IsHashedClientSecret(given):
		return "", nil
	}
	client.ClientSecret = models.HashClientSecret(given)
	return given, nil
}

// SecretRotation says how a secret is replaced. With the zero value, the old secret is
// void at once and the new one does not expire.
type SecretRotation struct {
	// Overlap is how long the old secret remains valid alongside the new one, so that a
	// client that runs in many places can switch over.
	Overlap time.Duration
	// ExpiresIn is the lifetime of the new secret; 0 means that it does not expire.
	ExpiresIn time.Duration
}

// RotateSecret replaces a client's secret and returns the new one, which cannot be read
// again. It returns [ErrNoClient] for a client that does not exist or has no secret.
func (f *ClientFactory[M]) RotateSecret(ctx context.Context, clientID string, rotation SecretRotation) (secret string, err error) {
	err = f.change(ctx, clientID, models.AuditClientSecretRotated, func(old *models.ClientMixin) (map[string]any, error) {
		method := old.GetTokenEndpointAuthMethod()
		if !models.UsesClientSecret(method) {
			return nil, ErrNoClient
		}
		if !slices.Contains(f.server.AuthMethods(), method) {
			return nil, fmt.Errorf("gormstore: the client %q authenticates with %s, which is not registered with the server: register the method", clientID, method)
		}
		var stored string
		secret, stored = f.server.NewClientSecret(method, clientID)
		return f.rotated(old, stored, rotation), nil
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

// Update replaces all of a client's metadata, with the same checks as
// [ClientFactory.Create]; members that are left out are removed. A client that now needs a
// secret and has none gets one, which is returned only here; the secret of a client that no
// longer needs one is removed. A client with a metadata document belongs to the operator
// from then on, and its document no longer applies. Update returns [ErrNoClient] for a
// client that does not exist.
func (f *ClientFactory[M]) Update(ctx context.Context, clientID string, metadata models.ClientMetadata) (secret string, err error) {
	err = f.change(ctx, clientID, models.AuditClientUpdated, func(old *models.ClientMixin) (map[string]any, error) {
		client := *old
		client.ClientMetadata = metadata
		if err := f.check(ctx, &client); err != nil {
			return nil, err
		}
		values := make(map[string]any)
		differs, err := metadataDiffers(old.ClientMetadata, client.ClientMetadata)
		if err != nil {
			return nil, err
		}
		if differs {
			values["ClientMetadata"] = client.ClientMetadata
		}
		if old.ClientSource == models.ClientByDocument {
			values["ClientSource"], values["UnusedExpiresAt"] = models.ClientByHand, 0
		}
		method, stored := client.GetTokenEndpointAuthMethod(), ""
		secret = ""
		switch {
		case !models.UsesClientSecret(method) && old.ClientSecret == "":
			return values, nil
		case models.UsesClientSecret(method) && old.ClientSecret != "" && models.IsDerivedClientSecret(old.ClientSecret) == (method == models.ClientSecretJWT):
			return values, nil
		}
		secret, stored = f.server.NewClientSecret(method, clientID)
		maps.Copy(values, f.rotated(old, stored, SecretRotation{}))
		return values, nil
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

// RotateRegistrationToken replaces the registration access token of a client that registered
// itself, for example because it has leaked, and returns the new one, which cannot be read
// again. Updates by the client itself do not change its token. RotateRegistrationToken
// returns [ErrNoClient] for a client that does not exist or has no such token.
func (f *ClientFactory[M]) RotateRegistrationToken(ctx context.Context, clientID string) (token string, err error) {
	token = f.server.GenerateSecret(secret.RegistrationToken)
	err = f.change(ctx, clientID, models.AuditClientUpdated, func(old *models.ClientMixin) (map[string]any, error) {
		if old.RegistrationAccessToken == "" {
			return nil, ErrNoClient
		}
		return map[string]any{"RegistrationAccessToken": secret.Digest(token)}, nil
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// SetAPIResources makes a client the API for exactly these resources (RFC 8707), so that
// it may introspect access tokens for them; without resources it is no longer an API. It
// returns [ErrNoClient] for a client that does not exist.
func (f *ClientFactory[M]) SetAPIResources(ctx context.Context, clientID string, resources ...string) error {
	if err := clientmeta.CheckAPIResources(resources); err != nil {
		return err
	}
	stored := strings.Join(resources, " ")
	return f.change(ctx, clientID, models.AuditClientUpdated, func(old *models.ClientMixin) (map[string]any, error) {
		if old.APIResources == stored {
			return nil, nil
		}
		return map[string]any{"APIResources": stored, "UnusedExpiresAt": 0}, nil // an API is not pruned
	})
}

// change updates a client's row and writes an audit entry, provided that the client's
// secret is still the one for which valuesFor was called. It changes nothing if there are
// no values.
func (f *ClientFactory[M]) change(ctx context.Context, clientID, event string, valuesFor func(old *models.ClientMixin) (map[string]any, error)) error {
	t, theirs := f.clients.table, f.clients.is(clientID)
	const attempts = 5 // another change may come in between
	for range attempts {
		row, err := f.clients.find(ctx, clientID)
		if err != nil {
			return err
		}
		if row == nil {
			return ErrNoClient
		}
		old := row.AsClientMixin().ClientSecret
		values, err := valuesFor(row.AsClientMixin())
		if err != nil || len(values) == 0 {
			return err
		}
		newSecret, ok := values["ClientSecret"].(string)
		if !ok {
			newSecret = old
		}
		plain := models.IsPlaintextClientSecret(old) // of an older program; it appears in no statement
		unchanged, s := f.clients.secretIs(old), step{own: clause.And(theirs, f.clients.secretIs(newSecret)), noted: true}
		if plain {
			unchanged, s.several = theirs, true
		}
		if models.IsPlaintextClientSecret(newSecret) {
			s.own = nil
		}
		err = t.do(ctx, s, func(tx *tx) error {
			if tx.lost { // the update may have taken effect
				stored := []clause.Expression{theirs}
				for field, value := range values {
					stored = append(stored, t.is(field, value))
				}
				if done, err := tx.find(t.newRow(), stored...); err != nil || done {
					return err
				}
			}
			if plain {
				now, err := f.clients.lock(tx, clientID)
				if err != nil {
					return err
				}
				if now == nil || now.AsClientMixin().ClientSecret != old {
					return errUpdated
				}
			}
			changed, err := tx.updateRow(row, values, theirs, unchanged, t.is("ClientDeletedAt", 0))
			switch {
			case err != nil:
				return err
			case changed == 0:
				return errUpdated
			}
			return tx.note(clientEntry(event, clientID, f.server.Now()))
		})
		if !errors.Is(err, errUpdated) {
			return err
		}
	}
	return fmt.Errorf("gormstore: the client %q is being changed concurrently: %w", clientID, storage.ErrUnavailable)
}

// secretIs is the condition that a row has this stored secret. An older program may have
// stored NULL for no secret.
func (c *Clients) secretIs(stored string) clause.Expression {
	if stored == "" {
		return clause.Or(c.table.is("ClientSecret", ""), c.table.is("ClientSecret", nil))
	}
	return c.table.is("ClientSecret", stored)
}

// rotated returns the values of a client with a new secret. The old secret expires after
// the overlap, or at its own expiry if that is sooner.
func (f *ClientFactory[M]) rotated(old *models.ClientMixin, stored string, rotation SecretRotation) map[string]any {
	now := f.server.Now()
	values := map[string]any{
		"ClientSecret": stored, "ClientSecretExpiresAt": int64(0),
		"PreviousClientSecret": "", "PreviousClientSecretExpiresAt": int64(0),
	}
	if rotation.ExpiresIn > 0 {
		values["ClientSecretExpiresAt"] = now.Add(rotation.ExpiresIn).Unix()
	}
	if rotation.Overlap > 0 {
		end := now.Add(rotation.Overlap).Unix()
		if old.ClientSecretExpiresAt != 0 {
			end = min(end, old.ClientSecretExpiresAt)
		}
		previous := old.ClientSecret
		if models.IsPlaintextClientSecret(previous) { // of an older program
			previous = models.HashClientSecret(previous)
		}
		values["PreviousClientSecret"], values["PreviousClientSecretExpiresAt"] = previous, end
	}
	return values
}
