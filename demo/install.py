"""Install what the demo or the notebooks need: `python -m demo.install .venv [notebooks/requirements.txt]`.

Needs only the standard library. uv does it where the machine has it or pip can bring it, pip elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


def main(folder: Path, requirements: Path = REQUIREMENTS) -> int:
    """Make the environment and install into it; return 0 if both worked."""
    if sys.version_info < (3, 11):  # noqa: UP036 # make may find an older one
        version = ".".join(map(str, sys.version_info[:3]))
        print(f"Python 3.11 or later is needed; this is {version}: make demo PYTHON=python3.12")
        return 1
    from demo.texts import text

    started = time.perf_counter()
    kind = "setting_up" if requirements == REQUIREMENTS else "setting_up_notebooks"
    print(text(kind, folder=folder), flush=True)
    try:
        is_done = _prepare(folder, requirements)
    except subprocess.CalledProcessError as error:  # it has said what was wrong
        return error.returncode
    if is_done:
        packages, size = _measure(folder)
        seconds = f"{time.perf_counter() - started:.0f}"
        print(text("installed", seconds=seconds, packages=packages, megabytes=round(size / 1e6)))
    return 0 if is_done else 1


def _prepare(folder: Path, requirements: Path) -> bool:
    """Make an environment and install into it; return whether the packages are there."""
    from demo.texts import text

    uv = shutil.which("uv")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if uv is None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    else:
        subprocess.run(
            [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder], check=True
        )
    with tempfile.TemporaryDirectory() as temporary:
        if uv is None:
            print(text("bringing_uv"), flush=True)
            uv = _fetch_uv(python, Path(temporary))
        if uv is not None and _install_with_uv(uv, python, requirements):
            return True
    print(text("with_pip"), flush=True)
    subprocess.run([python, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL, check=True)
    return _run(python, *_PIP, "install", "--no-compile", "--requirement", requirements)


def _install_with_uv(uv: str, python: Path, requirements: Path) -> bool:
    from demo.texts import text

    print(text("with_uv"), flush=True)
    # uv does not read pip's settings, so that a machine with an index of its own is known by pip's variable.
    # Copies, not hard links to its cache, which nltk refuses to read.
    environment = {"UV_LINK_MODE": "copy", **os.environ}
    if index := os.environ.get("PIP_INDEX_URL"):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    command = (uv, "pip", "install", "--quiet", "--python", python, "--requirement", requirements)
    is_done = _run(*command, environment=environment)
    if not is_done:
        print(text("uv_failed"), flush=True)
    return is_done


def _fetch_uv(python: Path, folder: Path) -> str | None:
    """Install uv into a folder that is deleted afterwards; `None` if that fails."""
    if not _run(python, *_PIP, "install", "--no-compile", "--target", folder, "uv"):
        return None
    return shutil.which("uv", path=str(folder / "bin"))


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> bool:
    """Run a command from the folder of the clone, with a dot for each second; return whether it succeeded."""
    process = subprocess.Popen(command, env=environment, cwd=REQUIREMENTS.parent.parent)
    while True:
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            print(".", end="", flush=True)
        else:
            print(flush=True)
            return process.returncode == 0


def _measure(folder: Path) -> tuple[int, int]:
    """How many packages an environment has, and its size in bytes."""
    packages = len(list(folder.rglob("site-packages/*.dist-info")))
    return packages, sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
