"""A project of its own finds the installed C core with CMake, links it and runs a model."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = """
cmake_minimum_required(VERSION 3.18)
project(app LANGUAGES C)
find_package(edge_sparse REQUIRED)
add_executable(app app.c)
target_link_libraries(app PRIVATE edge_sparse::edge_sparse)
"""
PROGRAM = """
#include <edge_sparse.h>
#include <stdio.h>
int main(int count, char **arguments)
{
    es_model *model;
    es_session *session;
    float x[3] = {1, 2, 3}, y[2] = {0, 0};
    if (count != 2 || es_model_open(arguments[1], NULL, &model, NULL)) return 1;
    if (es_session_create(model, NULL, NULL, &session, NULL)) return 1;
    if (es_session_bind(session, 0, x, sizeof x) || es_session_bind(session, 1, y, sizeof y)) return 1;
    if (es_session_run(session)) return 1;
    printf("%g %g\\n", (double)y[0], (double)y[1]);
    es_session_close(session);
    es_model_close(model);
    return 0;
}
"""


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    return done.stdout


def test_a_project_links_the_installed_library(needed, tmp_path):
    needed(shutil.which("cmake") and shutil.which("make"), "cmake", "apt-get install cmake make")
    needed(shutil.which(os.environ.get("CC", "cc")), "a C compiler", "apt-get install gcc")
    core, installed, project, app = (tmp_path / name for name in ("core", "installed", "project", "app"))
    options = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_INSTALL_PREFIX={installed}", "-DEDGE_SPARSE_PROGRAM=ON"]
    run("cmake", "-S", ROOT / "kernels_arm", "-B", core, *options)
    run("cmake", "--build", core, "-j", os.cpu_count())
    run("cmake", "--install", core)
    assert run(installed / "bin" / "edge-sparse", "--version").startswith("edge-sparse ")
    project.mkdir()
    (project / "CMakeLists.txt").write_text(PROJECT)
    (project / "app.c").write_text(PROGRAM)
    run("cmake", "-S", project, "-B", app, f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", app)
    # y = W x with W = [[1, 0, 2], [3, 0, 4]], section 8 of docs/format.md.
    assert run(app / "app", ROOT / "tests" / "vectors" / "valid" / "example.egs") == "7 15\n"
