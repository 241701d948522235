"""The pages' templates, styles and scripts: files of a package, which may lie in a zip."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from jinja2 import Environment


def asset(package: str, name: str) -> str:
    """A text file of `package`; empty where there is none of that name."""
    return (pkgutil.get_data(package, name) or b"").decode("utf-8")


def environment(load: Callable[[str], str], keep_trailing_newline: bool = False) -> Environment:
    """One for pages: all that is put in is escaped, a name that is missing is an error. jinja2 loads here, not before."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=keep_trailing_newline,
    )
