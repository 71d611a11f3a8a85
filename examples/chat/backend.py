"""The chat's back end: it serves the page, says who somebody is, and speaks through the cluster's HTTP API.

Messages do not pass through it. Browsers publish and receive over their WebSocket to the cluster; the back end signs
the tokens with which they connect, and those that have connected go on without it.

    examples/chat/run.sh
"""

import hashlib
import logging
import secrets
from pathlib import Path
from typing import Any

import click
from cluster import Cluster, ClusterError
from flask import Flask, Response, jsonify, request, session
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

CHANNEL = "chat:lobby"

TOKEN_SECONDS = 600
"""The SDK asks for the next token before this one expires."""

LONGEST_NAME = 24


def create_app(cluster: Cluster) -> Flask:
    """Return the web application."""
    app = Flask(__name__, static_url_path="/static")
    # The cookie says who somebody is, so it is signed; with a key of its own, made from the secret of the tokens.
    app.secret_key = hashlib.sha256(b"chat cookie " + cluster.secret.encode()).digest()
    app.config.update(SESSION_COOKIE_NAME="flux_chat", SESSION_COOKIE_SAMESITE="Strict")

    def ticket() -> dict[str, Any]:
        """Return what the page needs to connect as the one the cookie names."""
        user, name = session["user"], session["name"]
        token = cluster.token(user, {"name": name}, TOKEN_SECONDS)
        return {"token": token, "user": user, "name": name, "channel": CHANNEL, "port": cluster.port}

    @app.get("/")
    def page() -> Response:
        return app.send_static_file("chat.html")

    @app.post("/enter")
    def enter() -> Any:
        """Give somebody who has said a name a user id, and greet them."""
        name = " ".join(str(request.get_json().get("name", "")).split())
        if not 0 < len(name) <= LONGEST_NAME:
            return {"error": f"A name has 1 to {LONGEST_NAME} characters."}, 400
        cluster.call("publish", channel=CHANNEL, data={"text": f"{name} has come in. Say hello!"})
        session["user"], session["name"] = secrets.token_hex(8), name
        return ticket()

    @app.post("/token")
    def token() -> Any:
        """Give who has entered before another token."""
        if "user" not in session:
            return {"error": "Nobody has entered here yet."}, 401
        return ticket()

    @app.get("/history")
    def history() -> Any:
        """List the last messages, and the position in the stream from which a subscription goes on without a gap."""
        found = cluster.call("history", channel=CHANNEL, limit=100, reverse=True)
        found["publications"].reverse()
        return found

    @app.errorhandler(ClusterError)
    def away(error: ClusterError) -> Any:
        return {"error": str(error)[:1].upper() + str(error)[1:] + "."}, 503

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Any:
        return jsonify(error=error.description), error.code

    return app


@click.command()
@click.option("--state-dir", type=click.Path(path_type=Path), default=".flux", help="where the cluster keeps its state")
@click.option("--host", default="127.0.0.1", show_default=True, help="address of the page")
@click.option("--port", default=8800, show_default=True, help="port of the page")
def main(state_dir: Path, host: str, port: int) -> None:
    """Serve the example chat until interrupted.

    \b
    Example:
      examples/chat/run.sh --port 8800
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    try:
        cluster = Cluster(state_dir)
        cluster.call("history", channel=CHANNEL)
    except ClusterError as error:
        raise click.ClickException(str(error)) from error
    try:
        server = make_server(host, port, create_app(cluster), threaded=True)
    except SystemExit as error:  # werkzeug has said why
        raise click.ClickException(f"choose another port: examples/chat/run.sh --port {port + 1}") from error
    named = "localhost" if host == "127.0.0.1" else host
    click.echo(f"Chat        http://{named}:{server.port}/   (Ctrl-C ends it)")
    # Ctrl-C is click's business.
    server.serve_forever()


if __name__ == "__main__":
    main()
