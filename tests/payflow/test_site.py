"""The admin site: who sees what, and what a page may load and run."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client

from configuration.models import Source
from ingestion.models import Drainer
from payflow.lib.pages.display import list_url, row_url

#: models whose rows only the path or a command writes
READ_ONLY = [
    "metrics.normalizedtransaction", "metrics.violation", "deadletter.faileditem",
    "deadletter.failuregroup",
    "ingestion.batch", "ingestion.partition", "ingestion.archivefile", "ingestion.drainer",
    "configuration.bundle", "configuration.activation", "configuration.auditentry",
]  # fmt: skip


def _models() -> list[type[Model]]:
    return list(admin.site._registry)


def _almighty() -> Client:
    user = User.objects.create_user("all", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    client = Client()
    client.force_login(user)
    return client


def text_between(html: str, start: str, end: str) -> str:
    return html.partition(start)[2].partition(end)[0]


def _directives(client: Client, url: str) -> dict[str, str]:
    policy = client.get(url)["Content-Security-Policy"]
    return {part.split()[0]: part for part in policy.split("; ")}


def test_pages_of_the_admin_may_evaluate_and_nothing_else_may(ready, look, staff):
    """Unfold's Alpine needs unsafe-eval; nothing anywhere is inline or from elsewhere."""
    client = staff()

    for url in ("/", "/login/", "/password_change/"):
        policy = _directives(client, url)
        assert policy["script-src"] == "script-src 'self' 'unsafe-eval'"
        assert policy["style-src"] == "style-src 'self'"
    for url in ("/livez", "/readyz"):
        policy = _directives(client, url)
        assert policy["script-src"] == "script-src 'self'"
        assert policy["default-src"] == "default-src 'none'"


def test_no_page_holds_what_the_policy_forbids(ingest, event, look):
    """No inline script and no inline style: a browser would only log that it dropped them."""
    ingest([event(1), b"{"])
    urls = ["/", *(list_url(m._meta.label_lower) for m in _models())]

    for url in urls:
        page = look(url, html=True)
        assert "<style" not in page, url
        assert ' style="' not in page, url
        assert "<script>" not in page, url


def test_every_page_needs_a_login(ready, client):
    """Lists, the overview and its live part."""
    for url in ["/", "/overview/live/", *(list_url(m._meta.label_lower) for m in _models())]:
        response = client.get(url)
        assert response.status_code == 302, url
        assert response["Location"].startswith("/login/"), url


def test_every_list_needs_its_permission(ready, staff):
    """Staff without a role see nothing; a permission for one model opens that one alone."""
    client = staff("ingestion.view_batch")

    allowed = [
        model._meta.label_lower
        for model in _models()
        if client.get(list_url(model._meta.label_lower)).status_code == 200
    ]

    assert allowed == ["ingestion.batch"]


def test_the_sidebar_lists_what_may_be_seen(ready, staff):
    """And no group without an item."""
    page = staff("ingestion.view_batch").get("/").content.decode()

    assert list_url("ingestion.batch") in page
    assert list_url("metrics.normalizedtransaction") not in page
    assert "Configuration" not in page


@pytest.mark.parametrize("label", READ_ONLY)
def test_nobody_changes_what_the_path_writes(ingest, event, label):
    """Not even with every permission: no way to add, to delete, or to post a form."""
    ingest([event(1, amount=50_000), b"{"])
    Drainer.objects.get_or_create(slot=9, owner="host:1:1:aa")
    model = next(m for m in _models() if m._meta.label_lower == label)
    row = model._default_manager.first()
    assert row is not None
    before = model._default_manager.filter(pk=row.pk).values().get()
    client = _almighty()

    added = client.get(f"{list_url(label)}add/")
    deleted = client.post(row_url(label, row.pk).replace("/change/", "/delete/"), {"post": "yes"})
    changed = client.post(row_url(label, row.pk), {"state": "finished", "note": "changed"})

    assert (added.status_code, deleted.status_code) == (403, 403)
    assert "<form" not in text_between(changed.content.decode(), "<main", "</main>")
    assert model._default_manager.filter(pk=row.pk).values().get() == before


def test_every_model_has_words_for_an_empty_list(ready, look):
    """What it is and what to do next, never a bare table."""
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label != "auth" and not model._default_manager.exists():
            empty = getattr(model_admin, "empty", None)
            assert empty is not None, model
            assert empty.title in look(list_url(model._meta.label_lower))


def test_behind_tls_nothing_is_left_to_warn_about():
    """`check --deploy` with PAYFLOW_HTTPS=1 and secrets of its own has no finding."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "payflow.settings",
        "PAYFLOW_HTTPS": "1",
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(48),
        "PAYFLOW_SCRUB_KEY": secrets.token_urlsafe(48),
    }
    # the browser tests of this process set it for their own sake
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)

    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env=environment,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_a_page_says_where_it_stands_in_the_words_of_the_sidebar(ready, look):
    """Names of rows keep their letters; lists are titled as the sidebar calls them."""
    demo = Source.objects.get(name="demo")

    page = look(row_url("configuration.source", demo.pk), html=True)
    entries = look(list_url("configuration.auditentry"), html=True)

    title = text_between(page, "<h1", "</h1>")
    assert ">Sources</a>" in title
    assert ">demo</a>" in title
    assert "Audit log |" in text_between(entries, "<title>", "</title>")
