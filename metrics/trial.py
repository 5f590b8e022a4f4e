"""Rules are tried before they are kept, in a process of their own that can be killed.

The grammar keeps expressions short and flat, but polars writes some of them out many times:
`1 / NULLIF(..)` ten times within itself is 500 characters and takes minutes. A rule that is kept
would do that in every worker, so a draft is tried first:

    check_rules()  starts `python -m metrics.trial` with the document and waits for it; only then
                   is the document compiled here
    main()         there: names each rule, compiles it and computes it for some transactions; a
                   timer of processor time, started anew for each rule, kills the process
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import polars as pl

from metrics.columns import TRANSACTION_COLUMNS
from metrics.compliance import compile_compliance
from metrics.expressions import Kind, compile_expression, kind_of
from metrics.reading import MAX_RULES
from metrics.rules import compile_metrics, ordinary
from payflow.lib.errors import ConfigurationError, Problem

#: transactions that a rule is tried on
ROWS: Final = 1_000
#: seconds of processor time that a rule may take for them; ordinary ones take 0.01
LIMIT_S: Final = 0.25
#: bytes that the process may map; it starts with a quarter of them
_MEMORY: Final = 4 * 2**30
#: seconds of the clock for all rules: the processor may be busy with something else
_PATIENCE_S: Final = 120
_ROOT: Final = Path(__file__).resolve().parents[1]
#: kind of document -> key of its rules
_RULES: Final[Mapping[str, str]] = {"metrics": "metrics", "compliance": "rules"}
_COMPILERS: Final = {"metrics": compile_metrics, "compliance": compile_compliance}
_TYPES: Final[Mapping[str, pl.DataType]] = {
    Kind.TEXT: pl.String(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.INTEGER: pl.Int64(),
    Kind.FLOAT: pl.Float64(),
}


def check_rules(
    kind: str, document: Mapping[str, Any], *, attributes: Mapping[str, pl.DataType]
) -> None:
    """Try every rule of a draft apart from this process, then compile it.

    `kind` is metrics or compliance. Raises ConfigurationError: with the pointer to the first rule
    that takes too long or ends the process, else with every problem that the compiler finds.
    """
    rules = document.get(_RULES[kind])
    if isinstance(rules, list) and len(rules) > MAX_RULES:  # which the compiler says at once
        _COMPILERS[kind](document, attributes=attributes)
    request = {
        "kind": kind,
        "rules": rules,
        "attributes": {name: kind_of(dtype) for name, dtype in attributes.items()},
        "limit_s": LIMIT_S,
    }
    try:
        _pass(json.dumps(request))
    except ConfigurationError as exc:
        first = exc.problems[0]
        raise _refused(first.pointer, _of_rule(request["rules"], first)) from exc
    _COMPILERS[kind](document, attributes=attributes)


def _of_rule(rules: Any, problem: Problem) -> str:
    """The message with the name of the rule that the pointer counts."""
    number = problem.pointer.rpartition("/")[2]
    entry = rules[int(number)] if number else None
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return f"{name}: {problem.message}" if isinstance(name, str) else problem.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One expression of a document that has no rules."""

    #: JSON pointer to it
    pointer: str
    text: str


def try_expressions(trials: Sequence[Trial], *, columns: Mapping[str, pl.DataType]) -> None:
    """Try valid expressions over these columns as rules are tried.

    Raises ConfigurationError with the pointer to the first that takes too long.
    """
    if not trials:
        return
    kinds = {name: kind_of(dtype) for name, dtype in {**columns, **TRANSACTION_COLUMNS}.items()}
    request = {
        "kind": "metrics",
        "rules": [_as_rule(number, trial.text, kinds) for number, trial in enumerate(trials)],
        "attributes": {
            name: kind for name, kind in kinds.items() if name not in TRANSACTION_COLUMNS
        },
        "limit_s": LIMIT_S,
    }
    try:
        _pass(json.dumps(request))
    except ConfigurationError as exc:
        first = exc.problems[0]
        number = first.pointer.rpartition("/")[2]
        pointer = trials[int(number)].pointer if number else ""
        raise _refused(pointer, first.message) from exc


def _as_rule(number: int, text: str, kinds: Mapping[str, Kind]) -> dict[str, str]:
    """A metric rule that computes an expression, whatever it gives."""
    kind = compile_expression(text, kinds).kind
    formula = {Kind.BOOLEAN: ("where", text), Kind.TEXT: ("where", f"{text} <> ''")}
    key, value = formula.get(kind, ("value", text))
    return {"name": f"trial_{number}", "description": "tried", "type": "COUNTER", key: value}


@lru_cache(maxsize=64)
def _pass(request: str) -> None:
    """Raises ConfigurationError; what has passed once in this process is not tried again."""
    # of the environment it needs nothing, least of all its secrets
    environment = {"PATH": os.environ.get("PATH", ""), "POLARS_MAX_THREADS": "1"}
    try:
        child = subprocess.run(
            [sys.executable, "-m", "metrics.trial"],
            input=request,
            capture_output=True,
            text=True,
            cwd=_ROOT,
            env=environment,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise _refused(
            "", f"could not be tried within {_PATIENCE_S} s: is the machine busy?"
        ) from exc
    if child.returncode == 0:
        return
    begun = child.stdout.split()
    if not begun:
        raise _refused("", f"could not be tried: the process ended with {child.returncode}")
    if child.returncode == -signal.SIGPROF:
        raise _refused(
            begun[-1],
            f"takes more than {LIMIT_S:g} s to compute for {ROWS:,} transactions; it is nested too "
            "deeply",
        )
    raise _refused(begun[-1], "takes more memory than there is, or makes polars crash")


def _refused(pointer: str, message: str) -> ConfigurationError:
    return ConfigurationError(Problem(pointer=pointer, message=message))


def main() -> None:
    """Read a request and try its rules one by one; each is named on the output before."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    attributes = {name: _TYPES[kind] for name, kind in request["attributes"].items()}
    entries = request["rules"]
    _try("metrics", {}, attributes)  # what polars does once only, and the built-in rules
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        sys.stdout.write(f"/{_RULES[request['kind']]}/{number}\n")
        sys.stdout.flush()
        signal.setitimer(signal.ITIMER_PROF, request["limit_s"])
        _try(request["kind"], {_RULES[request["kind"]]: [entry]}, attributes)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _try(kind: str, document: Mapping[str, Any], attributes: Mapping[str, pl.DataType]) -> None:
    columns = ordinary({**attributes, **TRANSACTION_COLUMNS}, rows=ROWS)
    try:
        if kind == "metrics":
            compile_metrics(document, attributes=attributes).extract(columns)
        else:
            rules = compile_compliance(document, attributes=attributes)
            rules.find(columns.with_row_index("ordinal"))
    except ConfigurationError:
        return


if __name__ == "__main__":
    main()
