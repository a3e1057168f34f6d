"""Build the wheel of this package for one machine, on any machine: zig compiles the C core for it.

    pip install ziglang 'setuptools>=77'
    python kernels_arm/build_wheel.py --target aarch64 -o dist

The Linux wheels are tested; those of macOS and Windows are compiled only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: zig's target and the wheel's platform; glibc 2.28 is that of Debian 10 and the first Raspberry Pi OS with 64 bits.
TARGETS = {
    "aarch64": ("aarch64-linux-gnu.2.28", "manylinux_2_28_aarch64"),
    "x86_64": ("x86_64-linux-gnu.2.28", "manylinux_2_28_x86_64"),
    "macos": ("aarch64-macos.11.0", "macosx_11_0_arm64"),
    "windows": ("x86_64-windows-gnu", "win_amd64"),
}


def build_wheel(target: str, output: Path, site: Path | None = None) -> Path:
    """Return the path of a target's wheel, made in a folder, with the demo page of ``site`` inside."""
    triple, platform = TARGETS[target]
    environment = os.environ | {"EDGE_SPARSE_BUILD_TARGET": triple, "EDGE_SPARSE_BUILD_PLATFORM": platform}
    if site:
        environment["EDGE_SPARSE_BUILD_SITE"] = str(site.resolve())
    output.mkdir(parents=True, exist_ok=True)
    # In folders of its own: two targets at a time, and nothing of an older build, in the wheel.
    with tempfile.TemporaryDirectory() as folder:
        build = ["-q", "egg_info", "--egg-base", folder, "build", "--build-base", f"{folder}/build"]
        wheel = ["bdist_wheel", "--bdist-dir", f"{folder}/wheel", "--dist-dir", f"{folder}/dist"]
        subprocess.run([sys.executable, "setup.py", *build, *wheel], cwd=ROOT, env=environment, check=True)
        (made,) = Path(folder, "dist").glob("*.whl")
        result = output / made.name
        result.write_bytes(made.read_bytes())
    return result


def _setuptools_is_new() -> bool:
    try:
        return int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=TARGETS, action="append", required=True, help="may be given several times")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--site", type=Path, help="the demo page to put inside, made by make web (build/web)")
    arguments = parser.parse_args()
    if importlib.util.find_spec("ziglang") is None:
        parser.error("zig is needed to compile for other machines: pip install ziglang")
    if not _setuptools_is_new():
        parser.error("wheels need a newer setuptools than this Python has: pip install 'setuptools>=77'")
    if arguments.site and not (arguments.site / "index.html").is_file():
        parser.error(f"there is no page in {arguments.site}: make web")
    for target in arguments.target:
        print(build_wheel(target, arguments.output, arguments.site))
    return 0


if __name__ == "__main__":
    sys.exit(main())
