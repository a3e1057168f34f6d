"""What the Java tests need: a JDK, zig, models, and for ARM qemu with a Java of its own. Each is a reason to skip."""

import shutil

import pytest
from jvm import JAVA, ROOT, Jvm, arm_root, jni_module


@pytest.fixture(scope="session")
def jdk(needed):
    needed(shutil.which("javac"), "javac", "apt-get install openjdk-17-jdk-headless")


@pytest.fixture(scope="session")
def java_classes(jdk, tmp_path_factory):
    """Return the class path of library and test programs, compiled once: the same files run everywhere."""
    build_jni = jni_module("build_jni")
    folder = tmp_path_factory.mktemp("java")
    jar = build_jni.jar(
        folder / "edge_sparse.jar", build_jni.compile_java(build_jni.java_sources(), folder / "classes")
    )
    programs = sorted((ROOT / "tests" / "jni" / "java").glob("*.java"))
    return [jar, build_jni.compile_java(programs, folder / "programs", str(jar))]


@pytest.fixture(scope="session")
def virtual_machines(zig, java_classes, tmp_path_factory, needed, request):
    """Return a function from the name of a machine to its Java, whose library is built once."""
    build_jni, made = jni_module("build_jni"), {}

    def of(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(f"jni-{name}")
            if name == "here":
                java, target = [needed(shutil.which("java"), "java", "apt-get install openjdk-17-jdk-headless")], ""
            else:
                qemu = request.getfixturevalue("qemu")
                root = needed(shutil.which("mmdebstrap") and arm_root(), "a Java for ARM", "mmdebstrap, as root")
                java, target = [qemu, "-L", root, "-cpu", "cortex-a72", root / JAVA], "aarch64-linux-gnu.2.28"
            library = build_jni.library(target, "zig", folder)
            made[name] = Jvm(java, library, java_classes, name != "here")
        return made[name]

    return of


@pytest.fixture(params=["here", "arm"])
def jvm(request, virtual_machines):
    return virtual_machines(request.param)


@pytest.fixture(scope="session")
def shakespeare(shakespeare):
    """Return the shipped language model as a file. F32: rounded activations can turn a near tie between two bytes."""
    return shakespeare("f32")
