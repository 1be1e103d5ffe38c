"""What a mail says (pure).

Every copy of a notice is the same, byte for byte, and has the same Message-ID: a copy that is sent twice because the
first one's answer was lost is shown once by most mail programs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import PurePath

import msgspec

from ...config.mail_address import is_address
from ...config.written_out import shown
from ...messages.notices import NoticeFacts
from .outbox import Delivery

MAX_SUBJECT = 160
MAX_NAMES = 50


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes with a mail; without ``data`` the mail says why not."""

    name: str
    data: bytes = b""
    why_not: str = ""


def identity(key: str, posted_unix_s: float) -> str:
    """What a notice is known by, the same each time; the moment tells the imports 1 of two meshes apart."""
    return hashlib.sha256(f"{key}\n{posted_unix_s!r}".encode(errors="surrogatepass")).hexdigest()[:40]


def message_id(known_by: str, sender: str) -> str:
    """The Message-ID of what is known by this."""
    return f"<{known_by}@{sender.rpartition('@')[2]}>"


def compose(delivery: Delivery, *, sender: str, attachment: Attachment | None = None) -> bytes:
    """A mail as it goes over the wire."""
    notice = delivery.notice
    known_by = identity(notice.key, delivery.posted_unix_s)
    mail = _mail(
        sender=sender,
        to=[one.partition(" ")[2] for one in delivery.everybody],
        subject=subject(delivery),
        identity=message_id(known_by, sender),
        at_unix_s=delivery.posted_unix_s,
    )
    mail["X-Hcs-Mesh-Notice"] = f"{delivery.notice_id} {notice.kind}"
    mail.set_content("\n".join(body(delivery, attachment)) + "\n", charset="utf-8")
    if attachment is not None and attachment.data:
        subtype = "json" if attachment.name.endswith(".json") else "octet-stream"
        mail.add_attachment(
            attachment.data, maintype="application", subtype=subtype, filename=shown(attachment.name) or "certificate"
        )
        # Else a random one, and a second copy would differ.
        mail.set_boundary(f"=={known_by}==")
    return mail.as_bytes(policy=SMTP)


def compose_trial(*, sender: str, to: str, identity: str, at_unix_s: float) -> bytes:
    """The mail of `notices test`."""
    mail = _mail(sender=sender, to=[to], subject="[hcs-mesh] test", identity=identity, at_unix_s=at_unix_s)
    mail.set_content("This is the test mail that an administrator asked for. Notices of imports come this way.\n")
    return mail.as_bytes(policy=SMTP)


def subject(delivery: Delivery) -> str:
    """One line that says what happened to what."""
    facts = delivery.notice.facts
    what = facts.import_id or "import"
    told = {
        "import.done": f"{what} is in the repository",
        "import.failed": f"{what} failed",
        "import.attention": f"{what} waits for you",
    }[delivery.notice.kind]
    about = ", ".join(facts.plates[:3]) + (", ..." if len(facts.plates) > 3 else "") or PurePath(facts.source).name
    line = shown(f"[hcs-mesh] {told}: {about}" if about else f"[hcs-mesh] {told}")
    return line if len(line) <= MAX_SUBJECT else line[: MAX_SUBJECT - 3] + "..."


def body(delivery: Delivery, attachment: Attachment | None = None) -> Iterator[str]:
    """The lines of a mail; nothing that somebody named can begin a line of its own."""
    facts = delivery.notice.facts
    done = delivery.notice.kind == "import.done"
    opening = {
        "import.done": "This import is complete.",
        "import.failed": f"This import has failed. {_source(facts)}",
        "import.attention": "This import waits until somebody decides.",
    }[delivery.notice.kind]
    yield opening
    yield ""
    if facts.reason:
        yield f"{'Note' if done else 'Reason'}: {shown(facts.reason)}"
    if facts.hint:
        yield f"What to do: {shown(facts.hint)}"
    if facts.reason or facts.hint:
        yield ""
    yield from _table(facts)
    if facts.certificate:
        yield f"{'certificate':<12} {shown(facts.certificate)}"
        if attachment is not None:
            yield f"{'':<12} {'attached' if attachment.data else f'not attached: {shown(attachment.why_not)}'}"
    elif done:
        yield f"{'certificate':<12} none: this mail alone does not mean that the source may be deleted"
    if facts.notes:
        yield ""
        yield from (f"- {shown(note)}" for note in facts.notes[:MAX_NAMES])


def _source(facts: NoticeFacts) -> str:
    """What has become of the source of an import that failed, and what to do about that."""
    if facts.source_deleted:
        return "Its source was deleted, as ordered: all files of it are in the repository, and certified."
    if facts.deletion_begun:
        return (
            "Its source may have been deleted in part, as ordered: what is gone of it is in the repository, and "
            "certified. Do not delete the rest before you have looked at it."
        )
    if facts.only_copy:
        # By somebody who relied on what is held for him, as he may.
        return f"{shown(facts.only_copy)}: leave them there, and do not delete what is left of the source."
    return "The mesh has changed nothing in what it was imported from: do not delete it."


def _table(facts: NoticeFacts) -> Iterator[str]:
    plates = facts.plates[:MAX_NAMES]
    more = [f"and {len(facts.plates) - MAX_NAMES} more"] if len(facts.plates) > MAX_NAMES else []
    rows = [
        ("import", facts.import_id),
        ("requested by", facts.owner),
        ("source", facts.source),
        *(("plate" if n == 0 else "", name) for n, name in enumerate([*plates, *more])),
        ("now in", facts.repository if facts.plates else ""),
        ("files", f"{facts.n_files:,} ({bytes_text(facts.n_bytes)})" if facts.n_files else ""),
        ("wells", f"{facts.n_wells:,}" if facts.n_wells else ""),
        ("images", f"{facts.n_images:,}" if facts.n_images else ""),
        ("took", duration_text(facts.duration_s) if facts.duration_s else ""),
    ]
    yield from (f"{name:<12} {shown(value)}" for name, value in rows if value)


def bytes_text(n_bytes: int) -> str:
    """A number of bytes as people say it."""
    size = float(n_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def duration_text(seconds: float) -> str:
    """A span of time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _mail(*, sender: str, to: list[str], subject: str, identity: str, at_unix_s: float) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(one for one in to if is_address(one))
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(at_unix_s, UTC))
    mail["Message-ID"] = identity
    # RFC 3834: no out-of-office note answers this.
    mail["Auto-Submitted"] = "auto-generated"
    return mail
