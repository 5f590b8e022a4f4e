"""A way through the network that a test can cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Relay:
    """A port of this machine that leads to another one."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = 0
        self.join()

    def join(self) -> None:
        """Let connections through, on the same port as before."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._open.append(listener)
        self._start(self._listen, listener)

    def cut(self) -> None:
        """End every connection and take no more."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for each in self._open:
            each.close()
        self._open.clear()
        self._threads.clear()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _listen(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._upstream))
                self._open += [near, far]
                self._start(_copy, near, far)
                self._start(_copy, far, near)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until either end is gone."""
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
