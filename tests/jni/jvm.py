"""A Java virtual machine, here or under qemu's model of an ARM processor, with the library in it."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Jvm", "arm_root", "jni_module"]

ROOT = Path(__file__).resolve().parents[2]
JAVA = "usr/lib/jvm/java-17-openjdk-arm64/bin/java"


def jni_module(name):
    """Import a build script; they lie outside of the package."""
    folders = [str(ROOT / "kernels_arm" / "jni"), str(ROOT / "kernels_arm")]
    sys.path[:0] = folders
    try:
        return importlib.import_module(name)
    finally:
        for folder in folders:
            sys.path.remove(folder)


@dataclass(frozen=True)
class Jvm:
    """How Java starts, and where the library and the classes are."""

    java: list
    library: Path
    class_path: list
    arm: bool

    def main(self, program, *arguments):
        """Run a class of tests/jni/java and return its lines. JNI checks itself: a warning of it is an error."""
        words = [
            *self.java,
            "-Xcheck:jni",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "--add-opens",
            "java.base/java.io=ALL-UNNAMED",
        ]
        words += [
            f"-Dedgesparse.library={self.library}",
            "-Dfile.encoding=UTF-8",
            "-cp",
            ":".join(map(str, self.class_path)),
        ]
        command = [str(word) for word in (*words, program, *arguments)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done.stdout.splitlines()


def arm_root():
    """Return a folder with a Java for 64-bit ARM, made once; None where that cannot be done."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge_sparse"
    folder = cache / "java17-arm64-bookworm"
    if not (folder / JAVA).exists():
        cache.mkdir(parents=True, exist_ok=True)
        # Extracted only: nothing of it runs, so no emulation is needed to make it. Renamed when it is complete.
        options = ["--skip=check/qemu", "--arch=arm64", "--variant=extract", "--include=openjdk-17-jre-headless"]
        with tempfile.TemporaryDirectory(dir=cache) as made:
            command = ["mmdebstrap", "--quiet", *options, "bookworm", f"{made}/root"]
            if subprocess.run(command, capture_output=True, timeout=600).returncode:
                return None
            shutil.rmtree(folder, ignore_errors=True)
            Path(made, "root").rename(folder)
    return folder if (folder / JAVA).exists() else None
