"""Known hangs of the runtime itself, as data: which functions stand on whose stack, what that may say, what it resembles.

To add one, add a row: the engine (pattern_match.py) and the two detectors that tell of it (runtime_pattern.py; not_a_hang.py for
what is no hang of the program at all) read nothing but this table, and docs/findings.md is made from it. A row names the real
processes in which it fires and twins in which it stays silent, or says why there is none; tests/test_pattern_fixtures.py asks.

A picture of stacks is never a cause and decides no verdict: what memory proves is told by the detectors of locks, of suspensions
and of the cache. Function names are those of symbols, of metadata or of code that was recognised; where the runtime has none of
them a row is silent. Functions that are always inlined are in no row. Sources: the files named in each row's comment, of
src/coreclr/vm unless another folder is named; which functions exist as symbols was looked up in 3.1.23, 8.0.30 and 10.0.9.
"""

from __future__ import annotations

from typing import Literal, Tuple

from dumpwalk.dataclass import dataclass

State = Literal["waiting", "running", "any"]


@dataclass(frozen=True)
class Role:
    """What one thread of the picture does, or several."""

    does: str
    """Verb phrase for one thread: `waits for the lock of the perf map`."""
    frames: Tuple[Tuple[str, ...], ...]
    """From the innermost outwards, one function of each group: each at most NEAR frames further out than the one before it, or,
    in a group that begins with FAR, anywhere further out. A name that ends in * stands for all that begin so."""
    state: State = "waiting"
    least: int = 1
    without: Tuple[str, ...] = ()
    """Functions that stand on the stack of a thread that does it as its normal work."""


@dataclass(frozen=True)
class Pattern:
    """One known hang."""

    key: str
    title: str
    """What the report says of it, a clause."""
    roles: Tuple[Role, ...]
    resembles: Tuple[str, ...]
    """Public issues of dotnet/runtime (coreclr#N, corefx#N for the older repositories)."""
    not_shown: str
    """What the picture leaves open."""
    fires: Tuple[str, ...] = ()
    """Where a real process shows it: committed cores by name, or tests that make a process (`test_x.py::test_y`)."""
    silent: Tuple[str, ...] = ()
    """Its twins: cores (or such tests) that look alike and do not show it."""
    unmade: str = ""
    """Why there is no real one, where `fires` is empty. Every row is also played by rewritten stacks (test_runtime_patterns.py)."""
    headline: str = ""
    """Of what is no hang of the program: the first words of the report; who plays the first role follows them."""
    systems: Tuple[str, ...] = ("linux", "macos")


FAR = "..."
SIGNAL_FRAME = "__restore_rt"
"""What returns from a signal handler, on Linux known by its two instructions, whatever it is called."""
NEAR = 4
"""Frames between a lock function and the function that wants the lock: holders and helpers that were not inlined."""
_LIVE = "test_runtime_patterns.py::"
_ENTER = ("CrstBase::Enter", "CrstBase::AcquireLock", "EnterCriticalSection", "CorUnix::InternalEnterCriticalSection")
_MUTEX = (
    "pthread_mutex_lock",
    "___pthread_mutex_lock",
    "__pthread_mutex_lock",
    "__lll_lock_wait",
    "__GI___lll_lock_wait",
)

PATTERNS: Tuple[Pattern, ...] = (
    # debugger.cpp: the managed debugger has stopped, or is stopping, all managed threads
    Pattern(
        "debugger-stop",
        "a debugger holds the process",
        (
            Role("is in the debugger's stop of all managed threads",
                 (("Debugger::TrapAllRuntimeThreads", "Debugger::SendBreakpoint", "Debugger::SendException", "Debugger::SendStep",
                   "Debugger::SendRawEvent", "Debugger::SendUserBreakpoint", "Debugger::FirstChanceNativeException"),), "any"),
        ),
        ("65047",),
        "Whether the debugger is still attached, and what it waits for.",
        fires=("stands/breakpoint", _LIVE + "test_a_debugger_that_asked_the_threads_to_stop_is_told_by_their_state_words"),
        silent=("stands/attached", "healthy"),
        headline="DEBUGGER STOP, not a hang of the program",
    ),
    # pal/src/thread/process.cpp, PROCCreateCrashDump: fork, exec of createdump, waitpid
    Pattern(
        "crash-dump-under-way",
        "a crashing thread waits for createdump to write its dump",
        (Role("waits for createdump", (("PROCCreateCrashDump*",),)),),
        ("65047",),
        "Why the process crashed: the stack of that thread tells.",
        fires=("stands/crash-in-gc", "stands/crash-under-lock", _LIVE + "test_a_dump_taken_while_createdump_works_is_a_crash"),
        silent=("stands/going-on", "stands/out-of-memory"),
        headline="CRASH, not a hang",
    ),
    # ceemain.cpp, EEShutDown; exit handlers of the C library
    Pattern(
        "shut-down",
        "the process is ending",
        (Role("ends the process", (("EEShutDown", "coreclr_shutdown*", "__run_exit_handlers", "exit",
                                      "System.AppContext.OnProcessExit", "System.Environment.Exit"),), "any"),),
        ("83898",),
        "What holds the end up, where it takes long: the stack of that thread.",
        fires=("stands/ending", "stands/ending-deadlock",
               _LIVE + "test_a_process_that_ends_is_told_first_and_is_not_called_nothing_stuck"),
        silent=("stands/going-on",),
        headline="THE PROCESS IS ENDING, not a hang of its work",
    ),
    # ceemain.cpp, EEStartupHelper, called by coreclr_initialize (dlls/mscoree/exports.cpp)
    Pattern(
        "start-up",
        "the runtime is starting",
        (Role("starts the runtime", (("EEStartup", "coreclr_initialize"),), "any"),),
        ("98270", "114182"),
        "Whether the start would have ended.",
        fires=("stands/starting",),
        silent=("stands/going-on",),
        headline="THE RUNTIME IS STARTING, not a hang of the program's work",
    ),
    # virtualcallstub.cpp, executableallocator.cpp: two locks of level 0
    Pattern(
        "stub-manager-lock-order",
        "the destructor of a stub manager waits for the executable allocator's lock, and others for the cache's",
        (
            Role("waits in the destructor of a stub manager",
                 (_ENTER, ("ExecutableAllocator::*",), (FAR, "VirtualCallStubManager::~VirtualCallStubManager"))),
            Role("waits for the cache's lock", (_ENTER, ("DispatchCache::Insert", "DispatchCache::PromoteChainEntry"))),
        ),
        ("132982", "128868"),
        "Whether the first of them holds the cache's lock: `dumpwalk locks --held-by` tells.",
        unmade="only previews of .NET 11 take the lock there, and no registry has one",
    ),
    # threads.cpp, threadsuspend.cpp
    Pattern(
        "thread-store",
        "threads that start or end wait for the list of threads",
        (Role("waits for the ThreadStore's lock", (_ENTER, ("ThreadStore::*", "ThreadSuspend::LockThreadStore"))),),
        ("44698", "83898"),
        "Who holds it, where the lock's own row does not say.",
        fires=("driven/thread-store",),
        silent=("driven/rest", "driven/join"),
    ),
    # perfmap.cpp
    Pattern(
        "perf-map",
        "a stub is logged to the perf map under a lock, while a collection waits",
        (
            Role("waits for a collection to end while it logs a stub", (("Thread::RareDisablePreemptiveGC",), (FAR, "PerfMap::*"))),
            Role("waits for memory of stubs", (_ENTER, ("CodeFragmentHeap::RealAllocAlignedMem", "LoaderHeap::RealAllocMem*"))),
        ),
        ("128401", "113943", "129021"),
        "Which lock the first one holds: `dumpwalk locks --held-by` tells.",
        unmade="versions with that order of locks (8 and later) carry no symbols on Linux, where perf maps are used",
    ),
    # clsload.cpp
    Pattern(
        "type-load",
        "threads wait for each other to load a type",
        (
            Role("waits for a type that another thread loads",
                 (_ENTER, ("ClassLoader::LoadTypeHandleForTypeKey*", "PendingTypeLoadTable::*")), least=2),
        ),
        ("8324", "6728", "coreclr#12174"),
        "Whether the threads that load wait for one another.",
        fires=("driven/type-load",),
        silent=("driven/rest", "hangs/net31-hall"),
    ),
    # methodtable.cpp
    Pattern(
        "class-init",
        "threads wait for a static constructor to end",
        (
            Role("waits for a static constructor",
                 ((*_ENTER, "DeadlockAwareLock::BeginEnterLock"),
                  ("MethodTable::DoRunClassInitThrowing", "MethodTable::CheckRunClassInitThrowing"))),
        ),
        ("118371", "40190"),
        "What the constructor itself waits for, where the lock's row does not lead there.",
        fires=("hangs/net31-hall",),
        silent=("driven/rest", "driven/type-load"),
    ),
    # prestub.cpp, jitinterface.cpp
    Pattern(
        "jit-lock",
        "threads wait for a method that another thread compiles",
        (
            Role("waits for a method to be compiled", (_ENTER, ("MethodDesc::JitCompileCode*",))),
            Role("compiles a method", (("UnsafeJitFunction", "MethodDesc::JitCompileCodeLocked*"),), "any"),
        ),
        ("coreclr#25086", "37278", "42375"),
        "That the compilation will not end: big methods take seconds.",
        fires=(_LIVE + "test_threads_that_wait_for_a_method_to_be_compiled",),
        silent=("driven/rest", "driven/type-load"),
    ),
    # tieredcompilation.cpp, codeversion.cpp, callcounting.cpp
    Pattern(
        "tiering-locks",
        "tiered compilation waits for a lock or a suspension of its own",
        (
            Role("waits in tiered compilation",
                 ((*_ENTER, "ThreadSuspend::SuspendEE"),
                  ("TieredCompilationManager::*", "CallCountingManager::*", "CodeVersionManager::*",
                   "MethodDescBackpatchInfoTracker::*"))),
        ),
        ("1537", "45901", "52379", "58471"),
        "Who holds that lock, where its own row does not say.",
        unmade="these locks are held for microseconds, and a hang of them needs a bug that 3.1.23 does not have",
    ),
    # executableallocator.cpp
    Pattern(
        "executable-allocator",
        "threads wait for the lock of executable memory",
        (Role("waits for executable memory", (_ENTER, ("ExecutableAllocator::*",)), least=2),),
        ("54954", "132982"),
        "Who holds it, where the lock's own row does not say.",
        unmade="the allocator is of 6 and later, whose builds for Linux carry no symbols",
    ),
    # finalizerthread.cpp; GC.WaitForPendingFinalizers
    Pattern(
        "finalizer-blocked",
        "a finalizer waits, and others wait for finalizers",
        (
            Role("is in a finalizer and waits", (("FinalizerThread::FinalizerThreadWorker", "System.GC.RunFinalizers"),),
                 without=("FinalizerThread::WaitForFinalizerEvent",)),
            Role("waits for finalizers",
                 (("System.GC.WaitForPendingFinalizers", "FinalizerThread::FinalizerThreadWait",
                   "GCInterface::WaitForPendingFinalizers"),)),
        ),
        ("66759",),
        "Whether what the finalizer waits for will come.",
        fires=("driven/finalizer",),
        silent=("driven/rest", "driven/thread-store"),
    ),
    # gc/gc.cpp, server GC
    Pattern(
        "gc-join",
        "threads of the server garbage collector wait for each other",
        (
            Role("works for the collector",
                 (("SVR::gc_heap::mark_phase", "SVR::gc_heap::plan_phase", "SVR::gc_heap::relocate_phase", "SVR::gc_heap::gc1"),),
                 "running"),
            Role("waits in a join of the collector", (("SVR::t_join::join", "t_join::join"), (FAR, "SVR::gc_heap::*")), "any"),
        ),
        ("41958", "47700", "93909", "105780", "68060"),
        "That the collection will not end: every collection looks so while it runs.",
        fires=("driven/join",),
        silent=("driven/rest", "driven/thread-store"),
    ),
    # pal/src/thread/process.cpp: macOS asks the kernel for each thread's registers
    Pattern(
        "flush-write-buffers",
        "the suspension asks the kernel for every thread's registers",
        (
            Role("flushes the write buffers of all processors",
                 (("mach_msg*", "thread_get_register_pointer_values", "thread_get_state"), (FAR, "FlushProcessWriteBuffers")),
                 "any"),
        ),
        ("133797", "126063", "76356", "89272"),
        "Whether that call was slow or stuck: one snapshot has no durations.",
        unmade="no dump of a real macOS process is at hand",
        systems=("macos",),
    ),
    # System.Private.CoreLib GenericCache.cs
    Pattern(
        "generic-cache",
        "threads run in the runtime's generic cache",
        (
            Role("runs in the generic cache",
                 (("System.Runtime.CompilerServices.GenericCache*",),), "running"),
        ),
        ("132562", "89331", "104126"),
        "That it loops: one snapshot does not tell a long look-up from an endless one; compare two.",
        unmade="the loop needs a race that could not be forced; its type is of 10",
    ),
    # glibc elf/dl-open.c
    Pattern(
        "loader-lock",
        "threads wait for the loader's lock while a library is being loaded",
        (
            Role("waits for the loader's lock",
                 (_MUTEX, (FAR, "dlopen*", "dlsym*", "dlclose*", "dl_iterate_phdr", "_dl_open"))),
            Role("is inside dlopen", (("dlopen*", "dlmopen*", "_dl_open"),), "any"),
        ),
        ("98270", "114182", "110350", "113055"),
        "Whether the library's initialiser will end.",
        fires=(_LIVE + "test_the_loaders_lock_has_its_name_and_its_owner",),
        silent=("native-abba",),
        systems=("linux",),
    ),
    # pal/src/map/virtual.cpp, pal/src/synchmgr
    Pattern(
        "pal-locks",
        "threads wait for a lock of the platform layer",
        (
            Role("waits in the platform layer",
                 ((*_ENTER, *_MUTEX), ("VIRTUAL*", "VirtualAlloc*", "VirtualFree*", "MAPMapPEFile",
                                       "CorUnix::CPalSynchronizationManager::Acquire*"))),
        ),
        ("13686",),
        "Who holds it, where the lock's own row does not say.",
        unmade="the lock of the virtual memory map is held for microseconds",
    ),
    # pal/src/exception/signal.cpp; any program's own handler
    Pattern(
        "signal-handler",
        "a thread waits for a lock inside a signal handler",
        (
            Role("waits for a lock inside a signal handler",
                 ((*_ENTER, *_MUTEX, "malloc"), (FAR, SIGNAL_FRAME, "_sigtramp"))),
        ),
        ("63370",),
        "What the interrupted code held: `dumpwalk locks --held-by` tells.",
        fires=(_LIVE + "test_a_lock_wanted_inside_a_signal_handler",),
        silent=("native-abba",),
    ),
)  # fmt: skip
