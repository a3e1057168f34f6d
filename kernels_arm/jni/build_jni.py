"""Build the Java library, ``edge_sparse.jar`` and ``libedge_sparse_jni.so``, for this machine or another Linux.

    python kernels_arm/jni/build_jni.py                     # into build/jni; needs a JDK
    python kernels_arm/jni/build_jni.py --target aarch64-linux-gnu.2.28 -o build/jni_aarch64
    java -Dedgesparse.library=build/jni/libedge_sparse_jni.so -cp build/jni/edge_sparse.jar:. Program

For Android see ``build_aar.py``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from build import ELF, RELEASE, choose_compiler, compiler_command, objects

HERE = Path(__file__).resolve().parent
LIBRARY = "libedge_sparse_jni.so"

#: The date of every file in archives, so that equal sources give equal bytes: the first that the zip format can say.
DATE = (1980, 1, 1, 0, 0, 0)


def jdk() -> Path:
    """Return the folder of a Java development kit.

    Raises
    ------
    SystemExit
        There is none.
    """
    compiler = shutil.which("javac")
    for home in (os.environ.get("JAVA_HOME"), Path(compiler).resolve().parents[1] if compiler else None):
        if home and (Path(home) / "include" / "jni.h").exists():
            return Path(home)
    sys.exit("no JDK found: install openjdk-17-jdk-headless, or set JAVA_HOME")


def java_flags() -> list[str]:
    """Return where jni.h is. It is the same for all 64-bit systems whose long has 64 bits."""
    include = jdk() / "include"
    return [f"-isystem{include}", f"-isystem{include / 'linux'}", f"-I{HERE}"]


def exports(folder: Path) -> Path:
    """Write a linker script that shows nothing but what a JVM looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "exports.map"
    script.write_text("{ global: JNI_OnLoad; local: *; };\n")
    return script


def library(target: str, compiler: str, output: Path) -> Path:
    """Build the native library into a folder and return its path."""
    files = objects(target, compiler, output / "objects", [RELEASE])
    files += objects(target, compiler, output / "objects" / "jni", [RELEASE, *java_flags()], sorted(HERE.glob("*.c")))
    made = output / LIBRARY
    link = [*compiler_command(compiler, target), "-shared", "-g0", "-s", "-o", str(made), *map(str, files), *ELF]
    link += [f"-Wl,--version-script={exports(output / 'objects')}", "-Wl,-z,defs", f"-Wl,-soname,{LIBRARY}"]
    subprocess.run([*link, "-lm", "-lpthread"], check=True)
    return made


def compile_java(sources: list[Path], folder: Path, class_path: str = "") -> Path:
    """Compile Java sources for Java 8, which every Android since 7.0 can run, and return the folder of the classes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options = ["--release", "8", "-encoding", "UTF-8", "-Xlint:all,-options,-try", "-Werror", "-g:lines"]
    path = ["-classpath", class_path] if class_path else []
    javac = str(jdk() / "bin" / "javac")
    subprocess.run([javac, *options, *path, "-d", str(folder), *map(str, sorted(sources))], check=True)
    return folder


def java_sources() -> list[Path]:
    """Return the sources that every JVM can run."""
    return sorted((HERE / "java").rglob("*.java"))


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip archive whose bytes depend on nothing but its files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as written:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            written.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return path


def jar(path: Path, classes: Path) -> Path:
    """Write classes into a jar and return its path."""
    files = {"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\n\r\n"}
    files |= {str(file.relative_to(classes)): file.read_bytes() for file in sorted(classes.rglob("*.class"))}
    return archive(path, files)


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="", help="zig target, e.g. aarch64-linux-gnu.2.28; default: this machine")
    parser.add_argument("--compiler", default="", help="zig (default where installed), or a C compiler's name")
    parser.add_argument("-o", "--output", type=Path, default=HERE.parents[1] / "build" / "jni")
    arguments = parser.parse_args()
    print(library(arguments.target, choose_compiler(parser, arguments.compiler, arguments.target), arguments.output))
    print(jar(arguments.output / "edge_sparse.jar", compile_java(java_sources(), arguments.output / "classes")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
