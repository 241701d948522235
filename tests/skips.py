"""What a test lacks is a skip for a person and a failure for continuous integration (CI=true), where set-up brings all.

Only a test marked `may_skip` may skip there too: it asks for something of the machine that no package gives.
"""

from __future__ import annotations

import os
from typing import Any, Generator

import pytest


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def _why(report: Any) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _fail(report: Any) -> None:
    report.outcome = "failed"
    report.longrepr = f"skipped in continuous integration, where nothing may lack: {_why(report)}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, None]:
    """One test that skips, in its set-up or in its body; an expected failure is none."""
    report = (yield).get_result()
    if in_ci() and report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("may_skip"):
        _fail(report)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    """A whole file that skips."""
    report = (yield).get_result()
    if in_ci() and report.skipped:
        _fail(report)
