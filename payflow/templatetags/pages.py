"""payflow.lib.pages.display for templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.db.models import Model
from django.utils.text import capfirst

from payflow.lib.pages import axes, charts, display

register = template.Library()

register.filter("moment", display.moment)
register.filter("count", display.count)
register.filter("span", display.span)
register.filter("rate", display.rate)
register.filter("share_bar", charts.share_bar)
register.simple_tag(display.row_url, name="row_url")
register.simple_tag(display.list_url, name="list_url")
register.simple_tag(display.icon, name="icon")


@register.filter
def percent(share: float) -> str:
    """`83.6 %`; two decimals below one percent."""
    return f"{share * 100:.2f} %" if 0 < share < 0.01 else f"{share * 100:.1f} %"


@register.filter
def milliseconds(value: float | None) -> str:
    """`38 ms`, an en dash for unknown."""
    return axes.value_text(None if value is None else float(round(value)), "ms")


@register.simple_tag(takes_context=True)
def crumbs(context: template.Context) -> list[tuple[str, str]]:
    """Where a page stands, as (words, address): what the sidebar calls it, then its row."""
    groups = context.get("sidebar_navigation") or []
    here = [item for group in groups for item in group.get("items", ()) if item.get("active")]
    parts = [(str(item["title"]), str(item["link"])) for item in here[:1]]
    if not parts:
        listed: Any = context.get("cl")
        title = listed.opts.verbose_name_plural if listed else context.get("title") or ""
        parts = [(capfirst(str(title)), "")]
    row = context.get("original")
    if isinstance(row, Model) and row.pk is not None:
        address = display.row_url(row._meta.label_lower, row.pk)  # noqa: SLF001  Django's own
        return [*parts, (str(row), address)]
    return [*parts, ("New", "")] if context.get("add") else parts
