package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// What one parser drops another may read: a body is understood as a whole, or
// refused.
func TestABrokenBodyIsRefusedAsAWhole(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	for rule, broken := range map[string]string{
		"an escape of a parameter that matters": "&scope=%zz",
		"of one that is ignored":                "&x=%zz",
		"of a name":                             "&%zz=x",
		"half of one":                           "&x=%e",
		"a semicolon, which separates nothing":  "&x=1;scope=admin",
	} {
		a := p.Token(client, "grant_type=client_credentials"+broken)
		assert.Equal(t, http.StatusBadRequest, a.Status, rule)
		assert.Equal(t, "invalid_request", a.Body["error"], rule)
		assert.Empty(t, a.Body["access_token"], rule)
	}
	web := p.NewClient(nil)
	a := p.Decide(oauthtest.AuthorizeQuery(web, ""), "confirm=yes"+"&x=%zz", p.User)
	assert.Equal(t, http.StatusBadRequest, a.Status, "also at the authorization endpoint")
	assert.Empty(t, a.To)
}

// RFC 6749 section 2.3.1: parameters come in the body alone, and nothing in
// the query counts, be it broken.
func TestTheQueryOfATokenRequestDoesNotCount(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	for query, body := range map[string]string{
		"%zz":             "grant_type=client_credentials",
		"grant_type=x":    "grant_type=client_credentials",
		"a=1&a=2":         "grant_type=client_credentials",
		"client_secret=x": "grant_type=client_credentials",
	} {
		r := httptest.NewRequest(http.MethodPost, "/oauth/token?"+query, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(client.ClientID, client.Secret)
		w := p.Record(http.HandlerFunc(p.Server.CreateTokenResponse), r)
		assert.Equal(t, http.StatusOK, w.Code, "%s: %s", query, w.Body)
	}
}

// The program's own page may have read the form before the engine does, and
// a body may come without its length.
func TestABodyIsReadHoweverItComes(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	for rule, prepare := range map[string]func(*http.Request){
		"with a length":           func(*http.Request) {},
		"in chunks":               func(r *http.Request) { r.ContentLength = -1 },
		"read by the program":     func(r *http.Request) { _ = r.FormValue("x") },
		"with a type in capitals": func(r *http.Request) { r.Header.Set("Content-Type", "Application/X-WWW-Form-URLEncoded") },
	} {
		r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(client.ClientID, client.Secret)
		prepare(r)
		w := p.Record(http.HandlerFunc(p.Server.CreateTokenResponse), r)
		assert.Equal(t, http.StatusOK, w.Code, "%s: %s", rule, w.Body)
	}
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(`{"grant_type":"client_credentials"}`))
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = -1
	r.SetBasicAuth(client.ClientID, client.Secret)
	w := p.Record(http.HandlerFunc(p.Server.CreateTokenResponse), r)
	assert.Equal(t, http.StatusBadRequest, w.Code, "the type counts without a length, too")
}

// An error that the person sees names the client's state, for whoever looks
// for the request in a log.
func TestALocalErrorHasTheState(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	valid := oauthtest.AuthorizeQuery(client, "state=bar")
	for rule, query := range map[string]string{
		"no client":                    "state=bar",
		"an unknown client":            "state=bar&client_id=nobody",
		"another redirect URI":         valid + "&redirect_uri=https://evil.example",
		"a repeated response_type":     valid + "&response_type=code",
		"a repeated parameter of none": valid + "&x=1&x=2",
	} {
		a := p.Consent(query)
		assert.Equal(t, http.StatusBadRequest, a.Status, rule)
		assert.Empty(t, a.To, rule)
		assert.Equal(t, "bar", a.Body["state"], rule)
	}
	assert.NotContains(t, p.Consent(valid+"&state=foo").Body, "state", "of two states neither is the client's")
	assert.NotContains(t, p.Token(client, "grant_type=x&state=bar").Body, "state", "the token endpoint has none")
}

func TestTheSameRequestGetsTheSameAnswer(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	query := oauthtest.AuthorizeQuery(p.NewClient(nil), "state=bar")
	for rule, query := range map[string]string{
		"text that is no UTF-8":  query + "&a=%ff",
		"several repeated":       query + "&a=1&a=2&b=1&b=2&c=1&c=2",
		"repeated and malformed": query + "&a=1&a=2&b=%00",
	} {
		first := p.Consent(query)
		for range 50 {
			if again := p.Consent(query); again.Raw != first.Raw {
				assert.Equal(t, first.Raw, again.Raw, rule)
				break
			}
		}
	}
}

func TestStateComesBackAsItWas(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	web := p.NewClient(nil)
	app := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit")))
	for _, state := range []string{
		"x", "a b+c", "a&code=stolen", "a#b", "100%", "%41", `{"a":"b\c"}`, "\r\nSet-Cookie: a=b", "é\u2028\U0001F511", "<script>", strings.Repeat("s", 4000), "?", "=", "//evil.example",
	} {
		more := "state=" + queryEscape(state)
		for _, query := range []string{
			oauthtest.AuthorizeQuery(web, more),
			oauthtest.AuthorizeQuery(web, "scope=nothing&"+more),
			"response_type=token&client_id=" + app.ClientID + "&" + more,
			"response_type=token&scope=nothing&client_id=" + app.ClientID + "&" + more,
		} {
			for _, a := range []oauthtest.Answer{p.Grant(query), p.Decide(query, "", nil)} {
				require.Equal(t, oauthtest.RedirectURI, a.To)
				assert.Equal(t, state, a.Params()["state"])
				assert.Len(t, append(a.Query["state"], a.Fragment["state"]...), 1)
				assert.NotEqual(t, "stolen", a.Params()["code"])
				assert.NotContains(t, a.Header.Get("Location"), "\n")
			}
		}
	}
}

// What is sent compressed would be unpacked to any size: nothing here unpacks it.
func TestACompressedBodyIsRefused(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	const body = "grant_type=client_credentials"
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP", "unknown"} {
		a := p.Token(client, body, "Content-Encoding", encoding)
		assert.Equal(t, http.StatusUnsupportedMediaType, a.Status, encoding)
		assert.Equal(t, "invalid_request", a.Body["error"], encoding)
	}
	assert.Equal(t, http.StatusOK, p.Token(client, body, "Content-Encoding", "identity").Status)
}

// Parameters are counted before they are read, also those of one name.
func TestManyParametersAreNotRead(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	many := strings.Repeat("a=1&", 128) + "a=1"
	for place, a := range map[string]oauthtest.Answer{"body": p.Token(nil, many), "query": p.Consent(many)} {
		assert.Equal(t, "invalid_request", a.Body["error"], place)
		assert.Contains(t, a.Body["error_description"], "too many parameters", place)
	}
}
