"""Somebody who moves checkpoints all the time: `python -m tests.kill.seeker SOURCE`.

Each step moves one partition to its earliest or latest message or to one between them. In the end
all go back to the earliest, so that nothing stays skipped.
"""

from __future__ import annotations

import argparse
import os
import random
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payflow.settings")
django.setup()

from ingestion import seeking  # noqa: E402
from ingestion.models import Partition  # noqa: E402
from ingestion.seek_plan import SeekRefused, Target  # noqa: E402

EARLIEST, LATEST = Target(kind="earliest"), Target(kind="latest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("source")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--every", type=float, default=0.5, help="seconds from step to step")
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    partitions = list(
        Partition.objects.filter(source__name=options.source).select_related("source")
    )
    for _ in range(options.count):
        time.sleep(options.every)
        partition = rng.choice(partitions)
        _seek(partition, _any_target(partition, rng))
    for partition in partitions:
        _seek(partition, EARLIEST)


def _any_target(partition: Partition, rng: random.Random) -> Target:
    bounds = seeking.plan(partition, LATEST).bounds
    between = str(rng.randint(int(bounds.first), int(bounds.end)))
    return rng.choice([EARLIEST, LATEST, Target(kind="position", position=between)])


def _seek(partition: Partition, target: Target) -> None:
    """It is no error that the partition was read past its target meanwhile, or stands there."""
    try:
        seeking.seek(seeking.plan(partition, target), by=None, reason="a test")
    except SeekRefused as exc:
        print(f"{partition} does not go to {target}: {exc}")


if __name__ == "__main__":
    main()
