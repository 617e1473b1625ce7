"""A web application signs people in with Authlib's registry of OAuth clients.

Arguments: the issuer, the client's id and secret, and its redirect URI.
"""

import sys
from urllib.parse import urlsplit

from authlib.integrations.starlette_client import OAuth
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from person import check, done, visit

issuer, client_id, client_secret, redirect_uri = sys.argv[1:]

oauth = OAuth()
oauth.register(
    name="example", client_id=client_id, client_secret=client_secret,
    server_metadata_url=issuer + "/.well-known/openid-configuration",
    client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
)


async def login(request):
    return await oauth.example.authorize_redirect(request, redirect_uri)


async def callback(request):
    token = await oauth.example.authorize_access_token(request)
    profile = await oauth.example.userinfo(token=token)
    return JSONResponse({"id_token": token["userinfo"], "userinfo": dict(profile)})


app = Starlette(
    routes=[Route("/login", login), Route("/callback", callback)],
    middleware=[Middleware(SessionMiddleware, secret_key="only for this test")],
)
home = urlsplit(redirect_uri)
with TestClient(app, base_url=f"{home.scheme}://{home.netloc}") as browser:
    answer = browser.get("/login", follow_redirects=False)
    check(answer.status_code == 302, "it sends people to sign in")
    back = urlsplit(visit(answer.headers["location"]))
    answer = browser.get(f"{back.path}?{back.query}")
    check(answer.status_code == 200, f"they are signed in: {answer.text}")
    who = answer.json()
    check(who["id_token"]["sub"] == who["userinfo"]["sub"], "the ID token and UserInfo are about the same person")
    check(who["userinfo"]["email"] == "alice@example.com", f"who is alice: {who['userinfo']}")
done()
