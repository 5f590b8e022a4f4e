"""Environment readers that fail loudly and name the variable.

Every variable NAME may instead be given as NAME_FILE, the path of a file that holds the value (as
Docker and Kubernetes mount secrets), or stand in an Azure Key Vault: `NAME=keyvault:SECRET`
(payflow/lib/vault.py). An empty value counts as unset. An error names the variable and the rule,
never the value: it may be a secret.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from payflow.lib.errors import Permanent

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_VAULT = "keyvault:"


class BadEnvironment(Permanent):
    """An environment variable is missing or holds what it must not."""


def read_str(name: str, *, default: str | None = None, choices: Sequence[str] = ()) -> str:
    """The variable's text. Raises BadEnvironment if unset without default or not in `choices`."""
    value = _raw(name)
    if value is None:
        if default is None:
            raise BadEnvironment(f"{name} is not set (or {name}_FILE, a file holding the value).")
        return default
    if choices and value not in choices:
        raise BadEnvironment(f"{name} must be one of {', '.join(choices)}.")
    return value


def read_int(
    name: str, *, default: int | None = None, minimum: int | None = None, maximum: int | None = None
) -> int:
    """A whole number within the bounds (both included)."""
    value = _raw(name)
    if value is None:
        if default is None:
            raise BadEnvironment(f"{name} is not set; it must be a whole number.")
        return default
    try:
        number = int(value)
    except ValueError:
        raise BadEnvironment(f"{name} must be a whole number.") from None
    if minimum is not None and number < minimum:
        raise BadEnvironment(f"{name} must be at least {minimum}.")
    if maximum is not None and number > maximum:
        raise BadEnvironment(f"{name} must be at most {maximum}.")
    return number


def read_bool(name: str, *, default: bool) -> bool:
    """1/true/yes/on or 0/false/no/off, in any case."""
    value = _raw(name)
    if value is None:
        return default
    word = value.lower()
    if word not in _TRUE | _FALSE:
        raise BadEnvironment(f"{name} must be true or false.")
    return word in _TRUE


def read_list(name: str, *, default: Sequence[str] = ()) -> list[str]:
    """Comma-separated values, blanks around them removed, empty ones left out."""
    value = _raw(name)
    if value is None:
        return list(default)
    return [part.strip() for part in value.split(",") if part.strip()]


def read_secret(name: str, *, fallback_file: Path | None = None) -> str:
    """The variable, else the content of `fallback_file`, which is generated once (mode 0600).

    Without a fallback an unset secret raises BadEnvironment.
    """
    value = _raw(name)
    if value is not None:
        return value
    if fallback_file is None:
        raise BadEnvironment(f"{name} is not set (or {name}_FILE, a file holding the value).")
    return generated_secret(fallback_file)


def generated_secret(path: Path) -> str:
    """The secret in `path`; 64 random URL-safe characters are written there the first time.

    Safe when several processes ask at once (the first one wins), and never half written.
    """
    try:
        return _content(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    write_private(draft, secrets.token_urlsafe(48) + "\n")
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return _content(path)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, 0o600)
        file.write(text)


def _content(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except PermissionError as exc:
        raise BadEnvironment(f"The secret file {path} belongs to another user.") from exc
    if not text:
        raise BadEnvironment(f"The secret file {path} is empty; delete it to have a new one made.")
    return text


def _raw(name: str) -> str | None:
    value = os.environ.get(name, "").strip()
    file = os.environ.get(f"{name}_FILE", "").strip()
    if value and file:
        raise BadEnvironment(f"{name} and {name}_FILE are both set; keep one of them.")
    if value.startswith(_VAULT) and name != "PAYFLOW_KEYVAULT_URL":
        return _from_vault(name, value)
    if not file:
        return value or None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except OSError as exc:
        raise BadEnvironment(f"{name}_FILE cannot be read: {exc.strerror}.") from exc


def _from_vault(name: str, reference: str) -> str:
    # vault.py reads its own address with this module
    from payflow.lib.vault import read_vault_secret  # noqa: PLC0415

    try:
        return read_vault_secret(reference)
    except BadEnvironment as exc:
        raise BadEnvironment(f"{name} cannot be read: {exc}") from exc
