"""glibc's allocator, told to keep what it got.

By default it hands every large activation back to the kernel and asks for it again, and a convolution network
on a CPU then spends most of its time in page faults (MobileNet-v2 at 224 px: 34 instead of 85 images/s).
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


@functools.cache
def tune_allocator() -> bool:
    """Set the options once in this process; return whether that was possible.

    ``ANOBENCH_MALLOC=0`` leaves the allocator alone.
    """
    if os.environ.get("ANOBENCH_MALLOC") == "0" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    done = [mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, -1), mallopt(_M_TOP_PAD, 64 * 2**20)]
    log.debug("allocator options: %s", done)
    return all(done)
