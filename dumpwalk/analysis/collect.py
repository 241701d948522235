"""The old name of `observe`."""

from __future__ import annotations

from dumpwalk.analysis.observe import observe

collect = observe
