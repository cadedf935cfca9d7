"""Runs a command that ends when its parent does: `python leash.py PARENT SIGNAL USER COMMAND …`.

The kernel sends SIGNAL to the command as soon as the thread that started it is gone, however it
went. USER is who to become first: a system user's name, `MASKED`, or empty for nobody else. Run as
a script, because nothing may run between a fork and an exec in a process that has threads. Imports
nothing of this package: it starts in milliseconds.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
MASKED = "masked"
"""In the place of a user: root's files, without root's powers."""


def die_with_parent(signal_number: int, parent: int) -> None:
    """Have the kernel send the signal to this process when its parent's thread ends.

    Ends this process when the parent is gone already. Elsewhere than on Linux it does nothing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:
            sys.exit(1)


def become(user: str) -> None:
    """Give up root: for a system user, or behind a mask. Raises OSError when it cannot be."""
    if user == MASKED:
        mask_root()
        return
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def mask_root() -> None:
    """Look like an ordinary user to oneself, in a user namespace, and be root to files alone.

    For programs that refuse to run as root: they keep root's files and lose root's capabilities.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "no user namespace can be made")
    for name, text in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


if __name__ == "__main__":
    _, parent_id, signal_id, user_name, *command = sys.argv
    if user_name:
        become(user_name)
    # Only now: the kernel forgets the signal when a process changes who it is.
    die_with_parent(int(signal_id), int(parent_id))
    os.execv(command[0], command)
