"""Tells a process's unwinder of managed code: its unwind data, and the transition frames that the runtime noted."""

from __future__ import annotations

from dumpwalk.core.process import Process
from dumpwalk.coreclr.frame_chain import resume_by
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.unwinding.managed_rules import ManagedRules
from dumpwalk.coreclr.words import Unknown


def attach(process: Process, view: ManagedView) -> None:
    """From now on stacks go through managed code. Without the runtime's code ranges they stay as they were."""
    if process.unwinding is None or isinstance(view.code(), Unknown):
        return
    process.unwinding.use_managed(ManagedRules(process, view), resume_by(process, view))
    for thread in process.threads:
        thread.forget_frames()  # finding the code ranges may have had to look at some
