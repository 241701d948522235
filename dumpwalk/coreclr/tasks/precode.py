"""The method behind a delegate's code pointer: the code itself, or the stub through which a method is first called.

A stub of .NET 7 and later has its data one page of stubs behind its code: a FixupPrecode {target, MethodDesc, thunk}, a
StubPrecode {MethodDesc, target, kind}. Source: src/coreclr/vm/precode.h. The MethodDesc must check out as one.
"""

from __future__ import annotations

from typing import Optional

from dumpwalk.coreclr.code.method_desc import MethodName
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.words import NotRead

_PAGES = (0x4000, 0x1000, 0x10000)
"""Bytes of one page of stubs: 16 KB, 4 KB before 9, 64 KB where the system's pages are so large."""


def called_method(view: ManagedView, code: int) -> Optional[MethodName]:
    """The method that a call to this address enters; None where that cannot be told."""
    found = view.code_at(code)
    if isinstance(found.method, MethodName):
        return found.method if found.method.kind == "il" else None
    if found.kind != "stub":
        return None
    for page in _PAGES:
        try:
            first, second = (view.words.pointer(code + page + at, "a stub's data") for at in (0, 8))
        except NotRead:
            continue
        for descriptor in (second, first):
            method = view.method_name(descriptor) if descriptor and descriptor % 8 == 0 else None
            if isinstance(method, MethodName) and method.kind == "il":
                return method
    return None
