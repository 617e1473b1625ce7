// oauth4webapi's client at a server of the FAPI 2.0 Security Profile.
import * as oauth from 'oauth4webapi'
import { check, open } from './person.js'

const [issuerText, redirectURI] = process.argv.slice(2)
const issuer = new URL(issuerText)
const insecure = { [oauth.allowInsecureRequests]: true } // http, on loopback
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
check(as.require_pushed_authorization_requests && as.authorization_response_iss_parameter_supported, 'what the profile demands')
check(`${as.response_types_supported}` === 'code' && !as.grant_types_supported.includes('password'), 'and nothing that it forbids')

const pair = await oauth.generateKeyPair('ES256', { extractable: true })
const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
const register = metadata => oauth.dynamicClientRegistrationRequest(as, {
  client_name: 'oauth4webapi', redirect_uris: [redirectURI], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
  scope: 'openid profile', token_endpoint_auth_method: 'private_key_jwt', id_token_signed_response_alg: 'ES256',
  jwks: { keys: [{ kty, crv, x, y, kid: 'own', use: 'sig', alg: 'ES256' }] }, ...metadata,
}, insecure)
const client = await oauth.processDynamicClientRegistrationResponse(await register({}))
let refused
await oauth.processDynamicClientRegistrationResponse(await register({ token_endpoint_auth_method: 'none' })).catch(error => { refused = error })
check(refused?.error === 'invalid_client_metadata', 'no public client')

const signed = oauth.PrivateKeyJwt({ key: pair.privateKey, kid: 'own' })
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
const options = { DPoP, ...insecure }
const verifier = oauth.generateRandomCodeVerifier()
const nonce = oauth.generateRandomNonce()
const pushed = await oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, signed, {
  response_type: 'code', redirect_uri: redirectURI, scope: 'openid profile', nonce,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
}, options))
check(pushed.expires_in < 600, 'a pushed request ends soon')
const address = new URL(as.authorization_endpoint)
address.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri })
const params = oauth.validateAuthResponse(as, client, await open(address), oauth.expectNoState)
const first = await oauth.processAuthorizationCodeResponse(as, client,
  await oauth.authorizationCodeGrantRequest(as, client, signed, params, redirectURI, verifier, options), { expectedNonce: nonce, requireIdToken: true })
check(first.token_type === 'dpop' && first.refresh_token, 'bound tokens')

const call = async token => oauth.protectedResourceRequest(token, 'GET', new URL('/api/me', issuer), undefined, undefined, options)
const refresh = async () => oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, signed, first.refresh_token, options))
const [second, third] = await Promise.all([refresh(), refresh()])
for (const tokens of [first, second, third]) {
  check((await (await call(tokens.access_token)).json()).username === 'alice', 'the API takes each of the tokens')
}
const subject = oauth.getValidatedIdTokenClaims(first).sub
await oauth.processUserInfoResponse(as, client, subject, await oauth.userInfoRequest(as, client, third.access_token, options))

await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, signed, first.refresh_token, insecure))
let ended
await call(third.access_token).catch(error => { ended = error })
check(ended instanceof oauth.WWWAuthenticateChallengeError && ended.status === 401, 'and none of them after the revocation')
console.log('done')
process.exit()
