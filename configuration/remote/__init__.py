"""Configuration that is kept elsewhere: a watched directory, Azure App Configuration.

1. origins.py says which are set, directory.py and app_configuration.py read one.
2. follow.py, run every two seconds by tasks.py, makes a version of each document that changed and
   activates it; a wrong one stays a draft with its problems, and never is live.
3. drift.py compares what is there with what is active; `trouble()` says what needs a person.
4. push.py goes the other way: rule sets into a blob container.

Whatever is not reached changes nothing: the last good configuration is in PostgreSQL.
"""

from __future__ import annotations

from configuration.remote.drift import trouble

__all__ = ["trouble"]
