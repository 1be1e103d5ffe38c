"""Addresses and what answers at them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ..config.errors import MeshError
from ..plates.survey import PlateSurvey, UnlistedPlace
from ..transport import AskFailed
from .client import MeshClient
from .overview import POLICY, render_overview
from .plate_shape import plate_shape
from .statuses import status_of


def build(client: MeshClient, allowed_hosts: Sequence[str]) -> Starlette:
    """Join addresses, client and error answers into one application."""

    async def plate(request: Request) -> object:
        return plate_shape(await client.plate(_plate_id(request)))

    async def job(request: Request) -> object:
        return await client.job(request.path_params["job_id"])

    async def survey() -> PlateSurvey:
        try:
            return await client.survey_plates()
        except AskFailed as error:
            # The jobs are there to be seen all the same.
            return PlateSurvey(unlisted=(UnlistedPlace(place="", error=str(error), hint=error.hint),))

    async def overview(request: Request) -> Response:
        page = render_overview(await client.status(), await survey(), await client.jobs())
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    return Starlette(
        routes=[
            Route("/", overview),
            Route("/api/status", _asking(lambda _: client.status())),
            Route("/api/ps", _asking(lambda _: client.tree())),
            Route("/api/plates", _asking(lambda _: client.plates())),
            Route("/api/plates/{plate_id}", _asking(plate)),
            Route("/api/jobs", _asking(lambda _: client.jobs())),
            Route("/api/jobs/{job_id}", _asking(job)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)],
        exception_handlers={MeshError: _refused, HTTPException: _refused, Exception: _broken},
    )


def _asking(
    ask: Callable[[Request], Coroutine[object, object, object]],
) -> Callable[[Request], Coroutine[object, object, Response]]:
    async def answer(request: Request) -> Response:
        return _json(await ask(request))

    return answer


def _plate_id(request: Request) -> int:
    written = request.path_params["plate_id"]
    # More digits than SQLite's integers have cannot name a plate.
    if not (written.isascii() and written.isdigit() and len(written) < 19):
        raise HTTPException(404, f"there is no plate {written}: plates are numbered")
    return int(written)


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        hint = "GET / lists what there is." if error.status_code == 404 else ""
        body = {"error": error.detail, "hint": hint}
        return _json(body, status_code=error.status_code, headers=dict(error.headers or {}))
    if isinstance(error, MeshError):
        return _json({"error": str(error), "hint": error.hint}, status_code=status_of(error))
    raise error


async def _broken(request: Request, error: Exception) -> Response:
    # What went wrong is in the log; a stranger at the other end learns nothing of the inside.
    return _json({"error": "the mesh failed to answer", "hint": "Its log says why."}, status_code=500)


def _json(content: object, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status_code, headers, media_type="application/json")
