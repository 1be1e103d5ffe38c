"""Who may have what imported, and who decides about it: real keys over a TCP front, and real accounts."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from free_ports import free_port

from hcs_mesh import BlockingClient
from hcs_mesh.messages.imports import ImportOrder, ImportStatus
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.transport import AskFailed, NotPermitted, load_card

pytestmark = pytest.mark.needs("root")

TINY = Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64)
ROLES = {"nobody": "user", "games": "user", "eva": "user", "pc3": "agent", "guest": "viewer"}


class Facility(NamedTuple):
    """A mesh that others reach by TCP, whoever has a key to it, and the folder that they may import from."""

    mesh: Any
    card: Path
    root: Path
    people: dict[str, BlockingClient]

    def plate(self, name: str) -> Path:
        folder = self.root / name
        write_plate(folder, TINY)
        return folder

    def command(self, name: str, *words: object) -> Any:
        """Run a command with the key of this name."""
        return self.mesh(*words, "--mesh", self.card, "--key", self.card.parent / f"{name}.secret")

    def imported(self, name: str, path: Path, on_behalf_of: str = "") -> ImportStatus:
        """Have something imported by somebody, and wait for the end."""
        client = self.people[name]
        *_, last = client.follow_import(client.submit_order(ImportOrder(path=str(path)), on_behalf_of=on_behalf_of))
        return last


@pytest.fixture(scope="module")
def facility(mesh_up: Callable[..., Any]) -> Iterator[Facility]:
    """A facility in which a key may what the account of its name may."""
    with tempfile.TemporaryDirectory(prefix="hcs-") as name, ExitStack() as stack:
        folder = Path(name)
        # Accounts other than the tests' own must be able to come this far.
        folder.chmod(0o755)
        (folder / "store").mkdir(mode=0o755)
        settings = f"""
accounts = "same-name"

[[imports.roots]]
path = "{folder / "store"}"

[front]
tcp_host = "127.0.0.1"
tcp_port = {free_port()}
"""
        mesh = stack.enter_context(mesh_up(more_settings=settings))
        card = folder / "mesh.toml"
        shown = mesh("keys", "show").value
        card.write_text(f"address = '{shown['address']}'\npublic = '{shown['public']}'\n", encoding="utf-8")
        people = {"owner": stack.enter_context(BlockingClient.at(mesh.data))}
        for who, role in ROLES.items():
            key = folder / f"{who}.secret"
            assert mesh("keys", "new", who, "--role", role, "--out", key).code == 0
            people[who] = stack.enter_context(BlockingClient.to(load_card(card), key=key))
        yield Facility(mesh, card, folder / "store", people)


def test_a_user_imports_from_the_roots_what_his_account_may_read(facility: Facility) -> None:
    told = facility.imported("nobody", facility.plate("hers"))
    assert (told.state, told.owner) == ("done", "nobody")
    locked = facility.plate("locked")
    (locked / "TimePoint_1").chmod(0o700)
    refused = facility.imported("nobody", locked)
    assert refused.state == "failed"
    assert "TimePoint_1" in refused.reason
    with pytest.raises(AskFailed, match="TimePoint_1"):
        facility.people["nobody"].preview_import(ImportOrder(path=str(locked)))


def test_a_user_without_an_account_is_told(facility: Facility) -> None:
    assert "no account 'eva'" in facility.imported("eva", facility.plate("unknown")).reason


def test_no_path_outside_the_roots_can_be_named(facility: Facility, tmp_path: Path) -> None:
    write_plate(tmp_path / "plate", TINY)
    link = facility.root / "link"
    link.symlink_to(tmp_path / "plate")
    nobody = facility.people["nobody"]
    for path in (tmp_path / "plate", facility.root / ".." / "..", Path("/etc"), Path("/not there"), link):
        order = ImportOrder(path=str(path))
        for give in (nobody.submit_order, nobody.preview_import):
            with pytest.raises(AskFailed, match="does not lie below a folder"):
                give(order)
    with pytest.raises(AskFailed, match="no absolute path"):
        nobody.submit_order(ImportOrder(path="store"))
    assert "does not lie below a folder" in facility.command("nobody", "import", link).refusal
    link.unlink()


def test_viewers_import_nothing(facility: Facility) -> None:
    with pytest.raises(NotPermitted, match="viewer"):
        facility.people["guest"].submit_order(ImportOrder(path=str(facility.root)))
    assert "is not for guest (viewer)" in facility.command("guest", "imports").refusal


def test_nobody_decides_about_what_is_anothers(facility: Facility) -> None:
    (facility.root / "empty").mkdir()
    failed = facility.imported("nobody", facility.root / "empty")
    assert failed.state == "failed"
    for name in ("games", "pc3"):
        other = facility.people[name]
        for decide in (other.retry_import, other.cancel_import, other.forget_import):
            with pytest.raises(AskFailed, match="decides about no other's"):
                decide(failed.import_id)
    assert facility.people["nobody"].cancel_import(failed.import_id).state == "cancelled"
    assert "decides about no other's" in facility.command("games", "imports", "forget", failed.import_id).refusal
    facility.people["owner"].forget_import(failed.import_id)
    with pytest.raises(AskFailed, match="no import"):
        facility.people["nobody"].get_import(failed.import_id)


def test_agents_and_administrators_import_for_others(facility: Facility) -> None:
    order = ImportOrder(path=str(facility.plate("for others")))
    for give in (facility.people["nobody"].submit_order, facility.people["nobody"].preview_import):
        with pytest.raises(AskFailed, match="may not import for games"):
            give(order, on_behalf_of="games")
    with pytest.raises(AskFailed, match="no account 'pc3'"):
        facility.people["pc3"].preview_import(order)
    assert facility.people["pc3"].preview_import(order, on_behalf_of="games").plan.n_files == 3
    by_agent = facility.imported("pc3", Path(order.path), "games")
    assert (by_agent.state, by_agent.owner) == ("done", "games")
    # It is hers now, not the agent's.
    with pytest.raises(AskFailed, match="decides about no other's"):
        facility.people["pc3"].forget_import(by_agent.import_id)
    facility.people["games"].forget_import(by_agent.import_id)
    by_owner = facility.mesh("import", facility.plate("given"), "--for", "nobody", "--wait").value
    assert (by_owner["state"], by_owner["owner"]) == ("done", "nobody")


def test_a_refusal_in_a_list_stops_nobody_else(facility: Facility) -> None:
    answer = facility.command("nobody", "import", facility.plate("listed"), "/etc", "--wait")
    assert "/etc" in answer.refusal
    done, refused = json.loads(answer.out)
    assert (done["state"], refused["source"]) == ("done", "/etc")


def test_an_order_without_an_address_is_refused_before_it_travels(facility: Facility) -> None:
    with pytest.raises(ValueError, match="no mail address"):
        facility.people["nobody"].submit_order(ImportOrder(path=str(facility.root), mail="nobody"))
