"""Pages of versions and bundles; those of sources show what the path knows, and are ingestion's."""

from __future__ import annotations

from configuration import activation_page, bundle_admin, remote_admin, version_admin

#: the admin finds its pages in this module alone
__all__ = ("activation_page", "bundle_admin", "remote_admin", "version_admin")
