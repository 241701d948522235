"""`dumpwalk completion`: commands, options, kinds and files at the Tab key of a shell."""

from __future__ import annotations

import os
from typing import Tuple

import click

from dumpwalk.front.command import Argument, Command, Option, Options, Place

VARIABLE = "_DUMPWALK_COMPLETE"
"""What click's scripts tell the program by; the name follows from the program's."""


def _run(place: Place, options: Options) -> int:
    script = _script(options["shell"])
    if not options["install"]:
        place.say(script)
        return 0
    from dumpwalk.front import output

    file, after = _place(options["shell"])
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
    except OSError as error:
        from dumpwalk.errors import BadOutput

        raise BadOutput(f"{file} cannot be written: {error.strerror}.") from error
    output.write(file, script if script.endswith("\n") else script + "\n")
    place.say(f"{file} is written. {after}")
    return 0


def _script(shell: str) -> str:
    from click.shell_completion import get_completion_class

    from dumpwalk.front.cli import main

    kind = get_completion_class(shell)
    assert kind is not None
    found = kind(main, {}, "dumpwalk", VARIABLE)
    return str(found.source_template % found.source_vars())


def _place(shell: str) -> Tuple[str, str]:
    """Where the shell looks for it by itself (bash-completion, fish), or is told to (zsh)."""
    home = os.path.expanduser("~")
    if shell == "bash":
        data = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
        file = os.path.join(data, "bash-completion", "completions", "dumpwalk")
        return file, "It holds in new shells, where the package bash-completion is installed."
    if shell == "fish":
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        return os.path.join(config, "fish", "completions", "dumpwalk.fish"), "It holds in new shells."
    file = os.path.join(home, ".zfunc", "_dumpwalk")
    return file, "Put `fpath+=~/.zfunc; autoload -Uz compinit && compinit` into ~/.zshrc where it is not there yet."


COMMAND = Command(
    """Completion for a shell: print its script, or install it.

    Commands, options, their values and file names are completed.
    """,
    _run,
    (
        Argument("shell", type=click.Choice(["bash", "zsh", "fish"])),
        Option("--install", is_flag=True, help="Write it where the shell looks for it, in your home folder."),
    ),
    examples=(
        ("dumpwalk completion bash --install", "for good, in new shells"),
        ('eval "$(dumpwalk completion bash)"', "in this shell only"),
    ),
    rank=940,
)
