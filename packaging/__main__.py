"""`make dist`: build the three distributions, check their metadata, and try the wheels without the source.

Each wheel is installed in a new environment without access to this repository, and a script calls
a local server through it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
PROJECTS = [ROOT, *sorted(path.parent for path in (ROOT / "packaging").glob("*/pyproject.toml"))]
TRIED = {
    "texapi-integrations[all]": ["langchain_texapi", "llama_index_texapi"],
    "langchain-texapi": ["langchain_texapi"],
    "llama-index-llms-texapi": ["llama_index_texapi"],
}
"""Requirement -> the packages that installing it must provide."""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command that must succeed, without Python or TexAPI environment variables."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TEXAPI_"))
    }
    subprocess.run([*map(str, command)], cwd=cwd, env=environment, check=True)


def build(project: Path) -> None:
    """Build the sdist and wheel of a distribution into `dist/`."""
    run(sys.executable, "-m", "build", "--outdir", DIST, project)


def check() -> None:
    """Run strict metadata checks on the built distributions."""
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(DIST.iterdir()))
    for wheel in DIST.glob("*.whl"):
        check_description(wheel)


def check_description(wheel: Path) -> None:
    """Raise an error if the project description has dead links or tells users to install from a clone."""
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    if lost := re.findall(r"\]\((?!https?://)[^)]*\)|\bclone of this|\"\.\[", text):
        raise RuntimeError(f"{wheel.name}: what the README says only of the repository: {lost}")


def try_wheel(requirement: str, packages: list[str]) -> None:
    """Install from `dist/` into a new environment and make a call there."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        python = home / "venv" / "bin" / "python"
        script = shutil.copy(ROOT / "packaging" / "first_call.py", home)
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
        run(*pip, "--find-links", DIST, requirement, cwd=home)
        run(python, "-I", script, *packages, cwd=home)
    print(f"{requirement}: installed and used")


if __name__ == "__main__":
    started = time.perf_counter()
    shutil.rmtree(DIST, ignore_errors=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build, PROJECTS))
        check()
        list(pool.map(try_wheel, TRIED, TRIED.values()))
    print(f"{time.perf_counter() - started:.0f} s")
