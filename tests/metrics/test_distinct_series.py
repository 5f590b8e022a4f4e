"""Claims about customers and merchants as metrics that can be explored."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from metrics.distinct import write_distinct
from metrics.explore_metrics import Kind
from metrics.series import read_series, value_of
from metrics.sketches import distinct_cells
from tests.metrics.test_sketches import HOUR, paid_by

pytestmark = pytest.mark.django_db

LATER = HOUR + timedelta(hours=1)
END = HOUR + timedelta(hours=3)


@pytest.fixture(autouse=True)
def paid() -> None:
    """Two hours, one customer in both."""
    with connection.cursor() as cursor:
        write_distinct(cursor, distinct_cells(paid_by(["a", "b"])))
        write_distinct(cursor, distinct_cells(paid_by(["b", "c"], at=LATER)))


def test_customers_are_a_metric_whose_steps_do_not_add_up():
    """Two in each hour and three in all; a step without any is 0; steps are hours at least."""
    found = read_series("customers", since=HOUR, until=END, step_s=300)

    [group] = found.groups
    assert found.step_s == 3600
    values = [value_of(group.cells.get(start), Kind.DISTINCT) for start in found.starts]
    assert values == [2, 2, 0]
    assert value_of(group.whole, Kind.DISTINCT) == 3
    assert group.whole.low == group.whole.high == 3


def test_nobody_is_no_group():
    """A range without events has nothing to draw."""
    assert read_series("merchants", since=END, until=END + timedelta(1), step_s=3600).groups == []


def test_customers_have_no_groups():
    """There is no sketch per channel: asking for one is refused."""
    with pytest.raises(ValueError, match="cannot be split by channel"):
        read_series("customers", since=HOUR, until=END, step_s=3600, group_by=["channel"])


@pytest.mark.parametrize("name", ["customers", "merchants"])
def test_explore_shows_the_estimate_and_its_bounds(admin_client, name):
    """The page names the number and how far it may be off."""
    at = f"metric={name}&range=custom&from={HOUR:%Y-%m-%dT%H:%MZ}&to={END:%Y-%m-%dT%H:%MZ}"

    page = admin_client.get(f"/explore/?{at}")

    text = page.content.decode()
    assert page.status_code == 200
    assert "Estimate" in text
    assert "At most" in text


def test_the_csv_has_the_estimates_of_the_hours(admin_client):
    """One line per hour that had customers, with its estimate."""
    at = f"metric=customers&range=custom&from={HOUR:%Y-%m-%dT%H:%MZ}&to={END:%Y-%m-%dT%H:%MZ}"

    answer = admin_client.get(f"/explore/csv/?{at}")

    _, *lines = b"".join(answer.streaming_content).decode().split()
    assert [line.split(",")[6] for line in lines] == ["2", "2"]
