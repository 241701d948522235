"""The policy of a page that is one file: its own style and script, by their hashes, and nothing else; no network."""

from __future__ import annotations

import base64
import hashlib


def policy(style: str, script: str = "") -> str:
    """For a meta element `Content-Security-Policy`; without a script none may run."""
    scripts = f"'{_hash(script)}'" if script else "'none'"
    return f"default-src 'none'; style-src '{_hash(style)}'; script-src {scripts}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    """The source expression of an inline style or script (Content Security Policy Level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
