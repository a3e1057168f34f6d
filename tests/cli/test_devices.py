"""What is told about the machine is what the backends use."""

import numpy as np

from edge_sparse.backends.numba.target import host_target


def test_processor_and_backends(cli):
    document = cli("devices", "--json").json
    target = host_target()
    assert document["vector_unit"]["lanes"] == target.lanes
    assert document["vector_unit"]["cpu"] == target.cpu
    assert set(document["vector_unit"]["tiles"]) == {
        *(f"gs{group}x1 chw" for group in (1, 2, 4, 8)),
        *(f"gs{group}x1 nhwc" for group in (16, 32)),
    }
    assert document["backends"]["numba"]["available"]
    assert document["backends"]["reference"]["available"]
    assert document["versions"]["numpy"] == np.__version__
    assert document["cores"] >= 1
    outcome = cli("devices")
    assert outcome.code == 0, outcome.err
    assert target.cpu in outcome.out, outcome
    assert document["processor"] in outcome.out


def test_the_cache_is_counted_and_never_made(cli, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGE_SPARSE_CACHE_DIR", str(folder))
    assert cli("devices", "--json").json["cache"] == {"folder": str(folder), "files": 0, "bytes": 0}
    assert not folder.exists()
    folder.mkdir()
    (folder / "one.o").write_bytes(b"12345")
    document = cli("devices", "--json").json
    assert document["cache"] == {"folder": str(folder), "files": 1, "bytes": 5}
    assert document["environment"]["EDGE_SPARSE_CACHE_DIR"] == str(folder)
    monkeypatch.setenv("EDGE_SPARSE_CACHE_DIR", "off")
    assert cli("devices", "--json").json["cache"] == {"folder": None, "files": 0, "bytes": 0}
    assert "turned off" in cli("devices").out


def test_another_processor_is_told(cli, monkeypatch):
    monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64-v3")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2,+fma,+avx")
    assert cli("devices", "--json").json["vector_unit"]["cpu"] == "x86-64-v3"


def test_values_of_the_environment_cannot_steer_the_terminal(cli, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "\x1b[2J")
    assert "\x1b" not in cli("devices").out


def test_files_that_vanish_meanwhile_are_not_counted(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_SPARSE_CACHE_DIR", str(tmp_path))
    (tmp_path / "one.o").write_bytes(b"12345")
    # As if another process had removed it between the listing and the question for its size.
    (tmp_path / "two.o").symlink_to(tmp_path / "gone")
    assert cli("devices", "--json").json["cache"] == {"folder": str(tmp_path), "files": 1, "bytes": 5}
