"""What runs on a worker of the cluster: the analysis of one core, in child processes as on the batch's own machine."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional

from dumpwalk import __version__, limits
from dumpwalk.errors import DumpwalkError
from dumpwalk.jobs import isolation
from dumpwalk.jobs.cluster.fetch import CannotFetch, at_hand
from dumpwalk.jobs.cluster.order import Answer, Order
from dumpwalk.jobs.job import Task


def about() -> Dict[str, str]:
    """This worker's dumpwalk, and why it cannot work (empty where it can)."""
    from dumpwalk.debugger.discovery import discover

    found = discover()
    return {"version": __version__, "problem": "" if found.usable else found.problem or "no usable lldb was found."}


def analyse(order: Order) -> Answer:
    """Raises nothing: an exception would be told as the cluster's own."""
    from distributed import get_worker

    worker = get_worker()
    if order.version != __version__:
        return Answer({}, f"has dumpwalk {__version__}, the batch {order.version}")
    try:
        with at_hand(order, worker) as (file, modules, copies):
            task = Task(order.path, modules, order.sha256, file=file)
            wire = isolation.run_one(task, order.timeout, memory=memory(worker))
            return Answer(_with_original_paths(wire, copies))
    except CannotFetch as error:
        return Answer({}, str(error))
    except DumpwalkError as error:
        return Answer({}, f"cannot work: {error.sentence()}".rstrip("."))
    except Exception as error:  # whatever it is, it is this worker's and not the core's
        return Answer({}, f"failed ({type(error).__name__}: {error})")


def memory(worker: Any) -> Optional[int]:
    """Bytes for one child: the worker's own share of its machine by its threads; None where the cluster sets it no limit."""
    limit = getattr(worker.memory_manager, "memory_limit", None)
    if not limit:
        return None
    return int(limit * limits.CHILD_MEMORY_FRACTION / max(1, worker.state.nthreads))


def _with_original_paths(wire: Dict[str, Any], copies: Dict[str, str]) -> Dict[str, Any]:
    """The report names files where the batch knows them: a copy's folder has a random name and is gone."""
    if not copies:
        return wire
    text = json.dumps(wire)
    for copy, original in copies.items():
        text = text.replace(json.dumps(copy)[1:-1], json.dumps(original)[1:-1])
    told: Dict[str, Any] = json.loads(text)
    return told
