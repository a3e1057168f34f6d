"""Build ``edge_sparse.aar``, which an Android app takes as it is: classes, native libraries, keep rules.

    python kernels_arm/jni/build_aar.py -o build/edge_sparse.aar                # a JDK and zig (pip install ziglang)
    python kernels_arm/jni/build_aar.py --ndk "$ANDROID_HOME/ndk/27.2.12479018"  # the NDK's compiler instead of zig

Equal sources and equal tools give equal bytes.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import android
from build_jni import HERE, archive, compile_java, jar, java_sources

from build import choose_compiler

#: Stand-ins for Android's own classes, enough to compile against; none of them goes into the archive.
STUBS = HERE / "android_stubs"

MANIFEST = f"""<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="edgesparse">
    <uses-sdk android:minSdkVersion="{android.API}" />
</manifest>
"""

#: What native code finds by name.
KEEP = """-keep class edgesparse.Native { *; }
-keep class edgesparse.EdgeSparseException { *; }
-keep interface edgesparse.PieceSink { *; }
"""


def classes(output: Path, android_jar: Path | None = None) -> Path:
    """Compile the Java sources, Android's among them, and return a jar."""
    path = android_jar
    if path is None:
        path = compile_java(sorted(STUBS.rglob("*.java")), output / "stubs")
    sources = [*java_sources(), *sorted((HERE / "android").rglob("*.java"))]
    return jar(output / "classes.jar", compile_java(sources, output / "classes", str(path)))


def build(path: Path, work: Path, compiler: str, machines: list[str], ndk: Path | None = None) -> Path:
    """Build the archive and return its path; ``work`` is a folder for what is made on the way."""
    files = {
        "AndroidManifest.xml": MANIFEST.encode(),
        "R.txt": b"",
        "classes.jar": classes(work / "java").read_bytes(),
        "proguard.txt": KEEP.encode(),
    }
    for machine in machines:
        made = android.library(machine, compiler, work / machine, ndk)
        files[f"jni/{android.ABIS[machine]}/{made.name}"] = made.read_bytes()
    return archive(path, files)


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=HERE.parents[1] / "build" / "edge_sparse.aar")
    parser.add_argument("--ndk", type=Path, help="folder of an Android NDK; without one zig compiles")
    parser.add_argument("--compiler", default="", help="zig (default), or a clang of version 16 or later")
    parser.add_argument("--machines", default="aarch64,x86_64", help="of aarch64 (phones) and x86_64 (emulators)")
    arguments = parser.parse_args()
    compiler = arguments.compiler if arguments.ndk else choose_compiler(parser, arguments.compiler, "android")
    work = arguments.output.parent / "aar"
    built = build(arguments.output, work, compiler, arguments.machines.split(","), arguments.ndk)
    print(f"{built}: {built.stat().st_size} bytes")
    with zipfile.ZipFile(io.BytesIO(built.read_bytes())) as content:
        for entry in content.infolist():
            print(f"  {entry.filename}: {entry.file_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
