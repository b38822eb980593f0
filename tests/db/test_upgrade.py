#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A ClickHouse ledger of version 3, 4 or 5 becomes one of our version, on one server and on two shards, when it was broken off in the middle too: what is
asked has the same answers before, between and after it. Rows are made up by bench/feed."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
CHCLUSTER = os.path.join(HERE, "chcluster")
IOLEDGER, FEED = os.environ["IOLEDGER"], os.environ["IOLEDGER_FEED"]
BATCHES, ROWS, VERSION = 30, 10000, 6  # more rows than one slice has
VIEWS, TABLES = ("io_by_file_filled", "process_day_filled"), ("io_by_file", "process_day")


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        subprocess.run([CHCLUSTER, "start", folder, "2"], check=True, capture_output=True, timeout=60)
        self.servers = [subprocess.run([CHCLUSTER, "url", folder, i], check=True, capture_output=True, text=True, timeout=60).stdout
                        .split("//")[1].split("/")[0] for i in ("1", "2")]

    def ask(self, sql, database="default", shard=0):
        request = urllib.request.Request("http://%s/?database=%s" % (self.servers[shard], database), data=sql.encode())
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read().decode().strip()

    def url(self, database):
        return "clickhouse://%s/%s" % (self.servers[0], database)


class Tap:
    number, failed = 0, 0

    def ok(self, good, name, *details):
        self.number += 1
        self.failed += not good
        print("%s %d - %s" % ("ok" if good else "not ok", self.number, name), flush=True)
        for detail in details if not good else ():
            print("# " + ascii(detail)[:2000], flush=True)


def run(*args):
    return subprocess.run([IOLEDGER, *args], capture_output=True, text=True, timeout=300, check=False)


def answers(cluster, url, database):
    """Of all kinds of questions that the upgrade changes, and of some that it does not."""
    path = cluster.ask("SELECT min(path) FROM file", database)
    comm = cluster.ask("SELECT min(comm) FROM process", database)
    asked = [run(*args, "--db", url) for args in (
        ("who", path, "--format", "json"), ("who", path, "--format", "json", "--since", "2026-09-21 14:13:35"), ("timeline", path, "--format", "json"),
        ("files", comm, "--format", "json"), ("files", "--limit", "100", "--format", "json"), ("files", comm, "--limit", "7", "--format", "json"),
        ("files", "--by", "exe", "--format", "json"), ("balance",))]
    assert all(one.returncode == 0 for one in asked), [one.stderr for one in asked]
    return [one.stdout for one in asked]


def feed(url, scratch, batches, rows):
    spool = os.path.join(scratch, "spool")
    subprocess.run([FEED, url, spool, str(batches), str(rows), "0", str(256 << 20)], check=True, capture_output=True, timeout=300)
    shutil.rmtree(spool, ignore_errors=True)


def upgrade(url, scratch):
    """Whoever opens a ledger to write to it does it."""
    path = os.path.join(scratch, "empty.jsonl")
    with open(path, "w", encoding="ascii"):
        return run("load", "--db", url, path)


def make_old(cluster):
    """The tables of version 3, with the rows that the database `new` has."""
    cluster.ask("CREATE DATABASE old")
    with open(os.path.join(HERE, "schema_3.clickhouse.sql"), encoding="utf-8") as file:
        for statement in file.read().split(";\n\n"):
            if "CREATE" in statement:
                cluster.ask(statement, "old")
    for table in cluster.ask("SELECT DISTINCT table FROM system.columns WHERE database = 'old' AND name IN ('row_version', 'batch_seq')", "old").split():
        columns = ", ".join(cluster.ask("SELECT name FROM system.columns WHERE database = 'old' AND table = '%s' AND default_kind = ''" % table).split())
        if table not in ("io_named",):
            cluster.ask("INSERT INTO %s (%s) SELECT %s FROM new.%s" % (table, columns, columns, table), "old")


def check_new(tap, cluster, url, database, expected, name):
    rows = BATCHES * ROWS
    tap.ok(cluster.ask("SELECT version FROM ioledger_schema", database) == str(VERSION), "%s: it is of our version" % name)
    tap.ok([int(cluster.ask("SELECT count() FROM (SELECT DISTINCT * FROM %s)" % table, database)) for table in ("io", "io_by_file")] == [rows, rows],
           "%s: each row is in the other order" % name, cluster.ask("SELECT count() FROM io_by_file", database))
    missing = int(cluster.ask("SELECT count() FROM io WHERE (intDiv(ts_us, 86400000000) * 86400000000, process_id) GLOBAL NOT IN"
                              " (SELECT day_us, process_id FROM process_day)", database))
    tap.ok(missing == 0, "%s: the days of each process are known" % name, missing)
    tap.ok(cluster.ask("SELECT count() FROM process WHERE ns_pid IS NULL", database) != "0", "%s: processes have the new column" % name)
    keys = cluster.ask("SELECT count(), countIf(name_key = cityHash64(host_id, path, toString(kind), ifNull(flags, ''))), uniqExact(name_key) > 1 FROM file", database)
    tap.ok(keys.split()[0] == keys.split()[1] and keys.split()[2] == "1", "%s: files have the keys of their names" % name, keys)
    found = answers(cluster, url, database)
    tap.ok(found == expected, "%s: the same answers" % name, *(pair for pair in zip(found, expected) if pair[0] != pair[1]))


def one_server(tap, cluster, expected, scratch):
    make_old(cluster)
    url = cluster.url("old")
    tap.ok(answers(cluster, url, "old") == expected, "version 3 is asked as it is")
    # Somebody began: a column, the tables, half of the rows and some of these twice.
    cluster.ask("ALTER TABLE process ADD COLUMN ns_pid Nullable(Int64)", "old")
    for statement in run("schema", "--db", url).stdout.split(";\n\n"):
        if "EXISTS io_by_file" in statement or "EXISTS process_day" in statement:
            cluster.ask(statement, "old")
    for condition in ("cityHash64(file_id) % 2 = 0", "cityHash64(file_id) % 4 = 0"):
        cluster.ask("INSERT INTO io_by_file SELECT * FROM new.io_by_file WHERE " + condition, "old")
    tap.ok(answers(cluster, url, "old") == expected, "half of the way: the same answers")
    done = upgrade(url, scratch)
    tap.ok(done.returncode == 0, "the upgrade", done.stderr)
    check_new(tap, cluster, url, "old", expected, "one server")
    size = cluster.ask("SELECT count() FROM io_by_file", "old")
    cluster.ask("DROP TABLE ioledger_schema", "old")
    cluster.ask("CREATE VIEW ioledger_schema AS SELECT 3 AS version", "old")
    tap.ok(upgrade(url, scratch).returncode == 0 and cluster.ask("SELECT count() FROM io_by_file", "old") == size, "once more: nothing is added", size)


def make_older(cluster, database, version):
    """Ours on one server, without what has come since."""
    if version < 5:
        for table in VIEWS + TABLES:
            cluster.ask("DROP TABLE " + table, database)
    cluster.ask("ALTER TABLE file DROP COLUMN name_key", database)
    cluster.ask("DROP TABLE ioledger_schema", database)
    cluster.ask("CREATE VIEW ioledger_schema AS SELECT %d AS version" % version, database)


def later_versions(tap, cluster, expected, scratch):
    """4, then 5: that one is broken off when the column is there and the version is not."""
    url = cluster.url("old")
    for version in (4, 5):
        make_older(cluster, "old", version)
        tap.ok(answers(cluster, url, "old") == expected, "version %d is asked as it is" % version)
        if version == 5:
            cluster.ask("ALTER TABLE file ADD COLUMN name_key UInt64 DEFAULT cityHash64(host_id, path, toString(kind), ifNull(flags, ''))", "old")
            tap.ok(answers(cluster, url, "old") == expected, "version 5, half of the way: the same answers")
        done = upgrade(url, scratch)
        tap.ok(done.returncode == 0, "the upgrade from version %d" % version, done.stderr)
        check_new(tap, cluster, url, "old", expected, "from version %d" % version)


def add_rows(cluster, files, inode, numbers):
    """Files /tie/NUMBER of the newest interval, of one process and each with the same numbers; `files`: with rows of their own."""
    columns = ", ".join(name for name in cluster.ask("SELECT name FROM system.columns WHERE database = 'new' AND table = 'io' AND default_kind = ''").split()
                        if name not in ("file_id", "read_ops", "read_bytes", "write_ops", "write_bytes"))
    if files:
        cluster.ask("INSERT INTO file (id, host_id, inode, path, row_version) SELECT toInt64(%d + number), (SELECT min(id) FROM host), %d, concat('/tie/',"
                    " toString(cityHash64(number))), 1 FROM numbers(300)" % (inode, inode), "new")
    cluster.ask("INSERT INTO io (%s, file_id, read_ops, read_bytes, write_ops, write_bytes) SELECT %s, toInt64(%d + number), %s FROM (SELECT number, 1 AS one"
                " FROM numbers(300)) ANY LEFT JOIN (SELECT *, 1 AS one FROM io ORDER BY ts_us DESC LIMIT 1) USING (one)" % (columns, columns, inode, numbers), "new")


def check_few(tap, cluster, name):
    """The first rows of all are those that are asked for alone, and programs have what their processes have."""
    files = lambda *args: json.loads(run("files", *args, "--format", "json", "--db", cluster.url("new")).stdout)
    wrong = []
    for args in ((), ("--read",), ("--write",), ("--read", "--write")):
        everything = files(*args)
        wrong += [(args, limit) for limit in (1, 5, 40, 290, 310) if files(*args, "--limit", str(limit)) != everything[:limit]]
    tap.ok(not wrong, "%s: few files are the first of all" % name, wrong)
    wrong = []
    for row in files("--by", "exe"):
        sums = cluster.ask("SELECT uniqExact(process_id), uniqExact(file_id), sum(read_ops), sum(read_bytes), sum(write_ops), sum(write_bytes) FROM io WHERE"
                           " process_id IN (SELECT id FROM process WHERE exe = '%s')" % row["exe"], "new").split()
        if sums != [str(row[key]) for key in ("processes", "files", "read_ops", "read_bytes", "write_ops", "write_bytes")]:
            wrong.append((row, sums))
    tap.ok(not wrong, "%s: a program has the sums of its processes" % name, wrong)


def ties(tap, cluster):
    """What names decide: more files of one size than are looked at without names, numbers that are not known, files without a row of their own."""
    check_few(tap, cluster, "rows of a recorder")
    add_rows(cluster, True, 1000, "1000000, 1000000000, 1000000, 1000000000")
    check_few(tap, cluster, "300 of one size")
    add_rows(cluster, True, 2000, "1000000, NULL, 1000000, 2000000000")
    check_few(tap, cluster, "300 of unknown size")
    add_rows(cluster, False, 3000, "1000000, 3000000000, 1000000, 1000000000")
    check_few(tap, cluster, "300 without names")


def two_shards(tap, cluster, expected, scratch):
    """Ours, made old again: without what has come since."""
    for shard in (0, 1):
        cluster.ask("CREATE DATABASE sharded", shard=shard)
    url = "clickhouse://%s,%s/sharded?cluster=both" % tuple(cluster.servers)
    feed(url, scratch, BATCHES, ROWS)
    for shard in (0, 1):
        for table in [view + "_local" for view in VIEWS] + [name + end for name in TABLES for end in ("", "_local")] + ["ioledger_schema"]:
            cluster.ask("DROP TABLE " + table, "sharded", shard)
        for table, column in (("process", "ns_pid"), ("process_local", "ns_pid"), ("file", "name_key"), ("file_local", "name_key")):
            cluster.ask("ALTER TABLE %s DROP COLUMN %s" % (table, column), "sharded", shard)
        cluster.ask("CREATE VIEW ioledger_schema AS SELECT 3 AS version", "sharded", shard)
    tap.ok(answers(cluster, url, "sharded") == expected, "two shards of version 3 are asked as they are")
    one = upgrade("clickhouse://%s/sharded?cluster=both" % cluster.servers[0], scratch)
    tap.ok(one.returncode == 1 and "not every shard" in one.stderr, "a shard that the URL does not name", one.stderr)
    done = upgrade(url, scratch)
    tap.ok(done.returncode == 0, "the upgrade of both", done.stderr)
    check_new(tap, cluster, url, "sharded", expected, "two shards")
    tap.ok(cluster.ask("SELECT version FROM ioledger_schema", "sharded", 1) == str(VERSION), "the other shard knows of it")
    keys = [cluster.ask("SELECT count() FROM system.columns WHERE database = 'sharded' AND name = 'name_key'", shard=shard) for shard in (0, 1)]
    tap.ok(keys == ["2", "2"], "both have the keys of names, and the tables over both know of them", keys)


def main():
    scratch, tap = tempfile.mkdtemp(prefix="ioledger-upgrade."), Tap()
    try:
        if subprocess.run([CHCLUSTER, "url", scratch], capture_output=True, check=False).returncode == 77:
            print("1..0 # SKIP no ClickHouse server is installed")
            return 0
        cluster = Cluster(os.path.join(scratch, "ch"))
        cluster.ask("CREATE DATABASE new")
        feed(cluster.url("new"), scratch, BATCHES, ROWS)
        expected = answers(cluster, cluster.url("new"), "new")
        one_server(tap, cluster, expected, scratch)
        later_versions(tap, cluster, expected, scratch)
        two_shards(tap, cluster, expected, scratch)
        ties(tap, cluster)
        print("1..%d" % tap.number)
        return 1 if tap.failed else 0
    finally:
        subprocess.run([CHCLUSTER, "remove", os.path.join(scratch, "ch")], check=False)
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
