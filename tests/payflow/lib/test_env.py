from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from payflow.lib import env


def test_unset_variable_is_named():
    """A required variable that is unset is named in the error, with its _FILE form."""
    with pytest.raises(env.BadEnvironment, match=r"PAYFLOW_X is not set .*PAYFLOW_X_FILE"):
        env.read_str("PAYFLOW_X")


def test_empty_is_unset(monkeypatch):
    """An empty or blank value counts as unset: the default holds."""
    monkeypatch.setenv("PAYFLOW_X", "  ")

    assert env.read_str("PAYFLOW_X", default="d") == "d"
    assert env.read_int("PAYFLOW_X", default=3) == 3
    assert env.read_bool("PAYFLOW_X", default=True) is True
    assert env.read_list("PAYFLOW_X", default=["a"]) == ["a"]


@pytest.mark.parametrize(
    ("reader", "value", "rule"),
    [
        (lambda: env.read_int("PAYFLOW_X"), "5s3cret", "whole number"),
        (lambda: env.read_int("PAYFLOW_X", minimum=3), "2", "at least 3"),
        (lambda: env.read_int("PAYFLOW_X", maximum=3), "4", "at most 3"),
        (lambda: env.read_bool("PAYFLOW_X", default=False), "5s3cret", "true or false"),
        (lambda: env.read_str("PAYFLOW_X", choices=("a", "b")), "5s3cret", "one of a, b"),
    ],
)
def test_bad_value_names_variable_and_rule_not_the_value(monkeypatch, reader, value, rule):
    """A bad value is refused with the variable and the rule; the value may be a secret."""
    monkeypatch.setenv("PAYFLOW_X", value)

    with pytest.raises(env.BadEnvironment, match=f"PAYFLOW_X must be .*{rule}") as raised:
        reader()

    assert "5s3cret" not in str(raised.value)


@pytest.mark.parametrize(("word", "value"), [("TRUE", True), ("1", True), ("off", False)])
def test_bool_words(monkeypatch, word, value):
    """Booleans are words in any case."""
    monkeypatch.setenv("PAYFLOW_X", word)

    assert env.read_bool("PAYFLOW_X", default=not value) is value


def test_list_is_split_at_commas(monkeypatch):
    """Blanks and empty parts of a list do not count."""
    monkeypatch.setenv("PAYFLOW_X", "a, b,,")

    assert env.read_list("PAYFLOW_X") == ["a", "b"]


def test_value_from_file(monkeypatch, tmp_path):
    """NAME_FILE gives the value without the line end."""
    (tmp_path / "secret").write_text("s3cret\n")
    monkeypatch.setenv("PAYFLOW_X_FILE", str(tmp_path / "secret"))

    assert env.read_secret("PAYFLOW_X") == "s3cret"


def test_value_and_file_at_once_are_refused(monkeypatch, tmp_path):
    """Two sources of one value are a mistake, not a precedence rule."""
    monkeypatch.setenv("PAYFLOW_X", "a")
    monkeypatch.setenv("PAYFLOW_X_FILE", str(tmp_path / "secret"))

    with pytest.raises(env.BadEnvironment, match="both set"):
        env.read_str("PAYFLOW_X")


def test_missing_file_is_named_by_its_variable(monkeypatch, tmp_path):
    """A _FILE that cannot be read is an error that names the variable."""
    monkeypatch.setenv("PAYFLOW_X_FILE", str(tmp_path / "nowhere"))

    with pytest.raises(env.BadEnvironment, match="PAYFLOW_X_FILE cannot be read"):
        env.read_str("PAYFLOW_X", default="d")


def test_secret_without_fallback_must_be_set():
    """A secret is never made up silently unless the caller names a file to keep it in."""
    with pytest.raises(env.BadEnvironment, match="PAYFLOW_X is not set"):
        env.read_secret("PAYFLOW_X")


def test_secret_is_generated_once_and_private(tmp_path):
    """Sixteen at once get the same secret; its file is readable by its owner only."""
    path: Path = tmp_path / "new" / "secret"

    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(env.generated_secret, [path] * 16))

    assert len(secrets) == 1
    assert len(secrets.pop()) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_empty_secret_file_is_refused(tmp_path):
    """An emptied secret file is an error: an empty key would be accepted everywhere."""
    (tmp_path / "secret").write_text("\n")

    with pytest.raises(env.BadEnvironment, match="is empty"):
        env.generated_secret(tmp_path / "secret")
