"""What is inside the libraries: instructions of the oldest processors only, and what loaders and Android ask for."""

import re
import shutil
import subprocess

import pytest
from arm_machine import ROOT, build

elftools = pytest.importorskip("elftools", reason="pip install pyelftools")
from elftools.elf.elffile import ELFFile  # noqa: E402

#: Largest library in KiB.
LIMITS = {"arm_library": 390, "host_library": 880}
#: What bionic's functions are called where glibc 2.28 or clang changes the name.
NAMES = {"__errno_location": "__errno", "__fxstat": "fstat", "bcmp": "memcmp"}


def bionic_symbols():
    lines = (ROOT / "tests" / "arm" / "bionic_symbols.txt").read_text().splitlines()
    return {line.split()[1] for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("name", LIMITS)
def test_segments_and_names(name, request):
    library = request.getfixturevalue(name)
    assert library.stat().st_size <= LIMITS[name] * 1024
    with library.open("rb") as file:
        elf = ELFFile(file)
        segments = list(elf.iter_segments())
        assert all(s["p_align"] % 16384 == 0 for s in segments if s["p_type"] == "PT_LOAD")
        assert any(s["p_type"] == "PT_GNU_RELRO" for s in segments)
        (stack,) = (s for s in segments if s["p_type"] == "PT_GNU_STACK")
        assert not stack["p_flags"] & 1
        assert not any(s["p_flags"] & 3 == 3 for s in segments if s["p_type"] == "PT_LOAD")
        assert not elf.get_section_by_name(".symtab")
        tags = list(elf.get_section_by_name(".dynamic").iter_tags())
        assert [tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"] == ["libedge_sparse.so"]
        assert "DT_TEXTREL" not in {tag.entry.d_tag for tag in tags}
        needed = {tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"}
        assert needed <= {"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2"}
        symbols = list(elf.get_section_by_name(".dynsym").iter_symbols())
    defined = {s.name for s in symbols if s["st_shndx"] != "SHN_UNDEF" and s.name}
    header = (ROOT / "kernels_arm" / "include" / "edge_sparse.h").read_text()
    declared = set(re.findall(r"^ES_API [^(]*?\*?(es_\w+)\(", header, re.M))
    assert defined == declared


def test_functions_of_the_c_library_are_those_of_android(arm_library):
    with arm_library.open("rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".dynsym").iter_symbols())
    wanted = {s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s["st_info"]["bind"] == "STB_GLOBAL"}
    assert {NAMES.get(name, name) for name in wanted - {""}} <= bionic_symbols()


def test_no_instruction_is_newer_than_the_oldest_processor(zig, build_folder, arm_library):
    objdump = shutil.which("llvm-objdump-19")
    if not objdump:
        pytest.skip("llvm-objdump-19 is not installed: apt-get install llvm-19")
    objects = sorted((build_folder / "aarch64-gnu" / "objects").glob("*.o"))
    newer = {}
    for path in objects:
        command = [objdump, "-d", "--no-show-raw-insn", "--mcpu=cortex-a53", str(path)]
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
        assert "file format elf64-littleaarch64" in text
        newer[path.stem] = text.count("<unknown>")
    allowed = {f"{file}_{build.DOTPROD.name}" for file in build.DOTPROD.files}
    assert {name for name, count in newer.items() if count} == allowed
