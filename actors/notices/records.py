"""What the journal holds of notices: what is to be told to whom, and what became of it."""

from __future__ import annotations

import msgspec

from ...messages.notices import SendNotice


class NoticeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of one notice."""

    notice_id: str
    at_unix_s: float


class Posted(NoticeRecord, frozen=True, kw_only=True, tag="notice.posted"):
    """It is ours to deliver from here on; ``to`` is decided now, whatever the settings become."""

    notice: SendNotice
    to: tuple[str, ...]


class Delivered(NoticeRecord, frozen=True, kw_only=True, tag="notice.delivered"):
    """The server or hook has taken it over."""

    to: str


class Stumbled(NoticeRecord, frozen=True, kw_only=True, tag="notice.stumbled"):
    """It was refused in a way that may pass; it is tried again at ``again_unix_s``."""

    to: str
    reason: str
    hint: str = ""
    again_unix_s: float
    n_doubts: int = 0
    """How often all of it was sent by then, and no answer came."""


class Failed(NoticeRecord, frozen=True, kw_only=True, tag="notice.failed"):
    """It was refused for good, or has been tried for too long; only a person can take it up again."""

    to: str
    reason: str
    hint: str = ""


class Retried(NoticeRecord, frozen=True, kw_only=True, tag="notice.retried"):
    """A person had everything that is not delivered tried again."""

    by: str = ""


Record = Posted | Delivered | Stumbled | Failed | Retried
