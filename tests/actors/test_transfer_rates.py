"""How long an import would take is told from enough that was copied, or not at all."""

from pathlib import Path

import pytest
from waiting import eventually

from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.rate import ENOUGH_BYTES, FILE_BYTES, LONGEST_PAUSE_S, BusyTime, TransferRates
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import GetImport, ImportOrder, ImportPreview, ImportStatus, PreviewImport, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.supervisors import Node

MIB = 1024**2
GIB = 1024**3


def test_a_tiny_import_tells_nothing() -> None:
    rates = TransferRates()
    rates.took("upload", n_files=1, n_bytes=9, busy_s=0.3)
    assert rates.estimated_s("upload", n_files=5, n_bytes=40_000) == 0.0
    for _ in range(ENOUGH_BYTES // FILE_BYTES - 1):
        rates.took("upload", n_files=1, n_bytes=0, busy_s=0.01)
    assert 0.0 < rates.estimated_s("upload", n_files=5, n_bytes=40_000) < 1.0


def test_many_files_take_longer_than_their_bytes() -> None:
    rates = TransferRates()
    rates.took("upload", n_files=1, n_bytes=GIB, busy_s=2.0)
    large = rates.estimated_s("upload", n_files=1, n_bytes=100 * MIB)
    assert large == pytest.approx(0.2, rel=0.05)
    assert rates.estimated_s("upload", n_files=100_000, n_bytes=100 * MIB) > 50 * large


def test_the_present_counts_and_not_the_past() -> None:
    rates = TransferRates()
    rates.took("upload", n_files=0, n_bytes=GIB, busy_s=1.0)
    rates.took("upload", n_files=0, n_bytes=GIB, busy_s=100.0)
    assert rates.estimated_s("upload", n_files=0, n_bytes=GIB) == 100.0


def test_one_kind_tells_nothing_of_another() -> None:
    rates = TransferRates()
    rates.took(("upload", ""), n_files=1, n_bytes=GIB, busy_s=1.0)
    assert rates.estimated_s(("upload", "pc3"), n_files=1, n_bytes=GIB) == 0.0


def test_waiting_is_no_slowness() -> None:
    busy = BusyTime(100.0)
    busy.look(0, 101.0)
    busy.look(1, 102.0)
    busy.look(1, 4_000.0)
    busy.look(2, 8_002.0)
    busy.end(8_003.0)
    assert busy.s == 2.0 + LONGEST_PAUSE_S + 1.0


@pytest.mark.anyio
async def test_a_preview_says_how_long_once_enough_was_copied(tmp_path: Path) -> None:
    node, repository = Node("hub"), LocalRepository(tmp_path / "data")
    settings = ImportSettings(settle_s=0.01)
    lives = [
        await node.start_actor("inspector", Inspector),
        await node.start_actor("imports", lambda: ImportProxy(repository, tmp_path / "journal", settings)),
    ]
    imports = node.find("imports")

    async def imported(name: str, n_bytes: int) -> ImportPreview:
        source = tmp_path / name
        source.mkdir()
        (source / "a.bin").write_bytes(bytes(n_bytes))
        order = ImportOrder(path=str(source), as_files=True)
        import_id = await imports.ask(SubmitImport(order=order, key=name))

        async def done() -> ImportStatus | None:
            status: ImportStatus = await imports.ask(GetImport(import_id=import_id))
            return status if status.state == "done" else None

        await eventually(done, what=f"{name} in the repository")
        seen: ImportPreview = await imports.ask(PreviewImport(order=order))
        return seen

    try:
        assert (await imported("tiny", 9)).estimated_s == 0.0
        assert 0.0 < (await imported("large", ENOUGH_BYTES)).estimated_s < 600.0
    finally:
        for life in reversed(lives):
            await life.stop()
            await life.wait()
        await node.close()
        repository.close()
