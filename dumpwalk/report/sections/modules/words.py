"""What each key means."""

from __future__ import annotations

WORDS = {
    "Report.modules": "Images of the process and the files they were matched with.",
    "Module.path": "As the process knew it.",
    "Module.build_id": "ELF build-id or Mach-O UUID, hex.",
    "Module.base": "Load address.",
    "Module.file": "The file on this machine that was used; null when none.",
    "Module.match": "matched, mismatched, missing or unverified.",
    "Module.other_file": "For a mismatched one: the file of another build that was found, and not used.",
    "Module.fetch": "The command that fetches a missing or mismatched one from a symbol server.",
}
