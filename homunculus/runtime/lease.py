"""Tell whether any process holds a file open for writing, by asking the kernel for a read lease.

Owns the one system call and the list of file systems where its answer means nothing; never waits and never keeps a lease.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from enum import Enum
from functools import lru_cache
from pathlib import Path

# A lease is the business of one kernel: what another machine writes to these is not seen by ours.
_SHARED = frozenset(
    {"9p", "afs", "ceph", "cifs", "gfs2", "glusterfs", "lustre", "nfs", "nfs4", "ocfs2", "prl_fs", "smb3"}
)
_SHARED_PREFIXES = ("fuse", "virtiofs", "vboxsf")


class Hold(Enum):
    """Say who may be writing a file right now."""

    FREE = "free"  # no process has it open for writing
    HELD = "held"  # at least one has
    UNKNOWN = "unknown"  # the kernel does not tell: another user's file, another system, a network disk


def held(fd: int) -> Hold:
    """Ask about an open regular file; takes a few microseconds, in which a process that opens it for writing waits."""
    if sys.platform != "linux" or _shared(os.fstat(fd).st_dev):
        return Hold.UNKNOWN
    return _lease(fd)


def worse(one: Hold, other: Hold) -> Hold:
    """Combine two answers about one reading: held beats unknown beats free."""
    return next((hold for hold in (Hold.HELD, Hold.UNKNOWN) if hold in (one, other)), Hold.FREE)


def _lease(fd: int) -> Hold:
    if sys.platform != "linux":
        return Hold.UNKNOWN
    import fcntl

    try:
        # A process that opens the file in these microseconds makes the kernel signal us. The usual SIGIO would end this
        # process; SIGURG is ignored unless somebody asks for it.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return Hold.HELD if error.errno == errno.EAGAIN else Hold.UNKNOWN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Hold.FREE


@lru_cache(maxsize=64)
def _shared(device: int) -> bool:
    kind = _kinds().get(f"{os.major(device)}:{os.minor(device)}", "")
    return kind in _SHARED or kind.startswith(_SHARED_PREFIXES)


def _kinds() -> dict[str, str]:
    """Map `major:minor` of each mounted device to its file system, as /proc/self/mountinfo tells."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(" - ") for line in lines)
    return {left.split()[2]: right.split()[0] for left, _, right in pairs if right}
