"""Who may call an endpoint: each view names the permission of each method."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class Permitted(BasePermission):
    """The view's `permissions` say what each method needs; other methods are refused."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method == "OPTIONS":
            return request.user.is_authenticated
        needed = view.permissions.get("GET" if request.method == "HEAD" else request.method)
        return needed is not None and request.user.has_perm(needed)
