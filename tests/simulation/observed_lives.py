"""What is at work for each life of an actor, and who waits for it: held against what an actor's author is promised."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from virtual_world import Violation, World


class ObservedLives:
    """The lives of one actor in one life of a hub, one after the other."""

    def __init__(self, world: World, name: str) -> None:
        self.asked: dict[int, asyncio.Future[Any]] = {}
        """What the mesh itself has asked the actor, by number."""
        self.name = name
        self._world = world
        self._lives: list[ObservedLife] = []

    @property
    def n(self) -> int:
        return len(self._lives)

    def begin(self) -> ObservedLife:
        """Another life begins."""
        for before in self._lives:
            before.must_be_over(f"life {self.n} of {self.name} has begun")
        life = ObservedLife(self, self._world, self.n)
        self._lives.append(life)
        return life

    def reminded(self, life: int, of: int, due_at: float) -> None:
        """A life was handed a reminder; one that was due before the end of another may still have lain there."""
        ended_at = self._lives[of].ended_at
        if life != of and ended_at is not None and due_at > ended_at:
            raise Violation(f"life {life} of {self.name} is reminded of what life {of} had to do after its end")


class ObservedLife:
    """What one life is at, and the questions that it has taken up."""

    def __init__(self, lives: ObservedLives, world: World, number: int) -> None:
        self.number = number
        self.ended_at: float | None = None
        self._lives = lives
        self._world = world
        self._at_work: list[str] = []
        self._taken_up: list[int] = []

    def takes_up(self, question: int) -> None:
        """It works on the answer to a question."""
        if question in self._lives.asked:
            self._taken_up.append(question)

    @contextmanager
    def at_work(self, what: str) -> Iterator[None]:
        """It works, until it has laid the work down."""
        self._at_work.append(what)
        try:
            yield
        finally:
            self._at_work.remove(what)

    def cut_short(self) -> None:
        """Its ``ended`` was cancelled, although it keeps to its time."""
        raise Violation(f"the end of life {self.number} of {self._lives.name} is cut short")

    def cancelled(self, question: int) -> None:
        """Work on a question was cancelled: nobody waits for it, or not any more."""
        self._must_be_answered(question, "its work was cancelled")

    def must_be_over(self, when: str) -> None:
        """Nothing of it is at work."""
        if self._at_work:
            raise Violation(f"{when}, and life {self.number} is still at work: {', '.join(self._at_work)}")

    def ended(self) -> None:
        """The actor's ``ended`` runs."""
        self.ended_at = self._world.now
        self.must_be_over(f"life {self.number} of {self._lives.name} has ended")
        for question in self._taken_up:
            self._must_be_answered(question, "the actor has ended")

    def _must_be_answered(self, question: int, when: str) -> None:
        asked = self._lives.asked.get(question)
        if asked is not None and not asked.done():
            raise Violation(f"who asked question {question} of {self._lives.name} hears nothing, though {when}")
