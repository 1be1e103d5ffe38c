"""Commands about notices: what was told to whom, and whether it arrived."""

from __future__ import annotations

from typing import Any

import msgspec

from ..messages.notices import NoticeStatus
from .asking import Question
from .errors import CommandFailed
from .options import full_id
from .printing import console, moment_text, print_json, row, state_text, table


def list_all(question: Question) -> None:
    """List every notice, a line a recipient.

    Raises:
        MeshError: no mesh is up there, or it refused.
    """
    _print(question, question.ask(lambda mesh: mesh.notices()), "no notices yet: they come with the end of an import")


def show(question: Question, given: str) -> None:
    """Show one notice.

    Raises:
        CommandFailed: there is none of this id.
    """
    name = full_id("notice", given)
    found = [one for one in question.ask(lambda mesh: mesh.notices()) if one.notice_id == name]
    if not found:
        raise CommandFailed(f"there is no notice {given}", hint="hcs-mesh notices lists them")
    if question.as_json:
        print_json(_form(found[0]))
    else:
        _print(question, (found[0],), "")


def retry(question: Question, given: list[str]) -> None:
    """Try notices again.

    Raises:
        AskFailed: there is none of such an id.
    """
    names = [full_id("notice", one) for one in given]
    _print(question, question.ask(lambda mesh: mesh.retry_notices(*names)), "nothing waits, and nothing has failed")


def test(question: Question, address: str) -> None:
    """Send a test mail.

    Raises:
        CommandFailed: it was not taken over.
    """
    tried = question.ask(lambda mesh: mesh.try_mail(address))
    if not tried.delivered:
        raise CommandFailed(f"the test mail was not delivered: {tried.said}", hint=tried.hint)
    if question.as_json:
        print_json(msgspec.to_builtins(tried))
    else:
        said = f"{tried.server} has taken the mail to {address} over: {tried.said}"
        console().print(said, markup=False, soft_wrap=True)
        console().print(f"its Message-ID is {tried.message_id}", markup=False, soft_wrap=True)


def _print(question: Question, notices: tuple[NoticeStatus, ...], nothing: str) -> None:
    if question.as_json:
        print_json([_form(one) for one in notices])
        return
    listed = table("notice", "when", "what", "import", "to", "state", "tries", "last error", right=("tries",))
    hints: dict[str, None] = {}
    for one in notices:
        for to in one.deliveries:
            when = moment_text(one.at_unix_s)
            state = state_text("done" if to.state == "delivered" else to.state)
            row(listed, one.notice_id, when, one.kind, one.import_id, to.to, state, to.attempts, to.last_error)
            if to.hint:
                hints[to.hint] = None
    out = console()
    if not listed.row_count:
        out.print(nothing, markup=False)
        return
    out.print(listed)
    for hint in hints:
        out.print("hint:", hint, markup=False, soft_wrap=True)


def _form(notice: NoticeStatus) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(notice)
    told["notice"] = told.pop("notice_id")
    told["import"] = told.pop("import_id")
    told["plates"] = list(notice.plates)
    return told
