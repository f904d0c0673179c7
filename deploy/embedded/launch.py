"""Becomes another program, after promising that it will not outlive whoever started it.

Run as a script, in a Python of its own: `python -I -S launch.py PARENT SIGNAL OWNER PROGRAM ARGUMENT…`. A process can
only make these settings for itself, between fork and exec; to do it in a fork of a threaded Python (`preexec_fn`) may
deadlock, so a fresh interpreter does it (10 ms) and execs: the process id that the parent knows is the program's.

PARENT: process id of the starter. SIGNAL: number that the kernel sends to the program when the starter dies, however it
dies (Linux alone has this). OWNER: user id to run as, or -1. PostgreSQL refuses to run as root; when root starts it, it
runs as OWNER and keeps one capability, so that it still reaches a data directory below root's own closed ones.

Not for import: it speaks by its exit code and standard error.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 4
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def main(parent: int, signal: int, owner: int, argv: list[str]) -> None:
    """Never returns: the process becomes argv[0], or ends with the reason."""
    linux = sys.platform == "linux"
    if owner >= 0:
        if linux:
            _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)  # else a change of user, and access(2), drop it
        group = pwd.getpwuid(owner).pw_gid
        os.setgroups([])
        os.setgid(group)
        os.setuid(owner)
        if linux:
            _keep_only(CAP_DAC_OVERRIDE)
    if linux:
        _prctl(PR_SET_PDEATHSIG, signal)  # last: a change of user clears it
    if os.getppid() != parent:  # the starter died before the promise was made
        sys.exit(f"{argv[0]}: its starter, process {parent}, is gone")
    os.execv(argv[0], argv)  # noqa: S606 - becoming that program is the point


def _keep_only(capability: int) -> None:
    """Gives up all that is left of root's power but one capability, which the program then inherits."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable; low and high words
    if ctypes.CDLL(None, use_errno=True).capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
