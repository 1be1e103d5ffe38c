"""What is served by HTTP, fetched within limits: others' servers may be slow, away, damaged, or lead elsewhere."""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import threading
from collections.abc import Sequence
from typing import NamedTuple

import httpx

from .errors import PlaceAway, PlaceRefused, UnreadableImage
from .zarr_files import Part

MAY_PASS = frozenset({408, 425, 429})
"""Codes that mean "not now" though they blame the caller; all from 500 on do."""
MAX_HOPS = 3


class Limits(NamedTuple):
    """What a server is given; an answer that takes longer is broken off and asked for again."""

    answer_s: float = 30.0
    """How long one whole answer may take."""
    n_tries: int = 3
    first_wait_s: float = 0.5
    """The wait before the second try, doubled before each later one."""
    n_at_once: int = 8
    """Questions that are open at the same time."""


LIMITS = Limits()


class Wanted(NamedTuple):
    """An address, the part that is wanted of what is there, and how much that may be."""

    url: str
    max_bytes: int
    part: Part | None = None


class _NotNow(Exception):
    """The server was reached, and what it says may be another thing in a moment."""


class HttpFetcher:
    """Fetches from any thread; its connections live on a loop of its own, and are used again."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        """Begin nothing yet: the first question connects."""
        self._limits = limits
        self._loop = asyncio.new_event_loop()
        # What has no answer when the process ends is not waited for.
        self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
        self._thread.start()
        self._client = httpx.AsyncClient(
            timeout=None,  # noqa: S113 - each try as a whole has one
            limits=httpx.Limits(max_connections=limits.n_at_once),
            headers={"User-Agent": "hcs-mesh", "Accept-Encoding": "identity"},
        )
        self._turns = asyncio.Semaphore(limits.n_at_once)

    def get(self, wanted: Wanted) -> bytes | None:
        """What is served there; None where nothing is.

        Raises:
            UnreadableImage: it is larger than it may be.
            PlaceRefused: the server does not hand it out, or leads to another server.
            PlaceAway: there is no whole answer after every try.
        """
        return self.get_all([wanted])[0]

    def get_all(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        """What is served at each address, several at a time; None where nothing is.

        Raises:
            UnreadableImage, PlaceRefused, PlaceAway: one of them cannot be had, as for ``get``.
        """
        try:
            return asyncio.run_coroutine_threadsafe(self._get_all(wanted), self._loop).result()
        except concurrent.futures.CancelledError:
            raise PlaceAway(f"{wanted[0].url} was not waited for: what asked for it is stopping") from None

    def let_go(self) -> None:
        """Answer whoever waits now that what asked is stopping; more may be asked."""
        asyncio.run_coroutine_threadsafe(self._break_off(), self._loop).result()

    def close(self) -> None:
        """Close the connections, and let go who still waits; nothing more may be asked."""
        self.let_go()
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _break_off(self) -> None:
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _get_all(self, wanted: Sequence[Wanted]) -> list[bytes | None]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._get(one)) for one in wanted]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _get(self, wanted: Wanted) -> bytes | None:
        why = ""
        for n_before in range(self._limits.n_tries):
            if n_before:
                await asyncio.sleep(self._limits.first_wait_s * 2 ** (n_before - 1) * random.uniform(0.5, 1.0))  # noqa: S311
            try:
                async with self._turns, asyncio.timeout(self._limits.answer_s):
                    return await self._once(wanted)
            except TimeoutError:
                why = f"the answer was not whole after {self._limits.answer_s:g} s"
            except _NotNow as error:
                why = str(error)
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise PlaceRefused(f"{wanted.url} cannot be asked for: {error}") from None
        raise PlaceAway(
            f"{wanted.url} cannot be had: {why}, {self._limits.n_tries} times",
            hint="Is the server up, and does it serve to this host? What waits for it goes on by itself.",
        )

    async def _once(self, wanted: Wanted) -> bytes | None:
        url, headers = httpx.URL(wanted.url), {"Range": _range(wanted.part)} if wanted.part is not None else {}
        for _ in range(MAX_HOPS):
            async with self._client.stream("GET", url, headers=headers) as answer:
                if answer.has_redirect_location:
                    url = _on_the_same_server(url, url.join(answer.headers["Location"]))
                    continue
                return await _content(answer, wanted)
        raise PlaceRefused(f"{wanted.url} is passed on more than {MAX_HOPS} times")


async def _content(answer: httpx.Response, wanted: Wanted) -> bytes | None:
    code, expected = answer.status_code, 200 if wanted.part is None else 206
    if code in (404, 410):
        return None
    if code in MAY_PASS or code >= 500:
        raise _NotNow(f"the server answers {code}")
    if code != expected:
        why = ", as if it gave no parts of files" if wanted.part is not None and code == 200 else ""
        raise PlaceRefused(f"{wanted.url}: the server answers {code}{why}", hint="Does it ask for a log-in?")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        # A few bytes of such a body may become terabytes.
        raise PlaceRefused(f"{wanted.url}: the server compresses what was asked for as it is")
    length = answer.headers.get("Content-Length", "")
    content = bytearray()
    if length.isdecimal() and int(length) > wanted.max_bytes:
        raise _too_large(wanted, int(length))
    async for some in answer.aiter_raw():
        content += some
        if len(content) > wanted.max_bytes:
            raise _too_large(wanted, len(content))
    return bytes(content)


def _too_large(wanted: Wanted, n_bytes: int) -> UnreadableImage:
    return UnreadableImage(
        f"{wanted.url} has at least {n_bytes:,} bytes, and at most {wanted.max_bytes:,} are due there",
        hint="Is it what the plate's metadata says?",
    )


def _on_the_same_server(asked: httpx.URL, target: httpx.URL) -> httpx.URL:
    if (target.scheme, target.host, target.port) != (asked.scheme, asked.host, asked.port):
        raise PlaceRefused(
            f"{asked} leads to another server, {target.scheme}://{target.netloc.decode('ascii', 'replace')}",
            hint="If that one is to be trusted, name the plate's address there.",
        )
    return target


def _range(part: Part) -> str:
    if part.start < 0:
        return f"bytes={part.start}"
    return f"bytes={part.start}-" + ("" if part.length is None else str(part.start + part.length - 1))
