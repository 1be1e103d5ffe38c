"""Which workstation an agent serves: its name alone does not tell, since it may go to another one (pure)."""

from __future__ import annotations

import msgspec


class Workstation(msgspec.Struct, frozen=True):
    """What tells a workstation from another that comes under the same name: its host, and its agent's own folder."""

    host: str = ""
    place: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it says where it is: what was written down by older versions does not."""
        return bool(self.place)

    def may_be(self, other: Workstation) -> bool:
        """Whether it is another one's equal, as far as both are known."""
        return not (self.is_known and other.is_known) or self == other
