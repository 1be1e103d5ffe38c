"""An inspection: a question to the inspector, who may die over it, be away, or take longer than it may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config import InspectorSettings
from ..messages.imports import DecodedPlane, PlanSource, ProbePlane, ProbePlanes
from ..plates.model import Image
from ..plates.planners import Plan
from ..plates.reach import EVERYTHING, Reach
from ..supervisors import Context
from ..transport import ActorUnknown, AskTimedOut, PeerGone
from .errors import InspectorKeepsDying

LOOK_S = 0.1


class Inspection:
    """Asks what a source holds and whether its planes open, without trusting it."""

    def __init__(self, context: Context, end_inspector: Callable[[str], None], limits: InspectorSettings) -> None:
        """Ask by way of ``context``; ``end_inspector`` is called when a question takes longer than it may."""
        self._context = context
        self._end_inspector = end_inspector
        self._limit_s = limits.time_limit_s
        self._max_deaths = limits.deaths_per_question

    async def plan(self, question: PlanSource, import_id: str, say: Callable[[str], None]) -> Plan:
        """What a source holds; ``say`` is told what is waited for.

        Raises:
            InspectorKeepsDying: it ended its reader over and over, or took too long.
            AskFailed: it is nothing that can be planned.
            ActorUnknown: there was no inspector all the time.
        """
        plan: Plan = await self._ask(question, question.path, import_id, say)
        return plan

    async def probe(
        self,
        plan: Plan,
        folder: Path,
        source: str,
        import_id: str,
        say: Callable[[str], None],
        *,
        follow_links: bool = False,
        reach: Reach = EVERYTHING,
    ) -> tuple[DecodedPlane, ...]:
        """Open the first and the last plane of every plate of a plan whose files lie under ``folder``.

        Links are followed where that is the source, within ``reach``, and never in the repository.

        Raises:
            InspectorKeepsDying: it ended its reader over and over, or took too long.
            AskFailed: one does not open, or is not what the plan says.
            ActorUnknown: there was no inspector all the time.
        """
        question = ProbePlanes(planes=_first_and_last(plan, folder, follow_links=follow_links), reach=reach)
        decoded: tuple[DecodedPlane, ...] = await self._ask(question, source, import_id, say)
        return decoded

    async def _ask(
        self, question: PlanSource | ProbePlanes, source: str, import_id: str, say: Callable[[str], None]
    ) -> Any:
        n_deaths = 0
        until = self._context.now() + self._limit_s
        while True:
            try:
                return await self._context.find("inspector").ask(question, timeout_s=self._limit_s)
            except AskTimedOut as error:
                self._end_inspector(f"{type(question).__name__} for {import_id} took too long")
                raise InspectorKeepsDying(
                    f"reading {source} took longer than {self._limit_s:g} s and was stopped",
                    hint="a file in it may be damaged; raise inspector.time_limit_s if it is just large",
                ) from error
            except PeerGone as error:
                n_deaths += 1
                if n_deaths >= self._max_deaths:
                    # A question that ends it so often is the source's fault.
                    raise InspectorKeepsDying(
                        f"reading {source} ended the reading process {n_deaths} times",
                        hint="a file in it is probably damaged; raise inspector.memory_mib if it is just large",
                    ) from error
            except ActorUnknown:
                # Between two lives it has no name here, and nobody knows yet when the next one begins.
                if self._context.now() >= until:
                    raise
            say("waiting: the inspector is not up (hcs-mesh ps shows why)")
            await asyncio.sleep(LOOK_S)


def _first_and_last(plan: Plan, folder: Path, *, follow_links: bool = False) -> tuple[ProbePlane, ...]:
    probes: list[ProbePlane] = []
    for plate in plan.plates:
        if not plate.n_images:
            # Every file of this one is missing or damaged, and the plates beside it are not.
            continue
        ends: list[Image] = [plate.image(0)]
        if plate.n_images > 1:
            ends.append(plate.image(plate.n_images - 1))
        probes.extend(
            ProbePlane(
                root=str(folder),
                file=image.file,
                page=image.page,
                height=image.height,
                width=image.width,
                dtype=image.dtype,
                follow_links=follow_links,
            )
            for image in ends
        )
    return tuple(probes)
