"""Publishing to files and to standard output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from payflow.lib.errors import SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage
from payflow.lib.publish.factory import create_publisher
from payflow.lib.publish.file import FilePublisher, StdoutPublisher


def _messages(*bodies: bytes) -> list[OutgoingMessage]:
    return [OutgoingMessage(body=body) for body in bodies]


def test_a_message_is_a_line(tmp_path: Path):
    """Bytes as they are; what the file held before is gone."""
    path = tmp_path / "out.ndjson"
    path.write_text("old")

    with create_publisher("file", SimpleNamespace(path=str(path))) as publisher:
        publisher.publish(_messages(b'{"a":1}', b"\xff"))
        publisher.publish(_messages(b"{}"))

    assert path.read_bytes() == b'{"a":1}\n\xff\n{}\n'
    assert publisher.published == 3


def test_a_body_with_a_line_feed_is_refused(tmp_path: Path):
    """It would become two messages."""
    with FilePublisher(tmp_path / "x") as publisher, pytest.raises(ValueError, match="line feed"):
        publisher.publish(_messages(b"{}", b"a\nb"))

    assert (tmp_path / "x").read_bytes() == b""


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path):
    """The directory is missing."""
    with pytest.raises(SourceUnavailable, match="No such file or directory"):
        FilePublisher(tmp_path / "none" / "x").connect()


def test_half_a_chunk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After a full disk the caller goes on where `published` stands, and no line is torn."""
    path = tmp_path / "x"
    with FilePublisher(path) as publisher:
        publisher.publish(_messages(b"1"))
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", _no_space)
            with pytest.raises(SourceUnavailable, match="No space left"):
                publisher.publish(_messages(b"2", b"3"))
        assert path.read_bytes() == b"1\n"
        publisher.publish(_messages(b"2", b"3"))

    assert path.read_bytes() == b"1\n2\n3\n"
    assert publisher.published == 3


def _no_space(_fd: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_device_is_a_file_too():
    """/dev/null cannot be synced, and need not be."""
    with FilePublisher("/dev/null") as publisher:
        publisher.publish(_messages(b"1"))

    assert publisher.published == 1


def test_standard_output_gets_lines(capfd: pytest.CaptureFixture[str]):
    """For pipes."""
    with StdoutPublisher() as publisher:
        publisher.publish(_messages(b"1", b"2"))

    assert capfd.readouterr().out == "1\n2\n"


def test_a_closed_pipe_is_an_error_of_its_own():
    """Waiting would not bring the reader back."""
    program = (
        "from payflow.lib.publish.base import OutgoingMessage\n"
        "from payflow.lib.publish.file import StdoutPublisher\n"
        "try:\n"
        "    while True: StdoutPublisher().publish([OutgoingMessage(body=b'x' * 65536)])\n"
        "except BrokenPipeError: raise SystemExit(7)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None

    child.stdout.read(10)
    child.stdout.close()

    assert child.wait(timeout=20) == 7
    assert child.stderr.read() == b""
    child.stderr.close()
