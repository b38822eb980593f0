# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""ClickHouse: rows a second beside clickhouse-client, and bytes a row beside the other databases. On a server of its own."""
import os
import shutil
import statistics
import subprocess
import tempfile
import time

import part_store
from benchlib import ROOT, Result, Table, Unavailable, say
from part_store import Postgres, rate, run

ROWS = 1_000_000
BATCHES = (2000, 20000)
WAYS = {"queue": "all wait in the queue", "spool": "all go through the spool"}
SMALL, SMALL_ROWS = 500, 20  # batches as those of a quiet machine, and rows in each
IO = ("io", "io_by_file", "process_day")  # what a row of io is on the disk
PROFILE = "<min_compress_block_size>8192</min_compress_block_size>"  # as docs/FLEET.md says


class Server:
    """Its data are in `folder`, which stays, or in one that goes with it."""

    def __init__(self, folder=None):
        self.kept, self.folder = folder is not None, folder

    def __enter__(self):
        if not shutil.which("clickhouse-client"):
            raise Unavailable("no clickhouse-client is installed")
        if not self.kept:
            self.folder = tempfile.mkdtemp(prefix="ioledger-ch.", dir="/var/tmp")
        done = self.control("start")
        if done.returncode:
            self.__exit__()
            raise Unavailable(done.stderr.strip())
        with open(self.folder + "/1/ports", encoding="ascii") as file:
            self.http, self.tcp = file.read().split()[:2]
        return self

    def __exit__(self, *_):
        self.control("stop" if self.kept else "remove")

    def control(self, command):
        return subprocess.run([os.path.join(ROOT, "tests/db/chcluster"), command, self.folder], check=False, capture_output=True, text=True,
                              env={**os.environ, "CHCLUSTER_PROFILE": PROFILE})

    def client(self, database, sql):
        return ["clickhouse-client", "--port", self.tcp, "-d", database, "--max_threads", "2", "--query", sql]

    def ask(self, database, sql, *settings):
        return run(*self.client(database, sql), *settings).strip()

    def create(self, database):
        """Empty. What the server still does for the rows of before is no part of what is measured next."""
        self.ask("default", "DROP DATABASE IF EXISTS " + database)
        self.ask("default", "CREATE DATABASE " + database)
        self.wait_for_merges()
        return self.url(database)

    def url(self, database):
        return "clickhouse://127.0.0.1:%s/%s" % (self.http, database)

    def wait_for_merges(self):
        while int(self.ask("default", "SELECT count() FROM system.merges")):
            time.sleep(0.1)


def columns_of(server, database):
    return ", ".join(server.ask(database, "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'io'"
                                " AND default_kind = ''").split())


def client_rate(server, file, columns):
    """What clickhouse-client does with the same rows and the same table, which is empty."""
    for table in IO:
        server.ask("rate", "TRUNCATE TABLE " + table)
    server.wait_for_merges()
    with open(file, "rb") as rows:
        began = time.monotonic()
        subprocess.run(server.client("rate", "INSERT INTO io (%s) FORMAT RowBinary" % columns), check=True, stdin=rows)
        return ROWS / (time.monotonic() - began)


def rates(bench, server):
    file, found = os.path.join(bench.scratch, "rows"), {}
    for _ in range(min(bench.rounds, 3)):
        for batch in BATCHES:
            for how in WAYS:
                url = server.create("rate")
                found.setdefault((how, batch), []).append(rate(bench.program("store"), how, url, ROWS, batch, cwd=bench.scratch)[0])
        columns = columns_of(server, "rate")
        if not os.path.exists(file):
            with open(file, "wb") as rows:
                subprocess.run(server.client("rate", "SELECT %s FROM io ORDER BY batch_seq FORMAT RowBinary" % columns), check=True, stdout=rows)
        found.setdefault("best", []).append(client_rate(server, file, columns))
    os.unlink(file)
    server.ask("default", "DROP DATABASE rate")
    middle = {state: statistics.median(values) for state, values in found.items()}
    return Table("clickhouse rates", ["rows a batch", "", "rows a second", "`clickhouse-client … FORMAT RowBinary`", "ratio"], [
        ["{:,}".format(batch), WAYS[how], "{:,.0f}".format(middle[how, batch]), "{:,.0f}".format(middle["best"]),
         "%.2f" % (middle[how, batch] / middle["best"])] for how, batch in [state for state in middle if state != "best"]])


def size_of(server, database, *tables):
    """Of the tables, or of io and what leads to its rows."""
    return int(server.ask(database, "SELECT sum(bytes) FROM system.parts WHERE active AND database = currentDatabase() AND table IN ('%s')"
                          % "', '".join(tables or IO)))


def sizes(bench, server, postgres):
    table = part_store.sizes(bench, postgres)
    run(bench.program("store"), "queue", server.create("size"), ROWS, 2000)
    server.wait_for_merges()
    whole, plain = size_of(server, "size"), size_of(server, "size", "io")
    server.ask("size", "CREATE TABLE log ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM audit_log WHERE type > 2")
    log, logged = size_of(server, "size", "log"), int(server.ask("size", "SELECT count() FROM log"))
    table.rows.append(["ClickHouse", "%.0f" % (whole / ROWS), "%.0f" % ((whole - plain) / ROWS), "%.0f" % (log / logged)])
    return Table("clickhouse sizes", table.columns, table.rows)


def wire_bytes(bench, server, postgres):
    """What a row of io is on its way: COPY in binary; a block, which has as many bytes as RowBinary."""
    file = os.path.join(postgres.folder, "wire")
    postgres.ask("size", r"\copy (SELECT * FROM io_row) to '%s' (format binary)" % file)
    copied = os.path.getsize(file)
    os.unlink(file)
    path = os.path.join(bench.scratch, "wire")
    with open(path, "wb") as rows:
        subprocess.run(server.client("size", "SELECT %s FROM io FORMAT RowBinary" % columns_of(server, "size")), check=True, stdout=rows)
    sent = os.path.getsize(path)
    os.unlink(path)
    return copied / ROWS, sent / ROWS


def units(bench, server, postgres):
    """What docs/SCALE.md reckons with. After sizes()."""
    store, wire, disk = bench.program("store"), wire_bytes(bench, server, postgres), sizes_of_last(server, postgres)
    waiting = [rate(store, "queue", url, ROWS, 2000, cwd=bench.scratch)[0] for url in (postgres.create("rate"), server.create("rate"))]
    small = [rate(store, "sink", url, SMALL * SMALL_ROWS, SMALL_ROWS, cwd=bench.scratch)[0] / SMALL_ROWS
             for url in (postgres.create("rate"), server.create("rate"))]
    return Table("scale units", ["", "PostgreSQL", "ClickHouse"], [
        ["rows of `io` a second, batches that wait"] + ["{:,.0f}".format(value) for value in waiting],
        ["batches of %d rows a second, one by one" % SMALL_ROWS] + ["{:,.0f}".format(value) for value in small],
        ["bytes of a row on the wire"] + ["%.0f" % value for value in wire],
        ["bytes of a row on the disk, its indexes included"] + ["%.0f" % value for value in disk]])


def sizes_of_last(server, postgres):
    return (int(postgres.ask("size", part_store.IO_SIZE)) / ROWS,
            size_of(server, "size") / ROWS)


def measure(bench):
    tables = []
    with Server() as server:
        say("bench: clickhouse: rates")
        tables.append(rates(bench, server))
        with Postgres() as postgres:
            for table in (sizes, units):
                say("bench: clickhouse: %s" % table.__name__)
                tables.append(table(bench, server, postgres))
    return Result("clickhouse", tables)
