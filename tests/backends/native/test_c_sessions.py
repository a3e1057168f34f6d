"""Sessions of the C library by themselves, without what the Python backend does around them."""

import ctypes
import multiprocessing

import numpy as np
import pytest
from c_models import VECTORS, c_library

from edge_sparse.backends.native.library import ErrorText, ModelHandle, Port, SessionHandle, SessionOptions


class CSession:
    """A session over a file, with arrays of random numbers bound to all ports."""

    def __init__(self, name, threads):
        self.library, self.handle, self.model = c_library(), SessionHandle(), ModelHandle()
        self.library.es_session_port.argtypes = [SessionHandle, ctypes.c_uint32, ctypes.c_void_p]
        path, options, error = str(VECTORS / "valid" / name).encode(), SessionOptions(threads=threads), ErrorText()
        assert not self.library.es_model_open(path, None, ctypes.byref(self.model), ctypes.byref(error)), error.message
        arguments = (ctypes.byref(options), ctypes.byref(self.handle), ctypes.byref(error))
        assert not self.library.es_session_create(self.model, None, *arguments), error.message
        self.arrays = []
        port, random = Port(), np.random.default_rng(3)
        while not self.library.es_session_port(self.handle, len(self.arrays), ctypes.byref(port)):
            array = random.standard_normal(port.bytes // 4).astype(np.float32)
            self.library.es_session_bind(self.handle, len(self.arrays), array.ctypes.data, array.nbytes)
            self.arrays.append(array)

    def run(self):
        """Run, and return a copy of the last output."""
        assert not self.library.es_session_run(self.handle)
        return self.arrays[-1].copy()

    def close(self):
        self.library.es_session_close(self.handle)
        self.library.es_model_close(self.model)


def test_ids_and_positions_share_no_memory_with_outputs():
    session = CSession("decoder.egs", threads=1)
    library, output = session.library, len(session.arrays) - 1
    for array in session.arrays[:output]:
        array[:] = 0
    expected = session.run()
    refused = 0
    for number, array in enumerate(session.arrays[:output]):
        library.es_session_bind(session.handle, number, session.arrays[-1].ctypes.data, array.nbytes)
        session.arrays[-1][:] = 0
        status = library.es_session_run(session.handle)
        if status:
            assert library.es_status_name(status) == b"ARGUMENT_RANGE"
            assert b"overlap" in library.es_session_error(session.handle)
            refused += 1
        library.es_session_bind(session.handle, number, array.ctypes.data, array.nbytes)
    assert refused == 2
    np.testing.assert_array_equal(session.run(), expected)
    session.close()


def _run_and_close(session, pipe):
    session.arrays[-1][:] = 0
    pipe.send(session.run())
    session.close()
    pipe.send("closed")


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing forks here")
def test_a_fork_of_the_process_has_no_threads_to_wait_for():
    session = CSession("network_chw.egs", threads=3)
    expected = session.run()
    assert expected.any()
    context = multiprocessing.get_context("fork")
    near, far = context.Pipe()
    child = context.Process(target=_run_and_close, args=(session, far), daemon=True)
    child.start()
    try:
        assert near.poll(20), "the run does not end"
        np.testing.assert_array_equal(near.recv(), expected)
        assert near.poll(20), "close does not end"
        assert near.recv() == "closed"
        child.join(20)
        assert child.exitcode == 0
    finally:
        child.kill()
    np.testing.assert_array_equal(session.run(), expected)
    session.close()
