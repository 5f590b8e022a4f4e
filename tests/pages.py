"""Fixtures of the pages' tests: somebody who is logged in, and what they see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    """What one test has read is no news for the next."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def staff(ready: None) -> Callable[..., Client]:
    """A client logged in as somebody with just these permissions ("app.codename")."""

    def log_in(*permissions: str) -> Client:
        user = User.objects.create_user(f"user-{User.objects.count()}", is_staff=True)
        for permission in permissions:
            app, _, codename = permission.partition(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=app, codename=codename)
            )
        client = Client()
        client.force_login(user)
        return client

    return log_in


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words += data.split()


def text_of(html: str) -> str:
    """What a person reads on a page, words separated by one blank."""
    parser = _Text()
    parser.feed(html)
    return " ".join(parser.words)


@pytest.fixture
def look(ready: None) -> Callable[..., str]:
    """The text of a page as a superuser sees it; anything but 200 fails the test."""
    user = User.objects.create_superuser("root")
    client = Client()
    client.force_login(user)

    def see(url: str, *, html: bool = False) -> str:
        response = client.get(url)
        assert response.status_code == 200, (url, response.status_code)
        page = response.content.decode()
        return page if html else text_of(page)

    return see
