"""The system's Chromium, for the browser tests and the screenshots: playwright drives it and downloads none."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

MISSING = "No Chromium here: `apt-get install chromium`, or set CHROMIUM to the path of one."
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Give the path of the system's Chromium, or of the one that CHROMIUM names; None when there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running_chromium(path: str) -> Iterator[Browser]:
    """Hold a headless browser for as long as the block runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers lack; the pages it is shown are ours.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--headless=new"])
        try:
            yield browser
        finally:
            browser.close()
