"""The batch's side of a Dask cluster: hands cores to workers, keeps count of what came back, and knows what to do when a
worker dies.

Dask itself gives a dead worker's cores to others (distributed's documentation, "Worker kills"), and gives a core up once as
many workers as the scheduler's `allowed-failures` says, and one more, died while it was in their hands. A worker has several
cores in its hands, so that says little of one: such a core is tried once more on a worker that gets nothing else. Only
if that worker dies too it is set aside.
"""

from __future__ import annotations

import logging
import os
import queue
import time
import warnings
from collections import deque
from contextlib import contextmanager
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from dumpwalk import __version__, limits
from dumpwalk.errors import DumpwalkError, Interrupted, Unreadable
from dumpwalk.jobs.cluster import worker
from dumpwalk.jobs.cluster.order import Answer, Offer, Order
from dumpwalk.jobs.cluster.supply import Supply
from dumpwalk.jobs.isolation import Wire
from dumpwalk.jobs.job import Task

_LOOK_SECONDS = 0.5
"""How often the list of workers is asked for."""
Finished = Callable[[int, Wire], None]


class ClusterUnusable(DumpwalkError):
    kind = "cluster"
    help_text = "The same line tries it again; what is done is in the store."


class SetAside(DumpwalkError):
    kind = "kills-workers"
    help_text = "Look into that worker's log; `--again` tries the core once more."


class _Running(NamedTuple):
    position: int
    future: Any


@contextmanager
def opened(address: str) -> Iterator[Cluster]:
    """The cluster whose scheduler is at `address` (tcp://host:8786, tls://..., or a scheduler's file). Raises ClusterUnusable."""
    try:
        from distributed import Client
        from distributed.utils import get_ip
    except ImportError:
        error = ClusterUnusable("--dask needs one more package: pip install 'dumpwalk[cluster]'.")
        error.help_text = ""
        raise error from None
    silent = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # distributed writes tracebacks of its own; what they mean is told in a sentence
    try:
        with _connected(address, Client, get_ip) as cluster:
            yield cluster
    finally:
        logging.disable(silent)


@contextmanager
def _connected(address: str, connect: Any, get_ip: Callable[[str], str]) -> Iterator[Cluster]:
    where = {"scheduler_file": address} if os.path.isfile(address) else {"address": address}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions of the cluster's packages: what matters shows below
            client = connect(**where, timeout=limits.CLUSTER_CONNECT_SECONDS, set_as_default=False, name="dumpwalk")
    except (OSError, ValueError) as error:
        raise ClusterUnusable(f"The cluster at {address} cannot be reached ({_reason(error)}).") from None
    supply = Supply()
    try:
        scheduler = client.scheduler.address.split("://")[-1].rsplit(":", 1)[0].strip("[]")
        client.sync(supply.open, get_ip(scheduler), client.security)
        yield Cluster(client, supply, address)
    finally:
        try:
            client.sync(supply.close, callback_timeout=5)
        except Exception:  # the scheduler may be gone, and with it the loop's peace
            pass
        client.close(timeout=5)


class Cluster:
    def __init__(self, client: Any, supply: Supply, address: str) -> None:
        self._client, self._supply, self._address = client, supply, address
        self._done: queue.Queue[Any] = queue.Queue()
        self._running: Dict[str, _Running] = {}
        self._threads: Dict[str, int] = {}
        self._looked = 0.0
        self._empty_since: Optional[float] = None

    def where(self) -> str:
        """`on 2 workers`."""
        number = len(self._threads)
        return f"on {number} worker{'' if number == 1 else 's'}"

    def run_each(self, tasks: Sequence[Task], timeout: float, finished: Finished) -> None:
        """As isolation.run_each, on the cluster's workers. Raises ClusterUnusable, Interrupted."""
        modules = {path: self._offer(path) for path in {m for task in tasks for m in task.modules}}

        def begin(position: int, **where: Any) -> None:
            task = tasks[position]
            try:
                core = self._supply.offer(task.path)
            except OSError as error:
                finished(position, _failed(task.path, Unreadable(f"{task.path} cannot be read ({error.strerror}).")))
                return
            told = tuple(modules[m] for m in task.modules)
            order = Order(task.path, core, told, task.sha256, timeout, self._supply.address, __version__)
            future = self._client.submit(worker.analyse, order, pure=False, **where)
            self._running[future.key] = _Running(position, future)
            future.add_done_callback(self._done.put)

        def end(position: int, wire: Wire) -> None:
            self._supply.withdraw(tasks[position].path)
            finished(position, wire)

        try:
            self._look()
            self._check_workers()
            for position in self._together(tasks, begin, end):
                self._alone(position, tasks[position].path, begin, end)
        except KeyboardInterrupt:
            raise Interrupted("interrupted.") from None
        finally:
            self._cancel()

    def _together(self, tasks: Sequence[Task], begin: Callable[..., None], end: Finished) -> List[int]:
        """Cores side by side; those that are under suspicion afterwards are left."""
        waiting: Deque[int] = deque(range(len(tasks)))
        tries: Dict[int, int] = {}
        suspects: List[int] = []
        while waiting or self._running:
            self._look()
            room = sum(self._threads.values()) + len(self._threads)  # one more for each worker, so that none is idle
            while waiting and len(self._running) < room:
                begin(waiting.popleft())
            ended = self._next()
            if ended is None:
                continue
            position, answer, failure = ended
            if _killed(failure):
                suspects.append(position)
            elif answer is not None and not answer.unfit:
                end(position, answer.wire)
            else:
                tries[position] = tries.get(position, 0) + 1
                if tries[position] < limits.CLUSTER_TRIES:
                    waiting.append(position)
                else:
                    end(position, _unfit(tasks[position].path, answer, failure))
        return suspects

    def _alone(self, position: int, path: str, begin: Callable[..., None], end: Finished) -> None:
        """A core under suspicion on a worker that gets no other."""
        self._look()
        address = min(self._threads)
        begin(position, workers=[address])
        while self._running:
            ended = self._next()
            if ended is None:
                self._look()
                if address in self._threads:
                    continue
            elif not _killed(ended[2]):
                _, answer, failure = ended
                good = answer is not None and not answer.unfit
                end(position, answer.wire if answer is not None and good else _unfit(path, answer, failure))
                return
            self._cancel()
            words = (
                f"{path}: set aside, since several workers ended while it was in their hands, the last one ({address})"
            )
            end(position, _failed(path, SetAside(f"{words} with no other core of this batch.")))

    def _offer(self, path: str) -> Offer:
        try:
            return self._supply.offer(path)
        except OSError:
            return Offer(os.path.abspath(path), "")

    def _next(self) -> Optional[Tuple[int, Optional[Answer], Optional[BaseException]]]:
        """(position, answer, what went wrong instead) of one that ended; None where none did for a while."""
        try:
            future = self._done.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return None
        running = self._running.pop(future.key, None)
        if running is None:
            return None
        if future.status == "error":
            return running.position, None, future.exception()
        try:
            return running.position, future.result(timeout=limits.CLUSTER_PART_SECONDS), None
        except Exception as error:  # cancelled, or its worker died with the answer
            return running.position, None, error

    def _cancel(self) -> None:
        futures = [one.future for one in self._running.values()]
        self._running.clear()
        if futures:
            try:
                self._client.cancel(futures)
            except Exception:  # the scheduler is gone, and the work with it
                pass

    # --- workers

    def _look(self) -> None:
        """Ask for the workers, if it is time, until there is one. Raises ClusterUnusable."""
        while True:
            now = time.monotonic()
            if now - self._looked < _LOOK_SECONDS and self._threads:
                return
            self._looked = now
            try:
                if self._client.status not in ("running", "newly-created"):
                    raise OSError("the connection is lost")
                self._threads = dict(self._client.nthreads())
            except (OSError, ValueError, TypeError) as error:
                raise ClusterUnusable(f"The scheduler at {self._address} is gone ({_reason(error)}).") from None
            if self._threads:
                self._empty_since = None
                return
            self._empty_since = self._empty_since or now
            if now - self._empty_since > limits.CLUSTER_EMPTY_SECONDS:
                seconds = limits.CLUSTER_EMPTY_SECONDS
                raise ClusterUnusable(f"The cluster at {self._address} has had no workers for {seconds} seconds.")
            time.sleep(_LOOK_SECONDS)

    def _check_workers(self) -> None:
        """Every worker has this dumpwalk and an lldb. Raises ClusterUnusable."""
        for address, told in self._client.run(worker.about, on_error="return").items():
            if isinstance(told, BaseException):
                what = " ".join(f"{type(told).__name__}: {told}".split())[:200]
                words = f"cannot run dumpwalk ({what}): install {__version__} there"
            elif told["version"] != __version__:
                words = f"has dumpwalk {told['version']}, and this is {__version__}"
            elif told["problem"]:
                words = f"has no lldb: {told['problem'].rstrip('.')}"
            else:
                continue
            raise ClusterUnusable(f"The worker at {address} {words}.")


def _reason(error: BaseException) -> str:
    """`[Errno 104] Connection reset by peer`, without the objects that distributed puts before it."""
    return (str(error).splitlines() or [""])[0].rsplit(": ", 1)[-1].rstrip(".") or type(error).__name__


def _killed(failure: Optional[BaseException]) -> bool:
    return type(failure).__name__ == "KilledWorker"


def _unfit(path: str, answer: Optional[Answer], failure: Optional[BaseException]) -> Wire:
    if answer is not None:
        words = f"the worker {answer.unfit}"
    else:
        words = " ".join(f"the cluster lost it ({type(failure).__name__}: {failure})".split())[:300]
    return _failed(path, ClusterUnusable(f"{path}: after {limits.CLUSTER_TRIES} tries, {words}."))


def _failed(path: str, error: DumpwalkError) -> Wire:
    return {"path": path, "error": error.sentence(), "exit_code": error.exit_code, "error_kind": error.kind}
