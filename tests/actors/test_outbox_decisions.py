"""What the outbox decides, and what a mail may hold: no clock, no server."""

import email
from email.policy import SMTP as WIRE

from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.actors.notices.mail_text import compose, identity, message_id
from hcs_mesh.actors.notices.outbox import Delivery, Outbox, lane_of
from hcs_mesh.actors.notices.records import Delivered, Failed, Posted, Record, Retried, Stumbled
from hcs_mesh.config import NoticeSettings
from hcs_mesh.config.mail_address import is_address
from hcs_mesh.messages.notices import NoticeFacts, SendNotice

SETTINGS = NoticeSettings(first_retry_s=10, longest_retry_s=40, give_up_days=1, keep_days=2)
DAY_S = 86_400.0
AT = 1_000.0
MAIL = "mail a@b.org"
HOOK = "webhook lims"


def posted(n: int = 1, *to: str, at: float = AT) -> Posted:
    notice = SendNotice(key=f"k{n}", kind="import.done", recipients=("a@b.org",))
    return Posted(notice_id=f"notice-{n:04d}", at_unix_s=at, notice=notice, to=to or (MAIL,))


def outbox(*records: Record) -> Outbox:
    made = Outbox(SETTINGS)
    for record in records:
        made.apply(record)
    return made


def test_a_lane_that_is_closed_waits_as_a_whole_and_longer_each_time() -> None:
    box = outbox(posted(1), posted(2), posted(3, HOOK))
    waits = []
    now = AT
    for _ in range(4):
        box.closed("mail", now, "down", "")
        assert box.due("mail", now) is None
        waits.append(box.wait_s("mail", now))
        now += waits[-1] or 0
        assert (found := box.due("mail", now))
        assert found.notice_id == "notice-0001"
    assert waits == [10, 20, 40, 40]
    assert box.due(HOOK, now)
    assert box.status("notice-0002").deliveries[0].last_error == "down"
    box.opened("mail")
    box.closed("mail", now, "down", "")
    assert box.wait_s("mail", now) == 10


def test_a_notice_that_is_put_off_lets_the_others_pass() -> None:
    box = outbox(posted(1), posted(2))
    first = box.due("mail", AT)
    assert first
    box.apply(box.stumbled(first, AT, "busy", ""))
    second = box.due("mail", AT)
    assert second
    assert second.notice_id == "notice-0002"
    box.apply(Delivered(notice_id=second.notice_id, at_unix_s=AT, to=second.to))
    assert box.due("mail", AT) is None
    assert box.wait_s("mail", AT) == 10
    assert box.due("mail", AT + 10) == first


def test_a_doubtful_delivery_is_tried_once_more_at_most_whatever_comes_between() -> None:
    box = outbox(posted(1))
    delivery = box.due("mail", AT)
    assert delivery
    box.apply(box.stumbled(delivery, AT, "no answer", "", doubtful=True))
    # Refused, it was not sent again: the doubt is the first one's still, in the next life as well.
    box.apply(box.stumbled(delivery, AT, "busy", ""))
    box = outbox(*box.compacted())
    again = box.stumbled(delivery, AT, "no answer", "", doubtful=True)
    assert isinstance(again, Failed)
    assert again.reason == "maybe delivered, it was sent 2 times: no answer"
    box.apply(again)
    box.apply(Retried(notice_id="notice-0001", at_unix_s=AT))
    assert isinstance(box.stumbled(delivery, AT, "no answer", "", doubtful=True), Stumbled)


def test_what_is_overdue_fails_with_the_last_reason_and_a_retry_begins_anew() -> None:
    box = outbox(posted(1))
    box.closed("mail", AT, "down", "")
    assert box.overdue("mail", AT + DAY_S - 1) == ()
    (failed,) = box.overdue("mail", AT + DAY_S)
    assert failed.reason == "given up after 1 days: down"
    box.apply(failed)
    assert box.status("notice-0001").state == "failed"
    assert box.wait_s("mail", AT) is None
    box.apply(Retried(notice_id="notice-0001", at_unix_s=AT + DAY_S))
    assert box.due("mail", AT + DAY_S)
    assert box.overdue("mail", AT + DAY_S + 1) == ()


def test_the_last_trouble_is_the_lanes_or_else_that_of_one_notice() -> None:
    box = outbox(posted(1), posted(2, HOOK), Failed(notice_id="notice-0001", at_unix_s=AT, to=MAIL, reason="550 no"))
    assert box.counts() == {
        "notices": 2,
        "deliveries_waiting": 1,
        "deliveries_failed": 1,
        "last_trouble": "550 no",
    }
    box.closed(HOOK, AT, "away", "")
    assert box.counts()["last_trouble"] == "webhook lims: away"
    box.opened(HOOK)
    assert outbox(posted(1), Delivered(notice_id="notice-0001", at_unix_s=AT, to=MAIL)).counts()["last_trouble"] == ""


def test_a_clock_that_is_set_back_delays_nobody_for_longer_than_the_longest_wait() -> None:
    box = outbox(posted(1))
    box.closed("mail", AT, "down", "")
    assert box.wait_s("mail", AT - 10 * DAY_S) == 40


def test_what_is_over_is_forgotten_in_its_time_and_never_what_waits() -> None:
    box = outbox(posted(1), posted(2), Delivered(notice_id="notice-0001", at_unix_s=AT, to=MAIL))
    assert box.forget(AT + 2 * DAY_S) == 0
    assert box.has("k1")
    assert box.forget(AT + 2 * DAY_S + 1) == 1
    assert not box.has("k1")
    assert [one.notice_id for one in box] == ["notice-0002"]
    assert box.new_id() == "notice-0003"


STEPS = st.lists(st.tuples(st.sampled_from(["post", "ok", "stumble", "fail", "retry"]), st.integers(1, 3)), max_size=30)


@given(STEPS)
def test_a_checkpoint_replays_to_the_same_notices(steps: list[tuple[str, int]]) -> None:
    box = Outbox(SETTINGS)
    now = AT
    for step, n in steps:
        now += 1
        name, to = f"notice-{n:04d}", (MAIL, HOOK)[n % 2]
        if step == "post" and name not in box:
            box.apply(posted(n, MAIL, HOOK, at=now))
        elif name in box and step == "ok":
            box.apply(Delivered(notice_id=name, at_unix_s=now, to=to))
        elif name in box and step == "stumble":
            box.apply(
                Stumbled(notice_id=name, at_unix_s=now, to=to, reason="busy", again_unix_s=now + 10),
            )
        elif name in box and step == "fail":
            box.apply(Failed(notice_id=name, at_unix_s=now, to=to, reason="no"))
        elif name in box and step == "retry":
            box.apply(Retried(notice_id=name, at_unix_s=now))
    again = outbox(*box.compacted())

    def told(one: Outbox) -> list[object]:
        return [(n.notice_id, n.state, [(d.to, d.state, d.last_error, d.at_unix_s) for d in n.deliveries]) for n in one]

    assert told(again) == told(box)
    assert again.lanes() == box.lanes()


ANY = st.text(max_size=60) | st.sampled_from(["x\r\nBcc: evil@x.org", "\n\n<body>", "a\u2028b", "\udcff", "é" * 300])


@given(ANY, ANY, ANY, ANY, st.lists(st.sampled_from(["a@b.org", "x\r\nBcc: y@z.org", "no"]), min_size=1, max_size=3))
def test_nothing_that_somebody_named_becomes_a_header_or_a_line_of_its_own(
    plate: str, source: str, reason: str, key: str, people: list[str]
) -> None:
    facts = NoticeFacts(import_id="import-0001", plates=(plate, plate), source=source, reason=reason, notes=(plate,))
    delivery = Delivery(
        notice_id="notice-0001",
        to=MAIL,
        notice=SendNotice(key=key, kind="import.failed", facts=facts),
        posted_unix_s=AT,
        everybody=tuple(f"mail {one}" for one in people),
    )
    raw = compose(delivery, sender="mesh@example.org")
    assert raw == compose(delivery, sender="mesh@example.org")
    mail = email.message_from_bytes(raw, policy=WIRE)
    assert list(mail) == [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "X-Hcs-Mesh-Notice",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    ]
    assert mail["Message-ID"] == message_id(identity(key, AT), "mesh@example.org")
    assert "Bcc" not in str(mail["To"])
    text = mail.get_content()  # type: ignore[attr-defined]
    starts = ("This import", "Reason: ", "import ", "source ", "plate ", " " * 12, "- ", "")
    assert all(line.startswith(starts) for line in text.splitlines())
    assert len(text.splitlines()) <= 10


def test_an_address_is_what_no_server_can_take_for_more() -> None:
    assert all(map(is_address, ("a@b.org", "a.b+c@x-y.org", "root@localhost")))
    bad = ("", "a", "a@", "@b", "a@b\n", "a b@c", "a@b,c@d", "<a@b>", 'a"@b', "ä@b.org", "a@b..c", f"{'a' * 250}@b.org")
    assert not any(map(is_address, bad))


def test_the_same_key_at_another_moment_is_another_notice() -> None:
    assert identity("import-0001/done", AT) == identity("import-0001/done", AT)
    assert identity("import-0001/done", AT) != identity("import-0001/done", AT + 1)


def test_all_mails_leave_by_one_lane_and_each_hook_by_its_own() -> None:
    assert [lane_of(one) for one in (MAIL, HOOK)] == ["mail", HOOK]
