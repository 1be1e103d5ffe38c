"""The roster: events in, instructions out."""

import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hcs_mesh.supervisors.intensity import RestartIntensity
from hcs_mesh.supervisors.roster import Roster, Row
from hcs_mesh.supervisors.strategy import (
    ALIVE,
    Booted,
    GiveUp,
    Halted,
    OnExhausted,
    Phase,
    Restart,
    Start,
    Stop,
    Strategy,
    Wait,
)


def up(strategy, restarts=(Restart.PERMANENT,) * 3, max_restarts=3, on_exhausted=OnExhausted.ESCALATE):
    """A roster whose children a, b, c... all run."""
    roster = Roster(strategy, RestartIntensity(max_restarts, 5.0), on_exhausted)
    roster.rows.extend(Row(name, restart) for name, restart in zip("abcdef", restarts, strict=False))
    roster.boot()
    for row in tuple(roster.rows):
        roster.started(row.name, 0.0)
    assert roster.booted
    return roster


def test_children_start_one_after_the_other():
    roster = Roster(Strategy.ONE_FOR_ONE, RestartIntensity())
    roster.rows.extend(Row(name, Restart.PERMANENT) for name in "abc")
    assert roster.boot() == [Start("a")]
    assert roster.started("a", 0.0) == [Start("b")]
    assert roster.started("b", 0.0) == [Start("c")]
    assert roster.started("c", 0.0) == [Booted()]


def test_children_stop_in_reverse_each_after_the_one_behind_it():
    roster = up(Strategy.ONE_FOR_ONE)
    assert roster.halt() == [Stop("c")]
    assert roster.ended("c", abnormal=False, now_s=1.0) == [Stop("b")]
    assert roster.ended("b", abnormal=True, now_s=1.0) == [Stop("a")]
    assert roster.ended("a", abnormal=False, now_s=1.0) == [Halted()]


def test_one_for_one_restarts_only_the_failed_child():
    roster = up(Strategy.ONE_FOR_ONE)
    assert roster.ended("b", abnormal=True, now_s=1.0) == [Wait("b", 1)]
    assert roster.waited("b") == [Start("b")]
    assert roster.started("b", 1.0) == []


def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order():
    roster = up(Strategy.ONE_FOR_ALL)
    assert roster.ended("b", abnormal=True, now_s=1.0) == [Wait("b", 1), Stop("c")]
    assert roster.ended("c", abnormal=False, now_s=1.0) == [Stop("a")]
    assert roster.waited("b") == [], "nothing starts while something is still to stop"
    assert roster.ended("a", abnormal=False, now_s=1.0) == [Start("a")]
    assert roster.started("a", 1.0) == [Start("b")]
    assert roster.started("b", 1.0) == [Start("c")]


def test_rest_for_one_leaves_those_before_the_failed_child_alone():
    roster = up(Strategy.REST_FOR_ONE)
    assert roster.ended("b", abnormal=True, now_s=1.0) == [Wait("b", 1), Stop("c")]
    assert roster.ended("c", abnormal=False, now_s=1.0) == []
    assert roster.waited("b") == [Start("b")]
    assert roster.started("b", 1.0) == [Start("c")]


def test_an_earlier_failure_during_a_restart_widens_it():
    roster = up(Strategy.REST_FOR_ONE)
    roster.ended("c", abnormal=True, now_s=1.0)
    assert roster.ended("a", abnormal=True, now_s=1.1) == [Wait("a", 1), Stop("b")]
    assert roster.waited("c") == []
    assert roster.ended("b", abnormal=False, now_s=1.2) == []
    assert roster.waited("a") == [Start("a")]


@pytest.mark.parametrize(
    ("restart", "abnormal", "restarted"),
    [
        (Restart.PERMANENT, True, True),
        (Restart.PERMANENT, False, True),
        (Restart.TRANSIENT, True, True),
        (Restart.TRANSIENT, False, False),
        (Restart.TEMPORARY, True, False),
        (Restart.TEMPORARY, False, False),
    ],
)
def test_the_restart_type_decides_who_comes_back(restart, abnormal, restarted):
    roster = up(Strategy.ONE_FOR_ALL, (restart, Restart.PERMANENT))
    assert bool(roster.ended("a", abnormal=abnormal, now_s=1.0)) == restarted
    assert ("a" in roster) == (restart is not Restart.TEMPORARY)
    assert roster["b"].phase is (Phase.STOPPING if restarted else Phase.RUNNING)


def test_a_temporary_sibling_does_not_come_back_from_one_for_all():
    roster = up(Strategy.ONE_FOR_ALL, (Restart.PERMANENT, Restart.TEMPORARY))
    roster.ended("a", abnormal=True, now_s=1.0)
    roster.ended("b", abnormal=False, now_s=1.0)
    assert "b" not in roster


def test_the_failure_after_the_last_allowed_restart_escalates():
    roster = up(Strategy.ONE_FOR_ONE, max_restarts=1)
    roster.ended("b", abnormal=True, now_s=1.0)
    roster.waited("b")
    roster.started("b", 1.1)
    assert roster.ended("b", abnormal=True, now_s=1.2) == [GiveUp("b"), Stop("c")]
    assert roster.ended("c", abnormal=False, now_s=1.3) == [Stop("a")]
    assert roster.ended("a", abnormal=False, now_s=1.3) == [Halted()]
    assert roster["b"].phase is Phase.FAILED


def test_a_quarantined_branch_stays_down_until_somebody_asks():
    roster = up(Strategy.ONE_FOR_ONE, max_restarts=0, on_exhausted=OnExhausted.QUARANTINE)
    assert roster.ended("b", abnormal=True, now_s=1.0) == [GiveUp("b"), Stop("c")]
    roster.ended("c", abnormal=False, now_s=1.0)
    assert roster.ended("a", abnormal=False, now_s=1.0) == []
    assert roster.quarantined
    assert [row.phase for row in roster.rows] == [Phase.QUARANTINED] * 3
    assert roster.recycle("b") == [Start("b")]
    assert roster.halt() == [Stop("b")]
    assert roster.ended("b", abnormal=False, now_s=1.0) == [Halted()]


def test_a_restart_asked_for_during_the_quarantine_is_done_once_all_are_down():
    roster = up(Strategy.ONE_FOR_ONE, (Restart.PERMANENT,) * 2, 0, OnExhausted.QUARANTINE)
    roster.ended("b", abnormal=True, now_s=1.0)
    assert roster.recycle("a") == []
    assert roster.ended("a", abnormal=False, now_s=1.0) == [Start("a")]


def test_a_quarantined_branch_can_be_halted():
    roster = up(Strategy.ONE_FOR_ONE, (Restart.PERMANENT,), 0, OnExhausted.QUARANTINE)
    roster.ended("a", abnormal=True, now_s=1.0)
    assert roster.halt() == [Halted()]


def test_deaths_charged_elsewhere_do_not_exhaust_the_child():
    roster = up(Strategy.ONE_FOR_ONE, max_restarts=0)
    for attempt in range(1, 20):
        assert roster.ended("a", abnormal=True, counted=False, now_s=1.0) == [Wait("a", attempt)]
        roster.waited("a")
        roster.started("a", 1.0)


def test_an_excused_death_is_restarted_without_a_wait():
    roster = up(Strategy.ONE_FOR_ONE, max_restarts=0)
    assert roster.ended("a", abnormal=True, counted=False, excused=True, now_s=1.0) == [Wait("a", 0)]


def test_a_child_that_cannot_start_at_boot_takes_the_tree_down_in_order():
    roster = Roster(Strategy.ONE_FOR_ONE, RestartIntensity())
    roster.rows.extend(Row(name, Restart.PERMANENT) for name in "abc")
    roster.boot()
    roster.started("a", 0.0)
    assert roster.start_failed("b", 0.0) == [GiveUp("b"), Stop("a")]
    assert roster.ended("a", abnormal=False, now_s=0.0) == [Halted()]
    assert not roster.booted


def test_in_a_branch_that_may_be_quarantined_a_bad_first_start_holds_nobody_up():
    roster = Roster(Strategy.ONE_FOR_ONE, RestartIntensity(), OnExhausted.QUARANTINE)
    roster.rows.extend(Row(name, Restart.PERMANENT) for name in "ab")
    roster.boot()
    assert roster.start_failed("a", 0.0) == [Wait("a", 1), Start("b")]
    assert roster.started("b", 0.0) == [Booted()]


def test_a_child_stopped_on_request_stays_down_through_its_siblings_restarts():
    roster = up(Strategy.ONE_FOR_ALL)
    roster.stop("b")
    roster.ended("b", abnormal=False, now_s=1.0)
    roster.ended("a", abnormal=True, now_s=1.0)
    roster.ended("c", abnormal=False, now_s=1.0)
    roster.waited("a")
    assert roster.started("a", 1.0) == [Start("c")]
    assert roster["b"].phase is Phase.STOPPED
    roster.started("c", 1.0)
    assert roster.recycle("b") == [Start("b")]


def test_a_child_added_at_run_time_is_forgotten_when_it_cannot_start():
    roster = up(Strategy.ONE_FOR_ONE)
    assert roster.add("new", Restart.PERMANENT) == [Start("new")]
    assert roster.start_failed("new", 1.0) == []
    assert "new" not in roster


class AnyFamily(RuleBasedStateMachine):
    """A shell that performs instructions in any order and at any speed; children do as they like."""

    roster_type = Roster

    @initialize(
        strategy=st.sampled_from(Strategy),
        restarts=st.lists(st.sampled_from(Restart), min_size=1, max_size=5),
        max_restarts=st.integers(0, 4),
        on_exhausted=st.sampled_from(OnExhausted),
    )
    def begin(self, strategy, restarts, max_restarts, on_exhausted):
        self.roster = self.roster_type(strategy, RestartIntensity(max_restarts, 5.0), on_exhausted)
        self.order = list("abcde"[: len(restarts)])
        self.roster.rows.extend(Row(name, kind) for name, kind in zip(self.order, restarts, strict=True))
        self.now_s = 0.0
        self.up, self.coming, self.leaving, self.timers = set(), set(), set(), set()
        self.halted = self.given_up = False
        self.perform(self.roster.boot())

    def perform(self, instructions):
        for instruction in instructions:
            match instruction:
                case Start(name):
                    assert not self.halted
                    assert name not in self.up | self.coming | self.leaving, "started while alive"
                    if self.roster.strategy is not Strategy.ONE_FOR_ONE:
                        assert not self.leaving, "started while something is being stopped"
                    self.coming.add(name)
                case Stop(name):
                    assert name in self.up | self.coming, "stopped while down"
                    if self.roster.strategy is not Strategy.ONE_FOR_ONE or self.roster.halting:
                        behind = {row.name for row in self.roster.rows[self.roster.rows.index(self.roster[name]) + 1 :]}
                        assert not self.leaving & behind, "stopped before those behind it"
                    self.leaving.add(name)
                    self.up.discard(name)
                    self.coming.discard(name)
                case Wait(name):
                    assert name not in self.up | self.coming | self.leaving
                    self.timers.add(name)
                case GiveUp():
                    self.given_up = True
                case Halted():
                    assert not self.up | self.coming | self.leaving
                    self.halted = True

    def pick(self, data, names):
        return data.draw(st.sampled_from(sorted(names)))

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), comes=st.booleans())
    def a_start_ends(self, data, comes):
        name = self.pick(data, self.coming)
        self.coming.discard(name)
        if comes:
            self.up.add(name)
            self.perform(self.roster.started(name, self.now_s))
        else:
            self.perform(self.roster.start_failed(name, self.now_s))

    @precondition(lambda self: self.up)
    @rule(data=st.data(), abnormal=st.booleans(), counted=st.booleans(), excused=st.booleans())
    def a_child_ends(self, data, abnormal, counted, excused):
        name = self.pick(data, self.up)
        self.up.discard(name)
        self.perform(self.roster.ended(name, abnormal=abnormal, counted=counted, excused=excused, now_s=self.now_s))

        if name in self.roster and self.roster[name].phase is Phase.BACKOFF:
            for sibling in self.those_who_depend_on(name):
                assert sibling not in self.up | self.coming or self.roster[sibling].due, "left running"

    def those_who_depend_on(self, name):
        names = [row.name for row in self.roster.rows]
        match self.roster.strategy:
            case Strategy.ONE_FOR_ONE:
                return []
            case Strategy.ONE_FOR_ALL:
                return [other for other in names if other != name]
            case Strategy.REST_FOR_ONE:
                return names[names.index(name) + 1 :]

    @precondition(lambda self: self.leaving)
    @rule(data=st.data(), abnormal=st.booleans())
    def a_stop_ends(self, data, abnormal):
        name = self.pick(data, self.leaving)
        self.leaving.discard(name)
        self.perform(self.roster.ended(name, abnormal=abnormal, now_s=self.now_s))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def a_wait_ends(self, data):
        name = self.pick(data, self.timers)
        self.timers.discard(name)
        if name in self.roster:
            self.perform(self.roster.waited(name))

    @precondition(lambda self: self.roster.rows and not self.halted and not self.roster.leaving)
    @rule(data=st.data(), recycle=st.booleans(), forget=st.booleans())
    def somebody_asks(self, data, recycle, forget):
        name = self.pick(data, [row.name for row in self.roster.rows])
        self.perform(self.roster.recycle(name) if recycle else self.roster.stop(name, forget=forget))

    @rule(seconds=st.floats(0, 4))
    def time_passes(self, seconds):
        self.now_s += seconds

    @rule()
    def everything_ends(self):
        self.perform(self.roster.halt())

    @invariant()
    def the_roster_knows_who_lives(self):
        if not hasattr(self, "roster"):
            return
        alive = {row.name for row in self.roster.rows if row.phase in ALIVE}
        assert alive == self.up | self.coming | self.leaving

    @invariant()
    def nothing_waits_for_ever(self):
        """Whoever is to run does, or something is under way that will lead there."""
        if not hasattr(self, "roster") or self.halted:
            return
        waiting = [row.name for row in self.roster.rows if row.phase is Phase.WAITING]
        backing_off = {row.name for row in self.roster.rows if row.phase is Phase.BACKOFF}
        assert backing_off <= self.timers
        if waiting or self.roster.halting:
            assert self.coming | self.leaving | backing_off
        if self.roster.leaving:
            assert self.halted or self.leaving

    def teardown(self):
        """From anywhere, a halt ends with nothing alive."""
        if not hasattr(self, "roster"):
            return
        self.perform(self.roster.halt())
        for _ in range(50):
            if not self.leaving:
                break
            name = self.leaving.pop()
            self.perform(self.roster.ended(name, abnormal=False, now_s=self.now_s))
        assert self.halted


TestAnyFamily = AnyFamily.TestCase
TestAnyFamily.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class StartsEarly(Roster):
    """Starts a child before those it depends on."""

    def _may_start(self, index):
        return True


class ForgetsSiblings(Roster):
    """Restarts the failed child alone, whatever the strategy."""

    def _companions(self, row):
        return []


class LosesItsEnd(Roster):
    """Does not notice that the last child is down."""

    def halt(self):
        return [instruction for instruction in super().halt() if not isinstance(instruction, Halted)]


class RestartsTheStopped(Roster):
    """Starts the child that somebody is just stopping."""

    def stop(self, name, *, forget=False):
        return [*super().stop(name, forget=forget), Start(name)]


@pytest.mark.parametrize("fault", [StartsEarly, ForgetsSiblings, LosesItsEnd, RestartsTheStopped])
def test_the_state_machine_finds_a_planted_fault(fault):
    machine = type("Faulty", (AnyFamily,), {"roster_type": fault})
    budget = settings(
        max_examples=4000, stateful_step_count=30, deadline=None, database=None, phases=[hypothesis.Phase.generate]
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=budget)
