"""The agents that a mesh knows: what each offers, and over which link it is reached, if it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from ...config import MeshError, get_logger
from ...messages.agents import AgentInfo, AgentOffer, LookAtSource
from ...messages.imports import ImportOrder
from ...messages.workstations import Workstation
from ...plates.holding import Hold
from ...plates.local.errors import repository_errors
from ...transport import AskTimedOut, Link, PeerGone, Principal
from ...transport.messages import ROLES
from ..errors import NotAllowed

log = get_logger(__name__)

FOLDERS = "folders"
"""The actor of an agent that serves its folders."""
LOOK_S = 20.0


class NoSuchAgent(MeshError, LookupError):
    """No agent of this name has ever offered anything to this mesh."""


class AgentAway(MeshError, ConnectionError):
    """A workstation cannot be reached just now; what it was asked goes on when it is back."""


_Memory = tuple[tuple[AgentInfo, tuple[Hold, ...]], ...]


@dataclass
class ServingAgent:
    """One agent, whether it can be reached just now or not."""

    name: str
    key: str
    offer: AgentOffer
    link: Link | None = None
    heard_s: float = 0.0
    seen_at_unix_s: float = 0.0
    away_because: str = "the mesh has been started anew"
    owed: dict[str, Hold] = field(default_factory=dict)
    """What it is to let go of when it is back, by import."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def here(self) -> bool:
        """Whether it can be asked now."""
        return self.link is not None and not self.link.gone

    def stirred(self) -> None:
        """Let who waits for it look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    def is_there(self, workstation: Workstation) -> bool:
        """Whether it can be asked now, and is the one that is meant."""
        return self.here and self.offer.workstation.may_be(workstation)

    async def reached(self, workstation: Workstation) -> None:
        """Return as soon as the workstation that is meant is there."""
        while not self.is_there(workstation):
            await self.changed.wait()

    def left(self, reason: str, at_unix_s: float) -> None:
        """It is away from now on, and was seen last just now."""
        self.link = None
        self.away_because = reason
        self.seen_at_unix_s = at_unix_s

    def away(self) -> AgentAway:
        """The error for whoever needs it now."""
        why = f"another one, on {self.offer.host}, has its name" if self.here else self.away_because
        return AgentAway(
            f"waiting: workstation {self.name} is away ({why})",
            hint="nothing is lost: it goes on where it stopped once hcs-mesh agent runs there again",
        )

    def info(self) -> AgentInfo:
        """It as people see it."""
        return AgentInfo(
            name=self.name,
            key=self.key,
            offer=self.offer,
            here=self.here,
            away_because="" if self.here else self.away_because,
            seen_at_unix_s=time.time() if self.here else self.seen_at_unix_s,
        )


class KnowsImports(Protocol):
    """What the book of imports says of those for which something is held."""

    def over(self) -> tuple[str, ...]:
        """Those that want nothing of it any more."""

    def ordered_from(self, agent: str) -> tuple[tuple[str, Workstation], ...]:
        """The open ones from an agent, the newest last, each with the workstation that had the name then."""

    def is_listed(self, import_id: str) -> bool:
        """Whether one is on the list, and nobody has given it up."""

    def unknown(self, held_ids: Iterable[str]) -> tuple[str, ...]:
        """Those of these that were never accepted, as far as is known; none will be called so from now on."""


class ServingAgents:
    """All of them; what they offered is remembered while they are away, and over a restart of the mesh."""

    def __init__(self, file: Path | None = None) -> None:
        """Remember in ``file``."""
        self._file = file
        self.imports: KnowsImports | None = None
        """Who knows which imports want no more of what is held for them; None while nobody does."""
        self.agents: dict[str, ServingAgent] = {}
        self._awaited: dict[str, ServingAgent] = {}
        for info, owed in self._remembered():
            self.agents[info.name] = ServingAgent(
                info.name,
                info.key,
                info.offer,
                seen_at_unix_s=info.seen_at_unix_s,
                owed={hold.import_id: hold for hold in owed},
            )

    def agent(self, name: str) -> ServingAgent:
        """The agent of this name.

        Raises:
            NoSuchAgent: none has ever offered anything.
        """
        found = self.agents.get(name)
        if found is None:
            known = ", ".join(sorted(self.agents)) or "none"
            raise NoSuchAgent(
                f"no workstation {name!r} has offered folders to this mesh (there are: {known})",
                hint="hcs-mesh agent --mesh CARD --key KEY --serve FOLDER on the workstation does",
            )
        return found

    def awaited(self, name: str) -> ServingAgent:
        """The agent of this name for an import that was accepted from it: one that is not remembered will come."""
        known = self.agents.get(name)
        if known is not None:
            return known
        # Apart from the others: nobody knows who may import from it, so that no order is accepted for it.
        nobody = ServingAgent(name, name.partition("/")[0], AgentOffer(folders=()))
        return self._awaited.setdefault(name, nobody)

    def met(self, name: str, key: str, offer: AgentOffer) -> ServingAgent:
        """The agent of this name, which offers for the first time that is remembered."""
        agent = self._awaited.pop(name, None) or ServingAgent(name, key, offer)
        agent.key, agent.offer = key, offer
        self.agents[name] = agent
        return agent

    def n_of(self, key: str) -> int:
        """How many agents are remembered of one key."""
        return sum(agent.key == key for agent in self.agents.values())

    def check(self, order: ImportOrder, asker: Principal, owner: str = "") -> None:
        """Promise that somebody may give an order for a workstation's files, also for another ``owner``.

        Raises:
            NoSuchAgent: there is no such workstation.
            NotAllowed: it is not for him, or cannot be done from there.
        """
        agent = self.agent(order.agent)
        administrator = ROLES.index(asker.role) >= ROLES.index("administrator")
        barred = [
            name
            for name, believed in ((asker.name, administrator), (owner, not owner))
            if not (believed or name == agent.key or not agent.offer.users or name in agent.offer.users)
        ]
        if barred:
            raise NotAllowed(
                f"{barred[0]} may not import from the workstation {agent.name}",
                hint=f"its agent was started with --users {','.join(agent.offer.users)}",
            )
        if order.delete_source and not agent.offer.may_delete:
            raise NotAllowed(
                f"the agent of the workstation {agent.name} deletes nothing",
                hint="who looks after the workstation starts it with --may-delete, or leave --delete-source out",
            )

    async def look_at(self, order: ImportOrder) -> None:
        """Have the workstation look where the order's path leads; one that is away is believed for now.

        Raises:
            AskFailed: it leads nowhere, or out of what is served.
        """
        link = self.agent(order.agent).link
        if link is None or link.gone:
            return
        try:
            await link.ask(FOLDERS, LookAtSource(path=order.path), timeout_s=LOOK_S)
        except (PeerGone, AskTimedOut) as error:
            log.info("a workstation went away while it was asked", agent=order.agent, reason=str(error))

    def remember(self) -> None:
        """Write down what is offered; called from a thread.

        Raises:
            RepositoryFull, RepositoryNotWritable, RepositoryFailed: the disk of the data folder refuses.
        """
        if self._file is None:
            return
        new = self._file.with_name(f".{self._file.name}.new")
        told = tuple((one.info(), tuple(one.owed.values())) for one in list(self.agents.values()))
        with repository_errors(self._file):
            new.write_bytes(msgspec.json.encode(told))
            new.replace(self._file)

    def _remembered(self) -> _Memory:
        if self._file is None or not self._file.exists():
            return ()
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Memory)
        except (OSError, msgspec.DecodeError) as error:
            # Each agent that is up offers its folders again by itself.
            log.warning("what workstations offered cannot be read", file=str(self._file), reason=str(error))
            return ()
