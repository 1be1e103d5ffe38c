"""What the mail of a failure says of the source: the person decides by it what may be deleted."""

from hcs_mesh.actors.notices.mail_text import body
from hcs_mesh.actors.notices.outbox import Delivery
from hcs_mesh.messages.notices import NoticeFacts, SendNotice


def mail_of(**facts: object) -> list[str]:
    notice = SendNotice(key="k", kind="import.failed", facts=NoticeFacts(import_id="import-0001", **facts))  # type: ignore[arg-type]
    delivery = Delivery(
        notice_id="notice-0001", to="mail ada@example.org", notice=notice, posted_unix_s=1.0, everybody=()
    )
    return list(body(delivery))


def test_a_failure_says_that_the_mesh_did_nothing_to_the_source() -> None:
    opening, *_ = mail_of(reason="no room on the disk")
    assert opening == (
        "This import has failed. The mesh has changed nothing in what it was imported from: do not delete it."
    )


def test_a_failure_says_where_the_only_copy_lies_first_of_all() -> None:
    opening, *rest = mail_of(only_copy="4 of its 5 files are nowhere any more but in /held\nimport-0001")
    assert opening == (
        "This import has failed. 4 of its 5 files are nowhere any more but in /held\\nimport-0001: leave them there, "
        "and do not delete what is left of the source."
    )
    assert "nothing in what it was imported from" not in "\n".join(rest)


def test_a_failure_in_the_middle_of_the_deletion_that_was_ordered_says_so() -> None:
    opening, *_ = mail_of(deletion_begun=True)
    assert "may have been deleted in part" in opening
    assert "changed nothing" not in opening


def test_a_failure_after_the_deletion_that_was_ordered_says_so() -> None:
    opening, *_ = mail_of(source_deleted=True)
    assert "Its source was deleted, as ordered" in opening
    assert "do not delete" not in opening
