"""Threads that run the native driver side by side with the caller."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["Workers"]

_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class Workers:
    """``count`` threads that wait for work; after a run they look for the next one for a moment before they sleep.

    Parameters
    ----------
    count : int
        Threads besides the caller's.
    drive, wait : callable
        The native driver and the native waiter.
    table : ndarray of int64
        The driver's argument table.
    """

    def __init__(
        self,
        count: int,
        drive: Callable[[int, int, int], None],
        wait: Callable[[int, int, int], None],
        table: npt.NDArray[np.int64],
    ) -> None:
        self._runs = np.zeros(8, np.int64)
        self._watched = np.array([self._runs.ctypes.data], np.int64)
        self._signals = [threading.Semaphore(0) for _ in range(count)]
        self._finished = [0] * count
        self._stopping = False
        self._number = 0
        self._threads = [
            threading.Thread(target=self._work, args=(i, drive, wait, table), daemon=True, name=f"edge_sparse-{i}")
            for i in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(
        self,
        index: int,
        drive: Callable[[int, int, int], None],
        wait: Callable[[int, int, int], None],
        table: npt.NDArray[np.int64],
    ) -> None:
        done = 0
        while True:
            wait(self._watched.ctypes.data, done, 0)
            self._signals[index].acquire()
            if self._stopping:
                return
            # A thread that wakes late may find a later run's number: it helps there, and has nothing to do afterwards.
            drive(table.ctypes.data, index + 1, self._number)
            done += 1
            self._finished[index] = done

    def start(self, number: int = 0) -> None:
        """Let every thread run the driver once, for the run of this number."""
        self._number = number
        self._runs[0] += 1
        for signal in self._signals:
            signal.release()

    def wait_until_idle(self) -> None:
        """Return when every thread has left the driver of every run so far."""
        while any(finished < self._runs[0] for finished in self._finished):
            time.sleep(0)

    def stop(self) -> None:
        """End the threads."""
        self._stopping = True
        self.start()
        for thread in self._threads:
            thread.join()


def native(address: int) -> Callable[[int, int, int], None]:
    """Return a compiled kernel as a Python callable that releases the interpreter lock."""
    function: Callable[[int, int, int], None] = _KERNEL(address)
    return function
