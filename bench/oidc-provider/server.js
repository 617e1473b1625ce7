// oidc-provider as a contestant: POST /token, GET /api and POST /seed, as
// contestant.go has them. It is started with the settings as JSON, prints its
// address, and ends with its standard input.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import pg from 'pg';
import { adapterOf, migrate } from './adapter.js';

const settings = JSON.parse(process.argv[2]);
const pool = new pg.Pool({ connectionString: settings.dsn, max: settings.connections });
await migrate(pool);

const Adapter = adapterOf(pool);
const provider = new Provider('http://127.0.0.1', {
  adapter: Adapter,
  routes: { token: '/token' },
  scopes: ['profile'],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  pkce: { required: () => true },
  findAccount: (ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true, // by default, not for a confidential client whose token is young
  ttl: {
    AccessToken: settings.life, ClientCredentials: settings.life, AuthorizationCode: 300, Grant: 24 * settings.life, RefreshToken: 24 * settings.life,
  },
});
provider.on('server_error', (ctx, err) => console.error(err));

// The client is a row, as it is for the others.
await new Adapter('Client').upsert(settings.clientID, {
  client_id: settings.clientID,
  client_secret: settings.clientSecret,
  redirect_uris: [settings.redirectURI],
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
  token_endpoint_auth_method: 'client_secret_basic',
  scope: 'profile',
});

// code stores what the authorization endpoint does when a user consents.
async function code() {
  const client = await provider.Client.find(settings.clientID);
  const grant = new provider.Grant({ accountId: '1', clientId: settings.clientID });
  grant.addOIDCScope('profile');
  const grantId = await grant.save();
  return new provider.AuthorizationCode({
    accountId: '1', client, grantId, gty: 'authorization_code', scope: 'profile', redirectUri: settings.redirectURI,
    codeChallenge: settings.challenge, codeChallengeMethod: 'S256', authTime: Math.floor(Date.now() / 1000),
  }).save();
}

async function seed(response, n) {
  const codes = [];
  const worker = async () => {
    while (codes.length < n) codes[codes.push('') - 1] = await code();
  };
  await Promise.all(Array.from({ length: settings.connections }, worker));
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(codes));
}

async function api(request, response) {
  const [scheme, bearer] = (request.headers.authorization ?? '').split(' ');
  const token = scheme === 'Bearer'
    ? await provider.AccessToken.find(bearer) ?? await provider.ClientCredentials.find(bearer)
    : undefined;
  response.writeHead(token?.isValid ? 200 : 401).end();
}

const oauth = provider.callback();
const server = createServer(async (request, response) => {
  try {
    const url = new URL(request.url, 'http://127.0.0.1');
    if (url.pathname === '/token') await oauth(request, response);
    else if (url.pathname === '/api') await api(request, response);
    else if (url.pathname === '/seed') await seed(response, Number(url.searchParams.get('codes')));
    else response.writeHead(404).end();
  } catch (err) {
    console.error(err);
    response.writeHead(500).end(String(err));
  }
});
server.listen(0, '127.0.0.1', () => {
  const { address, port } = server.address();
  console.log(`${address}:${port}`);
});
process.stdin.resume().on('end', () => process.exit(0)).on('error', () => process.exit(0));
