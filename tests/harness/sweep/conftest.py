"""A PostgreSQL of this session's own, which tests may stop and start."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "p@ss:w/rd%{x}"
QUOTED = "p%40ss%3Aw%2Frd%25%7Bx%7D"


@dataclass(frozen=True)
class Postgres:
    """A running server on the loopback interface."""

    binaries: Path
    data: Path
    port: int

    def url(self, database: str) -> str:
        """An address with a password, whose special characters are quoted."""
        return f"postgresql://sweeper:{QUOTED}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database; its address."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "sweeper", database)
        return self.url(database)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories='' "
            "-c fsync=off -c shared_buffers=16MB -c max_connections=40"
        )
        self._run(
            "pg_ctl",
            "-w",
            "-s",
            "-D",
            str(self.data),
            "-l",
            str(self.data / "log"),
            "-o",
            options,
            "start",
        )

    def stop(self) -> None:
        """Stop it, breaking every connection."""
        self._run("pg_ctl", "-w", "-s", "-m", "immediate", "-D", str(self.data), "stop")

    def _run(self, program: str, *words: str) -> None:
        user = {} if os.getuid() else {"user": _unprivileged()}
        subprocess.run(
            [self.binaries / program, *words],
            check=True,
            cwd=self.data.parent,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            stdout=subprocess.DEVNULL,
            **user,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server; where its programs are missing CI fails and others skip, aloud."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    initdb = found[-1] if found else Path(on_path).resolve() if on_path else None
    if initdb is None:
        sentence = "PostgreSQL is not installed; `apt-get install postgresql` gives it"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    # Not under pytest's folder: that is closed to other users, and initdb refuses root.
    folder = Path(tempfile.mkdtemp(prefix="sweep-postgres-"))
    secret = folder / "password"
    secret.write_text(PASSWORD)
    if not os.getuid():
        account = pwd.getpwnam(_unprivileged())
        for path in (folder, secret):
            os.chown(path, account.pw_uid, account.pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Postgres(initdb.parent, folder / "data", port)
    try:
        server._run(
            "initdb",
            "-D",
            str(server.data),
            "-U",
            "sweeper",
            "--pwfile",
            str(secret),
            "--auth",
            "scram-sha-256",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale",
            "C",
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _unprivileged() -> str:
    """An account that may run a server when the tests are run by root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
