#!/usr/bin/env python
"""Django's command line for payflow."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payflow.settings")
    from django.core.management import execute_from_command_line

    from payflow.lib.env import BadEnvironment

    try:
        execute_from_command_line(sys.argv)
    except BadEnvironment as exc:
        sys.exit(f"{exc}")


if __name__ == "__main__":
    main()
