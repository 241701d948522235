"""The closed vocabularies of claims. Readers of reports from elsewhere must expect them to grow; code of ours may not."""

from __future__ import annotations

from typing import Annotated, Literal

from dumpwalk.core.grade import GRADES as GRADES
from dumpwalk.core.grade import Extent as Extent
from dumpwalk.core.grade import Grade as Grade

Status = Literal["hang", "suspicious", "inconclusive", "none"]
"""Of a verdict, and the one that a finding can give it: in order of precedence."""
Role = Literal["holder", "spinner", "waiter", "owner", "suspender", "blocking", "crashed"]
"""What a thread has to do with a finding."""

STATUSES = ("hang", "suspicious", "inconclusive", "none")

Address = Annotated[str, "address"]
"""A string of the report that is an address: `0x` and lower-case hex digits."""
GRADES_TOLD = ", ".join(GRADES)
"""For people who read what a key of the report means."""
