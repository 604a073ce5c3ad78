"""Windows lacks parts of Python's library, and a table of time zones. No Windows machine runs these tests:
they take the parts away, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway import Gateway

ROOT = Path(__file__).parent.parent
PROGRAM = """
import asyncio, importlib, os, pkgutil, select, signal, socket, sys

# Other packages ask `sys.platform` what there is.
import langchain_core.language_models, llama_index.core, openai.resources.chat, sqlalchemy

for module, names in {
    os: "register_at_fork fork forkpty getuid geteuid getgid getpgid setsid sysconf uname chown mkfifo wait4 "
        "sched_getaffinity O_NONBLOCK O_CLOEXEC O_NOFOLLOW O_DIRECTORY O_SYNC pread pwrite fchmod",
    socket: "TCP_INFO MSG_DONTWAIT SO_REUSEPORT",
    select: "poll",
    signal: "SIGHUP SIGKILL SIGUSR1 SIGUSR2 SIGALRM SIGCHLD setitimer",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
for name in ("fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "tzdata"):
    sys.modules[name] = None

import langchain_texapi, llama_index_texapi, texapi_core

# fcntl: `texapi batch` has a branch for Windows by `sys.platform`, which cannot be changed here.
count = 0
for package in (texapi_core, langchain_texapi, llama_index_texapi):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            importlib.import_module(found.name)
            count += 1
        except ImportError as error:
            assert error.name in ("fcntl", "matplotlib", "pyarrow", "redis", "shtab"), (found.name, error)

model = langchain_texapi.ChatTexAPI(
    model="gpt-5-mini", usage_ledger="sqlite:///usage.db", max_cost=1, budget_window="day"
)
llm = llama_index_texapi.TexAPI(model="gpt-5-mini", max_cost=1)
print(model.invoke("Hello").text)
print("".join(chunk.text for chunk in model.stream("Hello")))
print(asyncio.run(model.ainvoke("Hello")).text)
print(llm.complete("Hello").text)
print(asyncio.run(llm.acomplete("Hello")).text)
assert texapi_core.accounting.flush_ledgers()
print(count > 80)
"""


@pytest.mark.combination  # a process that imports everything
def test_every_module_and_calls_work_without_what_windows_lacks(tmp_path: Path) -> None:
    with Gateway() as gateway:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONTZPATH": "",
            "TEXAPI_API_KEY": gateway.key,
            "TEXAPI_BASE_URL": gateway.base_url,
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["Hello! How can I help you today?"] * 5 + ["True"]
