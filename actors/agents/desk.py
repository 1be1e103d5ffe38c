"""The desk for workstations: lets agents offer their folders, and notices when they are away and when they are back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, assert_never

from ...config import MeshError, get_logger
from ...messages.agents import (
    AgentBeat,
    AgentLost,
    AgentOffer,
    AgentTerms,
    LeaveAgents,
    ListAgents,
    LookForAgents,
    OfferFolders,
    ReleaseFiles,
    SweepHeld,
)
from ...messages.workstations import Workstation
from ...plates.local.errors import BadName
from ...plates.local.names import checked_id
from ...supervisors import Actor, Deferred
from ...transport import SILENCE_S, AskTimedOut, Link, PeerGone, Principal
from ...transport.codec import encode
from ..imports.serving_agents import FOLDERS, ServingAgent, ServingAgents

log = get_logger(__name__)

BEAT_S = 1.0
RELEASE_S = 10.0
"""How long a workstation's disks may take to let go of what is over, and again for what it owes, before it counts as
there all the same; both together are less than its uplink waits for an answer."""

MOST_OFFER_BYTES = 256 << 10
"""What one workstation offers is remembered while it is away, and over restarts of the mesh."""
MOST_OF_ONE_KEY = 100
"""Workstations under one key, told apart by their labels; each is remembered."""

Inbox = OfferFolders | AgentBeat | LeaveAgents | ListAgents | LookForAgents | AgentLost


MAX_NAMED = 3
"""Imports that are named as what waits for a workstation."""


class AgentThere(MeshError, ValueError):
    """Another agent has this name: it is there, or imports wait for it."""


class ImportsUnread(MeshError, RuntimeError):
    """Nobody can say just now whether imports wait for another agent of this name."""


class TooMuchOffered(MeshError, ValueError):
    """What is offered is more than a mesh remembers of one workstation, or of one key."""


class AgentDesk(Actor[Inbox]):
    """Keeps the agents; who they are is what their keys say."""

    def __init__(
        self, agents: ServingAgents, *, hang_up: Callable[[Link, str], None], silence_s: float = SILENCE_S
    ) -> None:
        """Keep ``agents``; one that says nothing for ``silence_s`` is away."""
        self._agents = agents
        self._hang_up = hang_up
        self._silence_s = silence_s

    async def started(self) -> None:
        """Look after the agents of the life before."""
        self.context.after(BEAT_S, LookForAgents())

    async def receive(self, message: Inbox) -> Deferred[AgentTerms] | Any:
        """Handle one message."""
        match message:
            case OfferFolders():
                return self.defer(self._offered(message, self.context.principal, self.context.caller))
            case AgentBeat(name=name):
                return self._beat(name)
            case LeaveAgents(name=name):
                agent = self._spoken_for(name)
                if agent is not None:
                    # It hangs up itself, once it has heard that this is known.
                    self._away(agent, "it was stopped", hang_up=False)
            case ListAgents():
                return tuple(self._agents.agents[name].info() for name in sorted(self._agents.agents))
            case LookForAgents():
                self._look()
            case AgentLost(name=name, reason=reason):
                agent = self._agents.agents.get(name)
                # It may be back under another link by now.
                if agent is not None and not agent.here:
                    self._away(agent, reason)
            case _:
                assert_never(message)
        return None

    def statistics(self) -> dict[str, int | float | str]:
        """Agents that can be reached, and those that are away."""
        here = sum(agent.here for agent in self._agents.agents.values())
        return {"agents": here, "away": len(self._agents.agents) - here}

    async def _offered(self, message: OfferFolders, asker: Principal, link: Link | None) -> AgentTerms:
        if link is None:
            raise AgentThere(f"{asker.name} offers folders over a link", hint="hcs-mesh agent")
        name = agent_name(asker.name, message.label)
        if (n_bytes := len(encode(message.offer))) > MOST_OFFER_BYTES:
            raise TooMuchOffered(
                f"what {name} offers takes {n_bytes} bytes to tell, and no more than {MOST_OFFER_BYTES} are kept",
                hint="serve a folder above these, or let everybody import who has a key",
            )
        terms = AgentTerms(name=name, beat_s=min(BEAT_S, self._silence_s / 4))
        self._refuse_another(name, message.offer)
        if message.trial:
            return terms
        agent = self._agents.agents.get(name)
        if agent is None:
            if self._agents.n_of(asker.name) >= MOST_OF_ONE_KEY:
                raise TooMuchOffered(
                    f"{asker.name} has {MOST_OF_ONE_KEY} workstations here already",
                    hint="give further ones a key of their own: hcs-mesh keys new NAME --role agent",
                )
            agent = self._agents.met(name, asker.name, message.offer)
        elif agent.link is not link:
            self._away(agent, "it has come anew")
        await self._sweep(agent, link)
        if agent.offer.workstation.may_be(message.offer.workstation):
            # Last: whoever finds it away from now on finds this link.
            await self._settle(agent, link)
        # Once more, and nothing awaited from here on: another of this name may have come, or an import for it.
        self._refuse_another(name, message.offer)
        if not agent.offer.workstation.may_be(message.offer.workstation):
            # It has taken another's place, who is swept if he ever comes.
            agent.owed.clear()
        agent.offer, agent.link, agent.heard_s = message.offer, link, self.context.now()
        me = self.context.me

        def lost(why: str) -> None:
            # A desk that is away itself finds out by its silence.
            with suppress(MeshError):
                me.tell(AgentLost(name=name, reason=why))

        link.on_lost["agents", name] = lost
        log.info("a workstation offers folders", agent=name, folders=[one.path for one in message.offer.folders])
        await asyncio.to_thread(self._agents.remember)
        agent.stirred()
        return terms

    def _refuse_another(self, name: str, offer: AgentOffer) -> None:
        """Promise that this workstation may have the name now: no other one has it, and nothing waits for another.

        Raises:
            AgentThere: another is there, or was, and imports wait for it or it owes links to files.
            ImportsUnread: another was there, and nobody can say what waits for it.
        """
        agent, imports, here = self._agents.agents.get(name), self._agents.imports, offer.workstation
        if agent is not None and agent.here and agent.offer.workstation != here:
            raise AgentThere(
                f"an agent {name} is there already, on {agent.offer.host}",
                hint="give this one a key of its own, or --name",
            )
        ordered = imports.ordered_from(name) if imports is not None else ()
        # Where nothing was remembered of it, the journal of imports says who it was.
        holder = agent.offer.workstation if agent is not None else Workstation()
        holder = holder if holder.is_known or not ordered else ordered[-1][1]
        if holder.may_be(here):
            return
        if imports is None:
            raise ImportsUnread(
                f"the agent {name} was on {holder.host} in {holder.place}, and the imports that may wait for it "
                "are just being read",
                hint="try again in a moment; hcs-mesh status says whether imports are taken",
            )
        waiting = [import_id for import_id, workstation in ordered if workstation == holder]
        owed = agent.owed if agent is not None else ()
        waiting += [import_id for import_id in owed if import_id not in waiting and imports.is_listed(import_id)]
        if waiting:
            named = ", ".join(waiting[:MAX_NAMED]) + (", ..." if len(waiting) > MAX_NAMED else "")
            raise AgentThere(
                f"imports wait for the agent {name} as it was on {holder.host} in {holder.place}: {named}",
                hint="give this one a key of its own, or --name; if it takes that one's place for good, have an "
                "administrator end them: hcs-mesh imports cancel ID, or forget ID for one that is done",
            )

    async def _settle(self, agent: ServingAgent, link: Link) -> None:
        """Have it let go of what it owes before anybody else can ask it for anything; what a disk keeps stays owed."""
        until_s = self.context.now() + RELEASE_S
        while agent.owed:
            import_id, hold = agent.owed.popitem()
            try:
                await link.ask(FOLDERS, ReleaseFiles(hold=hold), timeout_s=max(0.0, until_s - self.context.now()))
            except AskTimedOut as error:
                # The last one to be asked for the next time: other disks may answer.
                agent.owed = {import_id: hold, **agent.owed}
                log.warning("links to files of an ended import stay for now", agent=agent.name, reason=str(error))
                return
            except PeerGone:
                agent.owed[import_id] = hold
                raise
            except MeshError as error:
                log.warning("links to files of an ended import stay", agent=agent.name, reason=str(error))

    async def _sweep(self, agent: ServingAgent, link: Link) -> None:
        """Have it let go of what no import wants any more; a disk that hangs keeps nobody from its other folders.

        It could not let go of it in time where its disk was away, or a life ended before it wrote the hold down.
        """
        imports = self._agents.imports
        if imports is None:
            return
        try:
            swept = await link.ask(FOLDERS, SweepHeld(over=imports.over()), timeout_s=RELEASE_S)
        except PeerGone:
            raise
        except MeshError as error:
            # It goes on there by itself, if that it did not answer in time is all.
            log.warning("links to files of ended imports stay", agent=agent.name, reason=str(error))
            return
        if swept.gone:
            log.info("held files of ended imports were let go of", agent=agent.name, imports=", ".join(swept.gone))
        if unknown := imports.unknown(swept.kept):
            log.warning("files are held for imports that nobody knows", agent=agent.name, imports=", ".join(unknown))

    def _beat(self, name: str) -> bool:
        agent = self._spoken_for(name)
        if agent is None:
            return False
        agent.heard_s = self.context.now()
        return True

    def _spoken_for(self, name: str) -> ServingAgent | None:
        """The agent that speaks just now under a name; None if its link is another one."""
        agent = self._agents.agents.get(name)
        return agent if agent is not None and agent.link is self.context.caller and agent.here else None

    def _away(self, agent: ServingAgent, reason: str, *, hang_up: bool = True) -> None:
        link = agent.link
        if link is None:
            return
        agent.left(reason, time.time())
        log.warning("a workstation is away", agent=agent.name, reason=reason)
        if hang_up:
            # Whoever waits for an answer waits for the next link from now on.
            self._hang_up(link, reason)
        agent.stirred()

    def _look(self) -> None:
        now = self.context.now()
        for agent in self._agents.agents.values():
            if agent.link is None:
                continue
            # Bytes of a file are a sign of life too.
            silent_s = now - max(agent.heard_s, agent.link.last_heard)
            if silent_s > self._silence_s:
                self._away(agent, f"nothing was heard of it for {silent_s:.1f} s")
        self.context.after(BEAT_S, LookForAgents())


def agent_name(key: str, label: str) -> str:
    """How an agent is called: after its key, and with a label of its own behind it where it has one.

    Raises:
        BadName: the label holds other characters than a name may.
    """
    if not label or label == key:
        return key
    try:
        return f"{key}/{checked_id(label)}"
    except BadName as error:
        raise BadName(
            f"{label!r} is no name for an agent", hint="letters, digits, '_', '-' and '.' make one"
        ) from error
