# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""The store: rows a second into each database beside what it can take at best, bytes a row, many recorders at once. On a PostgreSQL
server of its own, with fsync on."""
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time

from benchlib import ROOT, Result, Table, Unavailable, say

ROWS = 1_000_000
INSERTS = 20_000  # of those that are made one by one
BATCHES = (2000, 20000)  # rows in each
RECORDERS, RATE, SECONDS = 50, 2000, 20
SETTINGS = "fsync = on\nshared_buffers = 512MB\nmax_wal_size = 4GB\nmax_connections = 100\n"
IO_SIZE = ("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'io_row'::regclass")


def run(*args, cwd=None):
    return subprocess.run([str(arg) for arg in args], check=True, capture_output=True, text=True, cwd=cwd).stdout


def rounds(bench):
    """A round takes half a minute."""
    return min(bench.rounds, 3)


class Postgres:
    """A server for a while. The folder is not the bench's scratch: the user postgres has to get there."""
    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="ioledger-pg.", dir="/var/tmp")
        done = subprocess.run([os.path.join(ROOT, "tests/db/pgcluster"), "start", self.folder], check=False, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(done.stderr.strip())
        self.control("stop")
        with open(self.folder + "/data/postgresql.conf", "a", encoding="utf-8") as file:
            file.write(SETTINGS)
        self.control("start")
        return self

    def __exit__(self, *_):
        self.control("remove")
        shutil.rmtree(self.folder, ignore_errors=True)

    def control(self, command):
        run(os.path.join(ROOT, "tests/db/pgcluster"), command, self.folder)

    def url(self, name):
        return "postgresql://postgres@/%s?host=%s" % (name, self.folder)

    def create(self, name, template="template0"):
        run("dropdb", "-h", self.folder, "-U", "postgres", "--if-exists", name)
        run("createdb", "-h", self.folder, "-U", "postgres", "-T", template, name)
        return self.url(name)

    def ask(self, name, sql):
        return run("psql", "-qXAt", "-v", "ON_ERROR_STOP=1", self.url(name), "-c", sql).strip()


def rate(*args, cwd=None):
    rows, seconds, cpu = map(float, run(*args, cwd=cwd).split())
    return rows / seconds, 1e6 * cpu / rows


def copy_rate(postgres, name, file):
    """\\copy of the same rows into the same tables, which are empty."""
    postgres.ask(name, "TRUNCATE io_row")
    postgres.ask(name, "CHECKPOINT")
    began = time.monotonic()
    postgres.ask(name, r"\copy io_row from '%s' (format binary)" % file)
    return ROWS / (time.monotonic() - began)


def postgres_rates(bench, postgres):
    store, file, found = bench.program("store"), os.path.join(postgres.folder, "rows"), {}

    def note(state, rows_a_second):
        found.setdefault(state, []).append(rows_a_second)
    for _ in range(rounds(bench)):
        for batch in BATCHES:
            for how in ("sink", "queue", "spool"):
                url = postgres.create("rate")
                postgres.ask("rate", "CHECKPOINT")
                note((how, batch), rate(store, how, url, ROWS, batch, cwd=bench.scratch)[0])
        postgres.ask("rate", r"\copy (SELECT * FROM io_row) to '%s' (format binary)" % file)
        note("best", copy_rate(postgres, "rate", file))
        for how in ("one", "each"):
            postgres.ask("rate", "TRUNCATE io_row")
            note(how, rate(store, "insert", url, INSERTS, 2000, how)[0])
    os.unlink(file)
    return {state: statistics.median(rates) for state, rates in found.items()}


def sqlite_rates(bench):
    store, path, found = bench.program("store"), os.path.join(bench.scratch, "rate.db"), {}
    for _ in range(rounds(bench)):
        for batch in BATCHES:
            for how in ("sink", "queue"):
                if os.path.exists(path):
                    os.unlink(path)
                found.setdefault((how, batch), []).append(rate(store, how, "sqlite:" + path, ROWS, batch)[0])
        with sqlite3.connect(path, isolation_level=None) as db:
            db.execute("DELETE FROM io_row")
            db.execute("DELETE FROM io_interval")
            db.execute("VACUUM")
        found.setdefault("best", []).append(rate(store, "loop", path, ROWS, 2000)[0])
    os.unlink(path)
    return {state: statistics.median(rates) for state, rates in found.items()}


WAYS = {"sink": "each batch its own transaction", "queue": "all wait in the queue", "spool": "all go through the spool"}


def rates_table(postgres, sqlite):
    rows = []
    for name, best, found in (("PostgreSQL", "`\\copy … (format binary)`", postgres), ("SQLite", "prepared loop, one transaction", sqlite)):
        for how, batch in [state for state in found if state[0] in WAYS]:
            rows.append([name, "{:,}".format(batch), WAYS[how], "{:,.0f}".format(found[how, batch]),
                         "{:,.0f} ({})".format(found["best"], best), "%.2f" % (found[how, batch] / found["best"])])
    for how, title in (("each", "each row its own transaction"), ("one", "all rows in one transaction")):
        rows.append(["PostgreSQL, one prepared INSERT a row", "", title, "{:,.0f}".format(postgres[how]), "",
                     "the queue makes %.0f times as many" % (postgres["queue", BATCHES[0]] / postgres[how])])
    return Table("store rates", ["", "rows a batch", "", "rows a second", "at best", "ratio"], rows)


def sizes(bench, postgres):
    """Bytes of a row of io with its indexes, and of the same as a plain table audit_log."""
    path = os.path.join(bench.scratch, "size.db")
    run(bench.program("store"), "sink", "sqlite:" + path, ROWS, 2000)
    with sqlite3.connect(path, isolation_level=None) as db:
        before = db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
        db.execute("CREATE TABLE log AS SELECT * FROM audit_log WHERE type > 2")
        log = db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0] - before
        logged = db.execute("SELECT count(*) FROM log").fetchone()[0]
        db.execute("DROP TABLE log")
        try:
            size = db.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'io\\_%' ESCAPE '\\'").fetchone()[0]
        except sqlite3.OperationalError:  # without dbstat
            for table in ("io_row", "io_interval"):
                db.execute("DELETE FROM " + table)
            db.execute("VACUUM")
            size = before - db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
    os.unlink(path)
    url = postgres.create("size")
    run(bench.program("store"), "sink", url, ROWS, 2000)
    heap = int(postgres.ask("size", "SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'io_row'::regclass"))
    whole = int(postgres.ask("size", IO_SIZE))
    postgres.ask("size", "CREATE TABLE log AS SELECT * FROM audit_log WHERE type > 2")
    pg_log, pg_logged = map(int, postgres.ask("size", "SELECT pg_total_relation_size('log'), count(*) FROM log").split("|"))
    return Table("store sizes", ["bytes of a row", "`io`", "of it indexes", "`audit_log` as a plain table without an index"], [
        ["PostgreSQL", "%.0f" % (whole / ROWS), "%.0f" % ((whole - heap) / ROWS), "%.0f" % (pg_log / pg_logged)],
        ["SQLite", "%.0f" % (size / ROWS), "", "%.0f" % (log / logged)]])


def fleet(bench, postgres):
    url = postgres.create("fleet")
    with open(postgres.folder + "/server.log", encoding="utf-8", errors="replace") as log:
        log.seek(0, os.SEEK_END)
        rows, seconds, least, most, retries, rejected = map(float, run(bench.program("fleet"), url, RECORDERS, RATE, SECONDS).split())
        errors = len(re.findall(r"ERROR|deadlock", log.read()))
    return Table("store fleet", ["recorders", "rows a second asked for", "written", "least and most of one recorder in time",
                                 "tries again", "refused", "errors in the server's log"],
                 [[RECORDERS, RECORDERS * RATE, "%.0f" % (rows / seconds), "%.0f and %.0f" % (least, most), "%.0f" % retries,
                   "%.0f" % rejected, errors]])


def measure(bench):
    with Postgres() as postgres:
        tables = [rates_table(postgres_rates(bench, postgres), sqlite_rates(bench))]
        for table in (sizes, fleet):
            say("bench: store: %s" % table.__name__)
            tables.append(table(bench, postgres))
    return Result("store", tables)
