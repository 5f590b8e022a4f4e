"""Looking at a connection step by step, so that a person learns which one fails and what to do."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from ingestion.sources.base import ConnectionStep

#: of all steps of a source together
LIMIT_S: Final = 10.0
#: of one connection attempt
CONNECT_S: Final = 4.0


class StepFailed(Exception):
    """A step does not hold; the text says what is wrong and what to do, without a secret."""


def look_in_order(
    steps: Sequence[tuple[str, Callable[[], str]]], *, limit_s: float = LIMIT_S
) -> list[ConnectionStep]:
    """Look at each step until one fails; those behind it are not looked at. Never raises.

    A look returns what it found, or raises StepFailed; of any other error only the class is told,
    as its text may hold a secret. Looks run in a thread: not every one can be told to hurry.
    """
    deadline = time.monotonic() + limit_s
    found: list[ConnectionStep] = []
    for name, look in steps:
        if found and not found[-1].is_ok:
            found.append(ConnectionStep(name=name, is_ok=None))
        else:
            found.append(_look(name, look, wait_s=deadline - time.monotonic()))
    return found


def _look(name: str, look: Callable[[], str], *, wait_s: float) -> ConnectionStep:
    answers: list[ConnectionStep] = []

    def run() -> None:
        try:
            answers.append(ConnectionStep(name=name, is_ok=True, detail=look()))
        except StepFailed as exc:
            answers.append(ConnectionStep(name=name, is_ok=False, detail=str(exc)))
        except Exception as exc:  # noqa: BLE001  whatever a client library raises is an answer
            detail = f"It failed with {type(exc).__name__}."
            answers.append(ConnectionStep(name=name, is_ok=False, detail=detail))

    thread = threading.Thread(target=run, name=f"look-{name}", daemon=True)
    thread.start()
    thread.join(max(0.0, wait_s))
    if answers:
        return answers[0]
    detail = "There was no answer in time: look at the network between here and the broker."
    return ConnectionStep(name=name, is_ok=False, detail=detail)


def look_up(host: str, port: int) -> str:
    """DNS: the addresses behind a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise StepFailed(
            f"The name {host} is not known here: look for a typing error, or for DNS in between."
        ) from exc
    addresses = sorted({str(entry[4][0]) for entry in found})
    if addresses == [host]:
        return f"{host} is an address, no name."
    return f"{host} is {', '.join(addresses[:3])}."


def open_tcp(host: str, port: int) -> str:
    """TCP: whether somebody takes a connection."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except ConnectionRefusedError as exc:
        raise StepFailed(f"Nobody listens on port {port} of {host}.") from exc
    except OSError as exc:
        raise StepFailed(
            f"No connection to port {port} of {host} ({type(exc).__name__}): a firewall?"
        ) from exc
    return f"Port {port} of {host} is open."


def open_tls(host: str, port: int, *, context: ssl.SSLContext) -> str:
    """TLS: whether the certificate is one to trust."""
    try:
        with (
            socket.create_connection((host, port), timeout=CONNECT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            version = secured.version()
    except ssl.SSLCertVerificationError as exc:
        raise StepFailed(
            f"The certificate of {host} is not trusted: {exc.verify_message}."
        ) from exc
    except OSError as exc:
        reason = exc.reason if isinstance(exc, ssl.SSLError) else type(exc).__name__
        raise StepFailed(
            f"Port {port} of {host} does not speak TLS as expected ({reason})."
        ) from exc
    return f"{version} with a trusted certificate."
