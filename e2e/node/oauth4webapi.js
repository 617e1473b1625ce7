// oauth4webapi's client goes through what the server has, and checks each answer
// as strictly as it does for everybody.
import * as oauth from 'oauth4webapi'
import { check, open } from './person.js'

const [issuerText, redirectURI] = process.argv.slice(2)
const issuer = new URL(issuerText)
const insecure = { [oauth.allowInsecureRequests]: true } // http, on loopback
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }))

// Registration: a client that signs by a key of its own.
const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
const registered = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, {
  client_name: 'oauth4webapi',
  redirect_uris: [redirectURI],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  scope: 'profile email',
  token_endpoint_auth_method: 'private_key_jwt',
  authorization_signed_response_alg: 'ES256', introspection_signed_response_alg: 'ES256',
  jwks: { keys: [{ kty, crv, x, y, kid: 'own', use: 'sig', alg: 'ES256' }] },
}, insecure))
const client = { client_id: registered.client_id }
const signed = () => oauth.PrivateKeyJwt({ key: pair.privateKey, kid: 'own' })

async function signIn(more, validate) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const pushed = await oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, signed(), {
    response_type: 'code', redirect_uri: redirectURI, scope: 'profile', state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
  }, insecure))
  const address = new URL(as.authorization_endpoint)
  address.searchParams.set('client_id', client.client_id)
  address.searchParams.set('request_uri', pushed.request_uri)
  const params = await validate(await open(address), state)
  return oauth.processAuthorizationCodeResponse(as, client,
    await oauth.authorizationCodeGrantRequest(as, client, signed(), params, redirectURI, verifier, insecure))
}

const plain = (callback, state) => oauth.validateAuthResponse(as, client, callback, state)
const jarm = (callback, state) => oauth.validateJwtAuthResponse(as, { ...client, authorization_signed_response_alg: 'ES256' }, callback, state, insecure)

// Pushed request, PKCE, iss, refresh, introspection in both forms, revocation.
const first = await signIn({}, plain)
check(first.token_type === 'bearer' && first.scope === 'profile' && first.refresh_token, 'the first tokens')
const call = token => oauth.protectedResourceRequest(token, 'GET', new URL('/api/me', issuer), undefined, undefined, insecure)
check((await (await call(first.access_token)).json()).username === 'alice', 'the API')
const second = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, signed(), first.refresh_token, insecure))
check(second.refresh_token !== first.refresh_token, 'rotation')

const introspect = (asking, options) => oauth.introspectionRequest(as, asking, signed(), second.access_token, { ...options, ...insecure })
check((await oauth.processIntrospectionResponse(as, client, await introspect(client))).active, 'introspection')
const asking = { ...client, introspection_signed_response_alg: 'ES256' }
const answer = await introspect(asking, { requestJwtResponse: true })
const told = await oauth.processIntrospectionResponse(as, asking, answer)
await oauth.validateApplicationLevelSignature(as, answer, insecure)
check(told.active && told.username === 'alice' && told.aud.includes(issuer.href.replace(/\/$/, '')), 'introspection as a JWT')

await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, signed(), second.refresh_token, insecure))
check(!(await oauth.processIntrospectionResponse(as, client, await introspect(client))).active, 'revocation')
let refused
await call(second.access_token).catch(error => { refused = error })
check(refused instanceof oauth.WWWAuthenticateChallengeError, 'a challenge that can be read')
check(refused.cause[0].parameters.resource_metadata === new URL('/.well-known/oauth-protected-resource', issuer).href, 'with the address of the metadata')

// The response as a signed JWT.
check((await signIn({ response_mode: 'query.jwt' }, jarm)).access_token, 'JARM')

// A request that the client signed, of which nothing in the browser's address
// counts.
const authorize = async (clientId, parameters) => {
  const address = new URL(as.authorization_endpoint)
  address.search = new URLSearchParams({ client_id: clientId, ...parameters })
  return open(address)
}
const verifier = oauth.generateRandomCodeVerifier()
const code_challenge = await oauth.calculatePKCECodeChallenge(verifier)
const payment = JSON.stringify([{ type: 'payment', amount: '12.50', currency: 'EUR', creditor: 'Hatter' }])
const request = await oauth.issueRequestObject(as, client, {
  response_type: 'code', redirect_uri: redirectURI, scope: 'profile', state: 'signed', code_challenge, code_challenge_method: 'S256', authorization_details: payment,
}, { key: pair.privateKey, kid: 'own' })
const answered = oauth.validateAuthResponse(as, client, await authorize(client.client_id, { request, state: 'forged' }), 'signed')

// Its tokens are bound to a key, and stand for a payment.
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
const bound = await oauth.processAuthorizationCodeResponse(as, client,
  await oauth.authorizationCodeGrantRequest(as, client, signed(), answered, redirectURI, verifier, { DPoP, ...insecure }))
check(bound.token_type === 'dpop', 'a bound token')
check(bound.authorization_details[0].amount === '12.50', 'authorization details')
const api = new URL('/api/me', issuer)
const callBound = (token, options) => oauth.protectedResourceRequest(token, 'GET', api, undefined, undefined, { ...options, ...insecure })
check((await (await callBound(bound.access_token, { DPoP })).json()).username === 'alice', 'the API takes it with a proof')
let stolen
await callBound(bound.access_token).catch(error => { stolen = error })
check(stolen instanceof oauth.WWWAuthenticateChallengeError && stolen.status === 401, 'and not without')
const renewed = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, signed(), bound.refresh_token, { DPoP, ...insecure }))
check((await callBound(renewed.access_token, { DPoP })).status === 200, 'a bound token is refreshed')

// A client that signs with its secret.
const withSecret = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, {
  redirect_uris: [redirectURI], scope: 'profile', token_endpoint_auth_method: 'client_secret_jwt',
}, insecure))
const response = oauth.validateAuthResponse(as, withSecret, await authorize(withSecret.client_id, {
  response_type: 'code', redirect_uri: redirectURI, scope: 'profile', code_challenge, code_challenge_method: 'S256',
}), oauth.expectNoState)
const subject = await oauth.processAuthorizationCodeResponse(as, withSecret,
  await oauth.authorizationCodeGrantRequest(as, withSecret, oauth.ClientSecretJwt(withSecret.client_secret), response, redirectURI, verifier, insecure))
check(subject.access_token, 'client_secret_jwt')

// Its token is exchanged by the service that it called.
const gateway = { client_id: 'demo-gateway' }
const exchanged = await oauth.processGenericTokenEndpointResponse(as, gateway, await oauth.genericTokenEndpointRequest(
  as, gateway, oauth.ClientSecretBasic('demo-gateway-secret'), 'urn:ietf:params:oauth:grant-type:token-exchange', {
    subject_token: subject.access_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token', scope: 'profile',
  }, insecure))
check((await (await call(exchanged.access_token)).json()).client_id === 'demo-gateway', 'token exchange')

// A service's token is a JWT, which an API verifies by itself.
const service = { client_id: 'demo-service' }
const own = await oauth.processClientCredentialsResponse(as, service, await oauth.clientCredentialsGrantRequest(
  as, service, oauth.ClientSecretBasic('demo-service-secret'), new URLSearchParams({ scope: 'profile' }), insecure))
const claims = await oauth.validateJwtAccessToken(as, new Request(issuer, { headers: { authorization: `Bearer ${own.access_token}` } }),
  issuer.href.replace(/\/$/, ''), insecure)
check(claims.sub === 'demo-service' && claims.scope === 'profile', 'a JWT access token')

// A device.
const device = { client_id: 'demo-device' }
const codes = await oauth.processDeviceAuthorizationResponse(as, device, await oauth.deviceAuthorizationRequest(
  as, device, oauth.None(), { scope: 'profile' }, insecure))
const poll = async () => oauth.processDeviceCodeResponse(as, device, await oauth.deviceCodeGrantRequest(as, device, oauth.None(), codes.device_code, insecure))
let pending
await poll().catch(error => { pending = error.error })
check(pending === 'authorization_pending', 'a device waits')
await open(codes.verification_uri_complete)
check((await poll()).access_token, 'a device')

console.log('done')
process.exit()
