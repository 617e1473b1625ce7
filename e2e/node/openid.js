// openid-client signs a person in, refreshes, asks UserInfo and signs out: by the
// code flow, by a request that nobody sees, and by the hybrid flow.
import * as client from 'openid-client'
import { check, open } from './person.js'

const [issuer, redirectURI] = process.argv.slice(2)
const execute = [client.allowInsecureRequests] // http, on loopback
const bye = `${redirectURI}/bye`

const metadata = {
  redirect_uris: [redirectURI], post_logout_redirect_uris: [bye], scope: 'openid profile email offline_access',
  grant_types: ['authorization_code', 'refresh_token', 'implicit'],
  response_types: ['code', 'code id_token', 'id_token'],
  application_type: 'native', token_endpoint_auth_method: 'client_secret_post',
}

async function signIn(config, more = {}, checks = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const expectedState = client.randomState()
  const expectedNonce = client.randomNonce()
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: redirectURI, scope: 'openid profile email', state: expectedState, nonce: expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256', ...more,
  })
  const callback = await open(address)
  const tokens = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true, ...checks })
  return { tokens, callback }
}

async function register(more = {}) {
  return client.dynamicClientRegistration(new URL(issuer), { ...metadata, ...more }, undefined, { execute })
}

// The code flow, with max_age and a claim of its own.
const plain = await register()
const { tokens } = await signIn(plain, { max_age: '3600', claims: JSON.stringify({ id_token: { email: null } }) }, { maxAge: 3600 })
const claims = tokens.claims()
check(claims.email === 'alice@example.com', 'the claim that was asked for')
const info = await client.fetchUserInfo(plain, tokens.access_token, claims.sub)
check(info.name === 'Alice Liddell' && info.email === claims.email, 'UserInfo')
const refreshed = await client.refreshTokenGrant(plain, tokens.refresh_token)
check(refreshed.claims().sub === claims.sub, 'refresh')

// Nobody is asked what they agreed to before.
const again = await signIn(plain, { prompt: 'none', id_token_hint: tokens.id_token })
check(again.tokens.claims().sub === claims.sub, 'prompt=none')
const chosen = await signIn(plain, { prompt: 'login' })
check(chosen.tokens.claims().auth_time >= claims.auth_time, 'prompt=login')

// A hybrid response, whose ID token vouches for the code.
const hybrid = await register({ id_token_signed_response_alg: 'ES256' })
client.useCodeIdTokenResponseType(hybrid)
check((await signIn(hybrid)).tokens.claims().sub === claims.sub, 'the hybrid flow')

// The implicit flow.
const implicit = await register()
client.useIdTokenResponseType(implicit)
const nonce = client.randomNonce()
const fragment = await open(client.buildAuthorizationUrl(implicit, { redirect_uri: redirectURI, scope: 'openid email', nonce }))
check((await client.implicitAuthentication(implicit, fragment, nonce)).email === 'alice@example.com', 'the implicit flow')

// Logout, which ends what was granted without offline_access.
const over = await open(client.buildEndSessionUrl(plain, { id_token_hint: refreshed.id_token, post_logout_redirect_uri: bye, state: 'over' }))
check(over.href === `${bye}?state=over`, `logout led to ${over.href}`)
let refused
await client.fetchUserInfo(plain, refreshed.access_token, claims.sub).catch(error => { refused = error })
check(refused instanceof client.WWWAuthenticateChallengeError, 'the session took its tokens along')

console.log('done')
process.exit()
