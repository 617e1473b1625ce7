// The client of the Model Context Protocol's TypeScript SDK signs in by itself,
// from nothing but the address of the server that it wants to use.
import { auth } from '@modelcontextprotocol/sdk/client/auth.js'
import { check, open } from './person.js'

// With a third argument it is known by the document at that address, and
// registers nowhere.
const [serverUrl, redirectURI, clientMetadataUrl] = process.argv.slice(2)
const kept = {}
let callback
const provider = {
  redirectUrl: redirectURI,
  clientMetadataUrl,
  clientMetadata: {
    client_name: 'MCP client', redirect_uris: [redirectURI], token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], scope: 'profile',
  },
  state: () => 'state',
  clientInformation: () => kept.client,
  saveClientInformation: client => { kept.client = client },
  tokens: () => kept.tokens,
  saveTokens: tokens => { kept.tokens = tokens },
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: verifier => { kept.verifier = verifier },
  redirectToAuthorization: async address => { callback = await open(address) },
}

check(await auth(provider, { serverUrl }) === 'REDIRECT', 'it asks the user')
check(clientMetadataUrl ? kept.client.client_id === clientMetadataUrl : kept.client.client_id, 'it is known')
check(callback.searchParams.get('state') === 'state', 'the state comes back')
check(callback.searchParams.get('iss') === new URL(serverUrl).origin, 'with the issuer')
check(await auth(provider, { serverUrl, authorizationCode: callback.searchParams.get('code') }) === 'AUTHORIZED', 'it has tokens')

const me = () => fetch(new URL('/api/me', serverUrl), { headers: { authorization: `Bearer ${kept.tokens.access_token}` } })
check((await (await me()).json()).username === 'alice', 'which open the API')
const before = kept.tokens
check(await auth(provider, { serverUrl }) === 'AUTHORIZED', 'it refreshes')
check(kept.tokens.refresh_token !== before.refresh_token, 'a refresh token of a public client is rotated')
check((await me()).status === 200, 'and the new token opens the API')

console.log('done')
process.exit()
