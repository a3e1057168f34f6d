"""The example's demo runs on the shipped weights; its own assertions say whether the model still works."""

import runpy
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "shakespeare"


def test_the_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo.py", "-o", str(tmp_path)])
    runpy.run_path(str(EXAMPLE / "demo.py"), run_name="__main__")
    text = capsys.readouterr().out
    assert "delta attention:" in text
    # Verses, not noise: names of speakers stand on lines of their own.
    assert text.count(":\n") >= 2
    assert (tmp_path / "shakespeare-s8.egs").stat().st_size < 3.6e6
