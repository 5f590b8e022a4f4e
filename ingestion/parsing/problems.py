"""Everything that is wrong with a configuration document, collected in one pass."""

from __future__ import annotations

from typing import Any

from payflow.lib.errors import ConfigurationError, Problem


class Problems:
    """A growing list of problems, each at its JSON pointer (RFC 6901)."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, pointer: str, message: str) -> None:
        """Note one problem."""
        self._found.append(Problem(pointer=pointer, message=message))

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raise ConfigurationError with all of them."""
        if self._found:
            raise ConfigurationError(self._found)

    @staticmethod
    def below(pointer: str, name: Any) -> str:
        """The pointer of a member of what the pointer names."""
        return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
