"""Every bound in one place, with why. A limit that is hit shows in the report's coverage and verdict, never as "no".

Sizes are bytes unless a name says otherwise.
"""

from __future__ import annotations

THREADS = 20_000
"""Threads read from a core. ClrMD's bound is the same; a process with more is not one we have ever seen."""

FRAMES_PER_THREAD = 512
"""Frames unwound per thread. Hang stacks are 10 to 60 deep; endless recursion is cut here and said so."""

PROGRAM_HEADERS = 1_000_000
"""ELF segments. createdump writes one per contiguous run of pages; large heaps give tens of thousands."""

LOAD_COMMANDS = 200_000
"""Mach-O load commands, threads included."""

NOTE_BYTES = 512 << 20
"""ELF note segment: 10,000 threads with floating-point state need about 50 MB."""

IMAGES = 10_000
"""Mapped files in NT_FILE or dyld's list."""

RUNTIME_SEARCH_BYTES = 1 << 30
"""Captured memory searched for a .NET runtime where no image shows one and the list of files is not to be believed."""

RUNTIME_FILE_BYTES = 64 << 20
"""Read of a file that is not the process's runtime, to tell its version; a single-file host has some 10 MB before its bundle."""

CACHE_PAGES = 16_384
"""Pages of 4 KiB that hold elements of the dispatch cache and are kept at a time: 64 MiB."""

CHAIN_NODES = 2_000_000
"""Nodes walked in all chains of one cache together; a saturated real cache has about 10,000."""

WALK_NODES = 5_000_000
"""Nodes of one `dumpwalk walk`."""

VIOLATIONS = 1_000
"""Violations listed; more are counted, not listed."""

CYCLE_NODES = 1_000
"""Elements of one loop, and of what precedes it, that the report lists in full. Look-ups go through all of it."""

SCAN_BYTES = 64 << 30
"""Writable memory searched for the cache when no register and no table leads to it. Holes of sparse files are free."""

SCAN_CANDIDATES = 10_000
"""Places that look like the lock's flags word and are tested closer."""

STACK_SCAN_BYTES = 16 << 10
"""Stack bytes read above a thread's stack pointer when looking for lock addresses or return addresses."""

CONTRACT_BYTES = 4 << 20
"""The JSON of a data contract; 10.0's is 10 KB."""

TRANSITION_FRAMES = 512
"""Frames of the runtime's own chain walked per thread: no more than frames of its stack."""

MANAGED_THREADS = 50_000
"""Entries walked of the runtime's thread list; the list's own count bounds it first."""

DECOMPRESSED_BYTES = 64 << 30
"""A compressed core is expanded to at most this, and never to more than the free space of the temporary folder."""

ARCHIVE_MEMBERS = 100_000
"""Members looked at in a zip, nupkg or tar given as modules."""

MODULE_FILES = 200_000
"""Files looked at below the module folders."""

MODULE_DEPTH = 16
"""Folders below a module path that are descended into."""

NAME_CHARACTERS = 512
"""A path or symbol name longer than this is cut, with an ellipsis."""

CHILD_MEMORY_FRACTION = 0.8
"""Share of the machine's memory that the analysing child may use before it is stopped."""

LLDB_SHARE = 0.7
"""Share of a core's time that the child with lldb may use; the rest is for the child without."""

TIDYING_SECONDS = 2.0
"""Kept of a core's time for ending its children and removing their files, where TIDYING_SHARE of it is not less."""

TIDYING_SHARE = 0.1
"""Share of a core's time kept for tidying up."""

RENDERING_SECONDS = 10.0
"""Kept of a core's time for drawing its report, where RENDERING_SHARE of it is not less."""

RENDERING_SHARE = 0.1
"""Share of a core's time kept for that."""

SEARCH_SHARE = 0.3
"""Share of a child's time for looking through the folders and archives given as modules; then it goes on without the rest."""

PHASES_SHARE = 0.75
"""Share of the second child's time after which no further phase begins; the rest is for detectors and the report."""

STACKS_SHARE = 0.5
"""Share of that time for stacks: what they are followed for is to be read, what the verdict rests on comes after them."""

SIDE_BY_SIDE = 4
"""Cores analysed at once, and never more than the processors that this process may use."""

DEFAULT_TIMEOUT_SECONDS = 300
"""Per core."""

TEMPORARY_DISK_FRACTION = 0.9
"""Share of the temporary folder's free space that a decompressed core may take."""

LOAD_COMMAND_BYTES = 1 << 30
"""All load commands of one Mach-O core together; 20,000 threads of arm64 need 17 MB."""

UNBACKED_BYTES = 1 << 30
"""Memory that the segments of a Mach-O core may claim beyond their bytes. createdump claims none; lldb tests every page
of it for an image header and then hangs."""

METADATA_BYTES = 16 << 20
"""JSON of a Mach-O core's process metadata."""

HEADER_SCAN_PAGES = 262_144
"""Pages of a Mach-O core tested for an image header when none begins a segment: 1 GiB."""

MODULE_IDENTITIES = 5_000
"""Module files whose build-id is read when no file of the right name fits."""

UNPACKED_BYTES = 4 << 30
"""Members of archives given as modules that are unpacked, together."""

UNPACKED_MEMBERS = 2_000
"""Members of archives given as modules that are unpacked, together: removing them costs time too."""

MEMBERS_OF_A_NAME = 16
"""Members of one name, with another build than the process's, that are unpacked to say so."""

ARCHIVE_BYTES = 16 << 30
"""Members of one tar that are passed over while looking for modules."""

FETCH_BYTES = 4 << 30
"""One file from a symbol server; a runtime's debug file is 100 to 300 MB, a browser's 2 GB."""

FETCH_SECONDS = 900
"""One file from one server, with all its attempts."""

FETCH_CONNECT_SECONDS = 15
"""Until a server takes the connection."""

FETCH_IDLE_SECONDS = 60
"""Without one byte from a server."""

FETCH_ATTEMPTS = 5
"""Of one file from one server: broken connections, and answers 429 and 5xx."""

FETCH_RETRY_AFTER_SECONDS = 60
"""The longest pause that a server may ask for with Retry-After."""

FETCHES_AT_ONCE = 4
"""Downloads side by side."""

CFI_STEPS = 20_000
"""Instructions of one CFI program, and operators of one DWARF expression. The longest in libcoreclr has a few hundred."""

CFI_ENTRY_BYTES = 1 << 18
"""One CIE or FDE. Those of real images have some hundred bytes."""

FUNCTION_BYTES = 1 << 28
"""Code that one FDE or one RUNTIME_FUNCTION may claim to cover."""

UNWIND_CHAIN = 32
"""Records of unwind data that one function's may be chained to. Real ones have one or two."""

EPILOGUES = 4096
"""Epilogues that one arm64 unwind record may list."""

HELIX_ANSWER_BYTES = 64 << 20
"""One JSON answer of the Helix service; a job of 1,000 work items is 300 KB."""

HELIX_FILE_BYTES = 64 << 30
"""One dump or payload of a Helix work item."""

OBJECT_STACK_BYTES = 1 << 20
"""Of each stack that `dumpwalk object --refs` searches."""

SYMBOL_BYTES = 256 << 20
"""A symbol or string table of a module file; CoreCLR's with all local symbols have 5 MB."""

EVIDENCE_BYTES = 256 << 20
"""Memory that an analysis reads and an evidence core keeps, at most. A saturated cache and 200 stacks are 10 MB; each page is a
number in a set while it is recorded, 256 MiB of them 5 MB."""

EVIDENCE_STACK_BYTES = 256 << 10
"""Of each stack that an evidence core keeps, from the stack pointer on, read or not: what lldb unwinds. Hang stacks have 10 to
60 KiB; of deeper ones the pages of the frames are kept too."""

EVIDENCE_UNWIND_BYTES = 1 << 20
"""Of one Mach-O image's unwind data that an evidence core keeps whole; macOS' system libraries have 4 to 60 KB."""

SYNC_BLOCKS = 1_000_000
"""Entries walked of the table of sync blocks; each is 16 bytes, and a process with 10,000 is unusual."""

WAIT_QUEUE = 50_000
"""Links followed in one queue of waiting threads; a queue holds a thread once."""

STACK_BYTES = 16 << 20
"""How far above a thread's stack pointer an address may lie and still be on that stack: twice the usual 8 MiB."""

FINDINGS = 200
"""Findings of one kind that are told in full; the coverage says that there are more. Real processes have a handful."""

CYCLES_SHARING = 64
"""Circular chains of one cache that are listed, those that run into one loop included; the rest are counted as damage."""

CONTINUATIONS = 4096
"""Continuations read of one task; a task has one, or as many as others wait for it."""

DELEGATES_DEEP = 8
"""Wrappers followed from a task's continuation to the task that it moves on."""

CHAIN_TASKS = 10_000
"""Tasks followed from one that is queued, or runs, to those that cannot be done before it."""

QUEUE_SEGMENTS = 4096
"""Segments of one queue of the thread pool; each but the first has twice the slots of the one before, at most 1M."""

QUEUED_ITEMS = 1_000_000
"""Work items read from the thread pool's queues together."""

QUEUED_ITEMS_FOLLOWED = 20_000
"""Queued work items whose continuations are followed to a task that somebody blocks on."""

LOCAL_QUEUES = 65_536
"""Queues of the thread pool's workers; a pool has at most 32,767 workers."""

HELD_SEARCH_BYTES = 64 << 30
"""Writable memory searched for the owners of locks, where a thread's held locks are asked for (`locks --held-by`)."""

HELD_FINDING_BYTES = 512 << 20
"""The same for a finding that nobody asked more of: native locks lie in small segments, which are searched first."""

HELD_OBJECTS_BYTES = 8 << 30
"""Writable memory searched for objects with a thin lock, where a thread's held locks are asked for: 0.3 s a GiB for one thread,
6.5 s for two hundred."""

HELD_WORDS = 500_000
"""Words of memory that hold a thread's number and are looked at as owners of locks; real processes have some hundred."""

HELD_STACK_BYTES = 256 << 10
"""Of each stack that is searched for the objects of locks that its thread holds."""

HELD_THREADS = 16
"""Threads of one finding whose other locks are told; the ones that hold what it is about come first."""

HELD_THREADS_TOGETHER = 64
"""The same of all findings of a report: the stack of each is searched. The coverage names the threads that were."""

FETCHED_FILES = 20_000
"""Files below one module path that are sent to a worker of a cluster that does not see it; a runtime's payload has 500."""

CLUSTER_PART_SECONDS = 60
"""For one part (4 MiB) of a file that is sent to a worker."""

CLUSTER_CONNECT_SECONDS = 6
"""Until a cluster's scheduler must have answered."""

CLUSTER_EMPTY_SECONDS = 60
"""How long a batch waits for a cluster that has no workers; one that restarts them needs some seconds."""

CLUSTER_TRIES = 3
"""Workers that may say of one core that they are not fit for it (no room, a connection lost) before it is given up."""

STOP_SECONDS = 2.0
"""A live process's threads get so long to stop; those that have not by then sleep in the kernel where nothing reaches them."""

SNAPSHOT_STACK_BYTES = 256 << 10
"""Of each thread's stack, from its stack pointer on, while a live process stands. Deep stacks are asked for again."""

SNAPSHOT_DATA_BYTES = 16 << 20
"""A mapping with a module's variables that is bigger is read only where the analysis asks for it."""

SNAPSHOT_BYTES = 512 << 20
"""Of a live process altogether: 20,000 stacks of 16 KiB that are in use, and what the analysis walks."""

SNAPSHOT_ROUNDS = 4
"""A live process is stopped at most so often; each time all that the analysis asked for before is read in one moment."""

MARKED_STACK_BYTES = 2 << 10
"""Of each thread's stack, from its stack pointer on: equal in two looks where the thread did not move."""

LOOKS_APART_SECONDS = 0.5
"""Two looks that are nearer call nothing stuck but what one of them proves alone."""
STUB_MANAGERS = 100_000
"""Entries followed of the list of stub managers; a process has one for each loader allocator."""

STUB_RANGE_BLOCKS = 65_536
"""Blocks of ten ranges read of one manager's list; each range is 64 KiB of cache entries or more."""
HEAP_BYTES = 64 << 30
"""Memory searched for tasks, or for words that refer to an object. A GB takes 0.4 s; holes of sparse files are free."""

HEAP_TASKS = 4_000_000
"""Tasks of the heap that wait to be completed; each takes about 100 bytes here while they are counted."""

TASK_TYPES = 16_384
"""Types of tasks told apart; each async method has its own."""

CHAIN_BRANCHES = 64
"""Tasks followed of one WhenAll or WhenAny; the others are counted."""

CHAIN_NODES_TOLD = 2000
"""Tasks and methods of the chain that one thread blocks on which are followed."""

CHAIN_DEEP = 500
"""Awaiting methods below each other that are followed; real chains have 5 to 50."""

CONTINUATION_LISTS = 200_000
"""Tasks of the heap of which it is looked whether they have a list of continuations, when one is searched that a list may have."""

CONTEXT_OBJECTS = 5000
"""Objects looked at below a SynchronizationContext for a method that was posted to it."""

OBJECT_SEARCH_BYTES = 1 << 20
"""How far before a word of the heap its object's beginning is looked for: longer arrays are told as not found."""

REFERRER_LEVELS = 6
"""Times that the objects which lead to a chain's end are followed one step further; each is one round over memory at most."""

REFERRERS = 64
"""Objects that lead to a chain's end in one step: where there are more, somebody surely can reach it, and nothing is claimed."""

REFERRER_WORDS = 65_536
"""Words kept that name one object: a chain's end is named by each of the methods that wait for it."""

HOLDERS = 8
"""Roots that lead to a chain's end, of which the report has any use."""

CHAIN_GROUPS = 2000
"""Chains of awaiting methods that differ from each other which the report lists; the most frequent come first."""

ENDS_SEARCHED = 32
"""Ends of chains of which all memory is searched for who leads to them, in up to REFERRER_LEVELS rounds for all of them."""
