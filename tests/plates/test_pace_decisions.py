"""How fast a guest may read, and when: tables and a small world for the controller."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.config import ConfigError
from hcs_mesh.config.hours import parse_hours
from hcs_mesh.plates.pace import MIB, UNLIMITED, BackOff, TokenBucket, Traffic

FREE = 400.0 * MIB


@given(
    rate=st.floats(1e3, 1e9),
    reads=st.lists(st.tuples(st.integers(0, 1 << 24), st.floats(0, 2)), min_size=1, max_size=40),
)
def test_no_more_passes_than_the_rate_and_one_burst_allow(rate: float, reads: list[tuple[int, float]]) -> None:
    bucket, now_s, n_bytes = TokenBucket(rate, burst_s=0.1), 0.0, 0
    for n, rest_s in reads:
        n_bytes += n
        now_s += bucket.take(n, now_s)
        # What was taken has been paid for by the time that the wait is over.
        assert n_bytes <= rate * (now_s + 0.1) * (1 + 1e-9) + 1
        now_s += rest_s


def test_without_a_limit_nothing_waits() -> None:
    bucket = TokenBucket()
    assert bucket.take(1 << 40, 0.0) == 0.0
    bucket.set_rate(100.0, 1.0)
    assert bucket.take(50, 1.0) == pytest.approx(0.5)
    bucket.set_rate(UNLIMITED, 1.0)
    assert bucket.take(1 << 40, 1.0) == 0.0


def seen(*, foreign: float = 0.0, own: float = 0.0, latency_ms: float = 5.0) -> Traffic:
    return Traffic(0.25, foreign * 0.25, own * 0.25, latency_ms)


def test_a_guest_comes_in_quietly_and_is_free_once_nobody_else_writes() -> None:
    control = BackOff()
    assert control.rate == control.least_rate
    assert control.step(seen()) == UNLIMITED
    assert not control.yields


def test_a_writer_is_made_way_for_at_once() -> None:
    control = BackOff(free_rate=FREE)
    control.step(seen(own=FREE))
    assert control.step(seen(own=FREE, foreign=80 * MIB)) == pytest.approx(0.25 * FREE)
    assert control.yields


def test_the_free_rate_is_what_was_reached_when_nobody_else_wrote() -> None:
    control = BackOff()
    for _ in range(8):
        control.step(seen(own=FREE))
    assert control.free_rate == pytest.approx(FREE)
    control.step(seen(own=FREE, foreign=200 * MIB))
    assert control.rate == pytest.approx(0.25 * FREE)


def test_a_pause_between_two_bursts_of_an_acquisition_is_not_its_end() -> None:
    control = BackOff(free_rate=FREE, calm_s=10.0)
    control.step(seen(foreign=80 * MIB))
    for _ in range(39):
        assert control.step(seen(own=0.2 * FREE)) < FREE
    assert control.step(seen(own=0.2 * FREE)) == UNLIMITED


def test_a_little_that_others_write_is_no_acquisition() -> None:
    control = BackOff(free_rate=FREE)
    control.step(seen(own=FREE))
    assert control.step(seen(own=FREE, foreign=10 * MIB)) == UNLIMITED
    assert control.step(seen(own=0.0, foreign=0.5 * MIB)) == UNLIMITED


def test_a_rest_in_which_nobody_wrote_ends_the_making_way() -> None:
    control = BackOff(free_rate=FREE, calm_s=10.0)
    control.step(seen(foreign=80 * MIB))
    assert control.rest(Traffic(60.0, 0.1 * MIB, 0.0)) == UNLIMITED
    assert not control.yields


def test_after_a_rest_in_which_somebody_wrote_the_next_look_decides() -> None:
    control = BackOff(free_rate=FREE)
    control.step(seen())
    # Far less than the floor in the mean, and perhaps all of it just now.
    assert control.rest(Traffic(3600.0, 8.0 * MIB, 0.0)) == control.least_rate
    assert control.step(seen()) == UNLIMITED
    control.rest(Traffic(3600.0, 8.0 * MIB, 0.0))
    control.step(seen(foreign=80 * MIB))
    assert (control.rate, control.yields) == (control.least_rate, True)
    control.rest(Traffic(3600.0, 8.0 * MIB, 0.0))
    assert control.step(seen()) == UNLIMITED


def test_an_import_feels_its_way_up_and_comes_down_when_the_disk_answers_late() -> None:
    control = BackOff(free_rate=FREE)
    control.step(seen(foreign=80 * MIB))
    risen = [control.step(seen(foreign=80 * MIB)) for _ in range(20)]
    assert risen == sorted(risen)
    assert control.step(seen(foreign=80 * MIB, latency_ms=50.0)) == pytest.approx(
        max(control.least_rate, risen[-1] / 2)
    )


@given(st.lists(st.tuples(st.floats(0, 1e10), st.floats(0, 1e10), st.floats(0, 1e4)), max_size=60))
def test_whatever_is_seen_an_import_goes_on_and_yields_at_least_half(steps: list[tuple[float, float, float]]) -> None:
    control = BackOff(free_rate=FREE)
    for foreign, own, latency_ms in steps:
        rate = control.step(seen(foreign=foreign, own=own, latency_ms=latency_ms))
        assert rate == UNLIMITED or not math.isnan(rate)
        if control.yields:
            assert control.least_rate * (1 - 1e-9) <= rate <= 0.5 * control.free_rate * (1 + 1e-9)
        else:
            assert rate == UNLIMITED


def test_in_a_small_world_the_writer_keeps_its_speed_and_the_import_its_share() -> None:
    # A disk of 500 MiB/s that serves both alike; the writer wants 300 and notices when there is less.
    control, disk, wanted = BackOff(), 500.0 * MIB, 300.0 * MIB
    for _ in range(20):
        control.step(seen(own=min(control.rate, FREE)))
    kept: list[float] = []
    shares: list[float] = []
    for _ in range(400):
        own = min(control.rate, FREE)
        both = own + wanted
        squeeze = min(1.0, disk / both)
        kept.append(squeeze)
        shares.append(own * squeeze / FREE)
        control.step(seen(foreign=wanted * squeeze, own=own * squeeze, latency_ms=5.0 if squeeze == 1.0 else 12.0))
    assert sum(kept) / len(kept) >= 0.95
    assert sum(shares) / len(shares) >= 0.2


SATURDAY = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "weekdays", "at", "is_open"),
    [
        ("", (), (12, 0), True),
        ("18:00-07:00", (), (17, 59), False),
        ("18:00-07:00", (), (18, 0), True),
        ("18:00-07:00", (), (6, 59), True),
        ("18:00-07:00", (), (7, 0), False),
        ("12:00-13:00, 18:00-24:00", (), (12, 30), True),
        ("00:00-24:00", (), (3, 0), True),
        ("18:00-07:00", ("friday",), (6, 0), True),  # what began on Friday evening reaches into Saturday
        ("18:00-07:00", ("friday",), (18, 30), False),
        ("", ("friday",), (12, 0), False),
        ("", ("saturday",), (12, 0), True),
    ],
)
def test_a_timetable_is_kept(hours: str, weekdays: tuple[str, ...], at: tuple[int, int], is_open: bool) -> None:
    table = parse_hours(hours, weekdays)
    now = SATURDAY.replace(hour=at[0], minute=at[1])
    assert table.is_open(now) is is_open
    assert bool(table.why(now)) is not is_open


def test_it_is_told_from_when_on_sources_are_read() -> None:
    noon = SATURDAY.replace(hour=12)
    assert parse_hours("18:00-07:00").opens_at(noon) == SATURDAY.replace(hour=18)
    assert "from 18:00 on," in parse_hours("18:00-07:00").why(noon)
    assert "from 18:00 on Friday on" in parse_hours("18:00-07:00", ("friday",)).why(noon)


@pytest.mark.parametrize(
    ("hours", "weekdays", "open_h"),
    [
        ("", (), 240.0),
        ("18:00-07:00", (), 130.0),
        ("18:00-07:00, 06:00-08:00", (), 140.0),
        ("18:00-07:00", ("friday",), 13.0),
        ("", ("saturday",), 36.0),
    ],
)
def test_the_open_hours_of_ten_days_are_counted(hours: str, weekdays: tuple[str, ...], open_h: float) -> None:
    noon = SATURDAY.replace(hour=12)
    table = parse_hours(hours, weekdays)
    assert table.open_s(noon, noon + timedelta(days=10)) / 3600 == pytest.approx(open_h)
    assert table.open_s(noon, noon) == 0.0


@given(
    st.integers(0, 1439),
    st.integers(0, 1440),
    st.integers(0, 400_000),
)
def test_a_timetable_opens_when_it_says(start: int, end: int, minute: int) -> None:
    table = parse_hours(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}")
    now = SATURDAY + timedelta(minutes=minute)
    opens = table.opens_at(now)
    assert opens >= now
    assert table.is_open(opens)


@pytest.mark.parametrize("hours", ["18-7", "25:00-07:00", "18:00", "18:60-19:00", "evenings"])
def test_hours_that_are_none_are_refused(hours: str) -> None:
    with pytest.raises(ConfigError, match="no span of hours"):
        parse_hours(hours)


def test_a_day_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="'freitag'"):
        parse_hours("", ("freitag",))
