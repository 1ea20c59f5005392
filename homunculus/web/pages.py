"""The pages: the chat, the way in, and the files they are made of.

Owns what a browser loads. Every byte comes from this package or, for portraits, from the card's own image; pages hold no
data: scripts ask the API for it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from homunculus.web.agents import PORTRAITS
from homunculus.web.auth import CALLER, cookie_name, port
from homunculus.web.errors import ApiError, problem
from homunculus.web.running import Running
from homunculus.web.sessions import SESSION_SECONDS

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_MAX_PORTRAIT = 8 * 1024 * 1024


class Assets(StaticFiles):
    """Static files that a browser asks for again after an upgrade, and only then fetches."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def routes(running: Running) -> list[BaseRoute]:
    """List the pages' routes."""
    pages = Pages(running)
    return [
        Route("/", pages.chat),
        Route("/sign-in", pages.sign_in),
        Route("/sign-in/page.css", _file("ink.css", "text/css")),
        Route("/sign-in/icon.svg", _file("icon.svg", "image/svg+xml")),
        Route("/portraits/{agent_id:path}", pages.portrait),
        Mount("/static", Assets(directory=_STATIC)),
    ]


def _file(name: str, kind: str) -> Any:
    async def serve(_: Request) -> Response:
        return FileResponse(_STATIC / name, media_type=kind, headers={"Cache-Control": "no-cache"})

    return serve


class Pages:
    """Render the pages."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._templates = Environment(
            loader=PackageLoader("homunculus.web"), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )

    async def chat(self, request: Request) -> Response:
        """Show the chat, or how to get in."""
        if request.scope[CALLER] == "nobody":
            return self._render("sign_in.html", 401, why="Nobody is signed in here yet.")
        return self._render("chat.html")

    async def sign_in(self, request: Request) -> Response:
        """Trade the link's code for a cookie, once.

        The page that follows is reached by a navigation of our own, not by a redirect: a browser keeps a SameSite=Strict
        cookie back for the rest of a navigation that began on another site.
        """
        cookie = (
            self._running.sessions.redeem(request.query_params.get("code", "")) if request.method == "GET" else None
        )
        if cookie is None and request.scope[CALLER] == "session":
            return self._render("signed_in.html")
        if cookie is None:
            return self._render("sign_in.html", 401, why="This link was used already, or it is older than an hour.")
        response = self._render("signed_in.html")
        name = cookie_name(port(request.scope))
        response.set_cookie(name, cookie, max_age=int(SESSION_SECONDS), path="/", httponly=True, samesite="strict")
        return response

    async def portrait(self, request: Request) -> Response:
        """Send the image that the agent's card names; nothing else of this machine can be asked for."""
        agent = self._running.deployment().agent(request.path_params["agent_id"])
        path = Path(agent.character.avatar) if agent else Path()
        kind = PORTRAITS.get(path.suffix.lower())
        if kind is None or not path.is_absolute() or not await asyncio.to_thread(_fits, path):
            return problem(ApiError(404, "not_found", "this agent has no portrait here"))
        # An image from a stranger's card is an image and nothing else, whatever its bytes say.
        return FileResponse(
            path,
            media_type=kind,
            headers={"Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'none'; sandbox"},
        )

    def _render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        name = self._running.deployment().bot_name
        text = self._templates.get_template(template).render(bot_name=name, version=self._running.version, **values)
        return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def _fits(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _MAX_PORTRAIT
