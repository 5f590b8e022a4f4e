"""The database's clock, by which times of different processes can be compared."""

from __future__ import annotations

from django.db import models
from django.db.models import Func


class ClockTimestamp(Func):
    """Now, and not when the transaction began, as Now() would be."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()
