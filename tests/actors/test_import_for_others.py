"""For whom else somebody may import."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcs_mesh.actors.errors import NotAllowed, NotTheirs
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.serving_agents import ServingAgent, ServingAgents
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.agents import AgentOffer
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.access import PathNotAllowed
from hcs_mesh.transport import INNER, Principal
from hcs_mesh.transport.messages import Role

PC3 = Principal(name="pc3", role="agent")
CHIEF = Principal(name="chief", role="administrator")
KEYS: dict[str, Role] = {"anna": "user", "ben": "user", "pc3": "agent", "chief": "administrator", "gpu7": "node"}


def places(tmp_path: Path, *users: str) -> ImportPlaces:
    agents = ServingAgents()
    agents.agents["scope"] = ServingAgent("scope", "pc3", AgentOffer(folders=(), users=users))
    settings = ImportSettings(roots=(RootSettings(path=str(tmp_path), users=users),))
    return ImportPlaces(tmp_path.parent / f"{tmp_path.name}-data", settings, agents=agents, role_of=KEYS.get)


@pytest.mark.parametrize("agent", ["", "scope"])
def test_a_root_or_workstation_must_be_for_whom_is_imported_and_for_who_asks(tmp_path: Path, agent: str) -> None:
    order = ImportOrder(path=str(tmp_path), agent=agent)
    both = places(tmp_path, "pc3", "anna")
    both.check(order, PC3, "anna")
    with pytest.raises((PathNotAllowed, NotAllowed), match="ben may not import"):
        both.check(order, PC3, "ben")
    with pytest.raises((PathNotAllowed, NotAllowed), match="ben may not import"):
        both.check(order, CHIEF, "ben")
    if not agent:
        with pytest.raises(PathNotAllowed, match="pc3 may not import"):
            places(tmp_path, "anna").check(order, PC3, "anna")


@pytest.mark.parametrize("owner", ["root", "nobody", "chief", "gpu7"])
def test_nobody_imports_for_who_has_no_key_or_one_that_may_do_more(tmp_path: Path, owner: str) -> None:
    with pytest.raises(NotTheirs, match=f"pc3 .agent. may not import for {owner}"):
        places(tmp_path).check(ImportOrder(path=str(tmp_path)), PC3, owner)


def test_what_the_settings_say_of_an_owner_is_believed(tmp_path: Path) -> None:
    places(tmp_path, "anna").check(ImportOrder(path=str(tmp_path)), INNER, "the screening group")
