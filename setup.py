"""What pyproject.toml cannot say: the C core is compiled into the wheel, and the demo page put there on request."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: Set by kernels_arm/build_wheel.py to build for another machine than this one: zig's target and the wheel's platform.
TARGET = os.environ.get("EDGE_SPARSE_BUILD_TARGET", "")
PLATFORM = os.environ.get("EDGE_SPARSE_BUILD_PLATFORM", "")
#: The demo page that goes into the wheel, made by "make web"; none: "edge-sparse demo --web" then needs its folder.
SITE = os.environ.get("EDGE_SPARSE_BUILD_SITE", "")


def _builder():
    spec = importlib.util.spec_from_file_location("edge_sparse_build", ROOT / "kernels_arm" / "build.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class BuildWithLibrary(build_py):
    """Puts the C library beside the modules; an installation without a compiler goes on without it."""

    def run(self):
        """Copy the modules, then compile."""
        super().run()
        # A source checkout builds its own: make native.
        if self.editable_mode:
            return
        site = Path(self.build_lib) / "edge_sparse" / "web"
        if site.exists():
            shutil.rmtree(site)
        if SITE:
            shutil.copytree(SITE, site)
        builder = _builder()
        package = Path(self.build_lib) / "edge_sparse" / "backends" / "native"
        for left_over in package.glob("libedge_sparse.*"):
            left_over.unlink()
        compiler = builder.default_compiler()
        if not compiler:
            self.warn("no C compiler: the native backend is left out (edge-sparse devices tells how to get it)")
            return
        objects = Path(self.get_finalized_command("build").build_temp) / "native"
        try:
            library = builder.shared_library(TARGET, compiler, objects, [builder.RELEASE] if TARGET else [])
        except (OSError, builder.subprocess.CalledProcessError) as error:
            if TARGET:
                raise
            self.warn(f"{compiler} cannot build the native backend, which is left out: {error}")
            return
        self.copy_file(str(library), str(package / library.name))


class PlatformWheel(bdist_wheel):
    """One wheel per machine and for every Python: the library is called through ctypes."""

    def get_tag(self):
        """Return py3-none-any only for a wheel without the library."""
        package = Path(self.bdist_dir) / "edge_sparse" / "backends" / "native"
        if not list(package.glob("libedge_sparse.*")):
            return ("py3", "none", "any")
        self.root_is_pure = False
        return ("py3", "none", PLATFORM or super().get_tag()[2])


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
