"""What the import of a package loads: one process per package answers all questions."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

FRAMEWORKS = {
    "texapi_core": "json",
    "langchain_texapi": "langchain_core.language_models.chat_models",
    "llama_index_texapi": "llama_index.core",
}
"""Package -> the module of another package that it builds on."""
MAX_MODULES = {"langchain_texapi": 66, "llama_index_texapi": 60}
"""Package -> how many modules its import may add to its framework's."""
FOREIGN = {
    "texapi_core": {"langchain_core", "llama_index", "openai"},
    "langchain_texapi": {"llama_index", "openai"},
    "llama_index_texapi": {"langchain_core", "openai"},
}


@cache
def imported(package: str) -> dict[str, Any]:
    """What a process says that has imported a package."""
    code = f"""
import json, sys, {FRAMEWORKS[package]}
alone = set(sys.modules)
import {package}
loaded = set(sys.modules)
from texapi_core.catalog import capability_table
reads = capability_table.cache_info().currsize
assert capability_table() and capability_table.cache_info().currsize
json.dump({{"loaded": sorted(loaded), "added": sorted(loaded - alone), "table reads": reads}}, sys.stdout)
"""
    said: dict[str, Any] = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    return said


@pytest.mark.parametrize("package", FOREIGN)
def test_an_import_loads_neither_the_other_framework_nor_the_sdk(package: str) -> None:
    assert not FOREIGN[package] & set(imported(package)["loaded"])


@pytest.mark.parametrize("package", MAX_MODULES)
def test_an_import_adds_few_modules(package: str) -> None:
    """It also avoids LlamaIndex's modules for other LLMs, which import those packages."""
    added = imported(package)["added"]

    assert len(added) <= MAX_MODULES[package], added
    assert "llama_index.core.llms.loading" not in added


@pytest.mark.parametrize("package", FRAMEWORKS)
def test_an_import_reads_no_table(package: str) -> None:
    assert imported(package)["table reads"] == 0
