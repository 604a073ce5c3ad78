"""`make wheels`: the wheel as users install it, with each extra, on each Python and each major of openai.

Each combination is an environment of its own, without this repository. uv makes them: `UV=` names it, else
it is taken from the path. A Python that neither uv nor pyenv has and uv cannot fetch is named as not run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
MAJORS = ("openai<3", "openai>=3")
_OF_EXTRA = {"langchain": ("langchain_texapi",), "llama-index": ("llama_index_texapi",)}
_ALL = ("langchain_texapi", "llama_index_texapi")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command without the variables of Python and TexAPI; return its output. Failures raise."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "TEXAPI_", "VIRTUAL_"))
    }
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def python_of(uv: str, version: str) -> str | None:
    """The path of a Python of this version: one that uv or pyenv has, or that uv can fetch."""
    if (found := _found_by(uv, version)) or (found := _of_pyenv(version)):
        return found
    try:
        run(uv, "python", "install", version)
    except RuntimeError:
        return None
    return _found_by(uv, version)


def _found_by(uv: str, version: str) -> str | None:
    try:
        return run(uv, "python", "find", "--system", "--no-project", version).strip()
    except RuntimeError:
        return None


def _of_pyenv(version: str) -> str | None:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next(map(str, sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)), None)


def extras() -> list[str]:
    """`""` for the base, then every extra that the project declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return ["", *project["optional-dependencies"]]


def try_wheel(uv: str, python: str, wheel: Path, extra: str, major: str) -> int:
    """Install the wheel into a new environment and call through it; return how many packages that took."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run(uv, "venv", "--quiet", "--python", python, home / "venv")
        own = home / "venv" / "bin"
        requirement = f"{wheel}[{extra}]" if extra else str(wheel)
        run(uv, "pip", "install", "--quiet", "--python", own / "python", requirement, major, cwd=home)
        run(uv, "pip", "check", "--python", own / "python", cwd=home)
        script = shutil.copy(ROOT / "packaging" / "first_call.py", home)
        packages = _ALL if extra == "all" else _OF_EXTRA.get(extra, ())
        run(own / "python", "-I", script, "texapi_core", *packages, cwd=home)
        if extra in ("cli", "all"):
            run(own / "texapi", "--help", cwd=home)
        return len(run(uv, "pip", "list", "--python", own / "python", "--format", "freeze").splitlines())


def main(pythons: list[str]) -> int:
    """Try every combination on these Pythons; return 0 if all that ran passed."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        print("make wheels needs uv: pip install uv")
        return 1
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        run(uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
        (wheel,) = Path(folder).glob("*.whl")
        for version in pythons or PYTHONS:
            python = python_of(uv, version)
            if python is None:
                print(f"Python {version}: not run: neither uv nor pyenv has it, and uv cannot fetch it")
                continue
            full = run(python, "-c", "import platform; print(platform.python_version())").strip()
            for extra, major in product(extras(), MAJORS):
                started = time.perf_counter()
                name = f"Python {full}, {extra or 'base'}, {major}"
                try:
                    packages = try_wheel(uv, python, wheel, extra, major)
                except RuntimeError as error:
                    failed += 1
                    print(f"{name}: FAILED\n{error}", flush=True)
                else:
                    seconds = time.perf_counter() - started
                    print(f"{name}: {packages} packages, called, {seconds:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
