"""Rules that are too slow to keep are found in a process that can be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

import metrics
from configuration.models import ConfigurationVersion
from metrics import trial
from metrics.columns import COMMON_ATTRIBUTES
from payflow.lib.errors import ConfigurationError

RULE_SETS = Path(metrics.__file__).parent / "rule_sets"
GOOD: dict[str, Any] = {"name": "good", "description": "A good rule.", "type": "COUNTER"}
FINDS: dict[str, Any] = {
    "name": "finds",
    "description": "Finds.",
    "family": "aml",
    "severity": "low",
    "evidence": ["amount"],
}


def heavy(depth: int) -> str:
    """Short for the grammar; polars writes the inner part out four times per level."""
    formula = "amount"
    for _ in range(depth):
        formula = f"1 / NULLIF({formula}, 3)"
    return formula


def check(kind: str, *rules: dict[str, Any]) -> None:
    key = "metrics" if kind == "metrics" else "rules"
    trial.check_rules(kind, {key: list(rules)}, attributes=COMMON_ATTRIBUTES)


@pytest.mark.parametrize(
    ("kind", "rules", "pointer"),
    [
        ("metrics", [GOOD, {**GOOD, "name": "slow", "value": heavy(10)}], "/metrics/1"),
        ("metrics", [{**GOOD, "where": f"{heavy(10)} > 1"}, GOOD], "/metrics/0"),
        ("compliance", [{**FINDS, "where": f"{heavy(10)} > 1"}], "/rules/0"),
    ],
)
def test_a_rule_that_takes_too_long_is_refused_with_its_place(kind, rules, pointer):
    """It would take minutes; the answer is there at once and names the rule."""
    start = time.monotonic()

    with pytest.raises(ConfigurationError) as caught:
        check(kind, *rules)

    (problem,) = caught.value.problems
    assert problem.pointer == pointer
    assert problem.message.startswith(f"{rules[int(pointer[-1])]['name']}: ")
    assert "takes more than 0.25 s to compute for 1,000 transactions" in problem.message
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "formula",
    ["+".join(["amount"] * 149), heavy(3), "amount + " + " + ".join("1" for _ in range(140))],
)
def test_the_longest_rules_that_the_grammar_takes_are_kept(formula):
    """Length alone is no reason."""
    check("metrics", {**GOOD, "value": formula})


def test_what_the_compiler_refuses_is_said_as_always():
    """Rules with mistakes are not tried; every mistake is named."""
    with pytest.raises(ConfigurationError) as caught:
        check("metrics", {**GOOD, "value": "nope"}, {"name": "x"}, "no rule")  # type: ignore[arg-type]

    assert [problem.pointer for problem in caught.value.problems] == [
        "/metrics/0/value",
        "/metrics/1/description",
        "/metrics/1/type",
        "/metrics/2",
    ]


@pytest.fixture
def started(monkeypatch) -> list[dict[str, Any]]:
    """The options of every process that is started."""
    options: list[dict[str, Any]] = []
    run = subprocess.run

    def start(*command: Any, **given: Any) -> Any:
        options.append(given)
        return run(*command, **given)

    monkeypatch.setattr(subprocess, "run", start)
    return options


def test_more_rules_than_there_may_be_are_not_tried_at_all(started):
    """Trying them would take until the patience is over."""
    with pytest.raises(ConfigurationError, match="at most 500 are allowed"):
        trial.check_rules("metrics", {"metrics": [GOOD] * 501}, attributes=COMMON_ATTRIBUTES)

    assert not started


def test_what_has_passed_is_not_tried_again(started):
    """One process per draft: saving it again costs nothing; a refusal is not remembered."""
    rule = {**GOOD, "description": "Of this test alone."}

    check("metrics", rule)
    check("metrics", rule)

    assert len(started) == 1
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            check("metrics", {**rule, "value": heavy(10)})
    assert len(started) == 3


def test_the_process_gets_no_secrets(monkeypatch, started):
    """Its environment has what Python needs and nothing else."""
    monkeypatch.setenv("SECRET_KEY", "hush")

    check("metrics", {**GOOD, "description": "Of another test alone."})

    (options,) = started
    assert set(options["env"]) == {"PATH", "POLARS_MAX_THREADS"}


@pytest.mark.parametrize(
    ("kind", "message", "child"),
    [
        ("metrics", "could not be tried", "raise SystemExit(3)"),
        ("metrics", "more memory than there is", "print('/metrics/0', flush=True); os.abort()"),
    ],
)
def test_a_process_that_ends_otherwise_refuses_the_draft(monkeypatch, kind, message, child):
    """No answer is no consent: what was not tried to its end is not kept."""
    run = subprocess.run
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda _command, **k: run([sys.executable, "-c", f"import os; {child}"], **k),
    )

    with pytest.raises(ConfigurationError, match=message):
        check(kind, {**GOOD, "description": f"{message} in this test."})


def test_a_busy_machine_is_named(monkeypatch):
    """A process that does not end in time is killed, and the draft is refused."""
    monkeypatch.setattr(trial, "_PATIENCE_S", 0.01)

    with pytest.raises(ConfigurationError, match="is the machine busy"):
        check("metrics", {**GOOD, "description": "Of a third test alone."})


def test_a_formula_beyond_every_cap_is_killed_too():
    """Five thousand terms, which the grammar refuses, take polars minutes: the timer ends them."""
    request = {
        "kind": "metrics",
        "rules": [{**GOOD, "value": "+".join(["1"] * 5_000)}],
        "attributes": {},
        "limit_s": 0.25,
    }
    lifted = (
        "from metrics import trial; from metrics.expressions import grammar, tokens;"
        "tokens.MAX_LENGTH = tokens.MAX_TOKENS = grammar.MAX_WRITTEN = 10**9; trial.main()"
    )

    child = subprocess.run(
        [sys.executable, "-c", lifted],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert child.stdout == "/metrics/0\n"
    assert child.returncode == -signal.SIGPROF


@pytest.mark.parametrize(("kind", "name"), [("metrics", "default"), ("compliance", "compliance")])
def test_the_shipped_rules_are_far_from_the_limit(monkeypatch, kind, name):
    """They pass with half of the time."""
    monkeypatch.setattr(trial, "LIMIT_S", trial.LIMIT_S / 2)
    document = yaml.safe_load((RULE_SETS / f"{name}.yaml").read_text(encoding="utf-8"))

    trial.check_rules(kind, document, attributes=COMMON_ATTRIBUTES)


@pytest.mark.usefixtures("ready")
def test_the_command_refuses_a_slow_rule(tmp_path):
    """`manage.py configure import` names the rule, and no version is made."""
    path = tmp_path / "slow.yaml"
    rule = {**GOOD, "value": heavy(10)}
    path.write_text(yaml.safe_dump({"name": "slow", "metrics": [rule]}), encoding="utf-8")

    with pytest.raises(CommandError, match=r"line \d+, /metrics/0: good: takes more than"):
        call_command("configure", "import", str(path))

    assert not ConfigurationVersion.objects.filter(name="slow").exists()
