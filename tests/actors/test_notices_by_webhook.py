"""Notices by webhook against a real HTTP server."""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from free_ports import free_port
from waiting import eventually

from hcs_mesh.actors.notices.notifier import Notifier
from hcs_mesh.config import NoticeSettings, WebhookSettings
from hcs_mesh.messages.notices import ListNotices, NoticeFacts, NoticeStatus, RetryNotices, SendNotice
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.journal import show

pytestmark = pytest.mark.anyio

QUICK = NoticeSettings(first_retry_s=0.02, longest_retry_s=0.1)


class Post(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Hook:
    """A server of HTTP/1.1 on a port of this computer; ``answer`` says the status, 0 hangs up, -1 is silent."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Callable[[], int] = lambda: 204
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.posts.append(Post(head[0].split()[1], headers, body))
        status = self.answer()
        if status > 0:
            location = "location: http://127.0.0.1:1/\r\n" if status // 100 == 3 else ""
            writer.write(f"HTTP/1.1 {status} X\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        elif status < 0:
            await reader.read()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def hooked(port: int = 0) -> AsyncIterator[Hook]:
    hook = Hook()
    server = await asyncio.start_server(hook.serve, "127.0.0.1", port or free_port())
    hook.port = server.sockets[0].getsockname()[1]
    try:
        yield hook
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def notifying(folder: Path, *hooks: WebhookSettings, settings: NoticeSettings = QUICK) -> AsyncIterator[Any]:
    node = Node("hub")
    life = await node.start_actor(
        "notifier", lambda: Notifier(folder / "journal", settings, webhooks=hooks), kind=Notifier
    )
    try:
        yield node.find("notifier")
    finally:
        await life.stop()
        await life.wait()
        await node.close()


def to(hook: Hook, **more: Any) -> WebhookSettings:
    return WebhookSettings(**{"url": f"http://127.0.0.1:{hook.port}/told?token=hidden-token", "name": "lims", **more})


async def until(notifier: Any, state: str, said: str = "") -> NoticeStatus:
    async def reached() -> NoticeStatus | None:
        for one in await notifier.ask(ListNotices()):
            if one.state == state and said in one.deliveries[0].last_error:
                return one  # type: ignore[no-any-return]
        return None

    found: NoticeStatus = await eventually(reached, what=f"a notice that is {state}: {said}")
    return found


NOTICE = SendNotice(
    key="import-0007 done 1",
    kind="import.done",
    facts=NoticeFacts(import_id="import-0007", plates=("plate Ä", "plate\nB"), n_files=3, certificate="/c.json"),
)


async def test_a_hook_is_posted_json_that_is_signed_and_known_by_its_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-the-hook\n")
    secret.chmod(0o600)
    caplog.set_level(logging.INFO, "hcs_mesh")
    async with hooked() as hook, notifying(tmp_path, to(hook, secret_file=str(secret))) as notifier:
        await notifier.ask(NOTICE)
        await notifier.ask(NOTICE)
        done = await until(notifier, "delivered")
    (post,) = hook.posts
    told = json.loads(post.body)
    assert told["event"] == post.headers["x-hcs-mesh-event"] == "import.done"
    assert told["notice"] == done.notice_id
    assert told["plates"] == ["plate Ä", "plate\nB"]
    assert told["certificate"] == "/c.json"
    signed = hmac.new(b"s3cret-of-the-hook", post.body, hashlib.sha256).hexdigest()
    assert post.headers["x-hcs-mesh-signature"] == f"sha256={signed}"
    assert len(post.headers["idempotency-key"]) == 40
    assert done.deliveries[0].to == "webhook lims"
    kept = json.dumps(list(show(tmp_path / "journal")), default=str)
    ours = [vars(one) for one in caplog.records if one.name.startswith("hcs_mesh")]
    assert ours
    for hidden in ("s3cret-of-the-hook", "hidden-token"):
        assert hidden not in f"{kept}{ours}{done}"


async def test_a_hook_in_trouble_is_posted_the_same_again_under_the_same_key(tmp_path: Path) -> None:
    answers = iter([503, 429, 0, -1])
    # Waited for once, in full; and long enough that a busy machine answers within it all the other times.
    async with hooked() as hook, notifying(tmp_path, to(hook, timeout_s=4.0)) as notifier:
        hook.answer = lambda: next(answers, 200)
        await notifier.ask(NOTICE)
        done = await until(notifier, "delivered")
    assert done.deliveries[0].attempts == 5
    assert len(hook.posts) == 5
    assert len({post.body for post in hook.posts}) == 1
    assert len({post.headers["idempotency-key"] for post in hook.posts}) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 301])
async def test_a_hook_that_refuses_for_good_has_failed_until_somebody_retries(tmp_path: Path, status: int) -> None:
    answers = iter([status])
    async with hooked() as hook, notifying(tmp_path, to(hook)) as notifier:
        hook.answer = lambda: next(answers, 204)
        await notifier.ask(NOTICE)
        failed = await until(notifier, "failed", f"answered {status}")
        await notifier.ask(RetryNotices(notice_ids=(failed.notice_id,)))
        await until(notifier, "delivered")


async def test_a_hook_that_is_away_delays_no_other(tmp_path: Path) -> None:
    async with hooked() as gone:
        pass
    async with hooked() as hook:
        away = to(gone, name="away")
        async with notifying(tmp_path, away, to(hook)) as notifier:
            await notifier.ask(NOTICE)
            waiting = await until(notifier, "waiting", "the webhook away cannot be reached")
            await eventually(lambda: hook.posts)
            assert waiting.deliveries[0].to == "webhook away"
            async with hooked(gone.port):
                await until(notifier, "delivered")
    assert len(hook.posts) == 1


async def test_a_hook_hears_of_its_events_alone_and_one_that_left_the_settings_says_so(tmp_path: Path) -> None:
    async with hooked() as gone:
        pass
    hook = to(gone, events=("import.failed",))
    async with notifying(tmp_path, hook) as notifier:
        await notifier.ask(NOTICE)
        assert await notifier.ask(ListNotices()) == ()
        await notifier.ask(SendNotice(key="k2", kind="import.failed"))
        await until(notifier, "waiting", "cannot be reached")
    async with notifying(tmp_path) as notifier:
        await until(notifier, "failed", "there is no webhook lims in the settings any more")
