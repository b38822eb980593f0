# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""How long questions take of a ledger of a month of ten machines, with a hundred million rows, in ClickHouse."""
import datetime
import os
import statistics
import subprocess
import time

from benchlib import Result, Table, say
from part_clickhouse import Server, size_of
from part_store import run

MANY, HOSTS, FILES, PROCESSES, AT_WORK, DAYS = 100_000_000, 10, 100_000, 20_000, 200, 30  # files and processes of each host
DAY_US, HOUR_US, MINUTE_US = 86_400_000_000, 3_600_000_000, 60_000_000

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


def fill_totals(server):
    """Who has rows in an interval has a total in it."""
    counters = ("read_ops", "read_bytes", "write_ops", "write_bytes", "read_errors", "write_errors")
    server.ask("many", "INSERT INTO total (ts_us, interval_ms, host_id, route, %s, batch_seq) SELECT ts_us, any(interval_ms), host_id, route, %s,"
               " any(batch_seq) FROM io GROUP BY ts_us, host_id, route" % (", ".join(counters), ", ".join("sum(%s)" % name for name in counters)),
               "--max_memory_usage", "0")


def fill(bench, server):
    """The ledger of HOSTS machines of a month of whole days, of which the last is over: a question of an hour has a whole day to read."""
    url = server.create("many")
    run(bench.program("store"), "sink", url, 10, 10)  # the tables
    server.wait_for_merges()  # which bring back what was there before TRUNCATE
    for table in ("host", "recording", "login", "process", "file", "io", "total", "batch", "io_by_file", "process_day"):
        server.ask("many", "TRUNCATE TABLE " + table)
    fill_names(server)
    end_us = int(time.time() * 1e6) // DAY_US * DAY_US - MINUTE_US
    begin_us, first = end_us - DAYS * DAY_US, 0
    while first < DAYS * 1440:
        midnight_us = (begin_us + (first + 1) * MINUTE_US) // DAY_US * DAY_US + DAY_US
        count = min((midnight_us - begin_us) // MINUTE_US - 1, DAYS * 1440) - first  # the interval that ends at midnight is of the next day
        say("bench: month: minute %d of %d" % (first, DAYS * 1440))
        fill_minutes(server, first, count, begin_us)
        first += count
    fill_totals(server)
    server.wait_for_merges()
    return url


# Names are read as they come by, with the few rows that want one in memory.
TOP = """SELECT comm, pid, path, bytes FROM (SELECT id AS process_id, comm, pid FROM process) ALL RIGHT JOIN (
SELECT process_id, path, bytes FROM (SELECT id AS file_id, path FROM file) ALL RIGHT JOIN (
SELECT process_id, file_id, sum(read_bytes + write_bytes) AS bytes FROM io PREWHERE ts_us > %d
GROUP BY process_id, file_id ORDER BY bytes DESC LIMIT 20) USING (file_id)) USING (process_id) ORDER BY bytes DESC"""


ONE = FILES // 2 + 123  # a file like most
PATH = "/data/folder%03d/file%06d" % (ONE // 1000, ONE)


def asked(server):
    """How many questions the server has had, this one included."""
    return int(server.ask("default", "SELECT value FROM system.events WHERE event = 'Query'"))


def measured(bench, server, *args):
    """Requests to the server; the middle and the extremes of the times of the whole command, after the first, in ms."""
    times = []
    for _ in range(2 * max(bench.rounds, 3) + 1):
        before, began = asked(server), time.monotonic()
        subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(1000 * (time.monotonic() - began))
        requests = asked(server) - before - 1
    return ["%d" % requests, "%.0f" % statistics.median(times[1:]), "%.0f to %.0f" % (min(times[1:]), max(times[1:]))]


def span(end_us, seconds):
    """So many seconds that end then."""
    end = datetime.datetime.fromtimestamp(end_us / 1e6, datetime.timezone.utc).replace(tzinfo=None)
    return ("--since", str(end - datetime.timedelta(seconds=seconds)), "--until", str(end + datetime.timedelta(seconds=1)))


def questions(bench, server, url):
    end_us, rows = int(server.ask("many", "SELECT max(ts_us) FROM io")), []
    minutes, hour, then = span(end_us, 600), span(end_us, 3600), span(end_us - 14 * DAY_US, 3600)
    for title, args in (("`who` of a path that ten machines have", ("who", PATH)),
                        ("`who --host` of it on one machine", ("who", PATH, "--host", "machine3")),
                        ("`files COMM` of ten machines", ("files", "comm123")),
                        ("`files COMM --host` of one", ("files", "comm123", "--host", "machine3")),
                        ("`files --limit 20` of ten minutes", ("files", "--limit", "20", *minutes)),
                        ("`files --limit 20` of an hour", ("files", "--limit", "20", *hour)),
                        ("`files --limit 20` of an hour two weeks before", ("files", "--limit", "20", *then)),
                        ("`files --by exe` of ten minutes", ("files", "--by", "exe", *minutes)),
                        ("`timeline` of a path on one machine", ("timeline", PATH, "--host", "machine3"))):
        say("bench: month: " + title)
        rows.append([title, *measured(bench, server, bench.ioledger, *args, "--db", url)])
    rows.append(["the 20 busiest pairs of the last hour (clickhouse-client)", *measured(bench, server, *server.client("many", TOP % (end_us - HOUR_US)))])
    count = int(server.ask("many", "SELECT count() FROM io"))
    return Table("clickhouse questions", ["of {:,} rows of `io` ({:.1f} bytes each, with `io_by_file`)".format(count, size_of(server, "many") / count),
                                          "requests", "ms, of the whole command", "least to most"], rows)


def measure(bench):
    with Server(bench.ledger) as server:
        loaded, url = os.path.join(server.folder, "loaded"), server.url("many")
        if not os.path.exists(loaded):
            url = fill(bench, server)
            with open(loaded, "w", encoding="ascii"):
                pass
        say("bench: month: questions")
        return Result("month", [questions(bench, server, url)])
