"""Calls to a broker in a thread of their own: their order, their ends, and what a hang costs."""

from __future__ import annotations

import threading
import time

import pytest

from ingestion.broker_calls import BrokerCalls, Call
from tests.waiting import wait_until


@pytest.fixture
def calls():
    made = BrokerCalls("test", wake=threading.Event())
    yield made
    made.end()
    made.join(until=time.monotonic() + 5)


def settle_all(calls: BrokerCalls, *whats: str) -> None:
    def have_settled() -> bool:
        calls.settle()
        return not any(map(calls.is_under_way, whats))

    wait_until(have_settled)


def test_calls_run_in_the_order_in_which_they_were_begun(calls):
    """One after the other, those that nobody waits for too; answers come in the same order."""
    ran: list[str] = []
    told: list[int] = []

    def then(call: Call) -> None:
        told.append(call.number)

    calls.begin("one", lambda: ran.append("one"), then=then)
    calls.post(lambda: ran.append("two"))
    calls.begin("three", lambda: ran.append("three"), then=then)
    settle_all(calls, "one", "three")

    assert ran == ["one", "two", "three"]
    assert told == [1, 2]


def test_of_each_kind_one_call_is_under_way(calls):
    """What is asked already is not asked again before the answer was settled."""
    asked: list[int] = []
    first = calls.begin("lag", lambda: asked.append(1), then=lambda _call: None)

    assert calls.begin("lag", lambda: asked.append(2), then=lambda _call: None) == first
    settle_all(calls, "lag")

    assert asked == [1]


def test_an_error_is_the_answer_of_its_call(calls):
    """The thread lives on, also after an error of a call that nobody waits for."""
    answers: list[Call] = []

    def fails() -> None:
        raise KeyError("x")

    calls.post(fails)
    calls.begin("bad", fails, then=answers.append)
    calls.begin("good", lambda: 5, then=answers.append)
    settle_all(calls, "bad", "good")

    assert isinstance(answers[0].error, KeyError)
    assert (answers[1].result, answers[1].error) == (5, None)


def test_a_handler_that_raises_leaves_the_later_answers_for_the_next_time(calls):
    """Nothing that a broker gave is forgotten because the database failed."""
    answers: list[int] = []

    def refuses(_call: Call) -> None:
        raise OSError("the database")

    calls.begin("one", lambda: 1, then=refuses)
    calls.begin("two", lambda: 2, then=lambda call: answers.append(call.result))
    calls.do(lambda: None, patience_s=5)  # both have ended
    with pytest.raises(OSError, match="the database"):
        calls.settle()
    calls.settle()

    assert answers == [2]
    assert not calls.settle()


def test_a_call_that_hangs_costs_those_who_wait_for_nothing_no_time(calls):
    """Only the age of its silence tells."""
    hangs, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        goes_on.wait(30)

    calls.post(hang)
    assert hangs.wait(5)
    began = time.monotonic()
    calls.begin("lag", lambda: 1, then=lambda _call: None)
    calls.do(lambda: None, patience_s=0.1)
    calls.settle()
    took, silent = time.monotonic() - began, calls.silent_s
    goes_on.set()
    wait_until(lambda: calls.silent_s == 0)

    assert 0.1 <= took < 10  # whoever waited for the one that hangs, waited longer
    assert silent >= took


def test_a_handler_may_end_it_all(calls):
    """What ended beside its call is not handed over any more: settings change while calls run."""
    told: list[str] = []

    def end(_call: Call) -> None:
        told.append("first")
        calls.end()

    calls.begin("first", lambda: None, then=end)
    calls.begin("second", lambda: None, then=lambda _call: told.append("second"))
    calls.do(lambda: None, patience_s=5)

    calls.settle()

    assert told == ["first"]
