"""The messages and actors that are asked and told here, the same in one process and between two."""

from hcs_mesh.supervisors import Actor
from hcs_mesh.transport import Event, Request


class Answer(Request[int], frozen=True, kw_only=True, tag="bench.answer"):
    """Wants the number back."""

    number: int


class Progressed(Event, frozen=True, kw_only=True, tag="bench.progressed"):
    """Something to count: as small as progress is."""

    job: int
    well: str
    done: int


class Count(Request[int], frozen=True, kw_only=True, tag="bench.count"):
    """How many events came so far."""


class Echo(Actor[Answer | Progressed | Count]):
    """Answers at once and counts what it is told."""

    def __init__(self) -> None:
        self.n_events = 0

    async def receive(self, message: Answer | Progressed | Count) -> int | None:
        """Answer, or count."""
        match message:
            case Answer(number=number):
                return number
            case Count():
                return self.n_events
            case Progressed():
                self.n_events += 1
        return None
