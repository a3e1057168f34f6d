"""Memory of the process that runs a page, as the system counts it."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["MEGABYTE", "Renderer"]

MEGABYTE = 1 << 20
BUSY = "() => { const end = performance.now() + 300; while (performance.now() < end); }"


class Renderer:
    """The process of a page and of its workers."""

    def __init__(self, page):
        self.page = page
        self._browser = page.context.browser.new_browser_cdp_session()
        self._devtools = page.context.new_cdp_session(page)
        before = self._processor_seconds()
        page.evaluate(BUSY)
        after = self._processor_seconds()
        # No interface names a page's process, so it is the one that just was busy.
        self.pid = max(after, key=lambda pid: after[pid] - before.get(pid, 0))

    def _processor_seconds(self):
        processes = self._browser.send("SystemInfo.getProcessInfo")["processInfo"]
        return {p["id"]: p["cpuTime"] for p in processes if p["type"] == "renderer"}

    def collect_garbage(self):
        """Free what nothing refers to: twice, since finalizers of the first round let go of more."""
        for _ in range(2):
            self._devtools.send("HeapProfiler.collectGarbage")
            self.page.wait_for_timeout(100)

    def heap(self):
        """Return the bytes of the page's JavaScript heap; that of workers does not count."""
        return self._devtools.send("Runtime.getHeapUsage")["usedSize"]

    def resident(self):
        """Return the process's resident bytes."""
        return self._status("VmRSS")

    def reset_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak(self):
        """Return the most resident bytes since ``reset_peak``."""
        return self._status("VmHWM")

    def _status(self, name):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024
