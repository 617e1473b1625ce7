package storetest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gormoauth/gormoauth/models"
)

// oddBytes: no input makes the database fail, and no input matches a stored value that is
// only similar.
func (k *kit) oddBytes(t *testing.T) {
	in := k.instances(t)[0]
	c := k.publicClient(t)
	first := in.grant(t, c, k.user)
	values := []string{
		"", " ", "\x00", "a\x00b", "\xff\xfe", "\xed\xa0\x80", "\u202e", oddText, "'; --", `\`, "%", "_", "\r\n",
		strings.Repeat("a", 5000), strings.Repeat("🙂", 300), "null", "0", "true", "[]", "{}",
		strings.ToLower(c.id), c.id + " ", " " + c.id, c.id + "\x00", c.id + "\t",
		strings.ToLower(first.Access), strings.ToUpper(first.Access), first.Access[:len(first.Access)-1],
	}
	for _, value := range values {
		for name, status := range map[string]int{
			"code":          in.redeem(c, value).Status,
			"refresh_token": in.refresh(c, value).Status,
			"client_id":     in.redeem(client{id: value}, in.code(t, c, k.user)).Status,
			"client_secret": in.redeem(client{c.id, value}, "none").Status,
			"access token":  in.call(value),
		} {
			if value == c.id || value == "" && name == "client_secret" {
				continue
			}
			if status < 400 || status >= 500 {
				t.Errorf("%s=%.40q is answered with %d", name, value, status)
			}
		}
		if status := in.revoke(c, value).Status; status >= 500 {
			t.Errorf("revocation: token=%.40q is answered with %d", value, status)
		}
		for _, name := range []string{"state", "nonce", "scope", "redirect_uri", "client_id", "code_challenge"} {
			if status, _ := in.authorize(c, k.user, url.Values{name: {value}}); status >= 500 {
				t.Errorf("authorization: %s=%.40q is answered with %d", name, value, status)
			}
		}
	}
	if !in.valid(first.Access) {
		t.Error("this token was revoked by a similar one")
	}
	t.Run("a secret is compared byte by byte", func(t *testing.T) {
		confidential := k.newClient(t, in.db, models.ClientMetadata{
			TokenEndpointAuthMethod: models.ClientSecretPost, GrantTypes: []string{"client_credentials"},
		})
		token := func(secret string) int {
			return in.post(in.server.CreateTokenResponse, url.Values{"grant_type": {"client_credentials"}}, client{confidential.id, secret}).Status
		}
		if status := token(confidential.secret); status != http.StatusOK {
			t.Errorf("the right secret is answered with %d", status)
		}
		for _, wrong := range []string{strings.ToLower(confidential.secret), confidential.secret + " ", oddText} {
			if status := token(wrong); status == http.StatusOK {
				t.Errorf("the secret %q is accepted in place of %q", wrong, confidential.secret)
			}
		}
	})
}
