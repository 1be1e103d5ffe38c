"""The news of an import: what is written down as told is in the outbox, whatever becomes of the outbox meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from mail_server import mail_server
from waiting import eventually

from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.actors.metadata_cache import MetadataCache
from hcs_mesh.actors.notices.notifier import Notifier
from hcs_mesh.actors.notices.records import Posted
from hcs_mesh.config import ImportSettings, MailSettings, NoticeSettings
from hcs_mesh.messages.imports import ImportOrder, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.journal import Journal, JournalPoisoned, show
from hcs_mesh.supervisors.supervisor import Supervisor

pytestmark = pytest.mark.anyio


def told(journal: Path) -> list[str]:
    return [str(one["tag"]) for one in show(journal) if one["tag"] == "import.told"]


async def test_an_end_that_the_outbox_could_not_write_down_is_told_by_the_notifiers_next_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, imports = Journal.append, tmp_path / "imports"
    told_at_posts: list[int] = []

    async def failing(journal: Journal, record: object) -> int:
        if isinstance(record, Posted):
            told_at_posts.append(len(told(imports)))
            if len(told_at_posts) == 1:
                raise JournalPoisoned(str(journal.folder), "input/output error")
        return await append(journal, record)

    monkeypatch.setattr(Journal, "append", failing)
    write_plate(tmp_path / "plate", Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    repository, node = LocalRepository(tmp_path / "data"), Node("hub")
    async with mail_server() as server:
        mail = MailSettings(host="127.0.0.1", port=server.port, security="none", sender="mesh@example.org")
        tree = await Supervisor(
            "mesh",
            [
                node.actor("metadata", lambda: MetadataCache(repository), kind=MetadataCache),
                node.actor("notifier", lambda: Notifier(tmp_path / "notices", NoticeSettings(), mail), kind=Notifier),
                node.actor("inspector", Inspector, kind=Inspector),
                node.actor(
                    "imports",
                    lambda: ImportProxy(repository, imports, ImportSettings(settle_s=0.01)),
                    kind=ImportProxy,
                ),
            ],
        ).start()
        order = ImportOrder(path=str(tmp_path / "plate"), mail="ada@example.org")
        await node.find("imports").ask(SubmitImport(order=order, key="k"))
        await eventually(lambda: told(imports), what="an end that is told")
        await eventually(lambda: server.mails, what="the mail of it")
        await tree.stop()
        await tree.wait()
        await node.close()
    repository.close()
    # Asked twice, and written down as told only once the second had it.
    assert (told_at_posts, len(server.mails)) == ([0, 0], 1)
