"""Reading a source's settings: every bad field is named at once, with its value and the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from payflow.lib.errors import ConfigurationError, Problem


class SettingsReader:
    """Takes fields out of a settings document and collects what is wrong; `finish` raises it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._known: set[str] = set()
        self._problems: list[Problem] = []

    def text(self, field: str, *, default: str | None = None, max_length: int = 1024) -> str:
        """A non-empty text; without a default it is required."""
        value = self._take(field, default)
        if not isinstance(value, str) or not 1 <= len(value) <= max_length:
            self.refuse(field, f"it must be a text of 1 to {max_length} characters")
            return ""
        return value

    def optional_text(self, field: str, *, max_length: int = 1024) -> str:
        """A text that may be left out or be null; "" then."""
        if self._take(field, None) is None:
            return ""
        return self.text(field, max_length=max_length)

    def mapping(self, field: str) -> dict[str, Any]:
        """Names with values, not looked at any further; {} when it is left out."""
        value = self._take(field, None)
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            self.refuse(field, "it must be names with values")
            return {}
        return dict(value)

    def number(self, field: str, *, default: int, minimum: int, maximum: int) -> int:
        """A whole number within the bounds, both included."""
        value = self._take(field, default)
        if type(value) is not int or not minimum <= value <= maximum:
            self.refuse(field, f"it must be a whole number from {minimum:,} to {maximum:,}")
            return default
        return value

    def choice(self, field: str, *, default: str, choices: Sequence[str]) -> str:
        """One of the words."""
        value = self._take(field, default)
        if value not in choices:
            self.refuse(field, f"it must be one of {', '.join(choices)}")
            return default
        return str(value)

    def refuse_inside(self, field: str, name: str, message: str) -> None:
        """Note what is wrong with one name of a mapping."""
        self._problems.append(Problem(pointer=f"/settings/{field}/{name}", message=message))

    def refuse(self, field: str, rule: str, *, secret: bool = False) -> None:
        """Note that a field breaks a rule; a `secret` value is not repeated."""
        if field not in self._settings:
            message = f"{field} is missing; {rule}."
        elif secret:
            message = f"{field} is refused; {rule}."
        else:
            message = f"{field} is {_shown(self._settings[field])}; {rule}."
        self._problems.append(Problem(pointer=f"/settings/{field}", message=message))

    def finish(self) -> None:
        """Raise ConfigurationError if anything was wrong or a field is unknown."""
        known = ", ".join(sorted(self._known))
        for field in self._settings.keys() - self._known:
            self._problems.append(
                Problem(
                    pointer=f"/settings/{field}",
                    message=f"{field} is not a setting of this source; it has {known}.",
                )
            )
        if self._problems:
            raise ConfigurationError(sorted(self._problems, key=lambda problem: problem.pointer))

    def _take(self, field: str, default: Any) -> Any:
        self._known.add(field)
        return self._settings.get(field, default)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
