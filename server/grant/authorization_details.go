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
)

// AuthorizationDetails lets clients ask for more than a scope can say, such as a
// payment of one amount to one account (RFC 9396). Register it for every request:
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
// What was granted is in the token response, in introspection and in JWT access
// tokens. The consent page finds it in [server.Request], see
// [ParseAuthorizationDetails].
type AuthorizationDetails struct {
	// Types are the types that there are. Any other is refused.
	Types map[string]AuthorizationDetailType
}

// AuthorizationDetailType is one type of authorization details.
type AuthorizationDetailType struct {
	// Members is a struct, such as payment{}, that has the members of the type. A
	// detail with any other member, at any depth, or with one of another JSON type, is
	// refused (RFC 9396 section 5): what nobody reads, nobody can show to the user, and
	// the API may act on it. Names are compared exactly. Embed [CommonMembers] where the
	// type has those of RFC 9396 section 2.2. nil is a type of which "type" says all.
	Members any
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

// CommonMembers are members that many types have (RFC 9396 section 2.2), for the struct
// of a type to embed.
type CommonMembers struct {
	// Locations are where the resources are, mostly URIs of resource servers.
	Locations []string `json:"locations,omitempty"`
	// Actions are what the client wants to do there.
	Actions []string `json:"actions,omitempty"`
	// DataTypes are the kinds of data that it wants to do it with.
	DataTypes []string `json:"datatypes,omitempty"`
	// Identifier is one resource.
	Identifier string `json:"identifier,omitempty"`
	// Privileges are those that the client wants.
	Privileges []string `json:"privileges,omitempty"`
}

// Type returns its type.
func (d AuthorizationDetail) Type() (name string) {
	_ = strictjson.Unmarshal(d["type"], &name) // what is no text is no type
	return name
}

// Decode reads the detail into the struct of its type that a pointer points to, as
// [server.ReadJSON] reads JSON. A member that the struct does not have is an error, at
// any depth; "type" it may leave out. The error is a [*server.Error] that a Check can
// return as it is.
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

// isUnknown reports whether the error is that a member is not in the struct.
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
		return server.NewError(server.InvalidAuthorizationDetails, "An authorization detail cannot be read as its type.").BecauseOf(err)
	}
	member := server.Excerpt(strings.Join(fault.Path, "."))
	if errors.Is(err, strictjson.ErrUnknown) {
		return server.NewError(server.InvalidAuthorizationDetails, "An authorization detail has the member '%s', which its type does not have. Leave it out.", member)
	}
	return server.NewError(server.InvalidAuthorizationDetails, "The member '%s' of an authorization detail has another JSON type than its type says.", member)
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
	if err := strictjson.Unmarshal([]byte(text), &details); err != nil {
		return nil, fmt.Errorf("grant: %s is not a JSON list of objects that give each member once: %w", authorizationDetails, err)
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

// read refuses a detail with members that its type does not have.
func (t AuthorizationDetailType) read(detail AuthorizationDetail) error {
	if t.Members == nil {
		return detail.Decode(new(struct{}))
	}
	return detail.Decode(reflect.New(reflect.TypeOf(t.Members)).Interface())
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
func sameDetail(a, b AuthorizationDetail) bool {
	text := canonical(a)
	return text != nil && bytes.Equal(text, canonical(b))
}

func canonical(detail AuthorizationDetail) []byte {
	text, err := json.Marshal(detail)
	if err == nil {
		text, err = strictjson.Canonical(text)
	}
	if err != nil { // which cannot be with what was read strictly
		return nil
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
	if err == nil && (len(details) == 0 || len(details) > maxAuthorizationDetails || len(text) > maxAuthorizationDetailsBytes) {
		err = server.NewReason("there are none, or too many", slog.Int("details", len(details)), slog.Int("bytes", len(text)))
	}
	if err != nil {
		return nil, server.NewError(server.InvalidAuthorizationDetails, "The 'authorization_details' are not a JSON list of a few objects that give each member once.").BecauseOf(err)
	}
	for _, detail := range details {
		kind, known := a.Types[detail.Type()]
		if !known || !mayUse(req.Client, detail.Type()) {
			return nil, server.NewError(server.InvalidAuthorizationDetails, "An authorization detail has a type that the server does not have, or that is not for this client.").With(slog.String("type", detail.Type()))
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
			return nil, server.NewError(server.InvalidAuthorizationDetails, "An authorization detail says what its type does not allow.").BecauseOf(err).With(slog.String("type", detail.Type()))
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

// ClientMetadataMembers returns the member by which a client names its types.
func (*AuthorizationDetails) ClientMetadataMembers() []string {
	return []string{"authorization_details_types"}
}

// CheckClientMetadata refuses types that there are not.
func (a *AuthorizationDetails) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	member, given := metadata.Extra["authorization_details_types"]
	var kinds []string
	unknown := func(kind string) bool { _, known := a.Types[kind]; return !known }
	if given && (strictjson.Unmarshal(member, &kinds) != nil || slices.ContainsFunc(kinds, unknown)) {
		return server.InvalidMember("authorization_details_types", string(member), "must be a list of types that the server has; choose among "+strings.Join(slices.Sorted(maps.Keys(a.Types)), ", "))
	}
	return nil
}
