"""payflow.lib.pages.display for templates."""

from __future__ import annotations

from django import template

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
