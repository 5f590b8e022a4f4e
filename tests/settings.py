"""payflow's settings on the servers of this test run."""

from __future__ import annotations

from tests import servers

servers.start()

from payflow.settings import *  # noqa: E402, F403
from payflow.settings import STORAGES  # noqa: E402

STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
