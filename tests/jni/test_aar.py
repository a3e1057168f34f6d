"""The archive for Android: what is in it, for whom it is compiled, what it asks of the system."""

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from jvm import ROOT, jni_module

elftools = pytest.importorskip("elftools", reason="pip install pyelftools")
from elftools.elf.elffile import ELFFile  # noqa: E402

LIMIT = 512 * 1024
MACHINES = {"arm64-v8a": "EM_AARCH64", "x86_64": "EM_X86_64"}


@pytest.fixture(scope="session")
def aar(zig, jdk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aar")
    build_aar = jni_module("build_aar")
    return build_aar.build(folder / "edge_sparse.aar", folder / "work", "zig", ["aarch64", "x86_64"])


@pytest.fixture(params=sorted(MACHINES))
def native(request, aar, tmp_path):
    """Return an ABI and its library."""
    with zipfile.ZipFile(aar) as archive:
        return request.param, archive.extract(f"jni/{request.param}/libedge_sparse_jni.so", tmp_path)


def test_files(aar):
    with zipfile.ZipFile(aar) as archive:
        names = set(archive.namelist())
        assert names == {
            "AndroidManifest.xml",
            "R.txt",
            "classes.jar",
            "proguard.txt",
            "jni/arm64-v8a/libedge_sparse_jni.so",
            "jni/x86_64/libedge_sparse_jni.so",
        }
        assert b'minSdkVersion="24"' in archive.read("AndroidManifest.xml")
        with zipfile.ZipFile(archive.open("classes.jar")) as jar:
            classes = [name for name in jar.namelist() if name.endswith(".class")]
            assert "edgesparse/AndroidModels.class" in classes
            assert not [name for name in classes if not name.startswith("edgesparse/")], "a stand-in was packed"
            # Class files of version 52 are those of Java 8, which is what Android 7 reads.
            assert {jar.read(name)[6:8] for name in classes} == {b"\x00\x34"}


def test_keep_rules_name_what_native_code_finds_by_name(aar):
    with zipfile.ZipFile(aar) as archive:
        rules = archive.read("proguard.txt").decode()
    for source in (ROOT / "kernels_arm" / "jni").glob("*.c"):
        for line in source.read_text().splitlines():
            if "FindClass" in line:
                assert line.split('"')[1].replace("/", ".") in rules


def test_equal_sources_give_equal_bytes(aar, tmp_path):
    build_aar = jni_module("build_aar")
    again = build_aar.build(tmp_path / "again.aar", tmp_path / "work", "zig", ["x86_64"])
    with zipfile.ZipFile(aar) as first, zipfile.ZipFile(again) as second:
        assert len(second.namelist()) == 5
        for entry in second.infolist():
            assert first.read(entry.filename) == second.read(entry.filename)
            assert entry.date_time == first.getinfo(entry.filename).date_time


def test_library_loads_on_phones_of_16_kib_pages(native):
    abi, path = native
    with open(path, "rb") as file:
        elf = ELFFile(file)
        assert elf["e_machine"] == MACHINES[abi]
        segments = list(elf.iter_segments())
        assert all(s["p_align"] == 16384 for s in segments if s["p_type"] == "PT_LOAD")
        assert not any(s["p_flags"] & 3 == 3 for s in segments if s["p_type"] == "PT_LOAD")
        assert any(s["p_type"] == "PT_GNU_RELRO" for s in segments)
        assert not any(s["p_flags"] & 1 for s in segments if s["p_type"] == "PT_GNU_STACK")
        assert not any(s["p_type"] in ("PT_TLS", "PT_INTERP") for s in segments)
        tags = list(elf.get_section_by_name(".dynamic").iter_tags())
        assert {tag.entry.d_tag for tag in tags}.isdisjoint({"DT_TEXTREL", "DT_RPATH", "DT_RUNPATH", "DT_VERNEED"})
        assert {tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"} <= {"libc.so", "libm.so"}
        assert [tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"] == ["libedge_sparse_jni.so"]
        assert elf.get_section_by_name(".gnu.hash") or elf.get_section_by_name(".hash")
    assert Path(path).stat().st_size <= LIMIT


def test_library_asks_for_no_more_than_android_has(native):
    _, path = native
    with open(path, "rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".dynsym").iter_symbols())
    wanted = {s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name}
    allowed = {name for names in jni_module("android").allowed_symbols().values() for name in names}
    assert wanted <= allowed
    assert {s.name for s in symbols if s["st_shndx"] != "SHN_UNDEF" and s.name} == {"JNI_OnLoad"}


def test_register_18_is_left_to_android(aar, tmp_path):
    """Android keeps the shadow call stack there; a function that changed it would make the next one crash."""
    objdump = shutil.which("llvm-objdump-19")
    if not objdump:
        pytest.skip("llvm-objdump-19 is not installed: apt-get install llvm-19")
    with zipfile.ZipFile(aar) as archive:
        path = archive.extract("jni/arm64-v8a/libedge_sparse_jni.so", tmp_path)
    text = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"\b[xw]17\b", text)
    assert not re.findall(r"\b[xw]18\b", text)


def test_sample_app_compiles_against_the_archive(aar, tmp_path):
    build_jni, build_aar = jni_module("build_jni"), jni_module("build_aar")
    with zipfile.ZipFile(aar) as archive:
        jar = archive.extract("classes.jar", tmp_path)
    stubs = [*build_aar.STUBS.rglob("*.java"), *(ROOT / "tests" / "jni" / "android_stubs").rglob("*.java")]
    path = build_jni.compile_java(stubs, tmp_path / "stubs")
    sources = ROOT / "examples" / "android" / "app" / "src" / "main" / "java"
    build_jni.compile_java(list(sources.rglob("*.java")), tmp_path / "app", f"{jar}:{path}")
