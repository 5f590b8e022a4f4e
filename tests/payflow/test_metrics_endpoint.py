"""/metrics: who may read it, in which format, and how often the database is asked."""

from __future__ import annotations

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from payflow import metrics_endpoint
from payflow.figures import Figures

TOKEN = "t0ken-of-prometheus"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}


class Counting(Figures):
    """Figures that count how often they were read."""

    reads = 0

    def read(self):
        self.reads += 1
        return [GaugeMetricFamily("payflow_database_up", "Up.", value=self.reads)]


@pytest.fixture
def figures(settings, monkeypatch):
    settings.PAYFLOW = settings.PAYFLOW | {"METRICS_TOKEN": TOKEN}
    counting = Counting()
    monkeypatch.setattr(metrics_endpoint, "_shared", metrics_endpoint.Shared(counting))
    return counting


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer täst"],
)
def test_without_the_token_nothing_is_said(client, figures, header):
    """Not even to the machine itself: behind a proxy everybody comes from there."""
    response = client.get("/metrics", headers={"Authorization": header} if header else {})

    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert "payflow_" not in response.content.decode()
    assert figures.reads == 0


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("", "text/plain; version=0.0.4", parse_text),
        ("text/plain;version=0.0.4;q=0.3,*/*;q=0.2", "text/plain; version=0.0.4", parse_text),
        (
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0",
            parse_openmetrics,
        ),
    ],
)
def test_the_format_is_the_one_asked_for(client, figures, accept, content_type, parse):
    """Prometheus asks for OpenMetrics first, others for nothing."""
    response = client.get("/metrics", headers=ALLOWED | ({"Accept": accept} if accept else {}))

    assert response.status_code == 200
    assert response["Content-Type"].startswith(content_type)
    assert [family.name for family in parse(response.content.decode())] == ["payflow_database_up"]


def test_figures_are_kept_for_a_moment(client, figures):
    """Two scrapes at once read the database once; a later one reads it again."""
    client.get("/metrics", headers=ALLOWED)
    client.get("/metrics", headers=ALLOWED)
    at_once = figures.reads
    metrics_endpoint._shared._read_at -= metrics_endpoint.KEEP_S
    client.get("/metrics", headers=ALLOWED)

    assert at_once == 1
    assert figures.reads == 2


def test_scrapes_need_no_tls_and_are_never_stored(client, figures, settings):
    """Prometheus stands beside the process, before any proxy; caches would hide a stand-still."""
    settings.SECURE_SSL_REDIRECT = True

    response = client.get("/metrics", headers=ALLOWED)

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert client.post("/metrics", headers=ALLOWED).status_code == 405
