"""Text that came from a dump or a path, made harmless to show: control and direction characters as visible escapes."""

from __future__ import annotations

import re

# C0, DEL and C1 controls; soft hyphen and other invisible characters; direction marks, embeddings and isolates; line
# and paragraph separators; variation selectors; lone surrogates; interlinear marks; tag characters.
_UNSAFE = (  # compiled when it is first used: most reports have nothing but printable ASCII
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _visible(match: re.Match[str]) -> str:
    char = match.group()
    short = _SHORT.get(char)
    if short:
        return short
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """Control and direction characters as visible escapes; a clean text comes back as it is."""
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_UNSAFE, _visible, text)
