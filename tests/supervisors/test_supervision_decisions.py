"""The pure decisions of supervision: intensity, backoff, health."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.supervisors.backoff import Backoff, delay_s
from hcs_mesh.supervisors.health import Health, HealthLimits, HeartWatch
from hcs_mesh.supervisors.intensity import RestartIntensity, grant


@pytest.mark.parametrize(
    ("max_restarts", "window_s", "times_s", "granted"),
    [
        (0, 5.0, [0.0], [False]),
        (1, 5.0, [0.0, 1.0], [True, False]),
        (1, 5.0, [0.0, 5.0], [True, False]),  # OTP counts the edge of the period as within it.
        (1, 5.0, [0.0, 5.1], [True, True]),
        (3, 5.0, [0.0, 1.0, 2.0, 3.0], [True, True, True, False]),
        (3, 5.0, [0.0, 2.0, 4.0, 6.0, 8.0], [True, True, True, True, True]),
        (5, 300.0, [0.0, 60.0, 120.0, 180.0, 240.0, 299.0], [True, True, True, True, True, False]),
    ],
)
def test_intensity_grants_as_otp_does(max_restarts, window_s, times_s, granted):
    restarts_s = deque()
    intensity = RestartIntensity(max_restarts, window_s)
    assert [grant(restarts_s, intensity, now_s) for now_s in times_s] == granted


@given(st.integers(0, 20), st.floats(0.1, 1000), st.lists(st.floats(0, 100), max_size=60))
def test_intensity_refuses_exactly_when_the_window_holds_too_many(max_restarts, window_s, gaps_s):
    restarts_s, now_s, seen = deque(), 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        seen.append(now_s)
        within = sum(now_s - time_s <= window_s for time_s in seen)
        assert grant(restarts_s, RestartIntensity(max_restarts, window_s), now_s) == (within <= max_restarts)
        assert len(restarts_s) == within


@given(
    st.builds(Backoff, st.floats(0, 10), st.floats(1, 5), st.floats(0, 100), st.floats(0, 1)),
    st.builds(RestartIntensity, st.integers(0, 20), st.floats(0.1, 1000)),
    st.floats(0, 1, exclude_max=True),
)
def test_a_child_that_dies_at_once_is_given_up_whatever_the_backoff(backoff, intensity, chance):
    restarts_s, now_s = deque(), 0.0
    for attempt in range(1, intensity.max_restarts + 1):
        assert grant(restarts_s, intensity, now_s)
        now_s += delay_s(backoff, attempt, intensity, chance)
    assert not grant(restarts_s, intensity, now_s)
    assert now_s <= intensity.window_s / 2, "half of the window is left for the children's own lives"


def test_delays_grow_and_never_exceed_the_cap():
    backoff, wide = Backoff(first_s=1.0, factor=2.0, max_s=6.0, jitter=0.0), RestartIntensity(1, 1000.0)
    assert [delay_s(backoff, attempt, wide, 0.9) for attempt in (0, 1, 2, 3, 4, 5000)] == [0, 1, 2, 4, 6, 6]


def test_jitter_only_shortens():
    backoff, wide = Backoff(first_s=1.0, jitter=0.5), RestartIntensity(1, 1000.0)
    assert delay_s(backoff, 1, wide, 0.0) == 1.0
    assert delay_s(backoff, 1, wide, 0.5) == 0.75


LIMITS = HealthLimits(silence_s=10.0, busy_after_s=2.0, look_every_s=1.0)


def looked_every_second(watch, start_s, end_s):
    return [watch.look(float(now_s)) for now_s in range(start_s, end_s + 1)][-1]


def test_a_process_that_beats_idly_is_alive():
    watch = HeartWatch(LIMITS, 0.0)
    watch.beat(5.0, "idle")
    assert looked_every_second(watch, 1, 15) is Health.ALIVE


def test_a_process_whose_loop_answers_during_long_work_is_busy_and_never_hung():
    watch = HeartWatch(LIMITS, 0.0)
    for now_s in range(1, 1000):
        watch.beat(float(now_s), "well B03")
        seen = watch.look(float(now_s))
        assert seen is (Health.ALIVE if now_s <= 3 else Health.BUSY)


def test_a_silent_process_is_hung_even_in_the_middle_of_work():
    watch = HeartWatch(LIMITS, 0.0)
    watch.beat(1.0, "well B03")
    assert looked_every_second(watch, 1, 11) is Health.BUSY
    assert watch.look(11.5) is Health.HUNG


def test_silence_counts_from_the_start_when_no_beat_ever_came():
    watch = HeartWatch(LIMITS, 100.0)
    assert looked_every_second(watch, 101, 110) is Health.ALIVE
    assert watch.look(111.0) is Health.HUNG


def test_time_in_which_nobody_looked_is_no_evidence_of_hanging():
    watch = HeartWatch(LIMITS, 0.0)
    assert looked_every_second(watch, 1, 5) is Health.ALIVE
    assert watch.look(3600.0) is Health.ALIVE, "the machine slept; the beats lie unread"
    assert looked_every_second(watch, 3601, 3610) is Health.HUNG, "and then nothing came all the same"


def test_new_work_starts_the_busy_clock_anew():
    watch = HeartWatch(LIMITS, 0.0)
    watch.beat(1.0, "well A01")
    watch.beat(4.0, "well A02")
    assert watch.look(5.0) is Health.ALIVE
