"""The bytes of one part of a message: the message with nothing but that part in its array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

#: bytes that the parts of one message may take together beyond the message itself
MAX_REPEATED: Final = 8 * 2**20
_read_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class MessageParts:
    """Cuts one message along the path of the array that was exploded."""

    def __init__(self, body: bytes, *, path: Sequence[str]) -> None:
        self._path = path
        self._around: list[Mapping[str, msgspec.Raw]] = []
        self._elements: Sequence[msgspec.Raw] = ()
        inner: bytes | msgspec.Raw = body
        try:
            for name in path:
                self._around.append(_read_object(inner))
                inner = self._around[-1][name]
            elements = _read_array(inner)
        except (msgspec.MsgspecError, KeyError, RecursionError):
            return  # the array lies within a text that the schema unpacks: nothing to cut here
        if (len(body) - len(memoryview(inner))) * len(elements) <= MAX_REPEATED:
            self._elements = elements

    def body(self, part: int) -> bytes | None:
        """What evaluates to this part alone; every value keeps its own bytes.

        None where the message cannot be cut, or so much stands around the array that repeating it
        for each part would swell.
        """
        if not self._elements:
            return None
        inner = b"[" + bytes(self._elements[part]) + b"]"
        for name, values in zip(reversed(self._path), reversed(self._around), strict=True):
            inner = msgspec.json.encode({**values, name: msgspec.Raw(inner)})
        return inner
