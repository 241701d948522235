"""On a worker: the batch's files, where it sees the same ones by their paths, or else as copies fetched from the batch.

A core's copy lives as long as its analysis. Modules are fetched once for the life of the worker's process. Both lie in
private folders that a later run removes if this one is killed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from contextlib import ExitStack, contextmanager
from typing import Any, Dict, Iterator, List, Tuple

from dumpwalk import limits, scratch
from dumpwalk.jobs.cluster.order import Entry, Offer, Order, offer_of

_LOCK = threading.Lock()
_KEPT = ExitStack()
_MODULES: Dict[Offer, str] = {}
"""Where a module path's files are for this process."""


class CannotFetch(Exception):
    """In words that continue "the worker"."""


@contextmanager
def at_hand(order: Order, worker: Any) -> Iterator[Tuple[str, Tuple[str, ...], Dict[str, str]]]:
    """(the core's file, the modules' paths, original path by copy). Raises CannotFetch, OSError."""
    copies: Dict[str, str] = {}
    with ExitStack() as stack:
        core = order.core.path
        if not _sees(order.core):
            folder = stack.enter_context(scratch.private_folder())
            core = _copy(order.core, os.path.join(folder, "fetched"), order.supply, worker)
            copies[core] = order.core.path
        modules = []
        for offer in order.modules:
            path = _modules(offer, order.supply, worker)
            modules.append(path)
            if path != offer.path:
                copies[path] = offer.path
        yield core, tuple(modules), copies


def _sees(offer: Offer) -> bool:
    try:
        return bool(offer.digest) and offer_of(offer.path) == offer
    except OSError:
        return False


def _modules(offer: Offer, supply: str, worker: Any) -> str:
    with _LOCK:
        if offer not in _MODULES:
            if offer.too_many and not os.path.exists(offer.path):
                most = f"{limits.FETCHED_FILES:,}"
                raise CannotFetch(f"does not see {offer.path}, which has more files than are sent ({most})")
            if not offer.digest or _sees(offer):
                _MODULES[offer] = offer.path
            else:
                folder = _KEPT.enter_context(scratch.private_folder())
                _MODULES[offer] = _copy(offer, os.path.join(folder, "modules"), supply, worker)
        return _MODULES[offer]


def _copy(offer: Offer, target: str, supply: str, worker: Any) -> str:
    """The copy's path: `target` for a folder, a file below it of the same name for a file."""
    from distributed.utils import sync

    try:
        return str(sync(worker.loop, _copied, offer, target, worker.rpc(supply)))
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        reason = f"{type(error).__name__}: {error}".rstrip(". ")
        raise CannotFetch(f"could not fetch {offer.path} from the batch ({reason})") from None


async def _copied(offer: Offer, target: str, batch: Any) -> str:
    listed: List[Entry] = [tuple(entry) for entry in await batch.dumpwalk_entries(path=offer.path)]  # type: ignore[misc]
    whole = sum(size for _, size, _ in listed)
    os.makedirs(target, exist_ok=True)
    free = shutil.disk_usage(target).free
    if whole > free * limits.TEMPORARY_DISK_FRACTION:
        raise OSError(f"{whole >> 20:,} MiB, and {free >> 20:,} MiB are free")
    for name, size, changed in listed:
        file = os.path.join(target, name or os.path.basename(offer.path))
        if os.path.commonpath([os.path.abspath(file), os.path.abspath(target)]) != os.path.abspath(target):
            raise ValueError("a path that leads out of its folder")
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "xb") as stream:
            while True:
                asked = batch.dumpwalk_part(path=offer.path, name=name, offset=stream.tell())
                part = await asyncio.wait_for(asked, limits.CLUSTER_PART_SECONDS)
                if not part:
                    break
                stream.write(part)
            if stream.tell() != size:
                raise OSError(f"{name or offer.path} changed while it was sent")
        os.utime(file, ns=(changed, changed))
    alone = [name for name, _, _ in listed] == [""]
    return os.path.join(target, os.path.basename(offer.path)) if alone else target
