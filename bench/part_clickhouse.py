# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""ClickHouse: rows a second beside clickhouse-client, bytes a row beside the other databases, and questions to a hundred million rows. On
a server of its own."""
import datetime
import os
import shutil
import statistics
import subprocess
import tempfile
import time

import part_store
from benchlib import ROOT, Result, Table, Unavailable, say
from part_questions import milliseconds
from part_store import Postgres, rate, run

ROWS = 1_000_000
BATCHES = (2000, 20000)
WAYS = {"queue": "all wait in the queue", "spool": "all go through the spool"}
MANY, HOSTS, FILES, PROCESSES, AT_WORK, DAYS = 100_000_000, 10, 100_000, 20_000, 200, 30  # files and processes of each host
DAY_US, MINUTE_US = 86_400_000_000, 60_000_000
SMALL, SMALL_ROWS = 500, 20  # batches as those of a quiet machine, and rows in each
IO = ("io", "io_by_file", "process_day")  # what a row of io is on the disk
PROFILE = "<min_compress_block_size>8192</min_compress_block_size>"  # as docs/FLEET.md says


class Server:
    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="ioledger-ch.", dir="/var/tmp")
        done = self.control("start")
        if done.returncode:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise Unavailable(done.stderr.strip())
        with open(self.folder + "/1/ports", encoding="ascii") as file:
            self.http, self.tcp = file.read().split()[:2]
        return self

    def __exit__(self, *_):
        self.control("remove")

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


HOST = "toInt64(1 + number %% %d)" % HOSTS
FILE = "toInt64(cityHash64('file', h, f))"
PROCESS = "toInt64(cityHash64('process', h, p))"


def digits(number, count):
    return "substring(toString(toUInt64(%d + %s)), 2)" % (10 ** count, number)


def fill_names(server):
    server.ask("many", "INSERT INTO host (id, name, row_version) SELECT %s, concat('machine', toString(%s)), 1 FROM numbers(%d)"
               % (HOST, HOST, HOSTS))
    server.ask("many", "INSERT INTO file (id, host_id, dev, inode, generation, path, row_version) SELECT %s, h, 2049, 100000 + f, 7,"
               " concat('/data/folder', %s, '/file', %s), 1 FROM (SELECT %s AS h, toInt64(intDiv(number, %d)) AS f FROM numbers(%d))"
               % (FILE, digits("intDiv(f, 1000)", 3), digits("f", 6), HOST, HOSTS, HOSTS * FILES))
    server.ask("many", "INSERT INTO process (id, host_id, pid, ppid, origin, comm, exe, argv, cwd, row_version) SELECT %s, h,"
               " 1000 + p %% 30000, 1, 'exec', concat('comm', %s), concat('/usr/bin/comm', %s), concat('comm --option ', toString(p)), '/', 1"
               " FROM (SELECT %s AS h, toInt64(intDiv(number, %d)) AS p FROM numbers(%d))"
               % (PROCESS, digits("p % 1000", 3), digits("p % 1000", 3), HOST, HOSTS, HOSTS * PROCESSES))


def fill_minutes(server, first, count, begin_us):
    """Intervals of a minute; a third of the rows is of a hundred files; some processes are at work at a time, as in bench/rows.c. They are one part, which
    is what a server makes of a day that is over within an hour."""
    rows = MANY * count // (DAYS * 1440)
    server.ask("many", "INSERT INTO io (ts_us, interval_ms, host_id, process_id, file_id, route, read_ops, read_bytes, write_ops, write_bytes,"
               " read_errors, write_errors, first_ts_us, last_ts_us, batch_seq)"
               " SELECT t, 60000, h, {process}, {file}, 'rw', 1 + r2 % 100, (1 + r2 % 100) * (1 + r3 % 65536), if(r3 % 3 = 0, r2 % 7, 0),"
               " if(r3 % 3 = 0, r2 % 7 * 4096, 0), 0, 0, t - 60000000 + r2 % 30000000, t - r3 % 30000000, m"
               " FROM (SELECT {host} AS h, intDiv(number * {count}, {rows}) + {first} AS m,"
               " cityHash64(number, {first}, 1) AS r1, cityHash64(number, {first}, 2) AS r2, cityHash64(number, {first}, 3) AS r3,"
               " toInt64({begin} + (m + 1) * 60000000) AS t, toInt64(if(r1 % 3 = 0, r2 % 100, r2 % {files})) AS f,"
               " toInt64(intDiv(m * {processes}, {minutes}) + r3 % {at_work}) AS p FROM numbers({rows}))".format(
                   process=PROCESS, file=FILE, host=HOST, rows=rows, first=first, count=count, begin=begin_us, files=FILES, processes=PROCESSES - AT_WORK,
                   minutes=DAYS * 1440, at_work=AT_WORK), "--min_insert_block_size_rows", "%d" % (2 * rows + 1), "--min_insert_block_size_bytes", "0",
               "--max_memory_usage", "0")


def fill(bench, server):
    """The ledger of HOSTS machines of a month, which ended a minute ago."""
    url = server.create("many")
    run(bench.program("store"), "sink", url, 10, 10)  # the tables
    for table in ("host", "recording", "login", "process", "file", "io", "total", "batch", "io_by_file", "process_day"):
        server.ask("many", "TRUNCATE TABLE " + table)
    fill_names(server)
    end_us = int(time.time()) // 60 * 60 * 1_000_000
    begin_us, first = end_us - DAYS * DAY_US, 0
    while first < DAYS * 1440:
        midnight_us = (begin_us + (first + 1) * MINUTE_US) // DAY_US * DAY_US + DAY_US
        count = min((midnight_us - begin_us) // MINUTE_US - 1, DAYS * 1440) - first  # the interval that ends at midnight is of the next day
        say("bench: clickhouse: minute %d of %d" % (first, DAYS * 1440))
        fill_minutes(server, first, count, begin_us)
        first += count
    server.wait_for_merges()
    return url, end_us


# Names are read as they come by, with the few rows that want one in memory.
TOP = """SELECT comm, pid, path, bytes FROM (SELECT id AS process_id, comm, pid FROM process) ALL RIGHT JOIN (
SELECT process_id, path, bytes FROM (SELECT id AS file_id, path FROM file) ALL RIGHT JOIN (
SELECT process_id, file_id, sum(read_bytes + write_bytes) AS bytes FROM io PREWHERE ts_us > %d
GROUP BY process_id, file_id ORDER BY bytes DESC LIMIT 20) USING (file_id)) USING (process_id) ORDER BY bytes DESC"""


ONE = FILES // 2 + 123  # a file like most
PATH = "/data/folder%03d/file%06d" % (ONE // 1000, ONE)


def questions(bench, server):
    url, end_us = fill(bench, server)
    end = datetime.datetime.fromtimestamp(end_us / 1e6, datetime.timezone.utc).replace(tzinfo=None)
    minutes = ("--since", str(end - datetime.timedelta(minutes=10)), "--until", str(end + datetime.timedelta(seconds=1)))
    hour = ("--since", str(end - datetime.timedelta(hours=1)), "--until", str(end + datetime.timedelta(seconds=1)))
    rows = []
    for title, args in (("`who` of a path that ten machines have", ("who", PATH)),
                        ("`who --host` of it on one machine", ("who", PATH, "--host", "machine3")),
                        ("`files COMM` of ten machines", ("files", "comm123")),
                        ("`files COMM --host` of one", ("files", "comm123", "--host", "machine3")),
                        ("`files --limit 20` of ten minutes", ("files", "--limit", "20", *minutes)),
                        ("`files --limit 20` of an hour", ("files", "--limit", "20", *hour)),
                        ("`files --by exe` of ten minutes", ("files", "--by", "exe", *minutes)),
                        ("`timeline` of a path on one machine", ("timeline", PATH, "--host", "machine3"))):
        say("bench: clickhouse: " + title)
        rows.append([title, milliseconds(bench, bench.ioledger, *args, "--db", url)])
    rows.append(["the 20 busiest pairs of the last hour (clickhouse-client)",
                 milliseconds(bench, *server.client("many", TOP % (end_us - 3_600_000_000)))])
    size = size_of(server, "many")
    count = int(server.ask("many", "SELECT count() FROM io"))
    return Table("clickhouse questions", ["of {:,} rows of `io` ({:.1f} bytes each, with `io_by_file`)".format(count, size / count),
                                          "ms, of the whole command"], rows)


def measure(bench):
    if not shutil.which("clickhouse-client"):
        raise Unavailable("no clickhouse-client is installed")
    tables = []
    with Server() as server:
        say("bench: clickhouse: rates")
        tables.append(rates(bench, server))
        with Postgres() as postgres:
            for table in (sizes, units):
                say("bench: clickhouse: %s" % table.__name__)
                tables.append(table(bench, server, postgres))
        say("bench: clickhouse: questions")
        tables.append(questions(bench, server))
    return Result("clickhouse", tables)
