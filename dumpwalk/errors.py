"""What can go wrong before there is a report: one class each, with its exit code and what the person can try.

Nothing in here is for damaged memory inside a readable dump: that is a finding or a coverage entry of the report.
"""

from __future__ import annotations


class DumpwalkError(Exception):
    """dumpwalk could not do its work; `str(error)` is one sentence, `help_text` says what to try.

    `exit_code` is 1 for everything but usage errors, which are 2 (docs/exit-codes.md).
    `kind` is a stable word for machines (the JSON error entry).
    """

    exit_code = 1
    kind = "error"
    help_text = "Run `dumpwalk doctor` to see what was found on this machine."

    def sentence(self) -> str:
        """The message and the advice, as one paragraph without line breaks or control characters (a path may hold any)."""
        from dumpwalk.core.visible import visible  # only an error pays for it

        return visible(" ".join(f"{self} {self.help_text}".split()))


def as_error(sentence: str, exit_code: int, kind: str) -> DumpwalkError:
    """An error that another process met and put into words there."""
    error = DumpwalkError(sentence)
    error.exit_code, error.kind, error.help_text = exit_code, kind, ""
    return error


class NotFound(DumpwalkError):
    kind = "not-found"
    help_text = "Check the path; a core is usually called core.PID or *_hangdump.dmp."


class NotACore(DumpwalkError):
    """The file is something else: text, an executable, an archive of other things, a directory."""

    kind = "not-a-core"
    help_text = "dumpwalk reads ELF and Mach-O cores such as createdump, the kernel and gcore write."


class WindowsMinidump(NotACore):
    kind = "windows-minidump"
    help_text = "Open it with WinDbg or `dotnet-dump analyze`; dumpwalk reads the cores of Linux and macOS processes."


class BreakpadMinidump(NotACore):
    kind = "breakpad-minidump"
    help_text = (
        "minidump-stackwalk (rust-minidump) and lldb open it; dumpwalk reads the cores of Linux and macOS processes, which "
        "createdump, gcore and the kernel write. lldb's `process save-core` writes a minidump on Linux; gcore, or gdb's "
        "generate-core-file, writes a core of a process that no debugger holds."
    )


class MalformedCore(DumpwalkError):
    """A core whose headers contradict themselves so badly that a debugger would crash or hang on it."""

    kind = "malformed-core"
    help_text = (
        "The file was refused before a debugger saw it; copy it again from where it was written, and compare sizes."
    )


class Unreadable(DumpwalkError):
    kind = "unreadable"
    help_text = "Check permissions and that the disk holding it is available."


class CannotDecompress(DumpwalkError):
    kind = "cannot-decompress"
    help_text = "Decompress it yourself and pass the plain core."


class NoLldb(DumpwalkError):
    """No usable lldb: its text is completed by the discovery with what to install on this platform."""

    kind = "no-lldb"
    help_text = "`dumpwalk doctor` shows where it looked."


class DebuggerFailed(DumpwalkError):
    """lldb crashed, hung or refused, and nothing could be analysed without it."""

    kind = "debugger-failed"
    help_text = "Another lldb may do better: set DUMPWALK_LLDB to it."


class TimedOut(DumpwalkError):
    kind = "timed-out"
    help_text = "Give it longer with --timeout SECONDS."


class Interrupted(DumpwalkError):
    """Ctrl-C, SIGTERM or SIGHUP: every child is gone and every temporary file removed when this is raised."""

    kind = "interrupted"
    help_text = ""


class BadOutput(DumpwalkError):
    """A file asked for with -o cannot be written, or its extension names no format."""

    kind = "bad-output"
    exit_code = 2
    help_text = (
        "Use an extension of .json .md .html .txt .xml .mmd .dot, for an evidence core .core or .core.xz, in a folder that "
        "exists and is writable."
    )


class Usage(DumpwalkError):
    kind = "usage"
    exit_code = 2
    help_text = "See `dumpwalk --help`."
