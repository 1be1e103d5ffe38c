"""What looks inside a mesh tells of faults that no supervisor hears of."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hcs_mesh import Actor, Mesh, Request, Settings
from hcs_mesh.command_line.inside import show_actor
from hcs_mesh.config import DeviceSettings
from hcs_mesh.messages.console import ActorDetail, Incident
from hcs_mesh.messages.control import ActorRow
from hcs_mesh.transport import AskFailed
from hcs_mesh.viewers.console.words import detail_text

pytestmark = pytest.mark.anyio
SETTINGS = Settings(devices=DeviceSettings(cpu_slots=0, gpu="off"))


class Weigh(Request[int], frozen=True, kw_only=True, tag="faults.weigh"):
    """Have something weighed, later on."""


class Scales(Actor[Weigh]):
    """Defers its work, which fails."""

    async def receive(self, message: Weigh) -> Any:
        return self.defer(self.weigh())

    async def weigh(self) -> int:
        raise ZeroDivisionError("nothing lies on the scales")


def printed(detail: ActorDetail, capsys: pytest.CaptureFixture[str]) -> str:
    question: Any = SimpleNamespace(ask=lambda what: detail, as_json=False)
    show_actor(question, detail.row.name)
    return capsys.readouterr().out


async def test_a_fault_in_deferred_work_is_shown_with_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Mesh(SETTINGS, data=tmp_path).add("scales", Scales) as mesh:
        before = (await mesh.inspect("scales")).incidents
        with pytest.raises(AskFailed, match="nothing lies on the scales"):
            await mesh.ask("scales", Weigh())
        detail = await mesh.inspect("scales")
    assert [one.occurrence for one in before] == ["started"]
    assert [one.occurrence for one in detail.incidents] == ["started", "fault"]
    fault = detail.incidents[-1]
    assert (fault.child, fault.supervisor, fault.reason) == ("scales", "mesh", "in deferred work for Weigh")
    assert detail.untold_error == ""
    for text in (printed(detail, capsys), detail_text(detail)):
        assert "fault  ZeroDivisionError: nothing lies on the scales" in text
        assert 'raise ZeroDivisionError("nothing lies on the scales")' in text, "the line that failed"


@pytest.mark.parametrize("occurrences", [(), ("started",)])
def test_an_error_that_no_incident_tells_is_shown_all_the_same(
    occurrences: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    row = ActorRow(
        name="executor.cpu0", parent="slot.cpu0", kind="process", pid=7, state="running", last_error="ValueError: no"
    )
    told = tuple(Incident(at_unix_s=1.0, occurrence=one, child=row.name, supervisor=row.parent) for one in occurrences)
    detail = ActorDetail(row=row, incidents=told)
    for text in (printed(detail, capsys), detail_text(detail)):
        assert "last error: ValueError: no" in text


def test_an_error_that_an_incident_tells_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    row = ActorRow(
        name="executor.cpu0", parent="slot.cpu0", kind="process", pid=7, state="running", last_error="ValueError: no"
    )
    failed = Incident(at_unix_s=1.0, occurrence="failed", child=row.name, supervisor=row.parent, error="ValueError: no")
    detail = ActorDetail(row=row, incidents=(failed,))
    for text in (printed(detail, capsys), detail_text(detail)):
        assert text.count("ValueError: no") == 1
