"""The conversation about notices: what people and programs are to be told, and whether it reached them."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from ..config.notice_settings import NoticeKind
from ..transport.messages import Request, Role

DeliveryState = Literal["waiting", "delivered", "failed"]


class NoticeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice is about; whatever is not known stays empty and is not told."""

    import_id: str = ""
    owner: str = ""
    source: str = ""
    plates: tuple[str, ...] = ()
    """The plates' names."""
    repository: str = ""
    """Where they are now."""
    n_files: int = 0
    n_bytes: int = 0
    n_wells: int = 0
    n_images: int = 0
    duration_s: float = 0.0
    certificate: str = ""
    """The path of the certificate, which is attached to the mail."""
    only_copy: str = ""
    """What of the source lies nowhere any more but with the mesh, and where."""
    source_deleted: bool = False
    """Whether the mesh has deleted the source, as ordered, once it was certified."""
    deletion_begun: bool = False
    """Whether it may have deleted a part of it so, and not the whole."""
    reason: str = ""
    hint: str = ""
    """What to do."""
    notes: tuple[str, ...] = ()


class SendNotice(Request[None], frozen=True, kw_only=True, tag="notices.send"):
    """Have something told; answered when it is durable, and the same key twice is told once.

    ``recipients`` are mail addresses. Of what is not a success the administrators hear as well; webhooks hear of
    whatever they are set to.
    """

    key: str
    kind: NoticeKind
    recipients: tuple[str, ...] = ()
    facts: NoticeFacts = NoticeFacts()


class DeliveryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands between one notice and one who is to have it."""

    to: str
    """``mail ADDRESS`` or ``webhook NAME``."""
    state: DeliveryState
    attempts: int = 0
    last_error: str = ""
    hint: str = ""
    at_unix_s: float = 0.0
    """When it was delivered or failed, or will be tried again."""


class NoticeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one notice stands: it waits while any delivery does, and failed if one did."""

    notice_id: str
    key: str
    kind: NoticeKind
    at_unix_s: float
    state: DeliveryState
    import_id: str = ""
    owner: str = ""
    plates: tuple[str, ...] = ()
    deliveries: tuple[DeliveryStatus, ...] = ()


class ListNotices(Request[tuple[NoticeStatus, ...]], frozen=True, kw_only=True, tag="notices.list"):
    """Ask for every notice that is kept, oldest first; who is no administrator is told of the own ones."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True


class RetryNotices(Request[tuple[NoticeStatus, ...]], frozen=True, kw_only=True, tag="notices.retry"):
    """Try again now what waits or has failed; without ids everything. The answer is what is tried."""

    audience: ClassVar[Role | None] = "administrator"

    notice_ids: tuple[str, ...] = ()


class MailTried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a test mail."""

    delivered: bool
    server: str
    message_id: str
    said: str
    """The server's answer, or what went wrong."""
    hint: str = ""


class TryMail(Request[MailTried], frozen=True, kw_only=True, tag="notices.try_mail"):
    """Send one mail to an address now, past the outbox, and say what happened."""

    audience: ClassVar[Role | None] = "administrator"

    address: str
