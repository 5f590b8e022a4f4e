"""The comparison itself, in this process or in several of its own: pure, without a database.

A million events are some 10 s of CPU for each side. Processes are started by spawn (polars hangs
after a fork), give way to live work, and end with the process that started them.

This module imports nothing that needs Django: a new process loads it first, and then Django.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Final

from payflow.lib.errors import Retryable

if TYPE_CHECKING:
    from ingestion.dryrun.compare import Comparison, Tally
    from ingestion.dryrun.unit import Chunk

#: more would take the machine from live work
MAX_PROCESSES: Final = 4
_NICE: Final = 10
#: seconds between two signs of life while the processes compute
_POLL_S: Final = 0.5

_comparison: Comparison | None = None


class ProcessesEnded(Retryable):
    """A process of the comparison was ended from outside, or ran out of memory."""


def compare_here(plan: Mapping[str, Any], chunks: Iterable[Chunk]) -> Generator[Tally | None]:
    """One tally after the other, in this process."""
    from ingestion.dryrun.compare import Comparison  # noqa: PLC0415  see above

    comparison = Comparison(plan)
    yield from map(comparison.of, chunks)


def compare_beside(plan: Mapping[str, Any], chunks: Iterable[Chunk]) -> Generator[Tally | None]:
    """Tallies as they come, from as many processes as there are cores; None as a sign of life.

    Chunks are read only as fast as they are worked on. Raises ProcessesEnded.
    """
    processes = min(MAX_PROCESSES, os.cpu_count() or 1)
    executor = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(dict(plan),),
    )
    try:
        yield from _flow(lambda chunk: executor.submit(_work, chunk), chunks, most=2 * processes)
    except BrokenProcessPool as exc:
        raise ProcessesEnded from exc
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _flow(
    submit: Callable[[Chunk], Future[Tally]], chunks: Iterable[Chunk], *, most: int
) -> Generator[Tally | None]:
    running: set[Future[Tally]] = set()
    waiting = iter(chunks)
    while True:
        for chunk in waiting:
            running.add(submit(chunk))
            if len(running) >= most:
                break
        if not running:
            return
        done, running = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
        if not done:
            yield None
        for future in done:
            yield future.result()


def _begin(plan: dict[str, Any]) -> None:
    global _comparison  # noqa: PLW0603  a fact about this process
    os.environ["POLARS_MAX_THREADS"] = "1"
    os.nice(_NICE)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import django  # noqa: PLC0415

    django.setup()
    from ingestion.dryrun.compare import Comparison  # noqa: PLC0415

    _comparison = Comparison(plan)


def _work(chunk: Chunk) -> Tally:
    if _comparison is None:
        raise ProcessesEnded
    return _comparison.of(chunk)


def _end_with_parent() -> None:
    """A killed parent leaves no process behind that waits for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
