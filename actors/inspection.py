"""An inspection: a question to the inspector, who may die over it, be away, or take longer than it may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..config import InspectorSettings
from ..messages.imports import DecodedPlane, PlanSource, ProbePlane, ProbePlanes
from ..plates.model import Image
from ..plates.planners import Plan
from ..plates.reach import EVERYTHING, Reach
from ..supervisors import Context
from ..transport import ActorUnknown, AskFailed, AskTimedOut, PeerGone
from .errors import InspectorKeepsDying
from .inspector_line import InspectorLine

LOOK_S = 0.1


class Inspection:
    """Asks what a source holds and whether its planes open, without trusting it."""

    def __init__(
        self,
        context: Context,
        end_inspector: Callable[[str], None],
        limits: InspectorSettings,
        line: InspectorLine | None = None,
    ) -> None:
        """Ask by way of ``context``; ``end_inspector`` is called when a question takes longer than it may.

        Who asks the same inspector stands in the same ``line``.
        """
        self._line = line or InspectorLine()
        self._context = context
        self._end_inspector = end_inspector
        self._limit_s = limits.time_limit_s
        self._max_deaths = limits.deaths_per_question

    async def plan(self, question: PlanSource, import_id: str, say: Callable[[str], None], *, asker: str = "") -> Plan:
        """What a source holds; ``say`` is told what is waited for, and ``asker`` has one question in line at a time.

        Raises:
            InspectorKeepsDying: it ended its reader over and over, or took too long.
            AskFailed: it is nothing that can be planned.
            ActorUnknown: there was no inspector all the time.
        """
        plan: Plan = await self._ask(question, question.path, import_id, say, asker)
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
        asker: str = "",
    ) -> tuple[DecodedPlane, ...]:
        """Open the first and the last plane of every plate of a plan whose files lie under ``folder``.

        Links are followed where that is the source, within ``reach``, and never in the repository.

        Raises:
            InspectorKeepsDying: it ended its reader over and over, or took too long.
            AskFailed: one does not open, or is not what the plan says.
            ActorUnknown: there was no inspector all the time.
        """
        question = ProbePlanes(planes=_first_and_last(plan, folder, follow_links=follow_links), reach=reach)
        decoded: tuple[DecodedPlane, ...] = await self._ask(question, source, import_id, say, asker)
        return decoded

    async def probe_copies(
        self,
        plan: Plan,
        folder: Path,
        copies: Mapping[str, str],
        import_id: str,
        say: Callable[[str], None],
        asker: str,
    ) -> tuple[DecodedPlane, ...]:
        """The same of copies below ``folder`` that have names of their own; of files without a copy nothing is opened.

        Raises:
            MeshError: as ``probe`` says.
        """
        planes = [one for one in _first_and_last(plan, folder) if one.file in copies]
        question = ProbePlanes(planes=tuple(msgspec.structs.replace(one, file=copies[one.file]) for one in planes))
        found: tuple[DecodedPlane, ...] = await self._ask(question, str(folder), import_id, say, asker)
        return tuple(msgspec.structs.replace(one, file=plane.file) for plane, one in zip(planes, found, strict=True))

    async def _ask(
        self, question: PlanSource | ProbePlanes, source: str, import_id: str, say: Callable[[str], None], asker: str
    ) -> Any:
        begun = left = False

        def tell(reason: str) -> None:
            if not left:
                say(reason)

        async def in_turn() -> Any:
            nonlocal begun
            async with self._line.turn(asker or import_id):
                begun = True
                return await self._ask_alone(question, source, import_id, tell)

        asking = asyncio.create_task(in_turn())
        # Whoever asked may have left, and wants no answer.
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            left = True
            # The inspector reads on, and nobody's question is to begin beside it.
            if not begun:
                asking.cancel()
            raise

    async def _ask_alone(
        self, question: PlanSource | ProbePlanes, source: str, import_id: str, say: Callable[[str], None]
    ) -> Any:
        n_deaths = 0
        until = self._context.now() + self._limit_s
        while True:
            try:
                answer: Any = await self._context.find("inspector").ask(question, timeout_s=self._limit_s)
            except AskTimedOut as error:
                self._line.is_ending = True
                self._end_inspector(f"{type(question).__name__} for {import_id} took too long")
                raise InspectorKeepsDying(
                    f"reading {source} took longer than {self._limit_s:g} s and was stopped",
                    hint="a file in it may be damaged; raise inspector.time_limit_s if it is just large",
                ) from error
            except PeerGone as error:
                # It was ended for the question before, and was asked this one while it went.
                n_deaths += not self._line.is_ending
                self._line.is_ending = False
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
            except AskFailed:
                self._line.is_ending = False
                raise
            else:
                self._line.is_ending = False
                return answer
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
