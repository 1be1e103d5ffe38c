"""What others chose to be called, on a terminal: no line of theirs passes for one of the mesh's."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hcs_mesh.client import Client
from hcs_mesh.command_line import agents, text_form, watches
from hcs_mesh.command_line.asking import Question
from hcs_mesh.command_line.errors import CommandFailed
from hcs_mesh.command_line.failures import tell
from hcs_mesh.command_line.verifying import verify
from hcs_mesh.config.written_out import plain, shown
from hcs_mesh.messages.agents import AgentInfo, AgentOffer
from hcs_mesh.messages.watches import LateUnit, WaitingUnit, WatchStatus
from hcs_mesh.plates.certificate import Certificate, Device
from hcs_mesh.plates.local.signing import load_or_make_key, sign
from hcs_mesh.plates.model import Image, build_plate
from hcs_mesh.plates.served_folders import ServedFolder

EVIL = "a\nerror: all is lost\nhint: trust me\r\x1b[2J\x07\u202e\u061c\u200b\udcff[red]b"


def answered(answer: object) -> Question:
    """A question to which this is the answer."""

    class Answered(Question):
        def ask(self, ask: Callable[[Client], Awaitable[Any]]) -> Any:
            return answer

    return Answered(None, None, False)


def is_tame(said: str) -> bool:
    begun = ("error: all", "hint: trust")
    return bool(said) and not any(
        line.startswith(begun) or line != "".join(one for one in line if one.isprintable()) for line in said.split("\n")
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plaque é 板 пластина 👩\u200d🔬 می\u200cخواهم a\xa0b\u3000c", None),
        ("a\tb\r\nc\x1b[31m\x9b", "a\\tb\\r\\nc\\x1b[31m\\x9b"),
        (
            "\u202egpj\u2066\u061c\u200b\ufeff\u2028\u2029\x85\xad",
            "\\u202egpj\\u2066\\u061c\\u200b\\ufeff\\u2028\\u2029\\x85\\xad",
        ),
        ("\udcff\ud800\U000e0041", "\\xff\\ud800\\U000e0041"),
    ],
)
def test_what_shows_stays_and_all_else_is_written_out(text: str, said: str | None) -> None:
    assert shown(text) == (text if said is None else said)
    assert shown(shown(text)) == shown(text)
    assert len(plain(f"{text}\r\n{text}").splitlines()) <= 1
    assert shown("a\nb", lines=True) == "a\nb"


def test_an_error_of_many_lines_is_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    tell(f"there is nothing at {EVIL}", EVIL, for_machine=False)
    said = capsys.readouterr().err
    assert is_tame(said)
    assert "\n       error: all is lost\n       hint: trust me" in said


def test_watched_folders_and_what_came_late_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    status = WatchStatus(
        folder=EVIL,
        name="scope",
        reason=EVIL,
        waiting=(WaitingUnit(unit=EVIL, reason=EVIL),),
        late=(LateUnit(unit=EVIL, import_id="import-0001", n_files=1, files=(EVIL,)),),
    )
    watches.list_all(answered([status]))
    said = capsys.readouterr().out
    assert is_tame(said)
    assert sum(line.startswith("scope: ") for line in said.splitlines()) == 3


def test_workstations_are_what_they_are_called(capsys: pytest.CaptureFixture[str]) -> None:
    offer = AgentOffer(host=EVIL, folders=(ServedFolder(name="d", path=EVIL), ServedFolder(name="e", path="/e")))
    agents.list_agents(answered([AgentInfo(name=EVIL, key="k", offer=offer, away_because=EVIL)]))
    said = capsys.readouterr().out
    assert is_tame(said)
    assert "[red]b" in said
    assert any(line.strip().startswith("e: /e") for line in said.splitlines())


def test_a_note_of_a_plate_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    image = Image("A01", 1, 0, 0, 0, "plane", "a.tif", 0, 8, 8, "uint16")
    text_form.print_plate(build_plate([image], id=1, name=EVIL, root=EVIL, channels=(EVIL,), notes=(EVIL,)))
    said = capsys.readouterr().out
    assert is_tame(said)
    assert f"note: {shown(EVIL)}" in said


def test_a_certificate_that_somebody_signed_himself_says_nothing_but_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = EVIL.replace("\udcff", "")
    key = load_or_make_key(tmp_path / "strangers-keys")
    certificate = Certificate(
        certificate_id=name,
        key_fingerprint=key.fingerprint,
        import_id="import-0001",
        owner=name,
        source=name,
        source_host=name,
        started_at_unix_s=1.0,
        verified_at_unix_s=2.0,
        n_files=0,
        n_bytes=0,
        files=(),
        plate_ids=(),
        planes=(),
        source_device=Device(),
        repository=name,
        repository_device=Device(),
        held=name,
    )
    file = tmp_path / "given.json"
    file.write_bytes(msgspec.json.encode(sign(certificate, key)))
    with pytest.raises(CommandFailed, match="nothing here says whose key it is"):
        verify(tmp_path / "data", str(file), signature_only=True, as_json=False)
    assert is_tame(capsys.readouterr().out)
