package server_test

import (
	"context"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// issued writes down what is saved of tokens, with a name for everything that is random.
type issued struct {
	strings.Builder

	p     *oauthtest.Provider
	saved []storage.Exchange
	names map[string]string
}

// name returns the name of a value, which it gets when it is first seen.
func (s *issued) name(kind, value string) string {
	if s.names[value] == "" {
		number := 1
		for _, name := range s.names {
			if strings.HasPrefix(name, "{"+kind+" ") {
				number++
			}
		}
		s.names[value] = fmt.Sprintf("{%s %d}", kind, number)
	}
	return s.names[value]
}

// answer writes down an answer, and what was saved for it.
func (s *issued) answer(what string, a oauthtest.Answer) oauthtest.Answer {
	fmt.Fprintf(s, "== %s\n%d", what, a.Status)
	params := a.Params()
	for _, name := range []string{"token_type", "expires_in", "scope", "authorization_details", "error"} {
		if params[name] != "" {
			fmt.Fprintf(s, " %s=%s", name, params[name])
		}
	}
	for _, name := range []string{"access_token", "refresh_token"} {
		if params[name] != "" {
			fmt.Fprintf(s, " %s=%s", name, s.name(strings.TrimSuffix(name, "_token"), secret.Digest(params[name])))
		}
	}
	s.WriteString("\n")
	for _, exchange := range s.saved {
		user := ""
		if exchange.User != nil {
			user = exchange.User.GetUserID()
		}
		fmt.Fprintf(s, "kind=%d user=%q from=%t presented=%s beside=%t again=%t grant_type=%s at=%d\n", exchange.Kind, user, exchange.From != nil,
			s.name("refresh", exchange.Presented), exchange.Beside, exchange.Again, exchange.GrantType, exchange.Time.Unix()-s.p.Now.Unix())
		s.fields(reflect.ValueOf(*exchange.Token))
		s.WriteString("\n")
	}
	s.saved = nil
	return a
}

// fields writes down the columns of a record that have a value.
func (s *issued) fields(record reflect.Value) {
	for i := range record.NumField() {
		field, value := record.Type().Field(i), record.Field(i)
		if field.Anonymous {
			s.fields(value)
			continue
		}
		if value.IsZero() {
			continue
		}
		text := fmt.Sprint(reflect.Indirect(value))
		switch name := field.Name; {
		case name == "AccessToken":
			text = s.name("access", text)
		case name == "RefreshToken":
			text = s.name("refresh", text)
		case name == "GrantID" || name == "ClientID" || name == "TokenID" || name == "SuccessorSalt" || name == "RefreshedFor" || name == "ExchangedFrom":
			text = s.name(strings.TrimPrefix(strings.ToLower(name), "exchangedfrom"), text)
		case strings.HasSuffix(name, "At"):
			text = fmt.Sprintf("%+d", value.Int()-s.p.Now.Unix())
		}
		fmt.Fprintf(s, "%s=%s ", field.Name, text)
	}
}

// Every column of what is issued, for each grant and for what the settings say of the life of
// tokens, is what testdata/issued.txt says.
func TestEveryColumnOfWhatIsIssued(t *testing.T) {
	var all strings.Builder
	long := 3 * time.Hour
	for _, row := range []struct {
		name      string
		configure func(*server.Config)
	}{
		{"by default", func(*server.Config) {}},
		{"access tokens last longer", func(c *server.Config) {
			c.TokenExpiresIn = map[string]time.Duration{"authorization_code": long, "refresh_token": long, "password": long, "client_credentials": long, "implicit": long}
			c.RefreshTokenExpiresIn = time.Hour
		}},
		{"refresh tokens last for ever", func(c *server.Config) { c.RefreshTokenExpiresIn = -1 }},
		{"no refresh tokens", func(c *server.Config) { c.NoRefreshTokens = true }},
		{"rotations of a key", func(c *server.Config) { c.RefreshTokenKey = []byte(strings.Repeat("k", 32)) }},
	} {
		db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
		s := &issued{names: map[string]string{"": "-"}}
		save := gormoauth.CreateSaveTokenFunc[oauthtest.Token](db)
		s.p = oauthtest.New(t, db, row.configure, func(c *server.Config) {
			c.SaveToken = func(ctx context.Context, exchange storage.Exchange) error {
				record := *exchange.Token
				copied := exchange
				copied.Token = &record
				s.saved = append(s.saved, copied)
				return save(ctx, exchange)
			}
		})
		exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
		exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
		const details = `[{"type":"payment"}]`
		free := func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil }
		require.NoError(t, s.p.Server.RegisterGrant(exchange))
		require.NoError(t, s.p.Server.RegisterGrant(&grant.ClientCredentials{}))
		require.NoError(t, s.p.Server.Register(grant.ResourceIndicators{Resources: []string{"https://a.example", "https://b.example"}},
			&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{"payment": {Check: free}}}))
		const exchangeGrantType = "urn:ietf:params:oauth:grant-type:token-exchange"
		client := s.p.NewClient(oauthtest.Grants("authorization_code", "refresh_token", "password", "client_credentials", exchangeGrantType))
		front := s.p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit")))
		s.name("clientid", client.ClientID)
		s.name("clientid", front.ClientID)

		s.answer("client credentials", s.p.Token(client, "grant_type=client_credentials&scope=profile"))
		s.answer("a password", s.p.Token(client, "grant_type=password&username=alice&scope=profile&password="+oauthtest.Password))
		s.answer("the implicit grant", s.p.Grant("response_type=token&scope=profile&client_id="+front.ClientID))
		more := "scope=profile%20email&resource=https://a.example&resource=https://b.example&authorization_details=" + url.QueryEscape(details)
		first := s.answer("a code", s.p.Redeem(client, s.p.Code(client, more)))
		s.answer("an exchange", s.p.Token(client, "grant_type="+exchangeGrantType+"&subject_token_type=urn:ietf:params:oauth:token-type:access_token&scope=profile&subject_token="+first.Body["access_token"]))
		if refresh := first.Body["refresh_token"]; refresh != "" {
			s.p.Now = s.p.Now.Add(time.Minute)
			s.answer("a refresh for one resource", s.p.Refresh(client, refresh, "&resource=https://a.example"))
			s.answer("the same again", s.p.Refresh(client, refresh, "&resource=https://a.example"))
			second := s.answer("again for another resource", s.p.Refresh(client, refresh, "&resource=https://b.example"))
			s.p.Now = s.p.Now.Add(time.Minute)
			s.answer("a refresh for everything", s.p.Refresh(client, second.Body["refresh_token"], ""))
			s.answer("again for less scope", s.p.Refresh(client, second.Body["refresh_token"], "&scope=email"))
			s.answer("a token that was rotated before", s.p.Refresh(client, refresh, ""))
		}
		fmt.Fprintf(&all, "=== %s\n%s\n", row.name, s)
	}
	oauthtest.Known(t, "issued.txt", all.String())
}
