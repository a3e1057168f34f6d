"""Every wrong call of the C library gives a status and changes nothing: null pointers, sizes, order, no memory."""

import ctypes
import re
import subprocess
import sys

import numpy as np
import pytest
from c_models import VECTORS, CountingAllocator, c_library
from native_text import text_model
from text_api import TextOptions

from edge_sparse.backends.native.library import (
    ErrorText,
    ModelHandle,
    Port,
    SessionHandle,
    SessionOptions,
    library_path,
)
from edge_sparse.format.assembly import assemble

HEADER = VECTORS.parents[1] / "kernels_arm" / "include" / "edge_sparse.h"
#: Result and name of every public function.
FUNCTIONS = re.findall(r"^ES_API ([\w* ]+?) ?\**(es_\w+)\(", HEADER.read_text(), re.MULTILINE)
#: Calls every function with zeros only, in a process of its own, since a mistake would end it.
PROGRAM = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
zeros = [ctypes.c_void_p(None)] * 8
for pair in sys.argv[2:]:
    result, name = pair.split(":")
    function = getattr(library, name)
    function.restype = ctypes.c_int if result == "es_status" else ctypes.c_void_p
    print(name, function(*zeros), flush=True)
"""


def status(library, number):
    return library.es_status_name(number).decode()


def test_null_for_every_argument_of_every_function():
    library = c_library()
    # These return structures, whose place would be an argument.
    called = [(result, name) for result, name in FUNCTIONS if result not in ("es_text_options", "es_sampling")]
    assert len(called) > 40
    command = [sys.executable, "-c", PROGRAM, str(library_path()), *(f"{result}:{name}" for result, name in called)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0, outcome.stdout[-300:] + outcome.stderr
    answers = dict(line.split() for line in outcome.stdout.splitlines())
    assert set(answers) == {name for _, name in called}
    for result, name in called:
        if result == "es_status":
            assert status(library, int(answers[name])) == "ARGUMENT_NULL", name


class Opened:
    """A model and a session, in memory that can be refused."""

    def __init__(self, data, plan=b"", refused=-1):
        self.library, self.allocator = c_library(), CountingAllocator(refused)
        self.data = np.frombuffer(data, np.uint8).copy()
        self.model, self.session, self.error = ModelHandle(), SessionHandle(), ErrorText()
        self.code = self._open(plan)

    def _open(self, plan):
        results = (ctypes.byref(self.model), ctypes.byref(self.error))
        opened = self.library.es_model_open_memory(
            self.data.ctypes.data, self.data.size, self.allocator.options, *results
        )
        if opened:
            return status(self.library, opened)
        options = SessionOptions(threads=1)
        results = (ctypes.byref(options), ctypes.byref(self.session), ctypes.byref(self.error))
        return status(self.library, self.library.es_session_create(self.model, plan, *results))

    def close(self):
        self.library.es_session_close(self.session)
        self.library.es_model_close(self.model)


def test_every_allocation_of_a_session_may_fail():
    data = (VECTORS / "valid" / "network_s4.egs").read_bytes()
    whole = Opened(data)
    assert whole.code == "OK"
    whole.close()
    assert whole.allocator.used == 0
    for refused in range(whole.allocator.calls):
        failing = Opened(data, refused=refused)
        assert failing.code == "MEMORY_EXHAUSTED"
        assert not failing.session
        failing.close()
        assert failing.allocator.used == 0


@pytest.mark.parametrize("attention", [0, 1])
def test_every_allocation_of_a_text_may_fail(attention):
    library, data = c_library(), np.frombuffer(assemble(text_model()), np.uint8).copy()
    library.es_text_close.argtypes = [ctypes.c_void_p]

    def attempt(refused):
        allocator, model, text, error = CountingAllocator(refused), ModelHandle(), ctypes.c_void_p(), ErrorText()
        results = (ctypes.byref(model), ctypes.byref(error))
        code = library.es_model_open_memory(data.ctypes.data, data.size, allocator.options, *results)
        if not code:
            options = TextOptions(attention=attention, theta=0.5, window=0.1)
            code = library.es_text_create(model, ctypes.byref(options), ctypes.byref(text), ctypes.byref(error))
        assert bool(text) == (code == 0)
        library.es_text_close(text)
        library.es_model_close(model)
        assert allocator.used == 0
        return status(library, code), allocator.calls

    code, calls = attempt(-1)
    assert code == "OK"
    assert calls > 4
    assert {attempt(refused)[0] for refused in range(calls)} == {"MEMORY_EXHAUSTED"}


def test_wrong_bindings_are_refused_and_forgotten():
    opened = Opened((VECTORS / "valid" / "network_chw.egs").read_bytes())
    library, session = opened.library, opened.session
    library.es_session_port.argtypes = [SessionHandle, ctypes.c_uint32, ctypes.c_void_p]

    def bind(number, address, size):
        return status(library, library.es_session_bind(session, number, address, size))

    assert status(library, library.es_session_run(session)) == "INPUT_MISSING"
    port = Port()
    assert library.es_session_port(session, 0, ctypes.byref(port)) == 0
    x = np.random.default_rng(0).standard_normal(port.bytes // 4 + 1).astype(np.float32)
    size = x.nbytes - 4
    assert library.es_session_port(session, 1, ctypes.byref(port)) == 0
    y = np.zeros(port.bytes // 4, np.float32)
    assert bind(0, x.ctypes.data, size) == bind(1, y.ctypes.data, y.nbytes) == "OK"
    assert library.es_session_run(session) == 0
    expected = y.copy()
    assert expected.any()
    assert bind(0, x.ctypes.data, size - 4) == bind(0, x.ctypes.data, size + 4) == "INPUT_SHAPE"
    assert bind(0, x.ctypes.data, 0) == "INPUT_SHAPE"
    assert bind(0, x.ctypes.data + 1, size) == "INPUT_ALIGNMENT"
    assert bind(0, None, size) == "ARGUMENT_NULL"
    assert bind(2, x.ctypes.data, size) == bind(2**32 - 1, x.ctypes.data, size) == "PORT_UNKNOWN"
    assert library.es_session_error(session)
    y[:] = 0
    assert library.es_session_run(session) == 0
    np.testing.assert_array_equal(y, expected)
    opened.close()


def test_a_failed_run_changes_nothing_and_the_next_one_works():
    opened = Opened((VECTORS / "valid" / "decoder.egs").read_bytes(), plan=b"")
    library, session = opened.library, opened.session
    library.es_session_port.argtypes = [SessionHandle, ctypes.c_uint32, ctypes.c_void_p]
    arrays, port = [], Port()
    while not library.es_session_port(session, len(arrays), ctypes.byref(port)):
        arrays.append(np.zeros(port.bytes // 4, np.int32 if port.dtype == 5 else np.float32))
        library.es_session_bind(session, len(arrays) - 1, arrays[-1].ctypes.data, arrays[-1].nbytes)
    assert [array.dtype.kind for array in arrays] == ["i", "i", "f"]
    ids, position, logits = arrays
    assert library.es_session_run(session) == 0
    expected = logits.copy()
    for array, value, code in (
        (ids, -1, "TOKEN_RANGE"),
        (ids, 1 << 30, "TOKEN_RANGE"),
        (position, -1, "POSITION_RANGE"),
    ):
        array[-1], kept = value, array[-1]
        logits[:] = 7
        assert status(library, library.es_session_run(session)) == code
        assert (logits == 7).all()
        array[-1] = kept
    assert library.es_session_run(session) == 0
    np.testing.assert_array_equal(logits, expected)
    opened.close()


def test_plans_that_do_not_exist():
    opened = Opened((VECTORS / "valid" / "two_plans.egs").read_bytes(), plan=b"no such plan")
    assert opened.code == "PLAN_UNKNOWN"
    assert b"no such plan" in opened.error.message
    opened.close()
