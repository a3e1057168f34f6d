"""Every run ends with the list of skipped tests; EDGE_SPARSE_REQUIRE_ALL=1 makes a skip a failure."""

import os

import pytest

# Processes that tests start must find the installed package, not the sources in the folder they start in.
os.environ["PYTHONSAFEPATH"] = "1"


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section(f"skipped tests: {len(skipped)}")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"{report.nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("EDGE_SPARSE_REQUIRE_ALL") == "1" and exitstatus == 0 and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
