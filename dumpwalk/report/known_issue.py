"""The Known Build Error of a hang: four JSON keys that let Build Analysis find the verdict line in later console logs.

Rules as documented in dotnet/arcade (Documentation/Build Analysis/KnownIssues.md): exactly one fence opened by three
backticks and lower-case `json`; the keys ErrorMessage, ErrorPattern, BuildRetry, ExcludeConsoleLog; one of the first
two is not empty; a message is one line that stands in the log as it is, with no machine, path, address or thread id in
it. ExcludeConsoleLog stays false: the console log is what a hang leaves.
"""

from __future__ import annotations

import json
import re
from typing import List, Optional

from dumpwalk.report.escape import clean
from dumpwalk.report.markdown_escape import prose
from dumpwalk.report.model import Report

KEYS = ("ErrorMessage", "ErrorPattern", "BuildRetry", "ExcludeConsoleLog")
_FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*json[ \t]*$(.*?)^\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL | re.IGNORECASE)
_NEVER = (
    ("an address", re.compile(r"\b0x[0-9a-fA-F]+")),
    ("a path", re.compile(r"(?:^|[\s\"'(=])/[\w.-]+/|[A-Za-z]:\\")),
    ("a process or thread id", re.compile(r"(?i)\b(?:pid|tid|process id|thread id|thread)[ =:#]*\d+")),
    ("a user's folder", re.compile(r"(?i)\b(?:home|users)[/\\]")),
)
_BARE = re.compile(r"(?i)^(?:exit code )?-?\d+$|^SIG[A-Z]+$|^[\w.]+Exception$")


def render_json(report: Report) -> Optional[str]:
    """The four keys, or None where the report shows no hang, or one that nothing tells from others: nothing then deserves to
    be matched."""
    if report.verdict.status != "hang" or report.verdict.signature is None:
        return None
    values = (clean(report).verdict.line, "", False, False)
    return json.dumps(dict(zip(KEYS, values)), indent=2) + "\n"


def render_markdown(report: Report) -> Optional[str]:
    """The same as the body of an issue, in its one fence."""
    body = render_json(report)
    if body is None:
        return None
    headline = prose(clean(report).verdict.headline)
    return f"## Known Issue Error Message\n\n{headline}\n\n```json\n{body}```\n"


def no_hang_sentence(report: Report) -> str:
    """What to say on stderr instead."""
    if report.verdict.status == "hang":
        return (
            "No known-issue JSON: nothing in the dump identifies these locks (no name, no module with a build-id), so the line "
            "would match other programs' hangs too. With -m FOLDER of the process's own binaries its stacks may."
        )
    verdict = f"{report.verdict.status} {report.verdict.kind}"
    return f"No known-issue JSON: the verdict is {verdict}, and only a hang's line tells one failure from another."


def problems(text: str, log: Optional[str] = None) -> List[str]:
    """What Build Analysis would refuse in an issue's body or in the bare JSON; an empty list where it is valid.

    With `log`, also whether the message stands in it.
    """
    if text.lstrip().startswith("{"):
        return message_problems(text, log)
    found = _FENCE.findall(text)
    if len(found) != 1:
        return [f"{len(found)} fenced blocks of json, where there must be exactly one"]
    ticks, body = found[0]
    out = [] if ticks == "```" and "```json\n" in text else ["the fence is not three backticks and lower-case json"]
    return out + message_problems(body, log)


def message_problems(body: str, log: Optional[str]) -> List[str]:
    try:
        value = json.loads(body)
    except ValueError as error:
        return [f"not JSON: {error}"]
    if not isinstance(value, dict) or set(value) != set(KEYS):
        return [f"the keys are not exactly {', '.join(KEYS)}"]
    out = []
    message, pattern = value["ErrorMessage"], value["ErrorPattern"]
    if bool(message) == bool(pattern):
        out.append("not exactly one of ErrorMessage and ErrorPattern is set")
    for key in ("BuildRetry", "ExcludeConsoleLog"):
        if not isinstance(value[key], bool):
            out.append(f"{key} is not true or false")
    if value["ExcludeConsoleLog"] is True:
        out.append("ExcludeConsoleLog is true, and the console log is all that a hang leaves")
    if not isinstance(message, str) or "\n" in message or "\r" in message:
        return [*out, "the message is not one line"]
    for what, never in _NEVER:
        if never.search(message):
            out.append(f"the message holds {what}")
    if _BARE.match(message.strip()) or len(message) < 12:
        out.append("the message says too little to tell one failure from another")
    if log is not None and message not in log:
        out.append("the message does not stand in the log")
    return out
