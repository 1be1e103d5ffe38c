"""Notices by mail against a real server: who hears of what, what a server may do, and what a crash costs."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mail_server import MailServer, mail_server, self_signed
from waiting import eventually

from hcs_mesh.actors.notices.notifier import Notifier
from hcs_mesh.config import MailSettings, NoticeSettings
from hcs_mesh.messages.notices import (
    ListNotices,
    MailTried,
    NoticeFacts,
    NoticeStatus,
    RetryNotices,
    SendNotice,
    TryMail,
)
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.journal import show

pytestmark = pytest.mark.anyio

QUICK = NoticeSettings(first_retry_s=0.02, longest_retry_s=0.1)
ADA, BOB, ROOT = "ada@example.org", "bob@example.org", "root@example.org"
PASSWORD = "correct horse battery staple"

FACTS = NoticeFacts(
    import_id="import-0007",
    owner="ada",
    source="/instruments/plate Ä",
    plates=("plate Ä", "plate B"),
    repository="/data/repository",
    n_files=3456,
    n_bytes=5 << 30,
    n_wells=384,
    n_images=3456,
    duration_s=754.0,
)


class Told:
    """A notifier, as the import proxy and the command line reach it."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def send(self, key: str, kind: str = "import.done", *to: str, facts: NoticeFacts = FACTS) -> None:
        await self.node.find("notifier").ask(SendNotice(key=key, kind=kind, recipients=to or (ADA,), facts=facts))  # type: ignore[arg-type]

    async def notices(self) -> tuple[NoticeStatus, ...]:
        return await self.node.find("notifier").ask(ListNotices())

    async def retry(self, *ids: str) -> tuple[NoticeStatus, ...]:
        return await self.node.find("notifier").ask(RetryNotices(notice_ids=ids))

    async def try_mail(self, address: str) -> MailTried:
        return await self.node.find("notifier").ask(TryMail(address=address))

    async def until(self, state: str, what: Callable[[NoticeStatus], bool] = lambda one: True) -> NoticeStatus:
        async def reached() -> NoticeStatus | None:
            return next((one for one in await self.notices() if one.state == state and what(one)), None)

        found: NoticeStatus = await eventually(reached, what=f"a notice that is {state}")
        return found


@asynccontextmanager
async def notifying(
    folder: Path, mail: MailSettings, settings: NoticeSettings = QUICK, **more: Any
) -> AsyncIterator[Told]:
    node = Node("hub")
    life = await node.start_actor("notifier", lambda: Notifier(folder / "journal", settings, mail, **more))
    try:
        yield Told(node)
    finally:
        await life.stop()
        await life.wait()
        await node.close()


def to(server: MailServer, **more: Any) -> MailSettings:
    return MailSettings(
        **{
            "host": "127.0.0.1",
            "port": server.port,
            "security": "none",
            "sender": "mesh@example.org",
            "administrators": (ROOT,),
            "timeout_s": 30.0,
            **more,
        }
    )


def password_file(folder: Path, password: str = PASSWORD, mode: int = 0o600) -> str:
    path = folder / "password"
    path.write_text(password + "\n")
    path.chmod(mode)
    return str(path)


async def test_who_asked_is_told_of_success_with_counts_and_the_certificate(tmp_path: Path) -> None:
    certificate = tmp_path / "import-0007.json"
    certificate.write_bytes(b'{"files": 3456}')
    facts = msgspec.structs.replace(FACTS, certificate=str(certificate))
    async with mail_server() as server, notifying(tmp_path, to(server)) as told:
        await told.send("k", facts=facts)
        await told.until("delivered")
    (mail,) = server.mails
    assert mail.to == [ADA]
    assert mail.message["Subject"] == "[hcs-mesh] import-0007 is in the repository: plate Ä, plate B"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    for part in ("plate Ä", "plate B", "3,456 (5.0 GiB)", "384", "12 min 34 s", str(certificate), "attached", "ada"):
        assert part in mail.text
    (attached,) = mail.message.iter_attachments()
    assert attached.get_filename() == "import-0007.json"
    assert attached.get_content() == b'{"files": 3456}'


async def test_administrators_hear_of_a_failure_with_its_reason_and_what_to_do(tmp_path: Path) -> None:
    facts = NoticeFacts(import_id="import-0008", source="/x/y", reason="no room on the disk", hint="make room, retry")
    async with mail_server() as server, notifying(tmp_path, to(server)) as told:
        await told.send("k", "import.failed", ADA, ADA, facts=facts)
        await told.until("delivered")
    assert sorted(one for mail in server.mails for one in mail.to) == [ADA, ROOT]
    assert {mail.message["To"] for mail in server.mails} == {f"{ADA}, {ROOT}"}
    assert "Reason: no room on the disk" in server.mails[0].text
    assert "What to do: make room, retry" in server.mails[0].text
    assert "do not delete it" in server.mails[0].text


async def test_the_same_key_is_told_once_even_to_the_next_life(tmp_path: Path) -> None:
    async with mail_server() as server:
        for _ in range(2):
            async with notifying(tmp_path, to(server)) as told:
                await asyncio.gather(*(told.send("k") for _ in range(5)))
                await told.until("delivered")
        assert len(server.mails) == 1


async def test_a_certificate_that_is_gone_is_said_and_the_mail_goes_all_the_same(tmp_path: Path) -> None:
    facts = msgspec.structs.replace(FACTS, certificate=str(tmp_path / "none.json"))
    async with mail_server() as server, notifying(tmp_path, to(server)) as told:
        await told.send("k", facts=facts)
        await told.until("delivered")
    assert "not attached: No such file or directory" in server.mails[0].text


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_login_over_tls_is_believed_only_with_a_certificate_that_is_trusted(
    tmp_path: Path, security: str
) -> None:
    public, context = self_signed(tmp_path)
    secrets: dict[str, Any] = {"security": security, "user": "mesh", "password_file": password_file(tmp_path)}
    async with mail_server(tls=context, implicit=security == "tls", login=("mesh", PASSWORD)) as server:
        async with notifying(tmp_path, to(server, **secrets)) as told:
            tried = await told.try_mail(ADA)
            assert not tried.delivered
            assert "mail.ca_file" in tried.hint
        async with notifying(tmp_path, to(server, ca_file=str(public), **secrets)) as told:
            await told.send("k")
            await told.until("delivered")
            assert (await told.try_mail(ADA)).delivered
    assert len(server.mails) == 2


async def test_a_wrong_password_lets_mails_wait_and_is_in_no_journal_log_or_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"user": "mesh", "password_file": password_file(tmp_path, "wrong-but-secret")}
    async with mail_server(login=("mesh", PASSWORD)) as server, notifying(tmp_path, to(server, **secrets)) as told:
        await told.send("k")
        waiting = await told.until("waiting", lambda one: "does not let 'mesh' in" in one.deliveries[0].last_error)
        tried = await told.try_mail(ADA)
        assert "mail.password_file" in tried.hint
        password_file(tmp_path)
        await told.until("delivered")
        records = json.dumps(list(show(tmp_path / "journal")), default=str)
    logged = [vars(one) for one in caplog.records if not one.name.startswith("mail.log")]
    assert logged
    for secret in ("wrong-but-secret", PASSWORD):
        assert secret not in f"{records}{waiting}{tried}{logged}"


async def test_a_password_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = password_file(tmp_path, mode=0o644)
    async with mail_server() as server, notifying(tmp_path, to(server, user="mesh", password_file=path)) as told:
        tried = await told.try_mail(ADA)
    assert "can be read by others (mode 644)" in tried.said
    assert f"chmod 600 {path}" in tried.hint
    assert server.n_sessions == 0


async def test_mails_wait_for_a_server_that_is_down_and_go_once_it_is_back(tmp_path: Path) -> None:
    async with mail_server() as gone:
        port = gone.port
    async with notifying(tmp_path, to(gone)) as told:
        for n in range(5):
            await told.send(f"k{n}")
        waiting = await told.until("waiting", lambda one: bool(one.deliveries[0].last_error))
        assert "cannot be used" in waiting.deliveries[0].last_error
        statistics = told.node.cells["notifier"].statistics()
        assert statistics["deliveries_waiting"] == 5
        assert "cannot be used" in statistics["last_trouble"]
        async with mail_server(port=port) as server:
            await eventually(lambda: len(server.mails) == 5)
    ids = [mail.message["Message-ID"] for mail in server.mails]
    assert len(set(ids)) == 5


async def test_one_recipient_that_is_refused_for_good_takes_nobody_along(tmp_path: Path) -> None:
    async with mail_server() as server, notifying(tmp_path, to(server)) as told:
        server.rcpt = lambda address: "550 no such user" if address == ADA else "250 OK"
        await told.send("k", "import.failed", ADA, BOB, "evil@example.org\r\nBcc: x@y.org", "no address")
        failed = await told.until("failed")
        by_address = {one.to.partition(" ")[2]: one for one in failed.deliveries}
        assert "(550 no such user)" in by_address[ADA].last_error
        assert by_address[BOB].state == by_address[ROOT].state == "delivered"
        assert "is no mail address" in by_address["no address"].last_error
        server.rcpt = lambda address: "250 OK"
        await told.retry(failed.notice_id)
        await eventually(lambda: sorted(one for mail in server.mails for one in mail.to) == [ADA, BOB, ROOT])
    assert all("Bcc" not in mail.message for mail in server.mails)


async def test_a_recipient_that_is_busy_is_tried_again_and_holds_nobody_up(tmp_path: Path) -> None:
    said: list[str] = []
    async with mail_server() as server, notifying(tmp_path, to(server)) as told:

        def rcpt(address: str) -> str:
            # Busy until the other has a mail, however long that takes.
            if address == ADA and (len(said) < 3 or not server.mails):
                said.append(("450 later", "451 later", "452 later")[len(said) % 3])
                return said[-1]
            return "250 OK"

        server.rcpt = rcpt
        await told.send("a", "import.done", ADA)
        await told.send("b", "import.done", BOB)
        await told.until("delivered", lambda one: one.key == "b")
        done = await told.until("delivered", lambda one: one.key == "a")
    assert [mail.to for mail in server.mails] == [[BOB], [ADA]]
    assert done.deliveries[0].attempts == len(said) + 1


async def test_a_server_that_dies_before_its_answer_gets_the_very_same_mail_again(tmp_path: Path) -> None:
    certificate = tmp_path / "c.json"
    certificate.write_bytes(b"{}")
    answers = iter(["drop"])
    async with mail_server() as server, notifying(tmp_path, to(server)) as told:
        server.data = lambda mail: next(answers, "250 taken")
        await told.send("k", facts=msgspec.structs.replace(FACTS, certificate=str(certificate)))
        await told.until("delivered")
    first, second = server.mails
    assert first.raw == second.raw
    assert first.message["Message-ID"] == second.message["Message-ID"]


async def test_a_server_that_looks_through_a_mail_for_long_before_it_answers_gets_it_once(tmp_path: Path) -> None:
    async with mail_server() as server, notifying(tmp_path, to(server, timeout_s=0.5)) as told:
        server.may_answer.clear()

        def slowly(mail: Any) -> str:
            asyncio.get_running_loop().call_later(1.5, server.may_answer.set)
            return "250 taken"

        server.data = slowly
        await told.send("k")
        await told.until("delivered")
    # Not how often it was tried: where the computer stands still, it may have been too late before the mail was in.
    assert len(server.mails) == 1


@pytest.mark.parametrize("said", ["nothing", "drop"])
async def test_a_mail_that_may_have_been_delivered_is_sent_once_more_at_most(tmp_path: Path, said: str) -> None:
    async with mail_server() as server:
        server.data = lambda mail: said
        if said == "nothing":
            server.may_answer.clear()
        async with notifying(tmp_path, to(server, answer_s=0.2 if said == "nothing" else 60.0)) as told:
            await told.send("k")
            failed = await told.until("failed")
            assert "maybe delivered, it was sent 2 times" in failed.deliveries[0].last_error
            assert f"notices retry {failed.notice_id}" in failed.deliveries[0].hint
            first, second = server.mails
            assert first.raw == second.raw
        server.data = lambda mail: "250 taken"
        server.may_answer.set()
        # A life that waits for the answer as long as it takes, or it would be in doubt about this one too.
        async with notifying(tmp_path, to(server)) as told:
            await told.retry()
            await told.until("delivered")
    assert len(server.mails) == 3


async def test_an_ordered_stop_waits_for_the_answer_so_that_nothing_is_sent_twice(tmp_path: Path) -> None:
    async with mail_server() as server:
        server.may_answer.clear()
        node = Node("hub")
        life = await node.start_actor("notifier", lambda: Notifier(tmp_path / "journal", QUICK, to(server)))
        await Told(node).send("k")
        await Told(node).send("left for the next life")
        await eventually(lambda: server.mails)
        stopping = asyncio.ensure_future(life.stop())
        # One turn of the loop: the stop is under way before the server answers.
        await asyncio.sleep(0)
        server.may_answer.set()
        await stopping
        await life.wait()
        await node.close()
        async with notifying(tmp_path, to(server)) as told:
            await eventually(lambda: len(server.mails) == 2)
            await told.until("delivered", lambda one: one.key != "k")
    assert len({mail.message["Message-ID"] for mail in server.mails}) == 2


async def test_what_was_tried_for_too_long_has_failed_until_somebody_retries(tmp_path: Path) -> None:
    async with mail_server() as gone:
        port = gone.port
    settings = NoticeSettings(first_retry_s=0.02, longest_retry_s=0.1, give_up_days=0.3 / 86_400)
    async with notifying(tmp_path, to(gone), settings) as told:
        await told.send("k")
        failed = await told.until("failed")
        assert "given up after" in failed.deliveries[0].last_error
        assert "cannot be used" in failed.deliveries[0].last_error
        assert told.node.cells["notifier"].statistics()["deliveries_failed"] == 1
        async with mail_server(port=port) as server:
            await told.retry()
            await told.until("delivered")
            assert len(server.mails) == 1


async def test_a_clock_that_is_ahead_after_a_start_gives_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mail_server() as gone:
        port = gone.port
    async with notifying(tmp_path, to(gone)) as told:
        await told.send("k")
        await told.until("waiting")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 10 * 365 * 86_400.0)
    async with notifying(tmp_path, to(gone)) as told:
        await told.until("waiting", lambda one: bool(one.deliveries[0].last_error))
        async with mail_server(port=port) as server:
            await told.until("delivered")
            assert len(server.mails) == 1


async def test_without_a_mail_server_mails_wait_and_say_for_what(tmp_path: Path) -> None:
    async with notifying(tmp_path, MailSettings()) as told:
        await told.send("k")
        waiting = await told.until("waiting", lambda one: bool(one.deliveries[0].last_error))
    assert waiting.deliveries[0].last_error == "no mail server is set"


@pytest.mark.timeout(180)
async def test_a_killed_process_loses_no_mail_and_repeats_at_most_the_one_it_was_at(tmp_path: Path) -> None:
    n_mails = 6
    kill_at = iter([0, 2, 5])
    process: asyncio.subprocess.Process | None = None

    async with mail_server() as server:
        killing: list[int] = [next(kill_at)]

        def take(mail: Any) -> str:
            assert process is not None
            if killing and len({one.message["Message-ID"] for one in server.mails}) > killing[0]:
                killing[:] = [n for n in [next(kill_at, -1)] if n >= 0]
                os.kill(process.pid, signal.SIGKILL)
            return "250 taken"

        server.data = take
        n_kills = 0
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PROCESS, str(tmp_path / "journal"), str(server.port), str(n_mails)
            )
            code = await process.wait()
            if code != -signal.SIGKILL:
                break
            n_kills += 1
        assert code == 0
    assert n_kills == 3
    copies: dict[str, set[bytes]] = {}
    for mail in server.mails:
        copies.setdefault(mail.message["Message-ID"], set()).add(mail.raw)
    assert len(copies) == n_mails
    assert n_mails < len(server.mails) <= n_mails + n_kills
    assert all(len(one) == 1 for one in copies.values())


PROCESS = """
import asyncio, sys
from pathlib import Path
from hcs_mesh.actors.notices.notifier import Notifier
from hcs_mesh.config import MailSettings, NoticeSettings
from hcs_mesh.messages.notices import ListNotices, NoticeFacts, SendNotice
from hcs_mesh.supervisors import Node

async def main(journal, port, n_mails):
    node = Node("hub")
    mail = MailSettings(host="127.0.0.1", port=port, security="none", sender="mesh@example.org")
    notices = NoticeSettings(first_retry_s=0.01, longest_retry_s=0.01)
    life = await node.start_actor("notifier", lambda: Notifier(Path(journal), notices, mail))
    notifier = node.find("notifier")
    for n in range(n_mails):
        facts = NoticeFacts(import_id=f"import-{n}")
        await notifier.ask(SendNotice(key=f"key {n}", kind="import.done", recipients=("ada@example.org",), facts=facts))
    while any(one.state != "delivered" for one in await notifier.ask(ListNotices())):
        await asyncio.sleep(0.01)
    await life.stop()
    await life.wait()
    await node.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""
