"""Writes docs/cli.md from the commands themselves; with --check says whether the file is up to date.

Everything comes from the commands in dumpwalk/front/commands. The layout is made here and not by click, whose own differs between
versions. Exit code 0 when written or up to date, 1 when stale.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import List, Tuple

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dumpwalk.front.cli import main as program  # noqa: E402  (the path above makes it importable)

PAGE = ROOT / "docs" / "cli.md"
HEAD = """# Commands and options

<!-- generated from the help texts by `python scripts/make_cli_docs.py`: edit dumpwalk/front/commands instead -->

`dumpwalk COMMAND --help` prints the same. `python -m dumpwalk` is `dumpwalk`. Related pages: [exit codes](exit-codes.md),
[the report](report.md), [finding kinds](findings.md).
"""


def commands() -> List[Tuple[str, click.Command]]:
    """(name, command) in the order of the table."""
    context = click.Context(program)
    found = [(name, program.get_command(context, name)) for name in program.list_commands(context)]
    flat: List[Tuple[str, click.Command]] = []
    for name, command in found:
        if command is not None:
            flat.append((name, command))
        if isinstance(command, click.Group):
            flat += [(f"{name} {word}", below) for word, below in command.commands.items()]
    return flat


def option_names(option: click.Option) -> str:
    """`-m, --modules PATH`."""
    names = ", ".join(sorted(option.opts, key=len))
    if option.is_flag or option.count:
        return names
    return f"{names} {value_name(option)}"


def value_name(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(str(choice) for choice in option.type.choices)
    return {"integer range": "N", "integer": "N", "float range": "X", "float": "X"}.get(option.type.name, "TEXT")


def default_of(option: click.Option) -> str:
    """The default as a person types it, or nothing."""
    if not option.show_default or option.default in (None, "", ()):
        return ""
    value = option.default
    return f"{value:g}" if isinstance(value, float) else str(value)


def paragraphs(text: str) -> str:
    """A docstring as Markdown: `\\b` blocks (kept lines) become fences."""
    out = []
    for part in inspect.cleandoc(text).split("\n\n"):
        kept = part.startswith("\b")
        body = part.lstrip("\b").strip("\n")
        out.append(f"```text\n{body}\n```" if kept else body.replace("\n", " "))
    return "\n\n".join(out)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def usage(name: str, command: click.Command) -> str:
    arguments = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            word = parameter.metavar or (parameter.name or "").upper()
            arguments.append(word if parameter.required else f"[{word}]")
    if isinstance(command, click.Group):
        return f"dumpwalk {name} COMMAND"
    own = any(isinstance(p, click.Option) for p in command.params)
    return " ".join(["dumpwalk", name, *(["[OPTIONS]"] if own else []), *arguments])


def section(name: str, command: click.Command) -> str:
    out = [f"## dumpwalk {name}", f"```text\n{usage(name, command)}\n```", paragraphs(command.help or "")]
    rows = []
    for option in (p for p in command.params if isinstance(p, click.Option) and not p.hidden):
        default = default_of(option)
        help_text = (option.help or "") + (f" Default: {default}." if default else "")
        rows.append(f"| `{cell(option_names(option))}` | {cell(help_text)} |")
    if rows:
        out.append("\n".join(["| option | what it does |", "| --- | --- |", *rows]))
    if command.epilog:
        out.append(paragraphs(command.epilog))
    return "\n\n".join(out)


def page() -> str:
    general = ["## dumpwalk", paragraphs(program.help or ""), paragraphs(program.epilog or "")]
    rows = [
        f"| [`{name}`](#dumpwalk-{name.replace(' ', '-')}) | {cell(command.get_short_help_str(200))} |"
        for name, command in commands()
    ]
    general.append("\n".join(["| command | what it does |", "| --- | --- |", *rows]))
    general.append(
        "`dumpwalk --version` prints the version. Every command has `-h`, `--help` and `-v`, which may stand anywhere. What "
        "is no command but a file, or an option of `analyze`, begins an `analyze`: `dumpwalk core.1234`."
    )
    return "\n\n".join([HEAD.rstrip(), *general, *(section(name, command) for name, command in commands())]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/cli.md from the help texts.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is stale")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.relative_to(ROOT)} is stale: run python scripts/make_cli_docs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
