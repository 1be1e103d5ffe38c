"""The uplink of an agent: offers its folders to a mesh elsewhere, and again whenever the connection is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ...config import MeshError, get_logger
from ...messages.agents import AgentBeat, AgentLost, AgentOffer, AgentTerms, LeaveAgents, OfferFolders
from ...supervisors import Actor
from ...transport import AskFailed, Dialer, Link, TransportError
from .desk import AgentThere

log = get_logger(__name__)

DESK = "agents"
"""The actor of a mesh that agents speak to."""
ASK_S = 3.0
OFFER_S = 30.0
"""Before a mesh answers, it may have the agent let go of what it holds for imports that have ended."""
AGAIN_S = 0.5
LEAVE_S = 1.0


async def offer_folders(link: Link, offer: AgentOffer, label: str, *, trial: bool = False) -> AgentTerms:
    """Offer folders over a link, or with ``trial`` ask whether they would be taken.

    Raises:
        KeyRefused, NotPermitted, AskTimedOut, PeerGone, AskFailed: the mesh cannot be reached, or does not want them.
    """
    return await link.ask(DESK, OfferFolders(offer=offer, label=label, trial=trial), timeout_s=OFFER_S)


class Standing:
    """How an agent stands with its mesh, over all lives of its uplink: let in once, or refused for good."""

    def __init__(self) -> None:
        self.let_in = False
        """Whether its folders were ever taken."""
        self._refusal: MeshError | None = None
        self._is_refused = asyncio.Event()

    def refuse(self, why: MeshError) -> None:
        """Note that it never was let in, and will not be."""
        self._refusal = why
        self._is_refused.set()

    async def refused(self) -> MeshError:
        """Why it is refused for good, as soon as it is."""
        await self._is_refused.wait()
        assert self._refusal is not None, "the reason is noted first"
        return self._refusal


class AgentUplink(Actor[AgentLost]):
    """Keeps this agent known. A new connection each time: an old one may hang half open behind a partition."""

    def __init__(
        self, dial: Callable[[], Dialer], offer: AgentOffer, label: str, standing: Standing | None = None
    ) -> None:
        """Dial by ``dial``, and offer what there is; ``standing`` is the agent's, if it has other lives than this."""
        self._dial = dial
        self._standing = standing or Standing()
        self._offer = offer
        self._label = label
        self._link: Link | None = None
        self._name = ""
        self._state = "not there yet"
        self._n_joins = 0
        self._told: set[str] = set()
        """What has been told of the trouble there is."""
        self._n_missed = 0

    async def started(self) -> None:
        """Offer."""
        self.context.spawn(self._stay())

    async def stopping(self) -> None:
        """Say goodbye, so that everybody knows why it is away."""
        if self._link is not None:
            # A mesh that is away learns it by the silence.
            with suppress(MeshError):
                await self._link.ask(DESK, LeaveAgents(name=self._name), timeout_s=LEAVE_S)

    async def receive(self, message: AgentLost) -> None:
        """Nobody tells this one anything: its task sees the end of its link by itself."""

    def statistics(self) -> dict[str, int | float | str]:
        """Whether the mesh knows this agent, and how often it has come."""
        return {"state": self._state, "joins": self._n_joins, "busy": "" if self._link is not None else self._state}

    async def _stay(self) -> None:
        while True:
            try:
                await self._one_session()
                reason = "the mesh knows this agent no more"
            except MeshError as error:
                reason = str(error)
                if self._has_another(error):
                    # It would take the name over as soon as the other is away, and be taken for it.
                    self._state = f"refused: {reason}"
                    log.warning("the mesh has another agent of this name", reason=reason, hint=error.hint)
                    self._standing.refuse(error)
                    return
                self._missed(error)
            self._state = f"offering again: {reason}"
            # Deliberate: a mesh that is away does not say when it is back.
            await asyncio.sleep(AGAIN_S)

    async def _one_session(self) -> None:
        dialer = self._dial()
        try:
            await self._offer_over(dialer.link)
        finally:
            self._link = None
            dialer.close()

    async def _offer_over(self, link: Link) -> None:
        terms = await offer_folders(link, self._offer, self._label)
        self._link, self._name = link, terms.name
        self._n_joins += 1
        self._standing.let_in = True
        self._state = f"known as {terms.name}"
        log.info("the mesh knows this agent", agent=terms.name)
        self._found_again()
        known = True
        while known:
            known = await link.ask(DESK, AgentBeat(name=terms.name), timeout_s=ASK_S)
            await asyncio.sleep(terms.beat_s)

    def _has_another(self, error: MeshError) -> bool:
        """Whether the name is another's, and never was this one's: who had it before may get it again."""
        is_there = isinstance(error, AskFailed) and error.failure.kind == AgentThere.__name__
        return is_there and not self._standing.let_in

    def _missed(self, error: MeshError) -> None:
        """The mesh is away or refuses: each kind of trouble is told once until it is over, not at every attempt."""
        kind = error.failure.kind if isinstance(error, AskFailed) else type(error).__name__
        # Somebody has to mend what comes with a hint; a break mends itself.
        worth_telling = not isinstance(error, TransportError) or bool(error.hint)
        if worth_telling and kind not in self._told:
            self._told.add(kind)
            log.warning("the mesh does not take these folders", reason=str(error), hint=error.hint)
        self._n_missed += 1

    def _found_again(self) -> None:
        if self._told:
            log.info("the mesh takes these folders again", attempts=self._n_missed)
        self._told.clear()
        self._n_missed = 0
