"""``libedge_sparse_jni.so`` for Android, with the NDK's clang or without an NDK.

Without one, zig or clang compiles for Android's ABI (which differs from Linux in more than the C library: it reserves
register x18) against the few declarations in ``bionic/``, and links against stubs of libc.so and libm.so that hold the
names of ``tests/arm/bionic_symbols.txt`` and nothing else. At run time the phone's own libraries take their place.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from build_jni import HERE, LIBRARY, exports, java_flags

from build import ELF, RELEASE, compiler_command, objects

#: Android 7.0: the first with all that the core needs, and still a few phones in a hundred.
API = 24

#: Folders of an AAR, by the first word of a compiler's target. The x86 one is for emulators.
ABIS = {"aarch64": "arm64-v8a", "x86_64": "x86_64"}

SYMBOLS = HERE.parents[1] / "tests" / "arm" / "bionic_symbols.txt"


def allowed_symbols() -> dict[str, list[str]]:
    """Return the names that libc and libm may be asked for."""
    names: dict[str, list[str]] = {"libc": [], "libm": []}
    for line in SYMBOLS.read_text().splitlines():
        if line and not line.startswith("#"):
            library, name = line.split()
            names[library].append(name)
    return names


def library(machine: str, compiler: str, output: Path, ndk: Path | None = None) -> Path:
    """Build the library for "aarch64" or "x86_64" into a folder and return its path.

    Parameters
    ----------
    machine : {"aarch64", "x86_64"}
        First word of the compiler's target.
    compiler : str
        "zig" or the name of a clang; the NDK's is taken when there is one.
    output : Path
        Folder.
    ndk : Path, optional
        The NDK's folder.
    """
    if ndk:
        compiler = str(_ndk_compiler(ndk, machine))
    target = f"{machine}-linux-android.{API}" if compiler == "zig" else f"{machine}-linux-android{API}"
    select = [] if compiler == "zig" or ndk else [f"--target={target}"]
    flags = [*select, RELEASE]
    if machine == "aarch64":
        # Else atomics call a compiler's run-time library, which is not there without an NDK. zig ignores the flag, and
        # gets the functions.
        flags += ["-mno-outline-atomics"]
    else:
        flags += ["-UES_BUILD_AVX2"]  # an emulator needs no speed, and apps are smaller
    if not ndk:
        flags += [f"-isystem{HERE / 'bionic'}", "-nostdinc" if compiler == "zig" else "-nostdlibinc"]
    files = objects(target, compiler, output / "objects", flags)
    headers = [f"-I{HERE}"] if ndk else java_flags()
    files += objects(target, compiler, output / "objects" / "jni", [*flags, *headers], sorted(HERE.glob("*.c")))
    if compiler == "zig" and machine == "aarch64":
        files += objects(target, compiler, output / "objects", flags, [HERE / "bionic" / "outline_atomics.c"])
    made = output / LIBRARY
    link = ["-shared", "-g0", "-s", "-o", str(made), *map(str, files), *ELF, "-Wl,-z,defs"]
    link += ["-Wl,-z,max-page-size=16384", f"-Wl,-soname,{LIBRARY}"]
    link += [f"-Wl,--version-script={exports(output / 'objects')}"]
    if ndk:
        subprocess.run([compiler, *link, "-lm"], check=True)
    else:
        _link(compiler, select, [*link, *map(str, _stubs(target, compiler, select, output / "stubs"))])
    return made


def _link(compiler: str, select: list[str], arguments: list[str]) -> None:
    """Link without the C library and start files of this machine."""
    if compiler == "zig":
        # Not zig cc, which wants to add a C library: its linker alone, which spells options without -Wl.
        options = [argument.removeprefix("-Wl,") for argument in arguments if argument != "-g0"]
        words = [word for option in options for word in option.split(",")]
        subprocess.run([sys.executable, "-m", "ziglang", "ld.lld", *words], check=True)
    else:
        subprocess.run([compiler, *select, "-fuse-ld=lld", "-nostdlib", *arguments], check=True)


def _ndk_compiler(ndk: Path, machine: str) -> Path:
    found = sorted(ndk.glob(f"toolchains/llvm/prebuilt/*/bin/{machine}-linux-android{API}-clang"))
    if not found:
        raise SystemExit(f"{ndk} is no NDK with a compiler for {machine} and API {API}")
    return found[0]


def _stubs(target: str, compiler: str, select: list[str], folder: Path) -> list[Path]:
    """Make libraries that have the names, so that a linker knows which library has what."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, symbols in allowed_symbols().items():
        source, stub = folder / f"{name}_stub.c", folder / f"{name}.so"
        source.write_text("".join(f"void {symbol}(void) {{}}\n" for symbol in symbols))
        compiled = source.with_suffix(".o")
        flags = ["-ffreestanding", "-fno-builtin", "-fPIC", "-g0", "-w", "-c", str(source), "-o", str(compiled)]
        subprocess.run([*compiler_command(compiler, target), *select, *flags], check=True)
        _link(compiler, select, ["-shared", f"-Wl,-soname,{name}.so", "-o", str(stub), str(compiled)])
        made.append(stub)
    return made
