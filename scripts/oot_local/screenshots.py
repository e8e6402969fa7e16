"""Take the screenshots of docs/images from a running demo.

    make demo                                    # in one terminal
    python -m oot_local.screenshots          # in another, a minute later: then every page has the demo's result

The system's Chromium is used: `apt-get install chromium`, or CHROMIUM=/path/to/one.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from oot_local import history, state
from oot_local.chromium import MISSING, find_chromium, running_chromium
from oot_local.state import LocalError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


@dataclass(frozen=True)
class Shot:
    """One picture: of which page, for whom, and what is clicked before it is taken."""

    name: str
    path: str
    scheme: Literal["light", "dark"] = "light"
    width: int = 1280
    height: int = 900
    click: str = ""
    scroll_to: str = ""


SHOTS = (
    Shot("oot-light", "/oot", height=1460),
    Shot("oot-dark", "/oot", scheme="dark", height=1000),
    Shot("oot-phone", "/oot", width=390, height=844),
    Shot("backend", "/oot/example-labs/torch-falcon", height=1000, click=".failed-test summary"),
    Shot("backend-matrix", "/oot/contoso/torch-aurora", scheme="dark", click="#matrix .cell.poor", scroll_to="#matrix"),
    Shot("pull-request", f"/pr/{history.FEATURED[0]}", height=1000),
    Shot("test", "/oot/test?name=test_foreach_copy_with_multi_dtypes"),
)


def take(browser: Browser, hud_url: str, folder: Path, shot: Shot) -> Path:
    """Take one picture and give its file. Raises LocalError when the page does not answer as it should."""
    with browser.new_context(
        color_scheme=shot.scheme,
        viewport={"width": shot.width, "height": shot.height},
        timezone_id="America/Los_Angeles",
        locale="en-US",
    ) as context:
        page = context.new_page()
        answer = page.goto(hud_url + shot.path)
        if answer is None or answer.status != 200:
            raise LocalError(f"{shot.path} answered HTTP {answer.status if answer else 'nothing'}: is this the demo?")
        if shot.scroll_to:
            page.locator(shot.scroll_to).scroll_into_view_if_needed()
        if shot.click:
            page.locator(shot.click).first.click()
        file = folder / f"{shot.name}.png"
        page.screenshot(path=file, animations="disabled")
    return file


def main() -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=state.DEFAULT_DIR, help="the demo's state folder (default: .local)")
    parser.add_argument("--to", type=Path, default=IMAGES, help="folder for the pictures (default: docs/images)")
    options = parser.parse_args()
    path = find_chromium()
    if path is None:
        print(f"screenshots: {MISSING}", file=sys.stderr)
        return 1
    try:
        told = state.read(options.dir)
        options.to.mkdir(parents=True, exist_ok=True)
        with running_chromium(path) as browser:
            for shot in SHOTS:
                print(take(browser, told["hud_url"], options.to, shot))
    except LocalError as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
