package grant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// AuthorizationDetails lets clients ask for more than a scope can say, such as a
// payment of one amount to one account (RFC 9396). Register it for every request:
//
//	srv.Register(&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{
//		"payment_initiation": {Check: checkPayment},
//	}})
//
// What was granted is in the token response, in introspection and in JWT access
// tokens. The consent page finds it in [server.Request], see
// [ParseAuthorizationDetails].
type AuthorizationDetails struct {
	// Types are the types that there are. Any other is refused.
	Types map[string]AuthorizationDetailType
}

// AuthorizationDetailType is one type of authorization details.
type AuthorizationDetailType struct {
	// Check refuses a detail of which its type does not allow something. Its error
	// goes to the log alone, but for a [*server.Error], which the client is told.
	Check func(ctx context.Context, req *server.Request, detail AuthorizationDetail) error
	// Covers reports whether what was granted includes what a token request asks
	// for; nil is when both are the same.
	Covers func(granted, requested AuthorizationDetail) bool
	// Remembered lets a consent of the past stand for the same detail of today, see
	// [RememberedConsent]. Without it the user is asked each time, as about a payment.
	Remembered bool
}

// AuthorizationDetail is one authorization detail, by member (RFC 9396 section
// 2).
type AuthorizationDetail map[string]json.RawMessage

// Type returns its type.
func (d AuthorizationDetail) Type() (name string) {
	_ = json.Unmarshal(d["type"], &name) // what is no text is no type
	return name
}

// Limits of the details of a request.
const (
	maxAuthorizationDetails      = 32
	maxAuthorizationDetailsBytes = 16 << 10
)

const authorizationDetails = "authorization_details"

// ParseAuthorizationDetails reads details, such as those of a request, a token or
// a code. It returns nothing for nothing.
func ParseAuthorizationDetails(text string) (details []AuthorizationDetail, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &details); err != nil {
		return nil, fmt.Errorf("grant: %s is not a JSON list of objects: %w", authorizationDetails, err)
	}
	return details, nil
}

// CheckConfig names what is missing.
func (a *AuthorizationDetails) CheckConfig(*server.Config) error {
	var faults []error
	if len(a.Types) == 0 {
		faults = append(faults, errors.New("grant: AuthorizationDetails.Types is empty: which types are there?"))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Types)) {
		if a.Types[name].Check == nil {
			faults = append(faults, fmt.Errorf("grant: AuthorizationDetails.Types[%q].Check is missing: what may such a detail say?", name))
		}
	}
	return errors.Join(faults...)
}

// PrepareMetadata names the types (RFC 9396 section 10).
func (a *AuthorizationDetails) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("authorization_details_types_supported", slices.Collect(maps.Keys(a.Types))...)
}

// CheckAuthorizationRequest takes the details of an authorization request.
func (a *AuthorizationDetails) CheckAuthorizationRequest(ctx context.Context, req *server.Request) error {
	details, err := a.requested(ctx, req)
	if err != nil {
		return err
	}
	return setDetails(req, details)
}

// PrepareInteraction has the user asked about details of which a consent of the past
// says nothing.
func (a *AuthorizationDetails) PrepareInteraction(_ context.Context, req *server.Request, consent *server.ConsentGrant) error {
	details, err := ParseAuthorizationDetails(req.AuthorizationDetails)
	if slices.ContainsFunc(details, func(detail AuthorizationDetail) bool { return !a.Types[detail.Type()].Remembered }) {
		consent.RequireConsent()
	}
	return err
}

// CheckIssuance takes those of a token request, which can be no more than what
// was granted (RFC 9396 section 6).
func (a *AuthorizationDetails) CheckIssuance(ctx context.Context, req *server.Request, issuance *server.Issuance) error {
	if req.Endpoint != "token" {
		return nil
	}
	requested, err := a.requested(ctx, req)
	if err != nil || requested == nil {
		return err
	}
	if issuance.Credential == nil && issuance.User == nil { // a client's own token, which nobody grants
		return setDetails(req, requested)
	}
	granted, err := ParseAuthorizationDetails(grantedDetails(req, issuance))
	if err != nil {
		return err
	}
	for _, detail := range requested {
		if !a.covered(granted, detail) {
			return server.NewError(server.InvalidAuthorizationDetails, "An authorization detail is more than what was granted.")
		}
	}
	return setDetails(req, requested)
}

// grantedDetails returns what the user has granted: nothing where there is neither
// a credential nor a token that is exchanged.
func grantedDetails(req *server.Request, issuance *server.Issuance) string {
	switch {
	case issuance.Credential != nil:
		return issuance.Credential.AuthorizationDetails
	case req.Subject != nil:
		return req.Subject.Token.GetAuthorizationDetails()
	default:
		return ""
	}
}

func (a *AuthorizationDetails) covered(granted []AuthorizationDetail, requested AuthorizationDetail) bool {
	covers := a.Types[requested.Type()].Covers
	if covers == nil {
		covers = sameDetail
	}
	return slices.ContainsFunc(granted, func(one AuthorizationDetail) bool { return one.Type() == requested.Type() && covers(one, requested) })
}

// sameDetail compares two details but for the order and the spaces of their
// JSON.
func sameDetail(a, b AuthorizationDetail) bool { return bytes.Equal(canonical(a), canonical(b)) }

func canonical(detail AuthorizationDetail) []byte {
	text, err := json.Marshal(detail)
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // an amount is not a float
	if err == nil && decoder.Decode(&value) == nil {
		text, _ = json.Marshal(value) // which sorts the members
	}
	return text
}

// requested reads and checks what the request asks for; nil is nothing.
func (a *AuthorizationDetails) requested(ctx context.Context, req *server.Request) ([]AuthorizationDetail, error) {
	text := req.Params.Get(authorizationDetails)
	if text == "" {
		return nil, nil
	}
	details, err := ParseAuthorizationDetails(text)
	if err != nil || len(details) == 0 || len(details) > maxAuthorizationDetails || len(text) > maxAuthorizationDetailsBytes {
		return nil, server.NewError(server.InvalidAuthorizationDetails, "The 'authorization_details' are not a JSON list of a few objects.")
	}
	for _, detail := range details {
		kind, known := a.Types[detail.Type()]
		if !known || !mayUse(req.Client, detail.Type()) {
			return nil, server.NewError(server.InvalidAuthorizationDetails, "An authorization detail has a type that the server does not have, or that is not for this client.")
		}
		err := kind.Check(ctx, req, detail)
		var own *server.Error
		switch {
		case errors.As(err, &own):
			return nil, own
		case err != nil:
			req.Server.Logger().InfoContext(ctx, "an authorization detail was refused", slog.String("client_id", req.Client.GetClientID()), slog.String("error", err.Error()))
			return nil, server.NewError(server.InvalidAuthorizationDetails, "An authorization detail says what its type does not allow.")
		}
	}
	return details, nil
}

// mayUse reports whether a client may use a type: any, unless its metadata names
// some (RFC 9396 section 10).
func mayUse(client server.Client, kind string) bool {
	registered, ok := client.(server.RegisteredClient)
	if !ok {
		return true
	}
	member, given := registered.AsClientMixin().ClientMetadata.Extra["authorization_details_types"]
	var kinds []string
	return !given || json.Unmarshal(member, &kinds) == nil && slices.Contains(kinds, kind)
}

func setDetails(req *server.Request, details []AuthorizationDetail) error {
	if details == nil {
		req.AuthorizationDetails = ""
		return nil
	}
	text, err := json.Marshal(details)
	req.AuthorizationDetails = string(text)
	return err
}

// ClientMetadataMembers returns the member by which a client names its types.
func (*AuthorizationDetails) ClientMetadataMembers() []string {
	return []string{"authorization_details_types"}
}

// CheckClientMetadata refuses types that there are not.
func (a *AuthorizationDetails) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	member, given := metadata.Extra["authorization_details_types"]
	var kinds []string
	unknown := func(kind string) bool { _, known := a.Types[kind]; return !known }
	if given && (json.Unmarshal(member, &kinds) != nil || slices.ContainsFunc(kinds, unknown)) {
		return server.NewError(server.InvalidClientMetadata, "The client metadata is not valid: %s %s.", "authorization_details_types", "has a type that the server does not have")
	}
	return nil
}
