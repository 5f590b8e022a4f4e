"""Take the pictures of the documentation from a running payflow.

    make up                       # in another terminal, for some minutes
    .venv/bin/python docs/screenshots.py [--url http://127.0.0.1:8000/] [--user admin] [NAME...]

Writes docs/img/*.png (PICTURES, or those that are named). Needs `make test`'s requirements and
Chromium at $PAYFLOW_CHROMIUM or /usr/bin/chromium. The password is read from the state directory,
or asked for.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "img"
PASSWORD_FILE = Path(os.environ.get("PAYFLOW_STATE_DIR", ROOT / "var")) / "admin-password"
TRANSACTIONS = "metrics/normalizedtransaction/"
#: after a click: what it asks for is there
SETTLE_MS = 1500
SCHEMAS = "configuration/configurationversion/schemas/"
SOURCES = "configuration/source/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A page in a window of so many CSS pixels."""

    path: str = ""
    width: int = 1440
    height: int = 900
    scheme: Literal["light", "dark"] = "light"
    #: the page of the first row of the list at `path`
    first_row: bool = False
    #: what is clicked then, by selectors of Playwright
    clicks: tuple[str, ...] = ()


PICTURES = {
    "overview.png": Picture(height=1250),
    "overview-dark.png": Picture(height=1250, scheme="dark"),
    "overview-narrow.png": Picture(width=400, height=800),
    "explore.png": Picture(path="explore/?metric=processor_success&by=processor&range=1h"),
    "passport.png": Picture(path=TRANSACTIONS, height=1100, first_row=True),
    "source.png": Picture(path=SOURCES, height=1080, first_row=True),
    "version.png": Picture(path=SCHEMAS, height=800, clicks=("main a.name >> text=transaction",)),
    "try.png": Picture(path="try/", height=800, clicks=("[data-try-newest]", "[data-try-tidy]")),
    "passport-narrow.png": Picture(path=TRANSACTIONS, width=400, height=800, first_row=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000/")
    parser.add_argument("--user", default="admin")
    parser.add_argument("names", nargs="*", help="pictures to take; all of them without")
    options = parser.parse_args()
    password = PASSWORD_FILE.read_text().strip() if PASSWORD_FILE.exists() else getpass()
    IMAGES.mkdir(exist_ok=True)
    chromium = os.environ.get("PAYFLOW_CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in options.names or PICTURES:
            picture = PICTURES[name]
            take(browser, name, picture, url=options.url, user=options.user, password=password)
        browser.close()


def take(
    browser: Browser, name: str, picture: Picture, *, url: str, user: str, password: str
) -> None:
    """Log in and take one picture."""
    with browser.new_context(
        viewport={"width": picture.width, "height": picture.height}, color_scheme=picture.scheme
    ) as context:
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").first.wait_for()
        open_page(page, picture, url=url)
        page.evaluate("document.fonts.ready.then(() => null)")
        page.screenshot(path=IMAGES / name, animations="disabled")


def open_page(page: Page, picture: Picture, *, url: str) -> None:
    if picture.path:
        page.goto(url + picture.path)
    if picture.first_row:
        page.locator("#result_list tbody th a, #result_list tbody td a").first.click()
        page.wait_for_load_state("networkidle")
    for selector in picture.clicks:
        page.locator(selector).first.click()
        page.wait_for_timeout(SETTLE_MS)
    page.evaluate("scrollTo(0, 0)")


if __name__ == "__main__":
    main()
