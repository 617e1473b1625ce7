package grant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// AuthorizationDetails lets clients request authorization that a scope cannot express, such
// as a payment of one amount to one account (RFC 9396). Register it for every request:
//
//	type payment struct {
//		Amount   string `json:"amount"`
//		Creditor string `json:"creditor"`
//	}
//
//	srv.Register(&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{
//		"payment_initiation": {Members: payment{}, Check: checkPayment},
//	}})
//
// The granted details are in the token response, in introspection responses and in JWT
// access tokens. A consent page reads them from [server.Request]; see
// [ParseAuthorizationDetails].
type AuthorizationDetails struct {
	// Types are the supported types, by name. Any other type is refused.
	Types map[string]AuthorizationDetailType
}

// AuthorizationDetailType defines one type of authorization details.
type AuthorizationDetailType struct {
	// Members is a struct, such as payment{}, with the members of the type. A detail with
	// an unknown member, at any depth, or with a member of a different JSON type is refused
	// (RFC 9396 section 5): a member that the server does not read cannot be shown to the
	// user, yet the API may act on it. Names are compared exactly. Embed [CommonMembers] if
	// the type has the members of RFC 9396 section 2.2. nil means that the type has no
	// member besides "type".
	Members any
	// Check returns an error for a detail that the type does not allow. A [*server.Error]
	// is sent to the client; any other error is only logged.
	Check func(ctx context.Context, req *server.Request, detail AuthorizationDetail) error
	// Covers reports whether a granted detail includes the one that a token request asks
	// for. nil requires both to be equal.
	Covers func(granted, requested AuthorizationDetail) bool
	// Remembered lets an earlier consent cover the same detail again; see
	// [RememberedConsent]. Otherwise the user is asked every time, as is right for a
	// payment.
	Remembered bool
}

// AuthorizationDetail is one authorization detail, a map of its members by name (RFC 9396
// section 2).
type AuthorizationDetail map[string]json.RawMessage

// CommonMembers has the members that many types share (RFC 9396 section 2.2). Embed it in
// the struct of a type.
type CommonMembers struct {
	// Locations are the locations of the resources, usually URIs of resource servers.
	Locations []string `json:"locations,omitempty"`
	// Actions are the actions that the client wants to take at the resource.
	Actions []string `json:"actions,omitempty"`
	// DataTypes are the kinds of data that the client wants.
	DataTypes []string `json:"datatypes,omitempty"`
	// Identifier identifies one resource.
	Identifier string `json:"identifier,omitempty"`
	// Privileges are the privileges that the client wants.
	Privileges []string `json:"privileges,omitempty"`
}

// Type returns the detail's "type", or "" if it is missing or not a string.
func (d AuthorizationDetail) Type() (name string) {
	_ = strictjson.Unmarshal(d["type"], &name) // a "type" that is not a string counts as none
	return name
}

// Decode reads the detail into a pointer to the struct of its type. Unlike encoding/json, it
// compares member names exactly. A member that occurs twice, or that the struct does not have, is
// an error, at any depth, except for "type", which the struct may omit. The error is a [*server.Error] that a Check can return
// unchanged.
func (d AuthorizationDetail) Decode(into any) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	err = strictjson.UnmarshalKnown(text, into)
	if d.isUnknown(err, "type") {
		own := maps.Clone(d)
		delete(own, "type")
		return own.Decode(into)
	}
	return d.explain(err)
}

// isUnknown reports whether the error says that the struct does not have the member.
func (d AuthorizationDetail) isUnknown(err error, member string) bool {
	var fault *strictjson.Error
	return errors.As(err, &fault) && errors.Is(err, strictjson.ErrUnknown) && len(fault.Path) == 1 && fault.Path[0] == member
}

// explain tells the client which member is wrong.
func (AuthorizationDetail) explain(err error) error {
	if err == nil {
		return nil
	}
	var fault *strictjson.Error
	if !errors.As(err, &fault) || len(fault.Path) == 0 {
		return server.NewError(server.InvalidAuthorizationDetails, "An authorization detail cannot be parsed as its type.").BecauseOf(err)
	}
	member := display.Excerpt(strings.Join(fault.Path, "."))
	if errors.Is(err, strictjson.ErrUnknown) {
		return server.NewError(server.InvalidAuthorizationDetails, "An authorization detail has the member '%s', which its type does not define. Leave it out.", member)
	}
	return server.NewError(server.InvalidAuthorizationDetails, "The member '%s' of an authorization detail does not have the JSON type that its type defines.", member)
}

// Limits of the details of a request.
const (
	maxAuthorizationDetails      = 32
	maxAuthorizationDetailsBytes = 16 << 10
)

const authorizationDetails = "authorization_details"

// ParseAuthorizationDetails parses details, such as those of a request, a token or a code.
// It returns nil for an empty text.
func ParseAuthorizationDetails(text string) (details []AuthorizationDetail, err error) {
	if text == "" {
		return nil, nil
	}
	if err := strictjson.Unmarshal([]byte(text), &details); err != nil {
		return nil, fmt.Errorf("grant: %s is not a JSON array of objects without duplicate members: %w", authorizationDetails, err)
	}
	return details, nil
}

// CheckConfig returns an error for each missing or invalid field.
func (a *AuthorizationDetails) CheckConfig(*server.Config) error {
	var faults []error
	if len(a.Types) == 0 {
		faults = append(faults, errors.New("grant: AuthorizationDetails.Types is empty: add the types that clients may request"))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Types)) {
		if a.Types[name].Check == nil {
			faults = append(faults, fmt.Errorf("grant: AuthorizationDetails.Types[%q].Check is missing: give a function that checks such a detail", name))
		}
		if problem := a.Types[name].checkMembers(); problem != nil {
			faults = append(faults, fmt.Errorf("grant: AuthorizationDetails.Types[%q].Members is a %T, want a struct that JSON can be read into, such as payment{}: %w", name, a.Types[name].Members, problem))
		}
	}
	return errors.Join(faults...)
}

// checkMembers returns why details cannot be read into Members.
func (t AuthorizationDetailType) checkMembers() error {
	if t.Members == nil {
		return nil
	}
	if reflect.TypeOf(t.Members).Kind() != reflect.Struct {
		return errors.New("it is not a struct")
	}
	return strictjson.Unmarshal([]byte("{}"), reflect.New(reflect.TypeOf(t.Members)).Interface())
}

// read refuses a detail with members that its type does not define.
func (t AuthorizationDetailType) read(detail AuthorizationDetail) error {
	if t.Members == nil {
		return detail.Decode(new(struct{}))
	}
	return detail.Decode(reflect.New(reflect.TypeOf(t.Members)).Interface())
}

// PrepareMetadata adds the supported types (RFC 9396 section 10).
func (a *AuthorizationDetails) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("authorization_details_types_supported", slices.Collect(maps.Keys(a.Types))...)
}

// CheckAuthorizationRequest checks the details of an authorization request and sets
// Request.AuthorizationDetails.
func (a *AuthorizationDetails) CheckAuthorizationRequest(ctx context.Context, req *server.Request) error {
	details, err := a.requested(ctx, req)
	if err != nil {
		return err
	}
	return setDetails(req, details)
}

// PrepareInteraction requires consent for details of a type that is not Remembered.
func (a *AuthorizationDetails) PrepareInteraction(_ context.Context, req *server.Request, consent *server.ConsentGrant) error {
	details, err := ParseAuthorizationDetails(req.AuthorizationDetails)
	if slices.ContainsFunc(details, func(detail AuthorizationDetail) bool { return !a.Types[detail.Type()].Remembered }) {
		consent.RequireConsent()
	}
	return err
}

// CheckIssuance checks the details of a token request, which must not exceed what was
// granted (RFC 9396 section 6).
func (a *AuthorizationDetails) CheckIssuance(ctx context.Context, req *server.Request, issuance *server.Issuance) error {
	if req.Endpoint != "token" {
		return nil
	}
	requested, err := a.requested(ctx, req)
	if err != nil || requested == nil {
		return err
	}
	if issuance.Credential == nil && issuance.User == nil { // a client's own token, which no user grants
		return setDetails(req, requested)
	}
	granted, err := ParseAuthorizationDetails(grantedDetails(req, issuance))
	if err != nil {
		return err
	}
	for _, detail := range requested {
		if !a.covered(granted, detail) {
			return server.NewError(server.InvalidAuthorizationDetails, "An authorization detail exceeds what was granted.")
		}
	}
	return setDetails(req, requested)
}

// grantedDetails returns the details that the user granted, or "" if there is neither a
// credential nor an exchanged token.
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

// sameDetail compares two details, ignoring member order and whitespace in their JSON.
func sameDetail(a, b AuthorizationDetail) bool {
	text := canonical(a)
	return text != nil && bytes.Equal(text, canonical(b))
}

func canonical(detail AuthorizationDetail) []byte {
	text, err := json.Marshal(detail)
	if err == nil {
		text, err = strictjson.Canonical(text)
	}
	if err != nil { // cannot happen: the detail was read strictly
		return nil
	}
	return text
}

// requested reads and checks the details of the request. It returns nil if the request has
// none.
func (a *AuthorizationDetails) requested(ctx context.Context, req *server.Request) ([]AuthorizationDetail, error) {
	text := req.Params.Get(authorizationDetails)
	if text == "" {
		return nil, nil
	}
	details, err := ParseAuthorizationDetails(text)
	if err == nil && (len(details) == 0 || len(details) > maxAuthorizationDetails || len(text) > maxAuthorizationDetailsBytes) {
		err = reason.New("there are no details, or too many", slog.Int("details", len(details)), slog.Int("bytes", len(text)))
	}
	if err != nil {
		return nil, server.NewError(server.InvalidAuthorizationDetails, "The 'authorization_details' must be a short JSON array of objects without duplicate members.").BecauseOf(err)
	}
	for _, detail := range details {
		kind, known := a.Types[detail.Type()]
		if !known || !mayUse(req.Client, detail.Type()) {
			return nil, server.NewError(server.InvalidAuthorizationDetails, "An authorization detail has a type that the server does not support, or that this client may not use.").With(slog.String("type", detail.Type()))
		}
		err := kind.read(detail)
		if err == nil {
			err = kind.Check(ctx, req, detail)
		}
		var own *server.Error
		switch {
		case errors.As(err, &own):
			return nil, own
		case err != nil:
			return nil, server.NewError(server.InvalidAuthorizationDetails, "An authorization detail has a value that its type does not allow.").BecauseOf(err).With(slog.String("type", detail.Type()))
		}
	}
	return details, nil
}

// mayUse reports whether a client may use a type: every type, unless its metadata lists
// some (RFC 9396 section 10).
func mayUse(client storage.Client, kind string) bool {
	registered, ok := client.(storage.RegisteredClient)
	if !ok {
		return true
	}
	member, given := registered.AsClientMixin().ClientMetadata.Extra["authorization_details_types"]
	var kinds []string
	return !given || strictjson.Unmarshal(member, &kinds) == nil && slices.Contains(kinds, kind)
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

// ClientMetadataMembers returns "authorization_details_types", which lists a client's
// types.
func (*AuthorizationDetails) ClientMetadataMembers() []string {
	return []string{"authorization_details_types"}
}

// CheckClientMetadata refuses types that the server does not support.
func (a *AuthorizationDetails) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	member, given := metadata.Extra["authorization_details_types"]
	var kinds []string
	unknown := func(kind string) bool { _, known := a.Types[kind]; return !known }
	if given && (strictjson.Unmarshal(member, &kinds) != nil || slices.ContainsFunc(kinds, unknown)) {
		return clientmeta.Invalid("authorization_details_types", string(member), "must be a list of types that the server supports; choose from "+strings.Join(slices.Sorted(maps.Keys(a.Types)), ", "))
	}
	return nil
}
