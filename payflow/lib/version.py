"""What decides results besides the configuration."""

from __future__ import annotations

from typing import Final

#: raised whenever scrub or evaluate give another result for the same bytes and configuration
ENGINE_VERSION: Final = 2
