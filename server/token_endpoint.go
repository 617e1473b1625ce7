package server

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
)

// TokenResponse is a successful response of the token endpoint (RFC 6749 section 5.1).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`

	// AuthorizationDetails are the authorization details of the token (RFC 9396 section 7).
	AuthorizationDetails json.RawMessage `json:"authorization_details,omitempty"`

	// Extra are further members, such as id_token.
	Extra map[string]any `json:"-"`
}

// SetExtra sets a member of Extra.
func (t *TokenResponse) SetExtra(name string, value any) {
	if t.Extra == nil {
		t.Extra = make(map[string]any)
	}
	t.Extra[name] = value
}

// MarshalJSON encodes the members and Extra as one object. A member of Extra never replaces
// another member.
func (t *TokenResponse) MarshalJSON() ([]byte, error) { return json.Marshal(t.body()) }

// body returns the value to encode as JSON: the response without its methods, or a map of all its
// members.
func (t *TokenResponse) body() any {
	if len(t.Extra) == 0 {
		type plain TokenResponse
		return (*plain)(t)
	}
	members := maps.Clone(t.Extra)
	members["access_token"], members["token_type"], members["expires_in"] = t.AccessToken, t.TokenType, t.ExpiresIn
	if t.RefreshToken != "" {
		members["refresh_token"] = t.RefreshToken
	}
	if t.Scope != "" {
		members["scope"] = t.Scope
	}
	if len(t.AuthorizationDetails) > 0 {
		members["authorization_details"] = t.AuthorizationDetails
	}
	return members
}

// Parameters returns the parameters of the response in an authorization response (RFC 6749
// section 4.2.2). Members of Extra that are not strings are left out.
func (t *TokenResponse) Parameters() map[string][]string {
	params := map[string][]string{
		"access_token": {t.AccessToken},
		"token_type":   {t.TokenType},
		"expires_in":   {strconv.FormatInt(t.ExpiresIn, 10)},
	}
	if t.Scope != "" {
		params["scope"] = []string{t.Scope}
	}
	for name, value := range t.Extra {
		if text, ok := value.(string); ok {
			params[name] = []string{text}
		}
	}
	return params
}

// CreateTokenResponse answers a request to the token endpoint (RFC 6749 section 3.2), including
// CORS preflight requests. It is an [http.HandlerFunc].
func (s *Server) CreateTokenResponse(w http.ResponseWriter, r *http.Request) {
	if !s.ready(w) || s.crossOrigin.Handle(w, r) {
		return
	}
	s.serve(w, r, tokenEndpoint, s.answerTokenRequest)
}

func (s *Server) answerTokenRequest(w http.ResponseWriter, r *http.Request) (*Request, error) {
	req, err := s.parsePost(r, tokenEndpoint)
	if err != nil {
		return req, err
	}
	response, err := s.token(req.Context(), req)
	if err := req.settle(req.Context(), err); err != nil {
		return req.refused(err)
	}
	if err := s.writeJSON(w, http.StatusOK, response.body()); err != nil {
		return req.refused(err)
	}
	return req, nil
}

func (s *Server) token(ctx context.Context, req *Request) (*TokenResponse, error) {
	req.GrantType = req.Params.Get("grant_type")
	if req.GrantType == "" {
		return nil, NewError(InvalidRequest, "The request has no 'grant_type'.")
	}
	grant, extensions := s.tokenGrant(req.GrantType)
	if grant == nil {
		return nil, NewError(UnsupportedGrantType, "The server does not support this 'grant_type'.").With(req.param("grant_type"))
	}
	req.grant, req.extensions = grant, extensions
	if err := s.authenticateClient(ctx, req); err != nil {
		return nil, err
	}
	if hook, ok := grant.(AuthMethodHook); ok && !hook.CheckAuthMethod(req.AuthMethod) {
		return nil, s.invalidClient(req, "The client's authentication method is not allowed for this 'grant_type'.")
	}
	if err := checkGrantType(req); err != nil {
		return nil, err
	}
	return s.exchange(ctx, req, func() (*Issuance, error) { return grant.PrepareIssuance(ctx, req) })
}

// parsePost parses a request whose parameters are only in the body.
func (s *Server) parsePost(r *http.Request, endpoint string) (*Request, error) {
	if err := checkMethod(r, http.MethodPost); err != nil {
		return nil, err
	}
	return s.parse(r, endpoint, false)
}

func checkGrantType(req *Request) error {
	if !req.Client.CheckGrantType(req.GrantType) {
		return NewError(UnauthorizedClient, "The client may not use this 'grant_type'.")
	}
	return nil
}
