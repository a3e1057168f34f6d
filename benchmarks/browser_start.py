"""From opening the demo page to the first digit that it recognises, with nothing cached."""

from __future__ import annotations

import statistics
from pathlib import Path

from browser_page import served
from playwright.sync_api import Browser

__all__ = ["cold_loads", "start_lines"]

TARGET_MS = 1000
#: The page leaves this mark when it shows the first result; entries count from the start of the navigation.
MARK = "first-result"


def cold_loads(browser: Browser, site: Path, loads: int) -> list[float]:
    """Return the milliseconds of loads, each in a profile of its own."""
    found = []
    with served({"/": site}) as origin:
        for _ in range(loads):
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{origin}/index.html", wait_until="commit")
            page.wait_for_function("(mark) => performance.getEntriesByName(mark).length > 0", arg=MARK)
            found.append(page.evaluate("(mark) => performance.getEntriesByName(mark)[0].startTime", MARK))
            context.close()
    return found


def start_lines(milliseconds: list[float]) -> list[str]:
    """Return the results as lines of text."""
    most = max(milliseconds)
    verdict = "reached" if most <= TARGET_MS else "MISSED"
    return [
        f"{len(milliseconds)} cold loads of the demo page to its first digit, ms: median "
        f"{statistics.median(milliseconds):.0f}, most {most:.0f}; target {TARGET_MS}: {verdict}"
    ]
