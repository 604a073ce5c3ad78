"""A PostgreSQL server for tests: the one at POSTGRESQL_URL, or one started from the installed package."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_GIVEN = os.environ.get("POSTGRESQL_URL", "")
_DEBIAN = Path("/usr/lib/postgresql")


def why_not() -> str:
    """Why no server can run here; `""` if one can."""
    if find_spec("psycopg") is None:
        return "the driver psycopg is not installed (pip install psycopg[binary])"
    if _GIVEN:
        return ""
    if _binaries() is None:
        return "no PostgreSQL: apt-get install postgresql, or set POSTGRESQL_URL to a server for tests"
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


@contextmanager
def server() -> Iterator[str]:
    """The URL of the given server, or of a fresh one, which listens on a socket in its own directory."""
    if _GIVEN:
        yield _GIVEN
        return
    binaries, account = _binaries(), _account()
    assert binaries is not None
    user = account.pw_name if account and os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="texapi-pg-"))
    if user:
        shutil.chown(home, user)
    data = home / "data"

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd=home)

    try:
        run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
        run("pg_ctl", "-w", "-l", str(home / "log"), "-o", f"-h '' -k {home} -c fsync=off", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={home}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


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
