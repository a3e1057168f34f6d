"""Build the C core for one target, with zig (``pip install ziglang``) or any C11 compiler.

Without options it makes the shared library of this machine in build/native. Others:

    python kernels_arm/build.py --target aarch64-linux-gnu.2.28 -o build/aarch64
    python kernels_arm/build.py --compiler gcc           # this machine's compiler
    python kernels_arm/build.py --program cli --target aarch64-linux-musl    # the static program "edge-sparse"

Only the standard library is needed, so that it runs wherever a compiler does.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent

FLAGS = [
    "-std=c11",
    # Loops over registers are unrolled by hand: clang's -O3 counts no instruction less in whole networks on ARM, and
    # takes 12 % more room.
    "-Os",
    "-g0",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fomit-frame-pointer",
    "-ffunction-sections",
    "-fdata-sections",
    # No exception passes through C; the tables were 24 of 475 KB on ARM.
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-Wall",
    "-Wextra",
    "-Werror=implicit-function-declaration",
]


#: No writable table of addresses, no executable stack, nothing that is never called.
ELF = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack", "-Wl,--gc-sections"]
#: Sources and file name of every program.
PROGRAMS = {"cli": ("cli/*.c", "edge-sparse"), "replay": ("tests/replay.c", "replay")}


#: Leaves plain C out of libraries for people: every 64-bit processor has vectors, and tests build their own.
RELEASE = "-DES_BUILD_WITHOUT_SCALAR"


@dataclass(frozen=True)
class Variant:
    """One compilation of every kernel file (or of ``files`` alone): its name and the flags that it needs."""

    name: str
    zig_flags: tuple[str, ...] = ()
    cc_flags: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


SCALAR = Variant("scalar")
VECTOR = Variant("vector", (), ("-O2",))
AVX2 = Variant("avx2", ("-mcpu=x86_64_v3", "-O3"), ("-mavx2", "-mfma", "-mf16c", "-O2"))
DOTPROD = Variant("dotprod", ("-mcpu=baseline+dotprod",), ("-march=armv8.2-a+dotprod", "-O2"), ("spmm_integer",))


def variants(machine: str, release: bool = False) -> list[Variant]:
    """Return what is built for a machine, the plainest first; in a release only what can be the best one there."""
    if machine in ("aarch64", "arm64"):
        return [VECTOR, DOTPROD] if release else [SCALAR, VECTOR, DOTPROD]
    if machine in ("x86_64", "amd64"):
        return [VECTOR, AVX2] if release else [SCALAR, VECTOR, AVX2]
    return [SCALAR]


def compiler_command(compiler: str, target: str) -> list[str]:
    """Return the start of every command."""
    if compiler == "zig":
        # Without a target zig compiles for this very processor; a later -mcpu wins over this one.
        return [sys.executable, "-m", "ziglang", "cc", *(("-target", target) if target else ()), "-mcpu=baseline"]
    return [compiler]


def objects(
    target: str,
    compiler: str,
    folder: Path,
    extra: list[str],
    sources: list[Path] | None = None,
    built: list[Variant] | None = None,
) -> list[Path]:
    """Compile some files, or the core and all kernels in some variants, and return the object files."""
    machine = (target.split("-")[0] if target else platform.machine()).lower()
    command = compiler_command(compiler, target)
    built = variants(machine, RELEASE in extra) if built is None else built
    plain = [flag for flag in extra if flag != RELEASE]
    names = {"vector": "ES_BUILD_VECTOR", "avx2": "ES_BUILD_AVX2", "dotprod": "ES_BUILD_DOTPROD"}
    defines = [f"-D{names[variant.name]}" for variant in built if variant.name in names]
    jobs = []
    for source in sorted((ROOT / "core").glob("*.c")) if sources is None else sources:
        # All other objects are those of any build.
        release = [RELEASE] if source.stem == "kernel_list" and RELEASE in extra else []
        jobs.append((source, folder / f"{source.stem}.o", [*defines, *release]))
    for variant in built if sources is None else ():
        flags = [f"-DES_VARIANT_NAME={variant.name}"]
        flags += variant.zig_flags if compiler == "zig" else variant.cc_flags
        for source in sorted((ROOT / "kernels").glob("*.c")):
            if not variant.files or source.stem in variant.files:
                jobs.append((source, folder / f"{source.stem}_{variant.name}.o", flags))
    folder.mkdir(parents=True, exist_ok=True)
    headers = max(path.stat().st_mtime for suffix in ("h", "inc") for path in ROOT.rglob(f"*.{suffix}"))

    def compile_one(job: tuple[Path, Path, list[str]]) -> Path:
        source, target_file, flags = job
        includes = [f"-I{ROOT / 'include'}", f"-I{ROOT / 'core'}", f"-I{ROOT / 'vec'}"]
        arguments = [*command, *FLAGS, *includes, *flags, *plain, "-c", str(source), "-o", str(target_file)]
        # Compiled again only after a change of the source, of any header, or of the command.
        record = target_file.with_suffix(".command")
        known = record.read_text() if record.exists() and target_file.exists() else ""
        if known != " ".join(arguments) or target_file.stat().st_mtime < max(headers, source.stat().st_mtime):
            record.unlink(missing_ok=True)
            subprocess.run(arguments, check=True)
            record.write_text(" ".join(arguments))
        return target_file

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, jobs))


def shared_library(target: str, compiler: str, output: Path, extra: list[str] | None = None) -> Path:
    """Build ``libedge_sparse.so`` (or the target's name for it) into a folder and return its path."""
    machine = target or platform.system().lower()
    suffix = "dll" if "windows" in machine else "dylib" if "macos" in machine or "darwin" in machine else "so"
    library = output / f"libedge_sparse.{suffix}"
    extra = [*(extra or []), "-DES_BUILD_SHARED"]
    files = objects(target, compiler, output / "objects", extra)
    link = [*compiler_command(compiler, target), "-shared", *extra, "-g0", "-o", str(library), *map(str, files)]
    if suffix == "so":
        link += ["-s", *ELF, "-Wl,-z,max-page-size=16384", "-Wl,-z,defs", "-Wl,-soname,libedge_sparse.so"]
        link += ["-lm", "-lpthread"]
    elif suffix == "dylib":
        link += ["-s", "-Wl,-install_name,@rpath/libedge_sparse.dylib"]
    subprocess.run(link, check=True)
    return library


def program(name: str, target: str, compiler: str, output: Path, extra: list[str] | None = None) -> Path:
    """Build a program, static where the target is musl."""
    extra, (sources, file) = extra or [], PROGRAMS[name]
    files = objects(target, compiler, output / "objects", extra)
    files += objects(target, compiler, output / "objects" / name, extra, sorted(ROOT.glob(sources)))
    result = output / (file + (".exe" if "windows" in target else ""))
    link = [*compiler_command(compiler, target), *extra, "-g0", "-o", str(result), *map(str, files)]
    if "windows" not in target:
        link += ["-s", "-lm", "-lpthread"]
    if "musl" in target:
        link += ["-static", *ELF]
    subprocess.run(link, check=True)
    return result


def default_compiler() -> str:
    """Return "zig" if the package is there, else a C compiler of this machine, "" if there is none."""
    import importlib.util

    if importlib.util.find_spec("ziglang"):
        return "zig"
    wanted = os.environ.get("CC")
    return next((name for name in (wanted, "cc", "clang", "gcc") if name and shutil.which(name)), "")


def choose_compiler(parser: argparse.ArgumentParser, given: str, target: str = "") -> str:
    """Return the compiler that was asked for, else the default one, which for another machine is zig alone."""
    found = given or default_compiler()
    if not found:
        parser.error("no C compiler found: pip install ziglang, or install gcc or clang")
    if target and not given and found != "zig":
        parser.error("another machine's code needs zig: pip install ziglang, or name a cross compiler with --compiler")
    return found


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="", help="zig target, e.g. aarch64-linux-gnu.2.28; default: this machine")
    parser.add_argument("--compiler", default="", help="zig (default where installed), or a C compiler's name")
    parser.add_argument("-o", "--output", type=Path, default=ROOT.parent / "build" / "native")
    parser.add_argument("--release", action="store_true", help="without the plain C kernels, which only tests need")
    parser.add_argument("--program", choices=PROGRAMS, help="build this program instead of the library")
    parser.add_argument("flags", nargs="*", help="further compiler flags, behind --")
    arguments = parser.parse_args()
    compiler = choose_compiler(parser, arguments.compiler, arguments.target)
    flags = [*arguments.flags, *([RELEASE] if arguments.release else [])]
    where = (arguments.target, compiler, arguments.output, flags)
    try:
        print(program(arguments.program, *where) if arguments.program else shared_library(*where))
    except subprocess.CalledProcessError as error:
        print(f"failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
