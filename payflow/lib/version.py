"""Which payflow this is: its version, and what of it decides results."""

from __future__ import annotations

from typing import Final

#: of the project; a release of one's own may be named by PAYFLOW_RELEASE
VERSION: Final = "0.1.0"
#: raised whenever scrub or evaluate give another result for the same bytes and configuration
ENGINE_VERSION: Final = 3
