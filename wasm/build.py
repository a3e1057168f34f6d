"""Compile the C core for browsers with zig (``pip install ziglang``): one WebAssembly file for each variant.

    python wasm/build.py -o build/wasm

``edge_sparse.wasm`` needs SIMD128, which every browser since 2023 has. ``edge_sparse_relaxed.wasm`` fuses multiply-adds
where the machine does, so that last bits differ between machines. ``edge_sparse_scalar.wasm`` is plain C, for tests.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent
CORE = ROOT.parent / "kernels_arm"
#: Kept in the repository, so that the package's sources are whole.
STATUS_CODES = ROOT / "js" / "src" / "status.ts"
TARGET = "wasm32-wasi"
#: All in the first browsers that had SIMD128, except bulk memory: engines call out of line for its small copies.
CPU = "generic+sign_ext+nontrapping_fptoint"
#: The stack lies below everything else, so that an overflow traps instead of overwriting data.
STACK_BYTES = 256 << 10


@dataclass(frozen=True)
class Module:
    """One WebAssembly file: its name, the features of its processor, and the kernels in it.

    Threads would be one more: ``atomics`` and ``bulk_memory`` as features, and a memory that is imported.
    """

    file: str
    features: str
    kernels: str


MODULES = {
    "simd": Module("edge_sparse.wasm", "+simd128", "vector"),
    "relaxed": Module("edge_sparse_relaxed.wasm", "+simd128+relaxed_simd", "vector"),
    "scalar": Module("edge_sparse_scalar.wasm", "", "scalar"),
}


def _core_builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("edge_sparse_core_build", CORE / "build.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{CORE / 'build.py'} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def build(variant: str, output: Path) -> Path:
    """Compile one variant into a folder and return the path of its file."""
    builder, module = _core_builder(), MODULES[variant]
    cpu = f"-mcpu={CPU}{module.features}"
    # Position independent code would ask the page for a table of addresses.
    flags = ["-fno-pic", cpu, *([] if module.kernels == "scalar" else [builder.RELEASE])]
    kernels = builder.Variant(module.kernels)
    folder = output / "objects" / variant
    files = builder.objects(TARGET, "zig", folder, flags, built=[kernels])
    files += builder.objects(TARGET, "zig", folder / "exports", flags, sorted((ROOT / "src").glob("*.c")), [kernels])
    result = output / module.file
    link = [*builder.compiler_command("zig", TARGET), cpu, "-mexec-model=reactor", "-g0", "-s", "-Os"]
    link += ["-o", str(result), "-Wl,--gc-sections", f"-Wl,-z,stack-size={STACK_BYTES}", *map(str, files)]
    subprocess.run(link, check=True)
    return result


def status_codes() -> str:
    """Return the TypeScript that lists the names of all statuses."""
    text = (CORE / "include" / "edge_sparse_status.h").read_text()
    names = re.findall(r"^    X\(([A-Z0-9_]+),", text, re.MULTILINE)
    lines = "\n".join(f'  | "{name}"' for name in names)
    return f"// Made by wasm/build.py from edge_sparse_status.h.\nexport type StatusCode =\n{lines};\n"


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=MODULES, action="append", help="default: all")
    parser.add_argument("-o", "--output", type=Path, default=ROOT.parent / "build" / "wasm")
    arguments = parser.parse_args()
    if importlib.util.find_spec("ziglang") is None:
        parser.error("zig compiles for WebAssembly: pip install ziglang")
    STATUS_CODES.write_text(status_codes())
    for variant in arguments.variant or MODULES:
        try:
            print(build(variant, arguments.output))
        except subprocess.CalledProcessError as error:
            print(f"failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
