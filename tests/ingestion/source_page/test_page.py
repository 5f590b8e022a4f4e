"""What the page of a source says, from what drainers have left in the tables."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from configuration.models import Source
from configuration.sources import pause
from ingestion.source_models import SourceError
from payflow.lib.pages.display import list_url, row_url
from tests.ingestion.streaming import drain_all, publish
from tests.pages import text_of

_VIEW = ("configuration.view_source",)


def _url(source: Source, action: str = "") -> str:
    return (
        f"/configuration/source/{source.pk}/{action}/"
        if action
        else row_url("configuration.source", source.pk)
    )


def test_a_running_source_says_since_when_it_is_connected(demo, partition, connected, look):
    """State, broker and log, connection, figures and a row for each partition."""
    partition("0")
    partition("1", lag_events=3, lag_seconds=4.0)
    connected()

    page = look(_url(demo))

    assert "Running" in page
    assert "Redis or Valkey streams, stream payflow.demo" in page
    assert "connected since" in page
    assert "Lag, events 5" in page
    assert "Lag, time 4.0 s" in page
    assert "worker-1 , 14" in page or "worker-1, 14" in page


def test_a_source_that_cannot_be_reached_says_why_since_when_and_what_next(
    demo, partition, connected, look
):
    """And that nothing is lost."""
    partition("0")
    now = timezone.now()
    connected(
        connected_since=None,
        failing_since=now - timedelta(minutes=2),
        error="the hub payments is not there",
        retry_at=now + timedelta(seconds=9),
    )

    page = look(_url(demo))

    assert "Not connected since" in page
    assert "The hub payments is not there. Nothing is lost. 2 events wait" in page
    assert "2 events wait at the broker, the oldest for 0.6 s. Next try in 9 s." in page


def test_a_partition_whose_reader_is_cut_off_does_not_say_that_it_runs(
    demo, partition, connected, look
):
    """Those that another worker reads do run."""
    partition("0")
    connected("worker-1", connected_since=None, failing_since=timezone.now(), error="no route")
    alone = look(_url(demo))
    partition("1", leased_by="worker-2")
    connected("worker-2")

    both = look(_url(demo))

    assert "Running" not in alone.partition("Lag by time")[0]
    assert "link_off Not connected" in both.partition("Lag, events")[2]
    assert "Running" in both.partition("Last commit")[2]


def test_one_worker_without_a_connection_is_a_warning(demo, partition, connected, look):
    """The others go on reading."""
    partition("0")
    connected("worker-1")
    connected("worker-2", connected_since=None, failing_since=timezone.now(), error="no route")

    page = look(_url(demo))

    assert "Running" in page
    assert "1 of 2 workers are not connected since" in page
    assert "connected by 1 of 2 workers" in page


def test_a_connection_of_a_dead_worker_says_nothing(demo, partition, connected, look):
    """It was true when the worker last said so."""
    partition("0", leased_until=timezone.now() - timedelta(minutes=5))
    connected(seen_at=timezone.now() - timedelta(minutes=5))

    page = look(_url(demo))

    assert "Nobody reads it" in page
    assert "connected since" not in page


def test_a_stopped_partition_is_told_with_its_reason(demo, partition, connected, look):
    """It comes first in the table, whatever its number."""
    partition("0")
    partition(
        "5",
        state="stopped",
        leased_by="",
        leased_until=None,
        stopped_at=timezone.now(),
        stopped_reason="lost 12 messages: <b>gone</b>",
    )
    connected()

    page = look(_url(demo))

    assert "Running, 1 of 2 partitions stopped" in page
    assert "Partition 5 stopped itself at" in page
    assert "Lost 12 messages: <b>gone</b>. Nothing is skipped" in page
    table = page.partition("Last commit")[2]
    assert table.index("5 pause_circle Stopped") < table.index("0 check_circle Running")
    assert "no owner, 14" in page


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["stopped", "stopped"], "2 of 2 partitions stopped"),
        (["paused", "active"], "Running, 1 of 2 partitions paused"),
        (["paused", "stopped", "active"], "Running, 1 of 3 partitions stopped, 1 paused"),
        (["paused"], "1 of 1 partition paused"),
    ],
)
def test_partitions_that_stand_still_are_counted(demo, partition, look, states, said):
    """In one sentence."""
    for number, state in enumerate(states):
        partition(str(number), state=state)

    assert said in look(_url(demo))


def test_a_paused_source_says_who_waits_and_why(demo, partition, look):
    """Since when, for what reason, and how much waits."""
    partition("0")
    pause(demo, reason="broker moves")

    page = look(_url(demo))

    assert "Paused since" in page
    assert "Broker moves. 2 events wait at the broker" in page


def test_lag_that_nobody_tells_any_more_is_unknown(demo, partition, look):
    """A figure of the past is none of now: neither zero nor the last one."""
    partition("0", lag_at=timezone.now() - timedelta(minutes=5))

    page = look(_url(demo))

    assert f"Lag, events {chr(0x2013)}" in page
    assert "nobody says" in page


def test_the_chart_names_the_partitions_furthest_behind(demo, partition, minutes, look):
    """Four have a line, the others share one; long lags are told in minutes."""
    for number in range(7):
        minutes(partition(str(number)), [1.0, 60.0 * number, 600.0 * number])

    page = look(_url(demo))

    chart = page.partition("Lag by time")[2]
    for number in (3, 4, 5, 6):
        assert f"Partition {number}" in chart
    assert "3 others" in chart
    assert "60 min" in chart
    assert "Partition 1" not in chart.partition("Last errors")[0]


def test_marks_tell_what_people_did(demo, partition, minutes, look):
    """A pause stands on the axis of the lag that it made."""
    minutes(partition("0"), [0.0, 1.0])
    pause(demo, reason="")

    page = look(_url(demo))

    assert "paused, resumed, moved, changed or activated" in page


def test_errors_are_counted_and_escaped(demo, look):
    """The same words again are one line."""
    now = timezone.now()
    SourceError.objects.create(
        source=demo,
        partition_name="3",
        kind="connection",
        message="link <script>detached</script>",
        first_at=now - timedelta(minutes=5),
        last_at=now,
        times=3,
    )

    page = look(_url(demo), html=True)

    assert "link &lt;script&gt;detached" in page
    assert "Partition 3: link" in text_of(page)
    assert "3 times since" in text_of(page)


def test_the_live_part_is_the_same_and_needs_the_same_permission(demo, partition, staff):
    """It is fetched every five seconds, compressed; it holds no form and so no token."""
    partition("0")

    seen = staff(*_VIEW).get(_url(demo, "live"))
    other = staff("ingestion.view_batch").get(_url(demo, "live"))
    changed = staff(*_VIEW).post(_url(demo, "live"))

    assert seen.status_code == 200
    assert "88412980" in seen.content.decode()
    assert "csrf" not in seen.content.decode()
    assert other.status_code == 403
    assert changed.status_code == 405


def test_who_may_only_view_gets_no_buttons(demo, partition, staff):
    """Neither test, settings nor the ways to pause and seek."""
    partition("0", state="stopped", stopped_reason="lost 1")

    page = staff(*_VIEW).get(_url(demo)).content.decode()

    for action in ("test", "settings", "pause", "routes"):
        assert f"/source/{demo.pk}/{action}/" not in page
    assert "/ingestion/partition/" in page
    assert "/seek/" not in page


def test_a_source_without_partitions_says_what_to_do(demo, look):
    """Test the connection, start a worker."""
    page = look(_url(demo))

    assert "No partitions yet" in page
    assert "manage.py drain" in page


def test_the_list_tells_state_rate_and_lag_of_each_source(demo, partition, connected, look):
    """Without opening it; and filters find those that need somebody."""
    partition("0", state="stopped", stopped_reason="lost 1")
    partition("1", lag_events=70)
    connected()

    everything = look(list_url("configuration.source"))
    halted = look(list_url("configuration.source", state="halted"))
    cut_off = look(list_url("configuration.source", state="not_connected"))
    files = look(list_url("configuration.source", broker="file"))

    assert "Running, 1 of 2 partitions stopped" in everything
    assert "Redis or Valkey streams" in everything
    assert "72" in everything
    assert "Running, 1 of 2" in halted
    assert "Running, 1 of 2" not in cut_off
    assert "Running, 1 of 2" not in files


def test_the_list_asks_the_same_of_any_number_of_sources(
    demo, partition, django_assert_max_num_queries, look
):
    """A row costs no query of its own."""
    partition("0")
    for number in range(20):
        Source.objects.create(
            name=f"s-{number}", broker_type="redis_streams", settings={}, schema_name="transaction"
        )

    with django_assert_max_num_queries(20):
        look(list_url("configuration.source"))


def test_what_a_drainer_leaves_is_what_the_page_shows(demo, streams, event, look):
    """From real streams: rate, commits and figures of this minute, without a row made by hand."""
    publish(streams, [event(number) for number in range(120)] + [event(1000, amount="abc")])
    drain_all()

    page = look(_url(demo))

    assert "Rate 2.0 /s" in page
    assert "1 of 121 events" in page
    assert "s ago" in page
    assert "Lag, events 0" in page
