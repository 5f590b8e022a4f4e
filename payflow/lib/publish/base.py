"""What every publisher is: the other end of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """One message to be."""

    body: bytes
    #: messages of one key keep their order; None: any partition
    key: bytes | None = None
    headers: Mapping[str, str] | None = None


class Publisher(ABC):
    """Sends messages to one destination; not thread-safe. Also a context manager."""

    #: messages known to be durable since the publisher was made. After an error from `publish` the
    #: caller goes on behind them; what was on its way at that moment may arrive twice.
    published: int = 0
    #: sends that were repeated after an error; their messages may be there twice
    retried: int = 0

    @abstractmethod
    def connect(self) -> None:
        """Open the destination; raises SourceUnavailable."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; never raises."""

    @abstractmethod
    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send them in order; what is sent is durable when this returns.

        Raises BackPressure when the destination is full and SourceUnavailable when it does not
        answer; wait and go on: a lost connection is opened again by the next call. Raises
        MessageTooLarge when one can never be sent.
        """

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
