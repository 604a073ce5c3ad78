"""A PostgreSQL server for tests: the one at POSTGRESQL_URL, or one started from the installed package."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

GIVEN = os.environ.get("POSTGRESQL_URL", "")
_DEBIAN = Path("/usr/lib/postgresql")


def why_not() -> str:
    """Why no server can run here; `""` if one can."""
    if find_spec("psycopg") is None:
        return "the driver psycopg is not installed (pip install psycopg[binary])"
    if GIVEN:
        return ""
    if _binaries() is None:
        return "no PostgreSQL: apt-get install postgresql, or set POSTGRESQL_URL to a server for tests"
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


class Server:
    """A fresh server on a socket in its own directory, which can be stopped and started again."""

    def __init__(self) -> None:
        account = _account()
        self._user = account.pw_name if account and os.geteuid() == 0 else None
        self._home = Path(tempfile.mkdtemp(prefix="texapi-pg-"))
        if self._user:
            shutil.chown(self._home, self._user)
        self.url = f"postgresql://postgres@/postgres?host={self._home}"
        self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")

    def _run(self, program: str, *arguments: str) -> None:
        binaries = _binaries()
        assert binaries is not None
        command = [str(binaries / program), "-D", str(self._home / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd=self._home)

    def start(self) -> None:
        options = f"-h '' -k {self._home} -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self._home / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self._home, ignore_errors=True)


@contextmanager
def server() -> Iterator[str]:
    """The URL of the given server, or of a fresh one."""
    if GIVEN:
        yield GIVEN
        return
    own = Server()
    try:
        own.start()
        yield own.url
    finally:
        own.remove()


def _binaries() -> Path | None:
    found = shutil.which("pg_ctl")
    if found and shutil.which("initdb", path=str(Path(found).resolve().parent)):
        return Path(found).resolve().parent
    return next(iter(sorted(_DEBIAN.glob("*/bin"), reverse=True)), None)


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None
