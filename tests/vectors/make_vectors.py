"""Writes the conformance vectors beside this script: ``valid/*.egs`` with inputs and outputs, ``invalid/CODE*.egs``.

``python tests/vectors/make_vectors.py`` writes the same bytes every time.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from file_editor import changed_header, with_section
from invalid_files import invalid_files
from tiny_models import chunks, models

from edge_sparse import Session
from edge_sparse.format.reader import parse_model
from edge_sparse.format.writer import model_bytes
from edge_sparse.plan import Model

__all__ = ["arrays", "valid_files"]

FOLDER = Path(__file__).parent


def valid_files() -> dict[str, bytes]:
    """Return the bytes of every valid file by name."""
    result = {name: model_bytes(model) for name, model in models().items()}
    # A later minor version may add sections that this one skips.
    result["future"] = with_section(changed_header(result["rows"], minor=7), 99, b"of later use")
    return result


def arrays(model: Model) -> dict[str, np.ndarray]:
    """Return inputs and reference outputs, named ``plan/run/in|out/tensor``; runs of a plan share its state."""
    result = {}
    for plan in model.plans:
        session = Session.from_model(model, backend="reference", plan=plan.name)
        for number, inputs in enumerate(chunks(model, plan)):
            place = f"{plan.name}/{number}"
            result |= {f"{place}/in/{name}": array for name, array in inputs.items()}
            result |= {f"{place}/out/{name}": array for name, array in session.run(inputs).items()}
    return result


def _archive(content: dict[str, np.ndarray]) -> bytes:
    """Return an ``.npz`` whose members carry no time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in content.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def main() -> None:
    """Write all vectors."""
    for folder in ("valid", "invalid"):
        (FOLDER / folder).mkdir(exist_ok=True)
        for old in (FOLDER / folder).iterdir():
            old.unlink()
    for name, data in valid_files().items():
        (FOLDER / "valid" / f"{name}.egs").write_bytes(data)
        (FOLDER / "valid" / f"{name}.npz").write_bytes(_archive(arrays(parse_model(data))))
    for name, data in invalid_files().items():
        (FOLDER / "invalid" / f"{name}.egs").write_bytes(data)


if __name__ == "__main__":
    main()
