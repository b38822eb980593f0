#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A fleet of recorders writes to two ClickHouse shards, one of which is killed and started again in the middle: the books are exact.

What each recorder makes is known: the rows in the ledger are as many, none is there twice, every interval balances, and a host is on one
shard only. A recorder that is killed together with its servers goes on where it was. IOLEDGER_FLEET=full: 200 hosts (make soak); else fewer, for less time.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
CHCLUSTER = os.path.join(HERE, "chcluster")
IOLEDGER, FLEET, FEED = os.environ["IOLEDGER"], os.environ["IOLEDGER_BENCH_FLEET"], os.environ["IOLEDGER_FEED"]
FULL = os.environ.get("IOLEDGER_FLEET") == "full"
HOSTS, RATE, SECONDS = (200, 50, 5) if FULL else (20, 100, 4)
BATCHES, ROWS = 400, 500  # of the recorder that is killed


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        subprocess.run([CHCLUSTER, "start", folder, "2"], check=True, capture_output=True, timeout=60)
        self.servers = [self.control("url", i).split("//")[1].split("/")[0] for i in ("1", "2")]

    def control(self, command, number):
        return subprocess.run([CHCLUSTER, command, self.folder, number], check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def ask(self, sql, shard=0, database="fleet"):
        request = urllib.request.Request("http://%s/?database=%s" % (self.servers[shard], database), data=sql.encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode().strip()


def check(number, good, name, *details):
    print("%s %d - %s" % ("ok" if good else "not ok", number, name), flush=True)
    if not good:
        for detail in details:
            print("# " + ascii(detail), flush=True)
    return good


def wait_for_rows(cluster, fleet):
    """Until rows of some of the hosts are there: the middle."""
    for _ in range(600):
        assert fleet.poll() is None, "the fleet has ended"
        try:
            if int(cluster.ask("SELECT uniq(host_id) FROM io")) >= HOSTS // 2:
                return
        except urllib.error.HTTPError:
            pass  # there are no tables yet
        time.sleep(0.05)
    raise AssertionError("no rows arrive")


def check_order(number, cluster, database, rows):
    """The tables beside io have each of its rows once, as questions see them, and no other."""
    counts = [int(cluster.ask(sql, database=database)) for sql in (
        "SELECT count() FROM (SELECT DISTINCT * FROM io_by_file)",
        "SELECT count() FROM io WHERE (host_id, file_id, process_id, ts_us, batch_seq) GLOBAL IN"
        " (SELECT host_id, file_id, process_id, ts_us, batch_seq FROM io_by_file)",
        "SELECT count() FROM io WHERE (intDiv(ts_us, 86400000000) * 86400000000, host_id, process_id) GLOBAL IN"
        " (SELECT day_us, host_id, process_id FROM process_day)")]
    return check(number, counts == [rows] * 3, "the rows are in each order once", counts, rows)


def killed(cluster, scratch):
    """A recorder and its server are killed in the middle, more than once; both come back. Returns the rows that are there then, and what balance says."""
    for shard in (0, 1):
        cluster.ask("CREATE DATABASE killed", shard, "default")
    url = "clickhouse://%s,%s/killed?cluster=both" % tuple(cluster.servers)
    command = [FEED, url, os.path.join(scratch, "spool"), str(BATCHES), str(ROWS), "100", str(64 << 20)]
    for goal in (1, BATCHES * ROWS // 4, BATCHES * ROWS // 2):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as feed:
            for _ in range(1200):
                assert feed.poll() is None, "the recorder has ended"
                try:
                    if int(cluster.ask("SELECT count() FROM io", database="killed")) >= goal:
                        break
                except urllib.error.HTTPError:
                    pass  # there are no tables yet
                time.sleep(0.05)
            for shard in ("1", "2"):
                cluster.control("crash", shard)
            feed.kill()
        for shard in ("1", "2"):
            cluster.control("up", shard)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    balance = subprocess.run([IOLEDGER, "balance", "--db", url], capture_output=True, text=True, timeout=200, check=False)
    return int(cluster.ask("SELECT count() FROM io", database="killed")), balance


def main():
    scratch = tempfile.mkdtemp(prefix="ioledger-fleet.")
    try:
        if subprocess.run([CHCLUSTER, "url", scratch], capture_output=True, check=False).returncode == 77:
            print("1..0 # SKIP no ClickHouse server is installed")
            return 0
        cluster = Cluster(os.path.join(scratch, "ch"))
        for shard in (0, 1):
            cluster.ask("CREATE DATABASE fleet", shard, "default")
        url = "clickhouse://%s,%s/fleet?cluster=both" % tuple(cluster.servers)
        with subprocess.Popen([FLEET, url, str(HOSTS), str(RATE), str(SECONDS)], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL) as fleet:
            wait_for_rows(cluster, fleet)
            cluster.control("crash", "2")
            time.sleep(1)  # how long it is away decides nothing: what waits is written whenever it is back
            cluster.control("up", "2")
            made = fleet.communicate(timeout=500)[0].split()
        good = check(1, fleet.returncode == 0 and int(made[0]) == HOSTS * RATE * SECONDS, "every recorder has stored what it made", made)
        good &= check(2, int(made[4]) > 0 and int(made[5]) == 0, "some had to try again, and nothing was refused", made)
        rows = int(cluster.ask("SELECT count() FROM io"))
        good &= check(3, rows == int(made[0]), "no row is missing, and none is there twice", rows, made)
        own = [set(cluster.ask("SELECT DISTINCT host_id FROM io_local", shard).split()) for shard in (0, 1)]
        good &= check(4, not own[0] & own[1] and len(own[0] | own[1]) == HOSTS and all(own), "a host is on one shard", own)
        balance = subprocess.run([IOLEDGER, "balance", "--db", url], capture_output=True, text=True, timeout=200, check=False)
        good &= check(5, balance.returncode == 0 and "to the byte" in balance.stdout, "the books balance", balance.stdout[-300:], balance.stderr[-300:])
        counters = ("read_ops", "read_bytes", "write_ops", "write_bytes")
        answer = lambda *args: json.loads(subprocess.run([IOLEDGER, *args, "--format", "json", "--db", url], capture_output=True, text=True,
                                                         timeout=200, check=True).stdout)
        files, some = answer("files"), answer("files", "--limit", "3")
        sums = [int(cell) for cell in cluster.ask("SELECT %s FROM io" % ", ".join("sum(%s)" % name for name in counters)).split()]
        more = subprocess.run([IOLEDGER, "files", "--limit", "3", "--db", url], capture_output=True, text=True, timeout=200, check=True).stderr
        good &= check(6, [sum(row[name] for row in files) for name in counters] == sums and some == files[:3] and "%d more;" % (len(files) - 3) in more,
                      "the files of all hosts are what the rows add up to", files[:3], some, sums, len(files), more)
        whose = answer("who", files[0]["path"], "--host", files[0]["host"])
        good &= check(7, [sum(row[name] for row in whose) for name in counters] == [files[0][name] for name in counters] and
                      len(whose) == files[0]["processes"], "and so are the processes of one of them", whose[:3], files[0])
        good &= check_order(8, cluster, "fleet", rows)
        rows, balance = killed(cluster, scratch)
        good &= check(9, rows == BATCHES * ROWS, "a recorder that is killed with its servers: no row is missing, and none is there twice", rows)
        good &= check(10, balance.returncode == 0 and "to the byte" in balance.stdout, "its books balance", balance.stdout[-300:], balance.stderr[-300:])
        good &= check_order(11, cluster, "killed", rows)
        print("1..11")
        return 0 if good else 1
    finally:
        subprocess.run([CHCLUSTER, "remove", os.path.join(scratch, "ch")], check=False)
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
