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
)

// ClientFactory makes clients, and tells their secrets once.
type ClientFactory[M any] struct {
	clients *Clients
	server  *server.Server
}

// ErrNoClient is returned for a client that does not exist.
var ErrNoClient = errors.New("gormstore: there is no such client")

// NewClientFactory returns a factory, or what is wrong with the model. The server checks
// every client before it is stored, see [server.Server.CheckClient]: register its grants,
// extensions and authentication methods before the first client is made.
func NewClientFactory[M any, P ClientModel[M]](db *gorm.DB, srv *server.Server) (*ClientFactory[M], error) {
	clients, err := NewClients[M, P](db)
	if srv == nil {
		err = errors.Join(err, errors.New("gormstore: ClientFactory: the *server.Server is nil: hand it the server that the clients are for, which checks their metadata"))
	}
	if err != nil {
		return nil, err
	}
	return &ClientFactory[M]{clients, srv}, nil
}

// Create stores a new client. Fill its metadata first, and APIResources if it is an API; what is left out gets the
// defaults of RFC 7591 section 2, so that a client without grant types is one of the
// authorization code grant; an empty list that is not nil is none. A client id that is
// empty is generated. Metadata that no client of the server may have is refused, with a
// [*server.ClientMetadataError].
//
// The secret is returned this once: only its digest is kept. A client that authenticates
// without a secret, such as a public one ("none") or one that signs by a key of its own
// ("private_key_jwt"), has none, and the secret is empty. A ClientSecret that is set
// already stays: a digest (see [models.IsHashedClientSecret]) as it is, and nothing is
// returned; a plaintext as its digest by [models.HashClientSecret], which needs 128 random
// bits, so hash one that a person chose by bcrypt or argon2id first.
func (f *ClientFactory[M]) Create(ctx context.Context, client *M) (secret string, err error) {
	if client == nil {
		return "", fmt.Errorf("gormstore: Create is given a nil %T; hand over a pointer to the client that is to be stored", client)
	}
	mixin := any(client).(clientRow).AsClientMixin()
	if mixin.ClientID == "" {
		mixin.ClientID = rand.Text()
	}
	if !server.IsClientID(mixin.ClientID) {
		return "", fmt.Errorf("gormstore: the client id %q has a character that no client id has (RFC 6749 appendix A.1)", mixin.ClientID)
	}
	if err := f.check(ctx, mixin); err != nil {
		return "", err
	}
	if err := server.CheckAPIResources(mixin.GetAPIResources()); err != nil {
		return "", err
	}
	if secret, err = f.setSecret(mixin); err != nil {
		return "", err
	}
	mixin.ClientID, mixin.LongClientID = models.SplitClientID(mixin.ClientID)
	mixin.ClientIDIssuedAt = f.server.Now().Unix()
	mixin.ClientSource = models.ClientByHand
	t := f.clients.table
	// An id that the program chose may be another client's.
	own := clause.And(t.is("ClientID", mixin.ClientID), t.is("ClientSecret", mixin.ClientSecret), t.is("ClientIDIssuedAt", mixin.ClientIDIssuedAt))
	if err := t.do(ctx, step{own: own, noted: true}, func(tx *tx) error {
		row := *client // anew in each attempt, as an INSERT that was lost has given it its primary key
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

// check takes a client's metadata through the door of all clients.
func (f *ClientFactory[M]) check(ctx context.Context, client *models.ClientMixin) error {
	metadata, err := f.server.CheckClient(ctx, server.ClientCheck{Source: models.ClientByHand, Metadata: client.ClientMetadata})
	if err == nil {
		client.ClientMetadata = *metadata
	}
	return err
}

// setSecret gives a client a secret, unless it has one, and returns what it is told.
func (f *ClientFactory[M]) setSecret(client *models.ClientMixin) (told string, err error) {
	given, method := client.ClientSecret, client.GetTokenEndpointAuthMethod()
	switch {
	case given == "":
		told, client.ClientSecret = f.server.NewClientSecret(method, client.GetClientID())
		return told, nil
	case !models.UsesClientSecret(method):
		return "", fmt.Errorf("gormstore: ClientSecret is set, and a client that authenticates by %s has none: leave it empty", method)
	case models.IsDerivedClientSecret(given) != (method == models.ClientSecretJWT):
		return "", fmt.Errorf("gormstore: ClientSecret is set to what a client that authenticates by %s cannot use: leave it empty, and one is made", method)
	case models.IsHashedClientSecret(given):
		return "", nil
	}
	client.ClientSecret = models.HashClientSecret(given)
	return given, nil
}

// SecretRotation says how a secret is replaced. The zero value voids the old
// one at once, and the new one does not expire.
type SecretRotation struct {
	// Overlap is how long the old secret stays valid beside the new one, so that
	// a client that runs in many places can change over.
	Overlap time.Duration
	// ExpiresIn is how long the new secret lasts; 0 is without end.
	ExpiresIn time.Duration
}

// RotateSecret replaces a client's secret and returns the new one, this once.
// [ErrNoClient] is returned for a client that does not exist or has no secret.
func (f *ClientFactory[M]) RotateSecret(ctx context.Context, clientID string, rotation SecretRotation) (secret string, err error) {
	err = f.change(ctx, clientID, models.AuditClientSecretRotated, func(old *models.ClientMixin) (map[string]any, error) {
		method := old.GetTokenEndpointAuthMethod()
		if !models.UsesClientSecret(method) {
			return nil, ErrNoClient
		}
		if !slices.Contains(f.server.AuthMethods(), method) {
			return nil, fmt.Errorf("gormstore: the client %q authenticates by %s, which the server does not have: register the method", clientID, method)
		}
		var stored string
		secret, stored = f.server.NewClientSecret(method, clientID)
		return f.rotated(old, stored, rotation), nil
	})
	return secret, err
}

// Update replaces what is said of a client, as [ClientFactory.Create] checks it; what the
// metadata leaves out is gone. A client that now needs a secret and has none gets one,
// which is returned this once; from one that needs none any more it is taken. A client of a
// metadata document is the operator's own from then on, and its document says nothing
// any more. [ErrNoClient] is returned for a client that does not exist.
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
	return secret, err
}

// RotateRegistrationToken replaces the registration access token of a client that registered
// itself, such as one that has leaked, and returns the new one, this once. The client keeps
// its token otherwise, whatever it updates. [ErrNoClient] is returned for a client that does
// not exist or has none.
func (f *ClientFactory[M]) RotateRegistrationToken(ctx context.Context, clientID string) (token string, err error) {
	token = f.server.GenerateSecret(server.RegistrationTokenKind)
	err = f.change(ctx, clientID, models.AuditClientUpdated, func(old *models.ClientMixin) (map[string]any, error) {
		if old.RegistrationAccessToken == "" {
			return nil, ErrNoClient
		}
		return map[string]any{"RegistrationAccessToken": server.Digest(token)}, nil
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// SetAPIResources makes a client the API at the resources (RFC 8707) and no others, so
// that it may introspect access tokens for them; without resources it is no API any more.
// [ErrNoClient] is returned for a client that does not exist.
func (f *ClientFactory[M]) SetAPIResources(ctx context.Context, clientID string, resources ...string) error {
	if err := server.CheckAPIResources(resources); err != nil {
		return err
	}
	stored := strings.Join(resources, " ")
	return f.change(ctx, clientID, models.AuditClientUpdated, func(old *models.ClientMixin) (map[string]any, error) {
		if old.APIResources == stored {
			return nil, nil
		}
		return map[string]any{"APIResources": stored, "UnusedExpiresAt": 0}, nil // it is not to be forgotten
	})
}

// change updates a client's row with an entry in the audit trail, on the condition that
// its secret is still the one by which the values were found. No values are no change.
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
		stored, ok := values["ClientSecret"].(string)
		if !ok {
			stored = old
		}
		plain := models.IsPlaintextClientSecret(old) // of an older program; it appears in no statement
		unchanged, s := f.clients.secretIs(old), step{own: clause.And(theirs, f.clients.secretIs(stored)), noted: true}
		if plain {
			unchanged, s.several = theirs, true
		}
		if models.IsPlaintextClientSecret(stored) {
			s.own = nil
		}
		err = t.do(ctx, s, func(tx *tx) error {
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
	return fmt.Errorf("gormstore: the client %q is being changed by others: %w", clientID, server.ErrUnavailable)
}

// secretIs is true of a row with the secret as it is stored. An older program may have
// left NULL where there is none.
func (c *Clients) secretIs(stored string) clause.Expression {
	if stored == "" {
		return clause.Or(c.table.is("ClientSecret", ""), c.table.is("ClientSecret", nil))
	}
	return c.table.is("ClientSecret", stored)
}

// rotated returns the values of a client with a new secret. The old one keeps
// its own end where that comes sooner.
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
