"""Take the pictures of the documentation from a running payflow.

    make up                       # in another terminal, for some minutes
    .venv/bin/python docs/screenshots.py [--url http://127.0.0.1:8000/] [--user admin]

Writes docs/img/overview.png (light, 1440 px wide) and docs/img/overview-narrow.png (400 px).
Needs `make test`'s requirements and Chromium at $PAYFLOW_CHROMIUM or /usr/bin/chromium. The
password is read from the state directory, or asked for.
"""

from __future__ import annotations

import argparse
import os
from getpass import getpass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "img"
PASSWORD_FILE = Path(os.environ.get("PAYFLOW_STATE_DIR", ROOT / "var")) / "admin-password"
#: picture -> width and height of the window in CSS pixels
PICTURES = {"overview.png": (1440, 900), "overview-narrow.png": (400, 800)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000/")
    parser.add_argument("--user", default="admin")
    options = parser.parse_args()
    password = PASSWORD_FILE.read_text().strip() if PASSWORD_FILE.exists() else getpass()
    IMAGES.mkdir(exist_ok=True)
    chromium = os.environ.get("PAYFLOW_CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in PICTURES:
            take(browser, name, url=options.url, user=options.user, password=password)
        browser.close()


def take(browser: Browser, name: str, *, url: str, user: str, password: str) -> None:
    """Log in and take one picture of the overview."""
    width, height = PICTURES[name]
    with browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="light"
    ) as context:
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").first.wait_for()
        page.evaluate("document.fonts.ready.then(() => null)")
        page.screenshot(path=IMAGES / name, animations="disabled")


if __name__ == "__main__":
    main()
