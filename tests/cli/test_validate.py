"""Valid files get their hash, invalid ones the code of the rule that they break."""

import hashlib

import pytest

import edge_sparse
from edge_sparse.errors import FileFormatError


def test_a_valid_file(cli, model_file):
    digest = hashlib.sha256(model_file.read_bytes()).hexdigest()
    outcome = cli("validate", model_file)
    assert outcome.code == 0
    assert digest in outcome.out
    (document,) = cli("validate", model_file, "--json").json
    assert document == {"path": str(model_file), "valid": True, "bytes": model_file.stat().st_size, "sha256": digest}
    assert edge_sparse.validate(model_file).sha256 == digest


def test_all_files_are_checked_even_after_a_failure(cli, model_file, tmp_path):
    data = model_file.read_bytes()
    broken = tmp_path / "broken.egs"
    broken.write_bytes(data[:-1])
    other = tmp_path / "other.egs"
    other.write_bytes(data[:200] + bytes([data[200] ^ 255]) + data[201:])
    outcome = cli("validate", broken, other, model_file)
    assert outcome.code == 2
    lines = outcome.out.splitlines()
    assert len(lines) == 3
    assert all(": INVALID [" in line for line in lines[:2])
    assert ": ok, " in lines[2]
    documents = cli("validate", broken, other, model_file, "--json").json
    assert [document["valid"] for document in documents] == [False, False, True]
    with pytest.raises(FileFormatError) as error:
        edge_sparse.validate(broken)
    assert error.value.code == documents[0]["code"]
