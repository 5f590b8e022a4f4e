"""Who may call an endpoint: each view names the permission of each method."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class Permitted(BasePermission):
    """The view's `permissions` say what each method needs; other methods are refused."""

    def has_permission(self, request: Request, view: Any) -> bool:
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in view.permissions:
            # the framework answers: what may be called, or that this may not
            return request.user.is_authenticated
        return request.user.has_perm(view.permissions[method])
