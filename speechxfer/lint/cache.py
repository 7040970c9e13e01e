"""What was measured of files, kept between runs by what is in them: a renamed or copied file is not decoded again.

A file is known by the BLAKE2b digest of its bytes, and that digest by path, size and time of change, so a second run
over unchanged files opens none of them. SQLite's own locks keep apart the processes that share a cache.
"""

import hashlib
import os
import sqlite3
import sys
import time
from pathlib import Path
from threading import Lock

from speechxfer.errors import ConfigError

PATIENCE = 60.0  # seconds to wait for another process that is writing
FLUSH_SECONDS = 1.0  # what is measured becomes durable this often; a transaction for each would wait for the disk
TABLES = """
create table if not exists files (
    path text primary key, size integer, changed integer, content blob) without rowid;
create table if not exists measured (
    content blob, piece text, value blob, primary key (content, piece)) without rowid;
"""


def default_place() -> Path:
    """$XDG_CACHE_HOME/speechxfer/lint.sqlite, or below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speechxfer" / "lint.sqlite"


def open_cache(place: str | Path | None = None) -> "Cache":
    """The cache at `place`. Raises ConfigError when it cannot be used.

    The default place is a convenience that a machine may lack (a home that is read-only or full): without it the
    cache lasts as long as the process, and one line on stderr says so.
    """
    if place is not None:
        return Cache(place)
    try:
        return Cache(default_place())
    except ConfigError as error:
        print(f"{error}; measuring without it", file=sys.stderr)
        return Cache(":memory:")


class Cache:
    """Values by (content of a file, piece of it). Any number of threads and processes may use it at once."""

    def __init__(self, place: str | Path):
        self.place = place
        self._lock = Lock()  # one connection for all threads
        self._files, self._values, self._flushed = [], [], time.monotonic()
        try:
            if place != ":memory:":
                Path(place).parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(place, timeout=PATIENCE, check_same_thread=False, isolation_level=None)
            self._database.executescript(TABLES)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"{place}: no cache can be kept here ({error}); expected an SQLite file") from error

    def __enter__(self) -> "Cache":
        return self

    def __exit__(self, *_) -> None:
        with self._lock:
            self._flush()
            self._database.close()

    def content(self, path: Path) -> bytes:
        """The digest of a file's bytes (16 bytes). Raises OSError when it cannot be read."""
        state = os.stat(path)
        known = (os.path.abspath(path), state.st_size, state.st_mtime_ns)
        query = "select content from files where path = ? and size = ? and changed = ?"
        if found := self._one(query, known):
            return found
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
        with self._lock:
            self._files.append((*known, content))
        return content

    def get(self, content: bytes, piece: str) -> bytes | None:
        return self._one("select value from measured where content = ? and piece = ?", (content, piece))

    def put(self, content: bytes, piece: str, value: bytes) -> None:
        with self._lock:
            self._values.append((content, piece, value))
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._flush()

    def _one(self, query: str, values: tuple) -> bytes | None:
        with self._lock:
            try:
                row = self._database.execute(query, values).fetchone()
            except sqlite3.Error:  # damaged or locked for a minute: measuring again is always right
                return None
        return row and row[0]

    def _flush(self) -> None:
        """Everything in one short transaction, so that another process never waits long."""
        try:
            self._database.execute("begin immediate")
            self._database.executemany("insert or replace into files values (?, ?, ?, ?)", self._files)
            self._database.executemany("insert or replace into measured values (?, ?, ?)", self._values)
            self._database.execute("commit")
        except sqlite3.Error as error:  # a full disk must not end an hour of measuring
            if self._database.in_transaction:
                self._database.execute("rollback")
            print(f"{self.place}: {len(self._values)} measurements are not kept ({error})", file=sys.stderr)
        self._files, self._values, self._flushed = [], [], time.monotonic()
