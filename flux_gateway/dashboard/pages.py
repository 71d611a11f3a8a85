"""The page itself, and the two questions a supervisor asks."""

from flask import Blueprint, Response, current_app, redirect, render_template
from werkzeug.wrappers import Response as WerkzeugResponse

from flux_gateway import __version__
from flux_gateway.dashboard.parts import parts

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def root() -> WerkzeugResponse:
    """The dashboard is the only page there is."""
    return redirect("/dashboard")


@blueprint.get("/dashboard")
def dashboard() -> str:
    """Return the page; everything on it comes from the API."""
    return render_template("dashboard.html", version=__version__)


@blueprint.get("/livez")
def livez() -> Response:
    """Say whether the collector's loop turns: 200 or 503."""
    alive = parts(current_app).collector.alive
    return Response("alive\n" if alive else "the collector hangs\n", 200 if alive else 503, mimetype="text/plain")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Say whether the data is fresh: 200, or 503 while it is stale."""
    problem = parts(current_app).board.view.problem
    return Response(f"stale: {problem}\n" if problem else "ready\n", 503 if problem else 200, mimetype="text/plain")
