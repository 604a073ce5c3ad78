"""The packages as installed: public names, version, dependencies and imports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import langchain_texapi
import llama_index_texapi
import texapi_core

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "texapi_core": texapi_core,
    "langchain_texapi": langchain_texapi,
    "llama_index_texapi": llama_index_texapi,
}


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_public_names() -> None:
    assert langchain_texapi.__all__ == [
        "FALLBACK_ERRORS",
        "ChatTexAPI",
        "RawAndParsed",
        "__version__",
        "register_init_chat_model",
    ]
    assert llama_index_texapi.__all__ == ["FALLBACK_ERRORS", "TexAPI", "UsageCounter", "__version__"]
    assert texapi_core.__all__ == sorted(texapi_core.__all__, key=lambda name: (not name.isupper(), name))
    for module in PACKAGES.values():
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_errors_are_reachable_from_each_package() -> None:
    assert langchain_texapi.TexAPIError is llama_index_texapi.TexAPIError is texapi_core.TexAPIError
    for module in PACKAGES.values():
        with pytest.raises(AttributeError):
            _ = module.nothing


def test_one_version() -> None:
    assert {module.__version__ for module in PACKAGES.values()} == {version("texapi-integrations")}


@pytest.mark.parametrize("package", PACKAGES)
def test_type_information_is_shipped(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize(
    ("package", "framework", "extra"),
    [
        ("langchain_texapi", "langchain_core", "langchain"),
        ("llama_index_texapi", "llama_index.core", "llama-index"),
    ],
)
def test_an_import_without_its_framework_says_what_to_install(
    package: str, framework: str, extra: str
) -> None:
    code = f"""
import sys
sys.modules[{framework!r}] = None
try:
    import {package}
except ImportError as error:
    print(error)
"""
    assert f'pip install "texapi-integrations[{extra}]"' in run(code)


def test_the_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert [re.split(r"[><=]", name)[0] for name in project["dependencies"]] == ["openai", "pydantic"]
    assert not [name for name in project["optional-dependencies"]["langchain"] if "llama" in name]
    assert not [name for name in project["optional-dependencies"]["llama-index"] if "langchain" in name]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_private_name_of_a_library_is_used(package: str) -> None:
    private = re.compile(
        r"(from|import) (openai|langchain_core|llama_index\.core)[\w.]*\._|"
        r"from (openai|langchain_core|llama_index)[\w.]* import .*\b_[a-z]"
    )
    for file in (ROOT / package).glob("*.py"):
        assert not private.search(file.read_text("utf-8")), file.name


def test_the_pinned_lowest_versions_match_the_declared_ones() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project = pyproject["project"]
    declared = [*project["dependencies"], *pyproject["dependency-groups"]["test"]]
    declared += [
        one for name, extra in project["optional-dependencies"].items() if name != "all" for one in extra
    ]
    floors = dict(
        re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "tests/lowest.txt").read_text("utf-8"), re.MULTILINE)
    )

    for requirement in declared:
        if requirement.startswith(f"{project['name']}["):
            continue
        found = re.match(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", requirement)
        assert found, requirement
        name, floor = found.groups()
        assert floors[name] == floor or floors[name].startswith(f"{floor}.")


@pytest.mark.parametrize(
    ("name", "extra"), [("langchain-texapi", "langchain"), ("llama-index-llms-texapi", "llama-index")]
)
def test_the_two_wrapper_distributions_require_this_version(name: str, extra: str) -> None:
    file = ROOT / "packaging" / name / "pyproject.toml"
    project = tomllib.loads(file.read_text("utf-8"))["project"]

    assert project["name"] == name
    assert project["version"] == texapi_core.__version__
    assert project["dependencies"] == [f"texapi-integrations[{extra}]=={texapi_core.__version__}"]


def test_threads_may_import_the_packages_at_once() -> None:
    code = """
import threading

both = threading.Barrier(2)
failures = []

def run(statement):
    both.wait()
    try:
        exec(statement, {})
    except Exception as error:
        failures.append(error)

statements = ["from texapi_core.accounting import add_listener", "from texapi_core import TexAPIError"]
threads = [threading.Thread(target=run, args=(statement,)) for statement in statements]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
"""
    subprocess.run([sys.executable, "-c", code], check=True)
