"""What is read once of the runtime and used by everything that follows: identity, C library, layouts, contract, g_dacTable."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, Tuple

from dumpwalk.core.process import Process
from dumpwalk.coreclr.contract import ContractResult, read_contract
from dumpwalk.coreclr.dac_table import DacTable, read_dac_table
from dumpwalk.coreclr.layouts import Layout, matching
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.runtime import RuntimeInfo, identify
from dumpwalk.coreclr.traces import Traces, search
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class RuntimeView:
    """All fields but `layouts` are None or empty for a process without CoreCLR."""

    info: Optional[RuntimeInfo] = None
    libc: Optional[str] = None
    """glibc, musl, apple; by a module, else by the contract's RID; None where neither tells."""
    layouts: Tuple[Layout, ...] = ()
    """Rows that can describe this process, best first; of its platform alone where there is no runtime."""
    contract: ContractResult = ContractResult(None, "the process has no .NET runtime")
    table: Optional[DacTable] = None
    managed: Optional[ManagedView] = None
    """Managed code and objects by name; reads when it is asked."""
    traces: Optional[Traces] = None
    """Where no image showed a runtime: what a search of memory for one gave."""


def read_runtime(process: Process) -> RuntimeView:
    """Never raises on damaged memory; what is missing is None."""
    info, traces = identify(process), None
    if info is None:
        traces = search(process)
        info = identify(process, traces.marks)
    if info is None:
        return replace(without_runtime(process), traces=traces)
    contract = read_contract(process, info)
    libc = info.libc
    if libc is None and contract.contract is not None and process.os == "linux":
        libc = contract.contract.libc
    return RuntimeView(
        info=info,
        libc=libc,
        layouts=matching(process.os, process.arch.name, libc, info.major),
        contract=contract,
        table=read_dac_table(process, info),
        managed=ManagedView(process, info, contract=contract),
        traces=traces,
    )


def without_runtime(process: Process) -> RuntimeView:
    """Of a process in which no CoreCLR was found, or was not looked for."""
    return RuntimeView(layouts=matching(process.os, process.arch.name, None, None))
