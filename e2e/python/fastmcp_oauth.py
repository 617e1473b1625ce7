"""FastMCP's own client signs in to a FastMCP server that verifies signed tokens by
the issuer's published keys. Arguments: the issuer, and the port of the server.
"""

import asyncio
import socket
import sys
from urllib.parse import parse_qs, urlsplit

from fastmcp import Client
from fastmcp.client.auth import OAuth
from fastmcp.server.auth import RemoteAuthProvider
from fastmcp.server.auth.providers.jwt import JWTVerifier
from mcp.client.auth import AuthorizationCodeResult

from mcp_server import base_of, serving
from person import check, done, visit

issuer, port = sys.argv[1:]


class Person(OAuth):
    """The client, but the test opens the browser and reads where it ends."""

    async def redirect_handler(self, authorization_url):
        self.came_back = urlsplit(visit(authorization_url))

    async def callback_handler(self):
        query = {name: values[0] for name, values in parse_qs(self.came_back.query).items()}
        check("code" in query, f"the callback has a code: {query}")
        return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))


async def main():
    sock = socket.socket()
    sock.bind(("127.0.0.1", int(port)))
    sock.listen()
    base = base_of(sock)
    auth = RemoteAuthProvider(
        token_verifier=JWTVerifier(jwks_uri=issuer + "/oauth/jwks", issuer=issuer, audience=base + "/mcp", algorithm="ES256"),
        authorization_servers=[issuer], base_url=base,
    )
    with serving(sock, auth) as url:
        async with Client(url, auth=Person(url, scopes=["profile"])) as client:
            check((await client.call_tool("whoami", {})).data, "the token names its user")


asyncio.run(main())
done()
