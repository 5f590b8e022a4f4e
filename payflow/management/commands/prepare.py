"""`manage.py prepare`: everything a database needs before payflow runs on it. Run it any time."""

from __future__ import annotations

import io
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from payflow.lib.env import read_secret

ADMIN = "admin"
PASSWORD_FILE = "admin-password"  # noqa: S105 - a file name


class Command(BaseCommand):
    help = "Migrate, create leaves, load the default configuration, static files and the admin."

    def handle(self, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        self.stdout.write("Preparing the database ...")
        call_command("migrate", interactive=False, verbosity=0)
        call_command("partitions", "ensure", stdout=io.StringIO())
        call_command("load_defaults", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        create_admin()


def create_admin() -> None:
    """The first superuser, its password generated into the state directory (mode 0600).

    The file is removed once it is no longer true: when the password was changed in the admin.
    """
    users = get_user_model().objects
    path = settings.STATE_DIR / PASSWORD_FILE
    if not users.filter(is_superuser=True).exists():
        password = read_secret("PAYFLOW_ADMIN_PASSWORD", fallback_file=path)
        users.create_superuser(ADMIN, email="", password=password)
    elif path.exists():
        admin = users.filter(username=ADMIN).first()
        if admin is None or not admin.check_password(path.read_text(encoding="utf-8").strip()):
            path.unlink()
