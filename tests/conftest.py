"""Fixtures for all tests: the servers of the run (see tests/servers.py) and a browser."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import redis
from django.conf import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A busy machine is slow, which is no fault of the example that runs just then.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def streams() -> Iterator[redis.Redis]:
    """A client of the streams' Valkey, on an empty database of this worker alone (bytes out)."""
    with redis.Redis.from_url(settings.STREAMS_URL) as client:
        client.flushdb()
        yield client


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """A client of Celery's Valkey, on an empty database of this worker alone (bytes out)."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program; where there is none, browser tests are skipped, in CI they fail."""
    path = Path(os.environ.get("PAYFLOW_CHROMIUM", "/usr/bin/chromium"))
    if not path.exists():
        reason = f"browser tests need Chromium, and {path} does not exist (PAYFLOW_CHROMIUM)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """All skipped browser tests get one place, so that the summary folds them into one line."""
    report = yield
    if report.skipped and "chromium" in item.fixturenames and isinstance(report.longrepr, tuple):
        report.longrepr = (__file__, 0, report.longrepr[2])
    return report


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    """Headless Chromium, one per worker. Use it with pytest-django's `live_server`."""
    from playwright.sync_api import expect, sync_playwright

    # Playwright's loop runs in this thread, and Django would refuse the ORM beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=20_000)  # a busy machine takes more than the usual 5 s
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a fresh browser context (no cookies)."""
    with browser.new_context() as context:
        yield context.new_page()
