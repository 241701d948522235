"""What each key means."""

from __future__ import annotations

WORDS = {
    "Report.coverage": "How far each claim reaches.",
    "Coverage.area": "Such as stacks, locks, dispatch-cache, managed-locks.",
    "Coverage.status": "complete, partial or none.",
    "Coverage.why": "In a sentence.",
}
