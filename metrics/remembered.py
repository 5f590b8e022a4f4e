"""Compiled rule sets, kept for the life of a process: the same document is compiled once.

A rule set of 67 rules takes 0.2 s to compile. An activation compiles it for each source that uses
it, and each worker does so again when only the schema beside it has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import wraps
from threading import Lock
from typing import Any, Final, Protocol, TypeVar

import polars as pl

#: rule sets that a process keeps; a bundle has two
MAX_KEPT: Final = 32
_Compiled_co = TypeVar("_Compiled_co", covariant=True)


class Compiler(Protocol[_Compiled_co]):
    """Compiles a document for transactions with these attributes; pure, its result immutable."""

    def __call__(
        self,
        document: Mapping[str, Any],
        *,
        attributes: Mapping[str, pl.DataType],
        elsewhere: Mapping[str, pl.DataType] | None = None,
    ) -> _Compiled_co: ...


def remembered(compile_: Compiler[_Compiled_co]) -> Compiler[_Compiled_co]:
    """The same compiler, which keeps the last MAX_KEPT results; what it refuses is not kept."""
    kept: OrderedDict[str, _Compiled_co] = OrderedDict()
    lock = Lock()

    @wraps(compile_)
    def compiled(
        document: Mapping[str, Any],
        *,
        attributes: Mapping[str, pl.DataType],
        elsewhere: Mapping[str, pl.DataType] | None = None,
    ) -> _Compiled_co:
        key = repr((document, attributes, elsewhere))
        with lock:
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        result = compile_(document, attributes=attributes, elsewhere=elsewhere)
        with lock:
            kept[key] = result
            while len(kept) > MAX_KEPT:
                kept.popitem(last=False)
        return result

    return compiled
