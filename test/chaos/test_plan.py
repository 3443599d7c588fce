"""A seed is a plan of faults; and what is measured of recovery is what is said of it."""

import itertools
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"), str(HERE.parent / "contract")]

import faults  # noqa: E402
import plan  # noqa: E402
import recovery  # noqa: E402
import rolling  # noqa: E402


def strikes(seed, n, minutes=5, only=()):
    return list(itertools.islice(plan.make(seed, minutes, only), n))


def test_a_seed_is_one_plan():
    assert strikes(7, 200) == strikes(7, 200)
    assert strikes(7, 200) != strikes(8, 200)


def test_each_kind_strikes_early_and_each_target_in_turn():
    struck = [fault for strike in strikes(1, 1000) for fault in strike.faults]
    assert {fault.kind for fault in struck[:len(plan.KINDS) + 3]} == set(plan.KINDS)
    for kind, (targets, _) in plan.KINDS.items():
        several = [fault.target for fault in struck if fault.kind == kind]
        assert len(several) < len(targets) or set(several) == set(targets), kind


def test_what_waits_for_its_program_strikes_first():
    several = [strike.faults for strike in strikes(1, 1000) if len(strike.faults) > 1]
    assert any(faults[0].kind in plan.FIRST for faults in several)
    assert all(faults[0].kind in plan.FIRST or faults[1].kind not in plan.FIRST
               for faults in several)


def test_every_kind_can_be_done():
    assert set(plan.KINDS) == set(faults.FAULTS)


def test_times_are_within_what_is_said():
    for strike in strikes(3, 500, minutes=60):
        assert plan.PAUSE_S[0] <= strike.pause_s <= plan.PAUSE_S[1]
        for fault in strike.faults:
            assert plan.HOLD_S[0] <= fault.hold_s <= plan.HOLD_S[1] or \
                (fault.kind, fault.hold_s) == ("stop", plan.LONG_HOLD_S)


def test_long_holds_are_of_long_runs():
    def longest(minutes):
        return max(fault.hold_s for strike in strikes(3, 500, minutes) for fault in strike.faults)

    assert longest(60) == plan.LONG_HOLD_S and longest(5) <= plan.HOLD_S[1]


def test_only_some_kinds_may_be_asked_for():
    struck = [fault for strike in strikes(5, 100, only=("kill",)) for fault in strike.faults]
    assert {fault.kind for fault in struck} == {"kill"}


def test_only_some_targets_may_be_asked_for():
    struck = [fault for strike in strikes(5, 100, only=("kill", "disk", "broker"))
              for fault in strike.faults]
    assert {(fault.kind, fault.target) for fault in struck} == {("kill", "broker"),
                                                                ("disk", "broker")}


# ---- recovery ------------------------------------------------------------------------------------

def call(name, t, took, status=200, gateway="gateway0", **more):
    return {"call": name, "t": t, "r": t + took, "status": status, "gateway": gateway} | more


FAULT = {"kind": "kill", "target": "worker0", "struck": 10.0, "healing": 12.0, "healed": 12.1,
         "alone": True, "recovered": True}
CALLS = [call("rows", 11.9, 0.2), call("rows", 12.5, 0.5, 503), call("rows", 13, 2.5),
         call("rows", 13.2, 0.1, "left"), call("rows", 14, 0.25),
         call("submit", 12.5, 0.5, 202, doc={"id": "a"}),
         call("submit", 13, 0.1, 202, "gateway1", doc={"id": "b"}),
         call("result", 13, 3, id="a"), call("result", 14, 0.5, 200, "gateway1", id="b")]


def measured(calls=CALLS, **changes):
    return list(recovery.measure(calls, [FAULT | changes]))


def test_recovery_is_from_healing_to_the_first_good_answer():
    [(kind, target, figures)] = measured()
    assert (kind, target) == ("kill", "worker")
    assert figures["rows"] == 2.25  # asked for before, refused and late ones do not count
    assert figures["submit"] == 1.0
    assert figures["job"] is None
    assert figures["new job"] == 2.5
    assert figures["last bad"] == 1.0


def test_recovery_of_a_gateway_is_of_what_it_was_asked():
    [(_, _, figures)] = measured(target="gateway1")
    assert abs(figures["submit"] - 1.1) < 1e-9 and figures["rows"] is None


def test_a_restart_counts_from_when_it_strikes():
    [(_, _, figures)] = measured(kind="term")
    assert figures["rows"] == 2.1 or abs(figures["rows"] - 2.1) < 1e-9


def test_what_strikes_together_or_in_haste_is_not_measured():
    assert measured(alone=False) == [] and measured(recovered=None) == []


def test_the_next_fault_is_not_held_against_this_one():
    faults_done = [FAULT, FAULT | {"struck": 13.5, "healing": 20.0, "alone": False}]
    [(_, _, figures)] = recovery.measure(CALLS, faults_done)
    # The rows that were asked for at 13 s came at 15.5 s, when the next fault held.
    assert figures["rows"] is None and figures["last bad"] == 0.5


def test_the_table_has_median_and_worst():
    lines = list(recovery.table(measured() + measured(healing=11.0)))
    assert "1.50 / 2.00" in lines[1]  # of submit


# ---- rolling restarts ----------------------------------------------------------------------------

def test_whatever_is_not_answered_well_has_failed_in_a_rolling_restart():
    calls = [call("rows", 1, 1), call("submit", 2, 1, 202), call("rows", 3, 1, 503),
             call("rows", 4, 1, "broken"), call("submit", 5, 1, 422, differs=True),
             call("submit", 6, 1, 422)]
    assert list(rolling.failed(rolling.chaos.past.History(calls, {}))) == \
        [calls[2], calls[3], calls[5]]
