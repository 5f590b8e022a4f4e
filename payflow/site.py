"""The admin site: its content security policy and its sidebar."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from csp.decorators import csp_update
from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse_lazy
from django.utils.module_loading import import_string
from unfold.sites import UnfoldAdminSite

#: Alpine evaluates the expressions in Unfold's templates; nothing inline is allowed anywhere
_with_alpine: Final = csp_update({"script-src": ["'unsafe-eval'"]})
_VERSIONS: Final = "configuration.view_configurationversion"
_VERSION_LIST: Final = "admin:configuration_configurationversion_changelist"
#: kind of a version, its title, its symbol, its name in addresses
_KINDS: Final = (
    ("schema", "Transaction schemas", "schema", "schemas"),
    ("metrics", "Metric rules", "functions", "metric-rules"),
    ("compliance", "Compliance rules", "rule", "compliance-rules"),
)


class PayflowAdminSite(UnfoldAdminSite):
    """Unfold's site; the policy of settings.py is loosened for its own pages alone."""

    enable_nav_sidebar = True
    index_title = "Overview"

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        return _with_alpine(super().admin_view(view, cacheable))

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        view: Any = _with_alpine(super().login)
        response: HttpResponse = view(request, extra_context)
        return response

    def search(
        self,
        request: HttpRequest,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002  Unfold's signature
    ) -> TemplateResponse:
        """The list under the search box. Unfold's own lowers the case of ids and keeps what it
        found for minutes: an event that arrived meanwhile would not be there."""
        term = request.GET.get("s", "").strip()
        find = import_string(self._get_config("COMMAND", request)["search_callback"])
        found = find(request, term)
        pages = [
            {**item, "description": "page"}
            for group in navigation(request)
            for item in group["items"]
            if term.lower() in item["title"].lower()
        ]
        context = {"term": term, "results": [*pages, *found.results], "note": found.note}
        return TemplateResponse(request, "payflow/search_results.html", context)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar: what the user may see, in the order in which it is needed."""
    return [
        {"items": [_item(request, "Overview", "monitoring", "index"), *_explore(request)]},
        _group(
            "Payments",
            _item(request, "Transactions", "receipt_long", "metrics.normalizedtransaction"),
            _item(request, "Compliance findings", "gavel", "metrics.violation"),
            _item(request, "Archive", "inventory_2", "ingestion.archivefile"),
        ),
        _group(
            "Operations",
            _item(request, "Failed items", "error", "deadletter.faileditem"),
            _item(request, "Failure groups", "stacks", "deadletter.failuregroup"),
            _item(request, "Sources", "sensors", "configuration.source"),
            _item(request, "HTTP access", "upload", "ingestion.pushaccess"),
            _item(request, "Partitions", "view_week", "ingestion.partition"),
            _item(request, "Batches", "package_2", "ingestion.batch"),
            _item(request, "Drainers", "memory", "ingestion.drainer"),
            _item(request, "Simulator", "experiment", "ingestion.simulation"),
        ),
        _group(
            "Configuration",
            *_kinds(request),
            _item(request, "Activations", "history", "configuration.activation"),
            _item(request, "Bundles", "deployed_code", "configuration.bundle"),
            _page(request, "Try box", "science", "try-box", _VERSIONS),
            _item(request, "Jobs", "play_circle", "configuration.job"),
            _item(request, "Shadows", "content_copy", "ingestion.shadow"),
            _item(request, "Remote documents", "cloud_sync", "configuration.remotedocument"),
        ),
        _group(
            "Administration",
            _item(request, "People", "person", "auth.user"),
            _item(request, "Roles", "group", "auth.group"),
            _item(request, "API tokens", "key", "knox.authtoken"),
            _item(request, "Audit log", "policy", "configuration.auditentry"),
        ),
    ]


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": _allowed(items)}


def _allowed(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["permission"](None)]


def _explore(request: HttpRequest) -> list[dict[str, Any]]:
    """First of all pages that is no index: who may read windows may open it."""
    item = _page(request, "Explore", "query_stats", "explore", "metrics.view_metricwindow")
    return _allowed([item])


def _kinds(request: HttpRequest) -> list[dict[str, Any]]:
    """A list for each kind of version; the page of a version belongs to its kind's."""
    here = _kind_here(request)
    return [
        _page(request, title, icon, f"admin:configuration_{slug}", _VERSIONS, is_here=kind == here)
        for kind, title, icon, slug in _KINDS
    ]


def _kind_here(request: HttpRequest) -> str:
    """Kind of the version or versions that this page is about; "" where it is about others."""
    match = request.resolver_match
    if match is None or not request.path.startswith(str(reverse_lazy(_VERSION_LIST))):
        return ""
    key = str(match.kwargs.get("version_id", match.kwargs.get("object_id", "")))
    if key.isdecimal() and len(key) < 19:
        versions = apps.get_model("configuration.ConfigurationVersion").objects
        return str(versions.filter(pk=key).values_list("kind", flat=True).first())
    return request.GET.get("kind__exact", "")


def _page(
    request: HttpRequest,
    title: str,
    icon: str,
    name: str,
    permission: str,
    *,
    is_here: bool = False,
) -> dict[str, Any]:
    """A link to a page that is no model's own."""
    link = reverse_lazy(name)
    return {
        "title": title,
        "icon": icon,
        "link": link,
        "active": is_here or request.path.startswith(str(link)),
        "permission": lambda _request: request.user.has_perm(permission),
    }


def _item(request: HttpRequest, title: str, icon: str, target: str) -> dict[str, Any]:
    """A link to a model's list ("app.model"), or to a page of the site by its name."""
    app, _, model = target.partition(".")
    allowed = not model or request.user.has_perm(f"{app}.view_{model}")
    link = reverse_lazy(f"admin:{app}_{model}_changelist" if model else f"admin:{app}")
    here = request.path.startswith(str(link)) if model else request.path == str(link)
    return {
        "title": title,
        "icon": icon,
        "link": link,
        "active": here,
        "permission": lambda _request: allowed,
    }
