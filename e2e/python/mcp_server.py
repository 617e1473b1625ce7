"""An MCP server made with FastMCP, on a thread of its own."""

import contextlib
import socket
import threading
import time

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token


def listen():
    """Return a socket that listens on a free port of this machine."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def base_of(sock):
    return f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def serving(sock, auth):
    """Serve a tool that says whose token it was called with."""
    mcp = FastMCP("Who is it", auth=auth)

    @mcp.tool
    def whoami() -> str:
        return get_access_token().claims["sub"]

    server = uvicorn.Server(uvicorn.Config(mcp.http_app(), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        yield base_of(sock) + "/mcp"
    finally:
        server.should_exit = True
        thread.join(10)
