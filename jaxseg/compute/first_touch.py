"""Memory for the first training step on a CPU, touched by an idle core while libraries are imported.

The system gives a page of memory out when it is first written to, which makes the full U-Net's first step half as long
again as later ones (docs/speed.md). Importing keeps one core busy; another can write to what the step will need.
"""

import ctypes
import threading

from jaxseg.compute import heap

PIECE = 32 << 20  # bytes between two looks at whether it is enough: 30 ms


class _Touching:
    def __init__(self, size: int) -> None:
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._touch, args=(size,), daemon=True, name="touch-memory")
        self._thread.start()

    def _touch(self, size: int) -> None:
        """Take all at once, so that it is in one piece when it is given back; Python goes on beside `memset`."""
        library = heap.c_library()
        library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
        address = library.malloc(size)
        if address is None:
            return
        for start in range(0, size, PIECE):
            if self._enough.is_set():
                break
            library.memset(address + start, 0, min(PIECE, size - start))
        library.free(address)

    def end(self) -> None:
        self._enough.set()
        self._thread.join()


_running: _Touching | None = None


def begin(size: int) -> None:
    """Touch so many bytes in a thread, and free them for what the process allocates next.

    Does nothing where freed memory goes back to the system (see `heap.keep_freed_memory`), or where another thread is
    at it.
    """
    global _running
    if heap.is_kept() and _running is None:
        _running = _Touching(size)


def end() -> None:
    """Free what was touched so far; to be called before the memory is needed."""
    global _running
    if (running := _running) is not None:  # another thread may be here too
        running.end()
        _running = None
