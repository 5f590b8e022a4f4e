from __future__ import annotations

import stat

import pytest
from django.contrib.auth import authenticate, get_user_model

from payflow.management.commands.prepare import create_admin

pytestmark = pytest.mark.django_db


@pytest.fixture
def state_dir(settings, tmp_path, monkeypatch):
    monkeypatch.delenv("PAYFLOW_ADMIN_PASSWORD", raising=False)
    settings.STATE_DIR = tmp_path
    return tmp_path


def test_first_login_has_a_generated_password(state_dir):
    """The first run makes an admin whose password only the owner of the state directory reads."""
    create_admin()

    path = state_dir / "admin-password"
    assert authenticate(username="admin", password=path.read_text().strip()) is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_second_run_changes_nothing(state_dir):
    """A second run keeps the password and adds no user."""
    create_admin()
    password = (state_dir / "admin-password").read_text()

    create_admin()

    assert (state_dir / "admin-password").read_text() == password
    assert get_user_model().objects.count() == 1


def test_changed_password_is_no_longer_shown(state_dir):
    """Once the password was changed, the file with the old one goes."""
    create_admin()
    admin = get_user_model().objects.get()
    admin.set_password("another")
    admin.save()

    create_admin()

    assert not (state_dir / "admin-password").exists()


def test_given_password_is_kept_nowhere(state_dir, monkeypatch):
    """With PAYFLOW_ADMIN_PASSWORD nothing is generated or written."""
    monkeypatch.setenv("PAYFLOW_ADMIN_PASSWORD", "given-by-hand")

    create_admin()

    assert authenticate(username="admin", password="given-by-hand") is not None
    assert list(state_dir.iterdir()) == []
