"""What comes over links: from envelopes to letters, checked against who may say what."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..config.errors import MeshError
from ..config.tracing import MAX_TRACE, new_trace
from ..transport import codec
from ..transport.codec import Beat, Envelope, Hello, Kind
from ..transport.errors import ActorUnknown, BadMessage, NotPermitted
from ..transport.link import Link
from ..transport.messages import INNER, NOMINAL_BYTES, Message, Principal, may_say
from .cell import Cell
from .letters import Letter, RemoteAnswer, letter_of

MAX_ASK_S = 24 * 3600.0
"""No ask waits longer, whatever its sender says."""

_ASK, _TELL, _SEND = int(Kind.ASK), int(Kind.TELL), int(Kind.SEND)


class Inbound:
    """Takes the envelopes of every link of a node."""

    def __init__(
        self,
        node: str,
        cells: Mapping[str, Cell],
        now: Callable[[], float],
        *,
        unknown: Callable[[str], ActorUnknown],
        hello: Callable[[Link, Hello], None],
        beat: Callable[[Link, Beat], None],
        bye: Callable[[Link], None],
    ) -> None:
        """Put letters into ``cells``; the callbacks hear what concerns the node itself."""
        self._node = node
        self._cells = cells
        self._now = now
        self._unknown = unknown
        self._hello = hello
        self._beat = beat
        self._bye = bye

    def __call__(self, link: Link, envelope: Envelope) -> None:
        """Take one envelope.

        Raises:
            BadMessage: it is of no kind that is known here, or says nothing that can be read.
        """
        kind = envelope.kind
        if kind == _TELL:
            try:
                cell = self._cells.get(envelope.target)
                if cell is None:
                    raise self._unknown(envelope.target)
                message = cell.decoder.decode(envelope.body)
                principal = link.principal
                if principal is not INNER:
                    _permit(principal, message)
                    trace = _carried(link, envelope)
                    cell.post(letter_of(message, None, 0.0, principal, link, trace=trace, n_bytes=_weight(envelope)))
                # A call for each event would cost more than all the rest of this.
                elif envelope.trace and (trace := _carried(link, envelope)):
                    cell.post(letter_of(message, None, 0.0, principal, link, trace=trace))
                else:
                    cell.post(Letter(message, None, 0.0, principal, link))
            except codec.NOT_DECODED as error:
                link.refuse(codec.unreadable(error), f"{self._node}/{envelope.target}")
            except MeshError as error:
                link.refuse(error, f"{self._node}/{envelope.target}")
        elif kind in (_ASK, _SEND):
            self._deliver_ask(link, envelope)
        elif kind == Kind.BEAT:
            self._beat(link, codec.decode(envelope.body, codec.decoder(Beat)))
        elif kind == Kind.HELLO:
            self._hello(link, codec.decode(envelope.body, codec.decoder(Hello)))
        elif kind == Kind.BYE:
            self._bye(link)
        else:
            raise BadMessage(f"an envelope of the unknown kind {kind}")

    def deliver_run(self, link: Link, run: Envelope) -> None:
        """Take several events for one actor.

        Raises:
            BadMessage: it is no array of messages.
        """
        cell = self._cells.get(run.target)
        # Beside a mailbox's shares: what comes from outside goes the other way, one after the other.
        if cell is not None and link.principal is INNER and not run.trace:
            try:
                messages = cell.run_decoder.decode(run.body)
            except codec.NOT_DECODED:
                # One of them cannot be read; the others can, and the sender hears which.
                pass
            else:
                where = f"{self._node}/{run.target}"
                cell.post_run(messages, link, lambda error: link.refuse(error, where))
                return
        for envelope in codec.unroll(run):
            self(link, envelope)

    def _deliver_ask(self, link: Link, envelope: Envelope) -> None:
        answer = RemoteAnswer(link, envelope.id, f"{self._node}/{envelope.target}")
        ttl_s = envelope.ttl_s if 0.0 <= envelope.ttl_s <= MAX_ASK_S else MAX_ASK_S
        try:
            cell = self._cells.get(envelope.target)
            if cell is None:
                raise self._unknown(envelope.target)
            message = codec.decode(envelope.body, cell.decoder)
            principal = link.principal
            if principal is not INNER:
                _permit(principal, message)
            if (message.__class__ in cell.events) != (envelope.kind == _SEND):
                raise BadMessage(
                    f"{type(message).__name__} was {'sent' if envelope.kind == _SEND else 'asked'}, and it is "
                    f"{'an event' if message.__class__ in cell.events else 'a request'}"
                )
            if principal is INNER and not envelope.trace:
                cell.post(Letter(message, answer, self._now() + ttl_s, principal, link))
                return
            trace = _trace(link, envelope, message)
            n_bytes = NOMINAL_BYTES if principal is INNER else _weight(envelope)
            cell.post(letter_of(message, answer, self._now() + ttl_s, principal, link, trace=trace, n_bytes=n_bytes))
        except MeshError as error:
            answer.set_exception(error)


def _weight(envelope: Envelope) -> int:
    """What a message from outside counts for at least: whoever sends it has made it as large as it is."""
    return max(NOMINAL_BYTES, len(envelope.body))


def _trace(link: Link, envelope: Envelope, message: Message) -> str:
    """What an ask belongs to; one that comes from outside begins a trace, unless it only looks."""
    if envelope.trace and (trace := _carried(link, envelope)):
        return trace
    if link.principal is INNER or message.looks_only:
        return ""
    return new_trace(link.principal.name)


def _carried(link: Link, envelope: Envelope) -> str:
    """What an envelope says it belongs to; only of the mesh's own processes and hosts is it believed."""
    return envelope.trace[:MAX_TRACE] if link.principal.role == "node" else ""


def _permit(principal: Principal, message: Message) -> None:
    audience = message.audience
    if audience is None or not may_say(principal.role, audience):
        raise NotPermitted(
            f"{type(message).__name__} is not for {principal.name} ({principal.role})",
            hint="ask the administrator of this mesh for a key with the role that it needs"
            if audience is not None
            else "this message is spoken inside the mesh only",
        )
