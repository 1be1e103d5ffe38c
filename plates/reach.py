"""What may be opened for somebody: what his account could read itself, inside of the folders he may name (pure)."""

from __future__ import annotations

import msgspec

from .permissions import Account, Node, may, within


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """For whom files are opened, and where they must lie; where no ``account`` counts, everybody may read everything.

    ``inside`` are folders by their paths without links; empty where a file may lie anywhere. Those of ``closed`` are
    not for him: of folders inside each other the innermost decides.
    """

    account: Account | None = None
    inside: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()

    @property
    def is_bounded(self) -> bool:
        """Whether there is anything that may not be opened."""
        return self.account is not None or bool(self.inside or self.closed)

    def refuses_path(self, real: str) -> bool:
        """Whether what a path without links names lies elsewhere, be it there or not."""
        if self.closed_above(real):
            return True
        return bool(self.inside) and not any(within(real, folder) for folder in self.inside)

    def closed_above(self, real: str) -> str:
        """The folder not for him that a path lies in, with none of his further in; empty if there is none."""
        if not self.closed:
            return ""
        innermost = max((folder for folder in self.closed if within(real, folder)), key=len, default="")
        opened = max((len(folder) for folder in self.inside if within(real, folder)), default=-1)
        return innermost if len(innermost) > opened else ""

    def may_read(self, node: Node) -> bool:
        """Whether he could read a file himself."""
        return self.account is None or may(self.account, node, read=True)

    def may_enter(self, node: Node) -> bool:
        """Whether he could enter a folder himself."""
        return self.account is None or may(self.account, node, enter=True)


EVERYTHING = Reach()
"""For who may have everything opened that the mesh can read."""
