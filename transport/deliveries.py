"""Who takes what comes over a link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .codec import Envelope

if TYPE_CHECKING:
    from .link import Link


class Deliver(Protocol):
    """Who takes an envelope that came over a link: asks, tells and what concerns the node itself."""

    def __call__(self, link: Link, envelope: Envelope) -> None:
        """Take it, without waiting.

        Raises:
            BadMessage: the peer should not have sent it.
        """
        ...


@runtime_checkable
class DeliverRuns(Protocol):
    """Who takes several events for one actor in one go; from others they are taken one by one."""

    def deliver_run(self, link: Link, run: Envelope) -> None:
        """Take them, without waiting.

        Raises:
            BadMessage: the peer should not have sent it.
        """
        ...
