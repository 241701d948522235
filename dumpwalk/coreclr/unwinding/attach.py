"""Tells a process's unwinder of managed code: its unwind data, and the transition frames that the runtime noted."""

from __future__ import annotations

from typing import Mapping, Optional

from dumpwalk.core.process import Process
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.unwinding.managed_rules import ManagedRules
from dumpwalk.coreclr.words import Unknown
from dumpwalk.unwinding.stack import Resume


def attach(process: Process, view: ManagedView) -> None:
    """From now on stacks go through managed code. Without the runtime's code ranges they stay as they were."""
    if process.unwinding is None or isinstance(view.code(), Unknown):
        return
    process.unwinding.use_managed(ManagedRules(process, view), _no_frames)
    for thread in process.threads:
        thread.forget_frames()  # finding the code ranges may have had to look at some


def _no_frames(registers: Mapping[str, int]) -> Optional[Resume]:
    return None
