"""Names that somebody chose to deceive: in mails, on terminals and in logs they are names and nothing else."""

import logging
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tifffile
from mail_server import MailServer, mail_server
from waiting import eventually

from hcs_mesh.actors.console.log_tail import read_log
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.notices.notifier import Notifier
from hcs_mesh.command_line.import_text import print_end, print_import, print_imports
from hcs_mesh.command_line.preview_form import print_preview
from hcs_mesh.config import ImportSettings, LogSettings, MailSettings, NoticeSettings, get_logger, start_logging
from hcs_mesh.config.written_out import shown
from hcs_mesh.messages.imports import (
    GetImport,
    ImportOrder,
    ImportPreview,
    ImportStatus,
    ListImports,
    PreviewImport,
    SubmitImport,
)
from hcs_mesh.plates import plan
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed

EVIL = (
    "x\r\nBcc: evil@example.org\r\n\r\nerror: all is lost\x1b[2J\x07\u202etxt\u2066\u061c"
    "\u2028note: trust me\x85$(id)'\""
)
"""Begins headers, lines and messages, clears the screen, turns the writing round, and leaves a shell's quotes."""
LONG = "ä" * 100
OBEYED = {*map(chr, range(32)), *map(chr, range(127, 160)), *"\u061c\u200b\u2028\u2029\u202e\u2066\ufeff"} - {"\n"}


def forged(text: str) -> list[str]:
    """The lines that nobody but a name can have begun, and the characters that a terminal would obey."""
    begun = ("Bcc:", "error:", "note: trust", "x: y")
    return [line for line in text.splitlines() if line.startswith(begun) or OBEYED & {*line}]


def write_source(folder: Path) -> Path:
    """A folder with images and what stays behind, all of them under such names."""
    source = folder / EVIL
    source.mkdir()
    for name in (EVIL, LONG):
        tifffile.imwrite(source / f"{name}.ome.tif", np.zeros((6, 8), np.uint8), metadata={"Name": "\u202egpj"})
    (source / f"{EVIL}.txt").write_text("stays behind")
    return source


@asynccontextmanager
async def importing(folder: Path, server: MailServer, repository: Any) -> AsyncIterator[Node]:
    node = Node("hub")
    mail = MailSettings(host="127.0.0.1", port=server.port, security="none", sender="mesh@example.org", timeout_s=30.0)
    settings = ImportSettings(settle_s=0.01, pending_patience_s=0.0)
    lives = [
        await node.start_actor("inspector", Inspector),
        await node.start_actor("notifier", lambda: Notifier(folder / "notices", NoticeSettings(), mail)),
        await node.start_actor("imports", lambda: ImportProxy(repository, folder / "journal", settings)),
    ]
    try:
        yield node
    finally:
        for life in reversed(lives):
            await life.stop()
            await life.wait()
        await node.close()


async def ended(node: Node, order: ImportOrder, server: MailServer, n_mails: int) -> ImportStatus:
    """How an import has ended, once its mail is there."""
    imports = node.find("imports")
    import_id = await imports.ask(SubmitImport(order=order, key=f"k{n_mails}"))

    async def told() -> ImportStatus | None:
        status = await imports.ask(GetImport(import_id=import_id))
        return status if status.state in ("done", "failed") and len(server.mails) >= n_mails else None

    status: ImportStatus = await eventually(told, what="the end of the import and its mail")
    return status


@pytest.mark.anyio
async def test_no_name_forges_a_header_a_line_or_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, repository = write_source(tmp_path), LocalRepository(tmp_path / "data")
    verify = repository.verify

    def verify_late(*words: Any, **options: Any) -> None:
        (source / f"{EVIL}.late").write_bytes(b"late")
        verify(*words, **options)

    monkeypatch.setattr(repository, "verify", verify_late)
    async with mail_server() as server, importing(tmp_path, server, repository) as node:
        # What is written is refused where it would not show; of a comment lines are taken.
        order = ImportOrder(path=str(source), mail="ada@example.org", comment="x\nBcc: evil@example.org\nerror: all")
        done = await ended(node, order, server, 1)
        (source / "bad.companion.ome").write_text("<x></y>")
        failed = await ended(node, ImportOrder(path=str(source), mail="ada@example.org"), server, 2)
    repository.close()
    assert (done.state, done.reason) == ("done", "")
    assert (failed.state, len(done.plate_ids)) == ("failed", 2)
    (late,) = [note for note in done.notes if "came or grew after it had settled" in note]
    command = late.partition("hcs-mesh import --force ")[2].removesuffix(" imports it again")
    assert shlex.split(command) == [str(source)], "what is pasted into a shell is one word"

    for mail in server.mails:
        assert mail.to == ["ada@example.org"]
        assert "Bcc" not in mail.message
        assert {name.lower() for name in mail.message} == {
            *("from", "to", "subject", "date", "message-id", "auto-submitted", "x-hcs-mesh-notice"),
            *("content-type", "content-transfer-encoding", "mime-version"),
        }
        assert max(map(len, mail.raw.split(b"\r\n"))) <= 998
        assert forged(mail.text) == []
        assert forged(mail.message["Subject"]) == []
    assert shown(EVIL) in server.mails[0].text
    assert "To import the rest without it" in server.mails[1].text

    capsys.readouterr()
    preview = ImportPreview(plan=plan(source, exclude=("*.companion.ome",)), notes=done.notes, pending=(EVIL,))
    print_preview(order, preview)
    # As journals of older versions hold them.
    older = msgspec.structs.replace(done, order=ImportOrder(path=EVIL, name=EVIL, screen=EVIL, tags=(EVIL,)))
    print_imports([done, failed, older])
    for one in (done, failed, older):
        print_end(one)
        print_import(one)
    said = "".join(capsys.readouterr())
    assert "stays behind:" in said
    assert forged(said) == []


@pytest.mark.anyio
async def test_words_that_would_not_show_are_refused_when_they_are_handed_over(tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path / "data")
    async with mail_server() as server, importing(tmp_path, server, repository) as node:
        imports = node.find("imports")
        for order in (ImportOrder(path=str(tmp_path), name=EVIL), ImportOrder(path=str(tmp_path), pattern="{nix}")):
            for request in (SubmitImport(order=order, key="k"), PreviewImport(order=order)):
                with pytest.raises(AskFailed) as told:
                    await imports.ask(request)
                assert told.value.failure.kind in ("BadOrder", "PatternError")
        assert await imports.ask(ListImports()) == ()
    repository.close()


@pytest.mark.anyio
async def test_a_late_file_without_a_name_in_text_hides_nothing(tmp_path: Path) -> None:
    source, repository = tmp_path / "source", LocalRepository(tmp_path / "data")
    source.mkdir()
    tifffile.imwrite(source / "a.ome.tif", np.zeros((6, 8), np.uint8))
    verify = repository.verify

    def verify_late(*words: Any, **options: Any) -> None:
        (source / "late.ome.tif").write_bytes(b"late")
        Path(f"{source}/\udcff").write_bytes(b"late")
        verify(*words, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(repository, "verify", verify_late)
        async with mail_server() as server, importing(tmp_path, server, repository) as node:
            done = await ended(node, ImportOrder(path=str(source), mail="ada@example.org"), server, 1)
    repository.close()
    assert done.state == "done"
    assert any("settled: one whose name is not UTF-8" in note for note in done.notes)


@pytest.fixture
def root_logger() -> Iterator[None]:
    """Give the root logger back its handlers afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.mark.usefixtures("root_logger")
def test_no_name_forges_a_line_of_a_log() -> None:
    terminal = StringIO()
    start_logging(LogSettings(format="plain"), terminal=terminal)
    log = get_logger("hcs_mesh.test")
    log.info("an import goes on", source=EVIL, unblanked="\x1b[2J\u202ex", path=Path(EVIL))
    event = EVIL
    log.info(event)
    try:
        raise ValueError(EVIL)
    except ValueError:
        log.exception("it failed")
    said = terminal.getvalue()
    assert said.count("\\x1b[2J") == 5
    assert forged(said) == []


@pytest.mark.usefixtures("root_logger")
def test_no_name_forges_a_line_of_a_log_that_is_read_again(tmp_path: Path) -> None:
    start_logging(LogSettings(), file=tmp_path / "hub.jsonl", terminal=StringIO())
    get_logger("hcs_mesh.test").info("an import goes on", source=EVIL, actor="imports")
    (line,) = read_log(tmp_path / "hub.jsonl", "imports", n_lines=10).lines
    assert forged(line.text) == []
    assert len(line.text.splitlines()) == 1
