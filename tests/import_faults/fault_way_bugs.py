"""Deliberate faults in what each way of an import has of its own: links, deletions, workstations and watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from hcs_mesh.actors.agents.desk import AgentDesk
from hcs_mesh.actors.imports import driver
from hcs_mesh.actors.imports.agent_reader import AgentFile
from hcs_mesh.actors.imports.agent_source import AgentSource
from hcs_mesh.actors.imports.ending import ImportEnding
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.serving_agents import AgentAway
from hcs_mesh.actors.watching.book import WatchedUnit
from hcs_mesh.actors.watching.errands import WatchErrands
from hcs_mesh.actors.watching.eye import WatchEye
from hcs_mesh.actors.watching.watched_folder import HandOver
from hcs_mesh.plates.holding import deletion
from hcs_mesh.plates.local import adoption, certifying
from hcs_mesh.plates.local.folder_reader import OpenFile
from hcs_mesh.plates.local.import_shelf import ImportShelf
from hcs_mesh.plates.reach import EVERYTHING

Patches = tuple[tuple[Any, str, Any], ...]


def certified_in_place() -> Patches:
    return ((certifying, "refuse_incomplete", lambda import_id, files, standing: None),)


def links_not_proven() -> Patches:
    real = OpenFile.look

    def look(self: Any) -> Any:
        if not hasattr(self, "first_look"):
            self.first_look = real(self)
        return self.first_look

    return ((OpenFile, "look", look), (ImportShelf, "verify", lambda self, import_id, files, **rest: None))


def links_not_recorded() -> Patches:
    return ((adoption, "record_links", lambda target, files: None),)


def deleted_before_certified() -> Patches:
    delete, certify = ImportEnding._delete_source, ImportEnding._certify

    async def delete_first(self: Any, life: Any) -> None:
        if not life.certificate and not life.certificate_note:
            life.certificate = "to come"
            await delete(self, life)
            life.certificate = ""
        await certify(self, life)

    return ((ImportEnding, "_certify", delete_first),)


def changes_deleted() -> Patches:
    return ((deletion, "_is_what_was_stored", lambda file, seen: True),)


def deletion_not_asked_again() -> Patches:
    return (
        (ImportPlaces, "check_deletion", lambda self, path: None),
        (ImportPlaces, "deletable_for", lambda self, owner, *, administrator: EVERYTHING),
    )


def nothing_let_go() -> Patches:
    async def release(self: Any, held: Any) -> None:
        pass

    async def no_sweep(self: Any, agent: Any, link: Any) -> None:
        pass

    return ((AgentSource, "release", release), (AgentDesk, "_sweep", no_sweep))


def away_is_a_failure() -> Patches:
    class Another(AgentAway):
        """What is never raised."""

    return ((driver, "AgentAway", Another),)


def not_compared_with_the_workstation() -> Patches:
    def same(self: Any, piece: Any) -> memoryview:
        self._there.seek(piece.offset)
        return memoryview(self._there.read(piece.n_bytes))

    async def confirm(self: Any, files: Any) -> None:
        pass

    return ((AgentFile, "_same", same), (AgentSource, "confirm", confirm))


def handed_over_under_another_key() -> Patches:
    def key(self: WatchedUnit) -> str:
        return f"watch {self.folder} {self.unit} {time.time_ns()}"

    return ((WatchedUnit, "key", property(key)),)


def touched_is_changed() -> Patches:
    real = WatchEye._walk

    def walk(self: Any, folder: str, above: str, times: Any) -> Iterator[tuple[str, int, int]]:
        for path, _, mtime_ns in real(self, folder, above, times):
            yield path, mtime_ns, mtime_ns

    async def compare(self: Any, one: Any) -> None:
        unit = self._folder.units[one.unit]
        if await self._state(unit) == "done":
            await self._hand_over(HandOver(unit.unit, one.digest, one.names, unit.generation + 1, forced=True))

    return ((WatchEye, "_walk", walk), (WatchErrands, "_compare", compare))


def found_is_taken_for_known() -> Patches:
    real = WatchEye.look

    def look(self: Any, wish: Any, now_s: float) -> Any:
        sight = real(self, wish, now_s)
        if not hasattr(self, "known"):
            self.known = frozenset() if self.first else sight.names - wish.folders
        return sight._replace(units={unit: one for unit, one in sight.units.items() if unit not in self.known})

    # The first plate has been there from the beginning; what counts is what comes later.
    return ((WatchEye, "first", property(lambda self: "second/" not in self._names)), (WatchEye, "look", look))
