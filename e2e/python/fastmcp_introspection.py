"""A FastMCP server that introspects the tokens it is called with.

Arguments: the issuer, a token for its own API, one for another API, and one of
nobody. The first is revoked at the end.
"""

import asyncio
import sys

import httpx
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from fastmcp.server.auth.providers.introspection import IntrospectionTokenVerifier

from mcp_server import base_of, listen, serving
from person import check, done

issuer, good, others, nobodys = sys.argv[1:]


async def call(url, token):
    """Return what the tool says, None where the server takes no such token."""
    answer = httpx.post(url, headers={"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}, json={})
    if answer.status_code == 401:
        return None
    async with Client(url, auth=BearerAuth(token)) as client:
        return (await client.call_tool("whoami", {})).data


def verifier(sock, method):
    return IntrospectionTokenVerifier(
        introspection_url=issuer + "/oauth/introspect", client_id="demo-api", client_secret="demo-api-secret",
        client_auth_method=method, required_scopes=["profile"], base_url=base_of(sock),
    )


async def main():
    for method in ("client_secret_basic", "client_secret_post"):
        sock = listen()
        with serving(sock, verifier(sock, method)) as url:
            check(await call(url, good), f"a token for the API opens it ({method})")
            check(await call(url, others) is None, f"a token for another API does not ({method})")
            check(await call(url, nobodys) is None, f"a token that nobody issued does not ({method})")
    sock = listen()
    with serving(sock, verifier(sock, "client_secret_basic")) as url:
        check(await call(url, good), "the token is good")
        answer = httpx.post(issuer + "/oauth/revoke", data={"token": good}, auth=("demo-web", "demo-web-secret"))
        check(answer.status_code == 200, "it is revoked")
        check(await call(url, good) is None, "a token that was revoked opens nothing")


asyncio.run(main())
done()
