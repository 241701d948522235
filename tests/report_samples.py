"""Reports made by hand, one for each picture the renderers must draw well. Shared by the renderers' tests.

The .NET ones follow a real 10.0.12 self-loop hang (addresses, tids and stacks of it); the others are laid out by hand.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Callable, Dict, List, Optional, Sequence

from dumpwalk.report.model import (
    Actor,
    Coverage,
    Crash,
    Cycle,
    DispatchCache,
    Dump,
    Evidence,
    Finding,
    Frame,
    GraphEdge,
    GraphNode,
    Group,
    Lock,
    Managed,
    Module,
    Node,
    Owner,
    Report,
    Runtime,
    Thread,
    Tool,
    Verdict,
    Violation,
    Wait,
    Waiter,
    WaitGraph,
)  # fmt: skip

CLR = "/usr/share/dotnet/shared/Microsoft.NETCore.App/10.0.12/libcoreclr.so"
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
CACHE, LOCK = "0x55776b4d1220", "0x55776b4d1240"
LOOP, HEAD = "0x7f529ee6c4c0", "0x7f52a05fa400"
WAITERS = (*range(8, 20), *range(21, 24))
SPINNER = 20
TID_OF = {SPINNER: 13786}
WRITE_LOCK = "DispatchCache::m_writeLock"


def frame(function: Optional[str], module: Optional[str] = CLR, source: str = "symbol", trust: str = "cfi") -> Frame:
    offset = None if function is None else 0xC9
    pc = 0x7F531E000000 + (zlib.crc32(f"{function} {module}".encode()) & 0xFFFFFF)
    return Frame(hex(pc), module, function, offset, source if function else "none", trust)


INSERT = frame("DispatchCache::Insert", source="inferred", trust="context")
RESOLVE = frame("VirtualCallStubManager::ResolveWorker", source="inferred")
VSD = frame("VSD_ResolveWorker", source="inferred")
STUB = frame("ResolveWorkerAsmStub", source="inferred")
JITTED = (frame(None, None), frame(None, None, trust="fp"), frame(None, None, trust="fp"))
ENTER = frame("CrstBase::Enter", source="inferred")
FUTEX = frame("__lll_lock_wait", LIBC, trust="context")
MUTEX = frame("pthread_mutex_lock", LIBC)
START = (frame(None), frame("start_thread", LIBC), frame("clone3", LIBC))
SPIN_STACK = (INSERT, RESOLVE, VSD, STUB, *JITTED, *START)
WAIT_STACK = (FUTEX, MUTEX, ENTER, INSERT, RESOLVE, VSD, STUB, *JITTED, *START)
IDLE_STACK = (frame("ppoll", LIBC, trust="context"), frame(None), *START)


def _tid(index: int) -> int:
    return TID_OF.get(index, 13766 + index)


def thread(index: int, state: str, frames: Sequence[Frame], group: int, wait: Optional[Wait] = None,
           role: Optional[str] = None, mode: Optional[str] = None, note: Optional[str] = None) -> Thread:  # fmt: skip
    managed = None
    if mode:
        managed = Managed(index, hex(0x55776B600000 + index * 0x800), mode, "0x1020", (), None, "data contract")
    return Thread(index, _tid(index), "os", ".NET Worker" if mode else None, state, wait, group, tuple(frames), managed,
                  role, note)  # fmt: skip


def verdict(status: str, kind: str, sentence: str, signature: Optional[str], headline: str) -> Verdict:
    code = {"hang": 10, "suspicious": 11, "inconclusive": 12, "none": 0}[status]
    line = f"dumpwalk-verdict: {status} {kind}: {sentence} [sig {signature or '-'}]"
    return Verdict(status, kind, sentence, signature, line, code, headline)


def hang_self() -> Report:
    """One thread walks a self-loop holding m_writeLock, 15 wait for it."""
    threads: List[Thread] = []
    waiting = Wait("mutex", LOCK, LOCK)
    for index in range(1, 25):
        if index == SPINNER:
            threads.append(thread(index, "running", SPIN_STACK, 2, mode="cooperative"))
        elif index in WAITERS:
            threads.append(thread(index, "waiting", WAIT_STACK, 1, waiting, mode="cooperative"))
        else:
            threads.append(thread(index, "waiting", IDLE_STACK, 3, Wait("poll", None, None), role="runtime service"))
    idle = tuple(t.index for t in threads if t.group == 3)
    groups = (
        Group(1, 15, WAITERS, WAIT_STACK, "waiting", f"wait for {WRITE_LOCK} in CrstBase::Enter"),
        Group(2, 1, (SPINNER,), SPIN_STACK, "running", "walks the circular chain of bucket 2183"),
        Group(3, len(idle), idle, IDLE_STACK, "waiting", "idle service threads of the runtime"),
    )
    node = Node(LOOP, "0x7f529ef1a2b8", "0x200000001", "0x7f529f3ff280", LOOP)
    head = Node(HEAD, "0x7f529ef1b100", "0x100000001", "0x7f529f3ff2c0", LOOP)
    cache = DispatchCache(
        CACHE, "0x55776b4d1288", "0x55776b4d92c0", LOCK, ("register r14 of thread 20", "g_dacTable"), 3082, 5680,
        "complete",
        (Cycle(2183, 1, LOOP, (HEAD,), (node,), HEAD, (head,)),), (), 0, "10.0 linux-x64, confirmed by structure",
    )  # fmt: skip
    lock = Lock(
        LOCK, WRITE_LOCK, "crst", "glibc-mutex", True, Owner(13786, SPINNER, "proved"),
        tuple(Waiter(i, "corroborated", "futex on the mutex, and in CrstBase::Enter") for i in WAITERS), 1, "inferred",
        (f"__owner at {hex(int(LOCK, 16) + 8)} = 13786", f"__lock at {LOCK} = 2"),
    )  # fmt: skip
    graph = WaitGraph(
        (
            *(GraphNode(f"thread-{i}", "thread", f"thread {i}", thread=i) for i in (*WAITERS, SPINNER)),
            GraphNode("lock-1", "lock", WRITE_LOCK, lock=LOCK),
            GraphNode("chain-2183", "chain", "circular chain of bucket 2183"),
        ),
        (
            *(GraphEdge(f"thread-{i}", "lock-1", "corroborated", "in CrstBase::Enter") for i in WAITERS),
            GraphEdge("lock-1", f"thread-{SPINNER}", "proved", "owner field of the mutex", "held-by"),
            GraphEdge(f"thread-{SPINNER}", "chain-2183", "proved", "its cursor is a node of the loop", "walks"),
        ),
        (),
    )
    evidence = (
        Evidence("the second element of bucket 2183 points to itself", "0x7f529ee6c4d8", LOOP,
                 "pNext, at +0x18 of the element", "proved", f"memory read -s8 -fx -c4 {LOOP}", LOOP),
        Evidence("thread 20 is inside the chain walk", INSERT.pc, None,
                 "its pc, in a loop recognised by its code", "proved"),
        Evidence("thread 20's cursor stands on that element", None, LOOP, "register rax", "proved",
                 "register read rax", LOOP),
        Evidence("the owner of the lock's mutex is thread 20", "0x55776b4d1248", "13786", "__owner", "proved",
                 f"memory read -s4 -fd -c5 {LOCK}", "13786"),
        Evidence("15 threads sleep in futex on the same mutex", LOCK, None, "register rdi of each, and their frames",
                 "corroborated"),
        Evidence("the cache was found in two ways, with one answer", CACHE, None,
                 "register r14 of thread 20; g_dacTable", "corroborated"),
    )  # fmt: skip
    finding = Finding(
        "f1", "dispatch-cache-cycle", "proved", "A thread walks a circular bucket chain holding the cache's write lock",
        ("bucket 2183 of the dispatch cache is circular", f"thread 20 walks it and owns {WRITE_LOCK}",
         "15 threads wait for that lock"),
        ("Thread 20 can never leave the loop, so the lock is never released.",
         "The 15 waiters, and whoever needs a new interface dispatch, wait for ever."),
        ("two writers in the cache at one time (a race while collectible types are unloaded)",
         "a stray write that hit the element's pNext"),
        ("who wrote that link, and when",),
        evidence,
        (f"memory read -s8 -fx -c4 {LOOP}", f"memory read -s4 -fd -c5 {LOCK}", "thread select 20",
         "register read rax pc"),
        "hang",
        ("Thread 20 (tid 13786) is in DispatchCache::Insert~, following bucket 2183 of the interface-dispatch cache.",
         "The second element of that bucket points to itself, so the walk cannot end.",
         f"Thread 20 owns {WRITE_LOCK}. Threads 8-19 and 21-23 wait for it. Nothing in the process can free it."),
        (Actor(SPINNER, "holder"), Actor(SPINNER, "spinner"), *(Actor(i, "waiter") for i in WAITERS)),
        (LOCK,), (2183,), "3f9a1c7e",
    )  # fmt: skip
    return Report(
        1, Tool("dumpwalk", "0.1.0", "22.1.0"),
        verdict("hang", "dispatch-cache-cycle", f"a thread walks a cyclic bucket chain for ever holding {WRITE_LOCK}",
                "3f9a1c7e", "One thread walks a circular list for ever and holds the lock that 15 threads wait for."),
        Dump("core.13767", None, 251_658_240, "elf", "x86_64", "linux", 13767, "createdump", "heap", False, "dotnet"),
        Runtime(".NET", "10.0.12", CLR, "79945f51fb2612f1c0ffee0079945f51fb2612f1", "0x7f531dc00000", "module list",
                "shared", "10.0 linux-x64, confirmed by structure", "version string in the image"),
        (Module(CLR, "79945f51fb2612f1c0ffee0079945f51fb2612f1", "0x7f531dc00000", "modules/libcoreclr.so", "matched"),
         Module("/usr/bin/dotnet", "0123456789abcdef0123456789abcdef01234567", "0x55776a000000", None, "missing",
                "dotnet-symbol --modules --output . core.13767")),
        tuple(threads), groups, (lock,), cache, graph, (finding,),
        (Coverage("stacks", "complete", "24 of 24 threads unwound"),
         Coverage("dispatch cache", "complete", "all 4,096 chains walked"),
         Coverage("native locks", "complete", "every wait of every thread looked at"),
         Coverage("managed locks", "none", "dumpwalk does not look at them")),
    )  # fmt: skip


def stub_spin() -> Report:
    """Two threads spin in the resolve stub, no lock; a GC suspension waits for them and everyone for the GC."""
    stub = frame("ResolveWorkerChainLookupAsmStub", trust="context")
    suspend = (frame("clock_nanosleep", LIBC, trust="context"), frame("ThreadSuspend::SuspendEE"), *START)
    waits = (frame("__futex_wait", LIBC, trust="context"), frame("GCHeap::WaitUntilGCComplete"), *START)
    threads = [
        thread(1, "waiting", waits, 3, Wait("gc", "0x55776b400100", None), mode="preemptive"),
        thread(2, "waiting", suspend, 2, Wait("sleep", None, None), mode="preemptive", role="suspends the runtime"),
        *(thread(i, "running", (stub, *JITTED, *START), 1, mode="cooperative") for i in (3, 4)),
        *(thread(i, "waiting", waits, 3, Wait("gc", "0x55776b400100", None), mode="preemptive") for i in range(5, 21)),
    ]
    nodes = tuple(Node(hex(0x7F529EE6C000 + 0x20 * i), hex(0x7F529EF00000 + 8 * i), "0x200000001", "0x7f529f3ff280",
                       hex(0x7F529EE6C000 + 0x20 * ((i + 1) % 7))) for i in range(7))  # fmt: skip
    graph = WaitGraph(
        (*(GraphNode(f"t{t.index}", "thread", f"thread {t.index}", thread=t.index) for t in threads),
         GraphNode("gc", "gc", "suspension of the runtime"),
         GraphNode("chain-77", "chain", "circular chain of bucket 77")),
        (*(GraphEdge(f"t{t.index}", "gc", "corroborated", "in WaitUntilGCComplete") for t in threads if t.group == 3),
         GraphEdge("gc", "t2", "proved", "the suspending thread", "held-by"),
         *(GraphEdge("t2", f"t{i}", "proved", "cooperative mode", "suspends") for i in (3, 4)),
         *(GraphEdge(f"t{i}", "chain-77", "proved", "rax is a node of the loop", "walks") for i in (3, 4))),
        (),
    )  # fmt: skip
    gc = tuple(t.index for t in threads if t.group == 3)
    base = hang_self()
    finding = Finding(
        "f1", "dispatch-cache-stub-spin", "proved", "Threads walk a circular bucket chain without a lock",
        ("bucket 77 is circular, 7 nodes", "threads 3 and 4 walk it in the resolve stub"),
        ("Threads 3 and 4 never leave the loop.", "The suspension never completes: they stay in cooperative mode."),
        ("a stray write that hit an element",), ("who wrote the link",),
        (Evidence("thread 3's cursor is a node of the loop", None, nodes[3].address, "register rax", "proved"),
         Evidence("thread 3 is in cooperative mode", "0x55776b60000c", "1", "m_fPreemptiveGCDisabled", "proved")),
        (f"memory read -s8 -fx -c4 {nodes[0].address}",), "hang",
        ("Threads 3 and 4 follow bucket 77 of the interface-dispatch cache, which leads back to itself.",
         "A garbage collection waits for them for ever; 17 threads wait for that collection."),
        (Actor(3, "spinner"), Actor(4, "spinner"), Actor(2, "suspender")), (), (77,), "0a1b2c3d",
    )  # fmt: skip
    assert base.dispatch_cache
    cycle = Cycle(77, 7, nodes[0].address, (), nodes, nodes[0].address)
    return replace(
        base, threads=tuple(threads), locks=(), wait_graph=graph, findings=(finding,),
        groups=(Group(1, 2, (3, 4), threads[2].frames, "running", "walk the circular chain of bucket 77"),
                Group(2, 1, (2,), suspend, "waiting", "suspends the runtime for a garbage collection"),
                Group(3, len(gc), gc, waits, "waiting", "wait for the garbage collection")),
        dispatch_cache=replace(base.dispatch_cache, cycles=(cycle,)),
        verdict=verdict("hang", "dispatch-cache-stub-spin",
                        "threads walk a cyclic bucket chain for ever without a lock",
                        "0a1b2c3d", "Two threads walk a circular list for ever; a garbage collection waits for them."),
    )  # fmt: skip


def deadlock(count: int) -> Report:
    """`count` threads of a program without .NET, each waiting for the next one's mutex, and a bystander."""
    program = "/opt/shop/bin/orders"
    names = [f"lock_{chr(ord('a') + i)}" for i in range(count)]
    addresses = [hex(0x404080 + 0x40 * i) for i in range(count)]
    threads = []
    for i in range(count):
        frames = (FUTEX, MUTEX, frame(f"Account<long>::transfer_{i}(Account<long>&, int) const", program),
                  frame("worker(void*)", program), *START[1:])  # fmt: skip
        lock = addresses[(i + 1) % count]
        threads.append(thread(i + 2, "waiting", frames, i + 1, Wait("mutex", lock, lock)))
    main = (frame("__futex_wait", LIBC, trust="context"), frame("pthread_join", LIBC), frame("main", program))
    late = (FUTEX, MUTEX, frame("audit(Ledger const&)", program), *START[1:])
    extra = count + 2
    threads.append(thread(1, "waiting", main, count + 1, Wait("futex", None, None)))
    threads.append(thread(extra, "waiting", late, count + 2, Wait("mutex", addresses[0], addresses[0])))
    threads.sort(key=lambda t: t.index)
    locks = tuple(
        Lock(addresses[i], names[i], "pthread", "glibc-mutex", True, Owner(_tid(i + 2), i + 2, "proved"),
             (Waiter((i - 1) % count + 2, "corroborated", "rdi and frames"),
              *((Waiter(extra, "corroborated", "rdi and frames"),) if i == 0 else ())), None, "symbol",
             (f"__owner at {hex(int(addresses[i], 16) + 8)} = {_tid(i + 2)}",))
        for i in range(count)
    )  # fmt: skip
    edges = []
    for i in range(count):
        edges.append(GraphEdge(f"t{i + 2}", f"l{(i + 1) % count}", "corroborated", "rdi and frames"))
        edges.append(GraphEdge(f"l{i}", f"t{i + 2}", "proved", "__owner", "held-by"))
    edges.append(GraphEdge(f"t{extra}", "l0", "corroborated", "rdi and frames"))
    loop: List[str] = []
    for i in range(count):
        loop += [f"t{i + 2}", f"l{(i + 1) % count}"]
    graph = WaitGraph(
        (*(GraphNode(f"t{i}", "thread", f"thread {i}", thread=i) for i in range(2, extra + 1)),
         *(GraphNode(f"l{i}", "lock", names[i], lock=addresses[i]) for i in range(count))),
        tuple(edges), (tuple(loop),),
    )  # fmt: skip
    finding = Finding(
        "f1", "lock-cycle", "proved", f"{count} threads wait for each other's locks",
        tuple(f"thread {i + 2} owns {names[i]} and waits for {names[(i + 1) % count]}" for i in range(count)),
        ("None of them can go on: each waits for a lock that only another of them can free.",), (),
        ("which of them took its locks in the wrong order",),
        tuple(Evidence(f"the owner of {names[i]} is thread {i + 2}", hex(int(addresses[i], 16) + 8),
                       str(_tid(i + 2)), "__owner")
              for i in range(count)),
        tuple(f"memory read -s4 -fd -c5 {a}" for a in addresses), "hang",
        (f"Threads 2 to {count + 1} form a circle: each holds a lock that the one before it waits for.",),
        tuple(Actor(i + 2, "holder") for i in range(count)), tuple(addresses), (), "77aa88bb",
    )  # fmt: skip
    return replace(
        hang_self(), runtime=None, modules=(Module(program, "aa" * 20, "0x400000", program, "matched"),),
        threads=tuple(threads), locks=locks, dispatch_cache=None, wait_graph=graph, findings=(finding,),
        groups=tuple(Group(t.group or 0, 1, (t.index,), t.frames, t.state, "waits for a mutex") for t in threads),
        verdict=verdict("hang", "lock-cycle", f"threads wait for each other's locks: {', '.join(names)}", "77aa88bb",
                        f"{count} threads wait for each other's locks; none can go on."),
        coverage=(Coverage("stacks", "complete", "all threads unwound"), Coverage("native locks", "complete", "")),
    )  # fmt: skip


def damage() -> Report:
    """An element in the wrong bucket, nobody stuck on it."""
    base = hang_self()
    assert base.dispatch_cache
    violations = (Violation("shared-node", 12, 2183, LOOP, f"node {LOOP} is met in bucket 12 and in bucket 2183"),
                  Violation("wrong-bucket", 12, 2183, LOOP, "its key hashes to bucket 2183"),
                  Violation("unreadable", None, None, None, "an element outside the captured memory"))  # fmt: skip
    finding = Finding(
        "f1", "dispatch-cache-damage", "proved", "The dispatch cache breaks its own rules",
        ("the chain of bucket 12 runs into that of bucket 2183",), ("A lookup may walk elements of another bucket.",),
        ("a stray write to one pNext",), ("that anything hangs because of it",),
        (Evidence("the element is in two chains", LOOP, None, "both chains walked"),), (), "suspicious",
        ("Two chains of the interface-dispatch cache have run together. No thread is stuck on them.",),
        buckets=(12,), signature="dddd0001",
    )  # fmt: skip
    crash = Finding("f2", "crash", "proved", "The process aborted", ("thread 1 raised SIGABRT",), (), (), (), (), (),
                    "none", ("The dump was made by an abort of thread 1 (SIGABRT).",))  # fmt: skip
    threads = tuple(replace(t, state="waiting", wait=None, group=3, frames=IDLE_STACK) for t in base.threads)
    group = Group(3, 24, tuple(t.index for t in threads), IDLE_STACK, "waiting", "idle")
    return replace(
        base, threads=threads, groups=(group,), locks=(), wait_graph=WaitGraph((), (), ()), findings=(crash, finding),
        dispatch_cache=replace(base.dispatch_cache, cycles=(), violations=violations, violation_count=1234),
        dump=replace(base.dump, crash=Crash(13767, 1, 6, "SIGABRT", "made by an abort (SIGABRT) of thread 1")),
        verdict=verdict("suspicious", "dispatch-cache-damage", "a chain of the dispatch cache breaks its rules",
                        "dddd0001",
                        "The interface-dispatch cache is damaged; no thread is shown to be stuck on it."),
    )  # fmt: skip


def inconclusive() -> Report:
    """A `createdump --normal`: stacks, no heap."""
    base = hang_self()
    assert base.dispatch_cache
    cache = replace(base.dispatch_cache, walked="not-in-dump", cycles=(), elements=0, buckets=0, sentinel=None)
    lock = replace(base.locks[0], locked=None, owner=None, recursion=None, words=(),
                   waiters=tuple(Waiter(i, "inferred", "frames") for i in WAITERS))  # fmt: skip
    finding = Finding(
        "f1", "not-captured", "inferred", "The picture of a dispatch-cache hang, not provable from this dump",
        ("one thread is in DispatchCache::Insert", "15 threads wait in CrstBase::Enter below Insert"), (),
        ("a circular bucket chain",), ("that the chain is circular: the cache's memory is not in the dump",), (), (),
        "inconclusive",
        ("One thread is in DispatchCache::Insert and 15 wait in CrstBase::Enter, as in a dispatch-cache hang.",
         "The memory that would prove it is not in this dump. A dump made with `createdump --withheap` has it."),
    )  # fmt: skip
    return replace(
        base, dispatch_cache=cache, locks=(lock,), findings=(finding,), wait_graph=WaitGraph((), (), ()),
        dump=replace(base.dump, kind="mini", notes=("no heap memory in this dump",)),
        verdict=verdict("inconclusive", "not-captured", "the memory that would show the cause is not in the dump", None,
                        "The stacks look like a dispatch-cache hang; the dump lacks the memory that would prove it."),
        coverage=(Coverage("stacks", "complete", "24 of 24"), Coverage("dispatch cache", "none", "not in the dump"),
                  Coverage("native locks", "partial", "waiters only, from stacks")),
    )  # fmt: skip


def healthy() -> Report:
    base = hang_self()
    assert base.dispatch_cache
    return replace(
        base, findings=(), locks=(), wait_graph=WaitGraph((), (), ()),
        threads=tuple(replace(t, state="waiting", wait=None, group=3, frames=IDLE_STACK) for t in base.threads),
        groups=(Group(3, 24, tuple(range(1, 25)), IDLE_STACK, "waiting", "idle"),),
        dispatch_cache=replace(base.dispatch_cache, cycles=()),
        verdict=verdict("none", "nothing-stuck",
                        "nothing stuck in native locks and the dispatch cache; managed locks not looked at", None,
                        "Nothing is stuck in what dumpwalk looks at: native locks and the dispatch cache."),
    )  # fmt: skip


HOSTILE = (
    "a|b`c``` <script>alert(1)</script> @everyone #128859 [x](javascript:alert(1)) ![i](http://e.example/x.png) "
    "\x1b[31mred\x1b[0m \u202egnp.exe\u2066 \x07\x00\r\n# heading\n```json\n{}\n``` <!-- --> &lt; \\| $x$ ~~s~~ __b__"
    " *i* http://e.example/ www.e.example GH-1 dotnet/runtime#5 </details></summary> %%{init}%% ;classDef \"q\" 'q'"
)


def hostile() -> Report:
    """The hang with every name an attack, one of them 10,000 characters long."""
    base = hang_self()
    bad = {index: frame(HOSTILE + str(index), HOSTILE) for index in range(3)}
    long_name = frame("A" * 10_000, "/" + "d" * 5_000)
    stack = (bad[0], bad[1], long_name, bad[2])
    threads = tuple(
        replace(t, name=HOSTILE, frames=(*stack, *t.frames), role=HOSTILE, note=HOSTILE) for t in base.threads
    )
    groups = tuple(replace(g, frames=(*stack, *g.frames), title=HOSTILE) for g in base.groups)
    locks = tuple(replace(k, name=HOSTILE, note=HOSTILE, words=(HOSTILE,)) for k in base.locks)
    nodes = tuple(replace(n, label=HOSTILE) for n in base.wait_graph.nodes)
    finding = base.findings[0]
    evidence = (*finding.evidence, Evidence(HOSTILE, "0x10", HOSTILE, HOSTILE, "inferred", "memory read `x`", HOSTILE))
    return replace(
        base, threads=threads, groups=groups, locks=locks, wait_graph=replace(base.wait_graph, nodes=nodes),
        dump=replace(base.dump, path=HOSTILE, process_name=HOSTILE, notes=(HOSTILE,)),
        modules=(Module(HOSTILE, HOSTILE, "0x1000", None, "missing", "dotnet-symbol " + HOSTILE), *base.modules),
        findings=(replace(finding, title=HOSTILE, summary=(HOSTILE,), observed=(HOSTILE,), therefore=(HOSTILE,),
                          consistent_with=(HOSTILE,), not_established=(HOSTILE,), evidence=evidence,
                          repro=(*finding.repro, "memory read " + HOSTILE)),),
        coverage=(*base.coverage, Coverage(HOSTILE, "partial", HOSTILE)),
    )  # fmt: skip


def crowd(count: int = 2_000, own_stacks: int = 100) -> Report:
    """The hang in a process of many threads: most wait for the lock, `own_stacks` of them with a stack of their own."""
    base = hang_self()
    wait = Wait("mutex", LOCK, LOCK)
    threads = list(base.threads)
    groups = list(base.groups)
    waiting = list(WAITERS)
    for index in range(25, count + 1):
        waiting.append(index)
        if index - 25 < own_stacks:
            frames = (*WAIT_STACK[:3], frame(f"Service{index}::Handle<int>(int)", CLR), *START)
            groups.append(Group(index, 1, (index,), frames, "waiting", f"wait for {WRITE_LOCK}"))
            threads.append(thread(index, "waiting", frames, index, wait))
        else:
            threads.append(thread(index, "waiting", WAIT_STACK, 1, wait))
    shared = tuple(t.index for t in threads if t.group == 1)
    groups[0] = replace(groups[0], count=len(shared), threads=shared)
    graph = base.wait_graph
    more = range(25, count + 1)
    nodes = (*graph.nodes, *(GraphNode(f"thread-{i}", "thread", f"thread {i}", thread=i) for i in more))
    edges = (*graph.edges, *(GraphEdge(f"thread-{i}", "lock-1", "corroborated", "frames") for i in more))
    return replace(
        base, threads=tuple(threads), groups=tuple(groups), wait_graph=WaitGraph(nodes, edges, ()),
        locks=(replace(base.locks[0], waiters=tuple(Waiter(i, "corroborated", "frames") for i in waiting)),),
    )  # fmt: skip


SAMPLES: Dict[str, Callable[[], Report]] = {
    "hang-self": hang_self,
    "stub-spin": stub_spin,
    "deadlock-2": lambda: deadlock(2),
    "deadlock-3": lambda: deadlock(3),
    "damage": damage,
    "inconclusive": inconclusive,
    "healthy": healthy,
    "hostile": hostile,
    "crowd": crowd,
}
