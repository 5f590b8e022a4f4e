"""YAML files of simulations: read, checked, and read again when they change.

`${NAME}` in a text stands for the environment variable NAME (or the file that NAME_FILE names).
What must stay secret is written so; messages of errors name the key and the rule, never the value.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from payflow.lib.env import BadEnvironment, read_str
from payflow.lib.errors import ConfigurationError, Problem
from simulator.config import SimulatorConfig

SCENARIOS = Path(__file__).parent / "scenarios"
_REFERENCE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
#: keys that may hold a password
_SECRET = ("connection_string",)


def load(path: Path) -> SimulatorConfig:
    """The configuration in a file. Raises ConfigurationError with every problem and its place."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigurationError(Problem(pointer="", message=f"{path}: {reason}")) from exc
    return parse(text)


def parse(text: str) -> SimulatorConfig:
    """The configuration in a YAML text; raises ConfigurationError."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "this text"
        message = f"not YAML: {getattr(exc, 'problem', None) or 'unreadable'} ({place})"
        raise ConfigurationError(Problem(pointer="", message=message)) from None
    if not isinstance(document, dict) or list(document) != ["simulator"]:
        message = "the file has one key, simulator, and everything is below it"
        raise ConfigurationError(Problem(pointer="", message=message))
    problems: list[Problem] = []
    content = _resolve(document["simulator"] or {}, "/simulator", problems)
    if problems:
        raise ConfigurationError(problems)
    try:
        return SimulatorConfig.model_validate(content)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_input=False, include_context=False)
        raise ConfigurationError(
            [_problem(error["loc"], error["msg"]) for error in errors]
        ) from None


def scenarios() -> dict[str, SimulatorConfig]:
    """The shipped scenarios by name, in the order of their files."""
    paths = sorted(SCENARIOS.glob("*.yaml"))
    return {path.stem.partition("-")[2]: load(path) for path in paths}


class WatchedFile:
    """A configuration file that a person may change while a simulation runs."""

    def __init__(self, path: Path) -> None:
        """Reads it; raises ConfigurationError."""
        self.path = path
        self._seen = self._stamp()
        self.config = load(path)

    def changed(self) -> SimulatorConfig | None:
        """The new content, if there is any since the last time.

        Raises ConfigurationError, once for each change, when it is wrong: the old one goes on.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        self.config = load(self.path)
        return self.config

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _problem(place: tuple[int | str, ...], message: str) -> Problem:
    pointer = "".join(f"/{part}" for part in ("simulator", *place))
    return Problem(pointer=pointer, message=message.removeprefix("Value error, "))


def _resolve(value: Any, pointer: str, problems: list[Problem]) -> Any:
    """The value with every reference replaced; what cannot be is added to the problems."""
    if isinstance(value, dict):
        return {key: _resolve(item, f"{pointer}/{key}", problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, f"{pointer}/{n}", problems) for n, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    name = pointer.rpartition("/")[2]
    if name in _SECRET:
        # It stays a reference, which whoever connects resolves: no secret is ever held here.
        if match := _REFERENCE.fullmatch(value):
            return f"env:{match[1]}"
        message = "may hold a password: write ${NAME} and set the variable NAME"
        problems.append(Problem(pointer=pointer, message=message))
        return value
    return _REFERENCE.sub(lambda match: _read(match[1], pointer, problems), value)


def _read(name: str, pointer: str, problems: list[Problem]) -> str:
    try:
        return read_str(name)
    except BadEnvironment as exc:
        problems.append(Problem(pointer=pointer, message=str(exc)))
        return ""
