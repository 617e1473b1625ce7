package e2e

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dpopPage is an application that is a page and nothing else: it finds the server by
// its metadata, registers, signs a person in, and calls the API, with a key that never
// leaves the browser (RFC 9449).
const dpopPage = `<!DOCTYPE html><title>a page</title><h1 id="state">loading</h1><pre id="error"></pre>
<script type="module">
const issuer = new URLSearchParams(location.hash.slice(1)).get('issuer') || sessionStorage.issuer
const show = text => { document.getElementById('state').textContent = text }
const b64 = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
const json = value => b64(new TextEncoder().encode(JSON.stringify(value)))
const sha256 = async text => b64(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
const nonces = {}
async function keys() { // kept from before the person signed in until after
  const known = sessionStorage.proofKey && JSON.parse(sessionStorage.proofKey)
  if (known) return {
    jwk: known.public, private: await crypto.subtle.importKey('jwk', known.private, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']),
  }
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign'])
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  sessionStorage.proofKey = JSON.stringify({ public: { kty, crv, x, y }, private: await crypto.subtle.exportKey('jwk', pair.privateKey) })
  return keys()
}
async function call(method, address, init = {}, token) {
  for (let attempt = 0; ; attempt++) {
    const key = await keys(), origin = new URL(address).origin
    const claims = { jti: crypto.randomUUID(), htm: method, htu: address, iat: Math.floor(Date.now() / 1000) }
    if (nonces[origin]) claims.nonce = nonces[origin]
    if (token) claims.ath = await sha256(token)
    const input = json({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk }) + '.' + json(claims)
    const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key.private, new TextEncoder().encode(input))
    const headers = { ...init.headers, DPoP: input + '.' + b64(signature) }
    if (token) headers.Authorization = 'DPoP ' + token
    const answer = await fetch(address, { ...init, method, headers })
    const nonce = answer.headers.get('DPoP-Nonce')
    if (nonce) nonces[origin] = nonce
    if (answer.ok || attempt > 0) return answer
    const challenge = answer.headers.get('WWW-Authenticate') || ''
    const wantsNonce = challenge.includes('use_dpop_nonce') || (await answer.clone().json()).error === 'use_dpop_nonce'
    if (!nonce || !wantsNonce) return answer
  }
}
async function main() {
  const metadata = await (await fetch(issuer + '/.well-known/oauth-authorization-server')).json()
  const here = location.origin + location.pathname
  const query = new URLSearchParams(location.search)
  if (!query.has('code')) {
    const answer = await fetch(metadata.registration_endpoint, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ client_name: 'A page', redirect_uris: [here], token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'], scope: 'profile' }),
    })
    const client = await answer.json()
    sessionStorage.issuer = issuer
    sessionStorage.client = client.client_id
    sessionStorage.management = JSON.stringify([client.registration_client_uri, client.registration_access_token])
    sessionStorage.verifier = b64(crypto.getRandomValues(new Uint8Array(32)))
    const next = new URLSearchParams({
      response_type: 'code', client_id: client.client_id, redirect_uri: here, scope: 'profile', state: 's',
      code_challenge: await sha256(sessionStorage.verifier), code_challenge_method: 'S256',
    })
    location.href = metadata.authorization_endpoint + '?' + next
    return
  }
  if (query.get('iss') !== issuer) throw new Error('the issuer is another one')
  const token = async parameters => {
    const answer = await call('POST', metadata.token_endpoint, { body: new URLSearchParams({ client_id: sessionStorage.client, ...parameters }) })
    const body = await answer.json()
    if (!answer.ok || body.token_type !== 'DPoP') throw new Error(JSON.stringify(body))
    return body
  }
  const first = await token({ grant_type: 'authorization_code', code: query.get('code'), redirect_uri: here, code_verifier: sessionStorage.verifier })
  const second = await token({ grant_type: 'refresh_token', refresh_token: first.refresh_token })
  const me = await (await call('GET', issuer + '/api/me', {}, second.access_token)).json()
  const bare = await fetch(issuer + '/api/me', { headers: { Authorization: 'Bearer ' + second.access_token } })
  if (bare.status !== 401 || !bare.headers.get('WWW-Authenticate')) throw new Error('a bound token opens the API without its key')
  const revoked = await fetch(metadata.revocation_endpoint, { method: 'POST', body: new URLSearchParams({ client_id: sessionStorage.client, token: second.refresh_token }) })
  if (!revoked.ok) throw new Error('not revoked')
  if (!(await (await fetch(metadata.jwks_uri)).json()).keys.length) throw new Error('no keys')
  const [address, secret] = JSON.parse(sessionStorage.management)
  const gone = await fetch(address, { method: 'DELETE', headers: { Authorization: 'Bearer ' + secret } })
  if (gone.status !== 204) throw new Error('its registration stays')
  show('signed in as ' + me.username)
}
main().catch(error => { show('failed'); document.getElementById('error').textContent = error.stack || error })
</script>`

// site serves pages of an origin of its own.
func site(t *testing.T, routes map[string]http.HandlerFunc) (origin string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.HandleFunc(pattern, handler)
	}
	server := &http.Server{ReadHeaderTimeout: 5e9, Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

func page(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, text)
	}
}

// A page of another origin is a client by itself: registration, tokens, the API,
// revocation and keys answer it, and it can read what they say.
func TestAPageThatUsesDPoP(t *testing.T) {
	ctx := newBrowser(t)
	address := startExample(t)
	origin := site(t, map[string]http.HandlerFunc{"/app": page(dpopPage)})
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(origin+"/app#"+url.Values{"issuer": {address}}.Encode()),
		chromedp.WaitVisible(`#password`), chromedp.SendKeys(`#username`, "alice"), chromedp.SendKeys(`#password`, "wonderland"), chromedp.Click(signIn),
		chromedp.WaitVisible(`button[value=yes]`), chromedp.Click(`button[value=yes]`),
		chromedp.WaitVisible(`//h1[contains(text(), "signed in") or contains(text(), "failed")]`),
	))
	state, err := chromedp.Run(ctx, chromedp.Text(`#state`))
	require.NoError(t, err)
	failure, err := chromedp.Run(ctx, chromedp.Text(`#error`))
	require.NoError(t, err)
	assert.Equal(t, "signed in as alice", state, failure)
}
