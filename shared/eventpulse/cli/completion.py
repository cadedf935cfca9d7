"""Shell completion: the script that a shell evaluates, and what it asks for at each Tab."""

from __future__ import annotations

import argparse
import sys

from eventpulse.cli.commands import OK, Session

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and end the process then; else do nothing."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)


def print_script(session: Session) -> int:
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode(["eventpulse"], shell=session.given.shell))
    return OK
