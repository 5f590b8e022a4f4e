"""What the launcher tells the settings: the addresses of the embedded servers."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from payflow.lib.env import write_private

_FILE = "services.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUrls:
    """Addresses with passwords; empty where the server is not one of ours."""

    database_url: str = ""
    redis_url: str = ""
    streams_url: str = ""


def read_urls(state_dir: Path) -> ServiceUrls | None:
    """The addresses of the servers last started under `state_dir`; None if there never were any."""
    try:
        content = json.loads((state_dir / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return ServiceUrls(**content)


def write_urls(state_dir: Path, urls: ServiceUrls) -> None:
    """Replace the file as a whole (mode 0600), so that a reader never sees half of it."""
    # a name of its own: two starts at once must not take each other's draft away
    draft = state_dir / f".{_FILE}.{uuid.uuid4().hex}"
    write_private(draft, json.dumps(asdict(urls), indent=2) + "\n")
    draft.replace(state_dir / _FILE)
