# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""How long questions take of a ledger of a week with ten million rows, in PostgreSQL and in SQLite."""
import datetime
import os
import sqlite3
import statistics
import subprocess
import time

from benchlib import Result, Table
from part_store import Postgres, run

MANY = 10_000_000
WEEK = 7 * 86400
TOP = """SELECT p.comm, p.pid, f.path, a.bytes
FROM (SELECT process_id, file_id, sum(read_bytes + write_bytes) AS bytes FROM io
      WHERE ts > %s GROUP BY process_id, file_id ORDER BY bytes DESC LIMIT 20) a
LEFT JOIN process p ON p.id = a.process_id LEFT JOIN file f ON f.id = a.file_id ORDER BY a.bytes DESC"""


def milliseconds(bench, *args):
    """Of the whole command: the median of the times after the first. psql has the settings that ioledger's commands give themselves."""
    times, env = [], {**os.environ, "PGOPTIONS": "-c jit=off -c random_page_cost=1.1 -c work_mem=32MB"}
    for _ in range(max(bench.rounds, 3) + 1):
        began = time.monotonic()
        subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        times.append(1000 * (time.monotonic() - began))
    return "%.0f" % statistics.median(times[1:])


def ago(end, seconds):
    """A time so long before the end."""
    return str(datetime.datetime.fromisoformat(end) - datetime.timedelta(seconds=seconds))


def fill(bench, postgres):
    """MANY rows over a week in both databases; SQLite's indexes are made afterwards, which is quicker."""
    path = os.path.join(bench.scratch, "many.db")
    run(bench.program("store"), "sink", "sqlite:" + path, 10, 10)
    with sqlite3.connect(path, isolation_level=None) as db:
        for sql in ("DELETE FROM io_row", "DELETE FROM io_interval", "DROP INDEX io_row_file_id", "DROP INDEX io_row_process_id"):
            db.execute(sql)
    run(bench.program("store"), "loop", path, MANY, 1000, WEEK)
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("PRAGMA cache_size = -500000")
        for column in ("file_id", "process_id"):
            db.execute("CREATE INDEX io_row_%s ON io_row (%s)" % (column, column))
    url = postgres.create("many")
    run(bench.program("store"), "sink", url, MANY, 10000, WEEK)
    postgres.ask("many", "VACUUM ANALYZE")
    return path, url


def questions(bench, postgres):
    path, url = fill(bench, postgres)
    last = {"sqlite": run("sqlite3", path, "SELECT max(ts) FROM io_interval").strip(), "pg": postgres.ask("many", "SELECT max(ts) FROM io")}
    rows = []
    for title, args in (("`who` of a file with some 85 rows", ("who", "/data/folder050/file050123")),
                        ("`files COMM` with 10,000 rows", ("files", "comm123")),
                        ("`who` of a file with 33,000 rows, of 16,000 processes", ("who", "/data/folder000/file000007", "--format", "json"))):
        rows.append([title] + [milliseconds(bench, bench.ioledger, *args, "--db", db) for db in (url, "sqlite:" + path)])
    end = last["pg"].split("+")[0]
    minutes = ("--since", ago(end, 600), "--until", end)
    for title, args in (("`files` of ten minutes (10,000 rows)", ("files", *minutes)),
                        ("`files --by exe` of ten minutes", ("files", "--by", "exe", *minutes)),
                        ("`hot --depth 2` of ten minutes", ("hot", "--depth", "2", *minutes)),
                        ("`hot` of an hour (60,000 rows)", ("hot", "--since", ago(end, 3600), "--until", end)),
                        ("`diff` of two times ten minutes", ("diff", "%s..%s" % (ago(end, 1200), ago(end, 600)), "%s..%s" % minutes[1::2])),
                        ("`timeline` of a file with some 85 rows", ("timeline", "/data/folder050/file050123")),
                        ("`tree PID`", ("tree", "1100"))):
        rows.append([title] + [milliseconds(bench, bench.ioledger, *args, "--db", db) for db in (url, "sqlite:" + path)])
    top = [TOP % ("timestamptz '%s' - interval '1 hour'" % last["pg"]), TOP % ("datetime('%s', '-1 hour')" % last["sqlite"])]
    rows.append(["the 20 busiest pairs of the last hour (60,000 rows)", milliseconds(bench, "psql", "-qX", url, "-c", top[0]),
                 milliseconds(bench, "sqlite3", path, top[1])])
    return Table("questions", ["ms, of the whole command", "PostgreSQL", "SQLite"], rows)


def measure(bench):
    with Postgres() as postgres:
        return Result("questions", [questions(bench, postgres)])
