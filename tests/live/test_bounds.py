#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Nothing grows without bound: not with many live (process, file) pairs, not with short-lived processes, not with lost exits.

Short by default; IOLEDGER_BOUNDS=full makes it 200,000 pairs and 2,000 processes a second for a minute, and as many processes
as an hour of a busy build has, as fast as they can be made.
"""
import ctypes
import json
import mmap
import os
import platform
import re
import signal
import struct
import subprocess
import time

import livelib as live
import worklib

FULL = os.environ.get("IOLEDGER_BOUNDS") == "full"
PATIENCE = 900 if FULL else max(120, live.PATIENCE)
HELD = re.compile(r"held at the end: (\d+) processes, (\d+) files, (\d+) of (\d+) accounts; memory: (.*)")
SWEPT = re.compile(r"became known so, (\d+) had ended unheard; held: (\d+) processes")
OTHERS = 20000 if FULL else 3000  # processes and accounts that the rest of a machine under test may have at any moment


class Churn:
    """workload_churn with its control block (struct control there)."""
    WORDS = ("stop", "rounds", "read", "want", "rate", "done", "ready")
    FILE_SIZE = 200

    def __init__(self, scratch, holders, files):
        self.holders, self.files, self.number = holders, files, 0
        self.folder = os.path.join(scratch, "churn")
        os.mkdir(self.folder)
        for i in range(files):
            with open(os.path.join(self.folder, str(i)), "wb") as file:
                file.write(b"x" * self.FILE_SIZE)
        path = os.path.join(scratch, "churn.control")
        with open(path, "w+b") as file:
            file.truncate(8 * (len(self.WORDS) + 257))
            self.map = mmap.mmap(file.fileno(), 0)
        self.process = subprocess.Popen([live.workload("churn"), path, self.folder, str(holders), str(files)], stdin=subprocess.DEVNULL)
        live.wait_for(lambda: self.get("ready") == holders and self.pids()[0], "the holders to have their files open", PATIENCE)

    def get(self, word):
        return struct.unpack_from("=Q", self.map, 8 * self.WORDS.index(word))[0]

    def set(self, word, number):
        struct.pack_into("=Q", self.map, 8 * self.WORDS.index(word), number)

    def pids(self):
        return struct.unpack_from("=%dQ" % (1 + self.holders), self.map, 8 * len(self.WORDS))

    def begin(self, number, rate=0):
        """Children from now on, and every holder reads all of its files once."""
        self.number += number
        self.set("rate", rate)
        self.set("want", self.number)
        self.set("rounds", self.get("rounds") + 1)

    def over(self):
        return self.get("done") == self.number and self.get("read") == self.get("rounds") * self.holders * self.files

    def written(self):
        return sum(i % 7 + 1 for i in range(self.number))

    def stop(self):
        self.set("stop", 1)
        return self.process.wait(live.PATIENCE)


def resident_kb(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as status:
        return int(re.search(r"^VmRSS:\s+(\d+)", status.read(), re.M)[1])


def map_memory_kb(pid):
    total = 0
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        try:
            with open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii") as info:
                text = info.read()
        except OSError:
            continue
        if "map_type" in text:
            total += int(re.search(r"^memlock:\s+(\d+)", text, re.M)[1])
    return total // 1024


def batches(url):
    return live.value(url, "select count(*) from batch")


def let_settle(url, number=6):
    """So many more intervals, each of which has something in it: this very question."""
    until = batches(url) + number
    live.wait_for(lambda: batches(url) >= until, "%d more batches" % number, PATIENCE)


def stored(url, churn):
    """Whether all that the children wrote, 7 bytes at most at a time, is in the books."""
    done = live.rows(url, "select sum(write_bytes) as n from io where file_id in (select id from file where path = '%s/sink')" % churn.folder)
    return churn.written() - 7 * live.hooks_left_out(url) <= (done[0]["n"] or 0) <= churn.written()


def end(tap, recorder, name):
    """Ends the recording; what its last words are about memory: (processes, files, accounts)."""
    tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % name)
    held = [match for match in map(HELD.search, recorder.lines) if match]
    if not held:
        raise live.Failure("no word of what is held: %s" % recorder.lines)
    tap.say("%s: %s" % (name, held[0][0]))
    return tuple(int(held[0][i]) for i in (1, 2, 3))


def check_held(tap, name, held, processes, files, accounts):
    for what, got, most in zip(("processes", "files", "accounts"), held, (processes, files, accounts)):
        tap.ok(got <= most, "%s: at the end the recorder holds %d %s, at most %d" % (name, got, what, most))


# Each holder has read each file as often as there were rounds.
HOLDER_ROWS = """select count(*) as pairs, min(reads) as least, max(reads) as most, sum(bytes) as bytes from
  (select i.process_id, i.file_id, sum(i.read_ops) as reads, sum(i.read_bytes) as bytes
   from io i join process p on p.id = i.process_id join file f on f.id = i.file_id
   where p.pid in (%s) and f.path like '%s/%%' and f.path not like '%%/new-%%' group by i.process_id, i.file_id) t"""

# Each child, by what it read of which file, what it wrote to the sink, and its own file.
CHILD_ROWS = """select path, read_bytes, sink_bytes, new_files, count(*) as n from
  (select i.process_id, max(case when i.read_bytes > 0 then f.path end) as path, sum(i.read_bytes) as read_bytes,
     sum(case when f.path like '%%/sink' then i.write_bytes else 0 end) as sink_bytes,
     sum(case when f.path like '%%/new-%%' then i.write_bytes else 0 end) as new_files
   from io i join process p on p.id = i.process_id join file f on f.id = i.file_id
   where p.ppid = %d and p.pid not in (%s) and f.path like '%s/%%' group by i.process_id) t
  group by path, read_bytes, sink_bytes, new_files"""


def check_exact(tap, url, churn, name):
    pids = ", ".join(map(str, churn.pids()[1:])) or "0"
    rounds = churn.get("rounds")
    if churn.holders:
        found = live.rows(url, HOLDER_ROWS % (pids, churn.folder))[0]
        pairs = churn.holders * churn.files
        tap.equal(found, {"pairs": pairs, "least": rounds, "most": rounds, "bytes": pairs * rounds},
                  "%s: each of %d pairs has exactly %d reads" % (name, pairs, rounds))
    wanted = {}
    for i in range(churn.number):
        key = (os.path.join(churn.folder, str(i % churn.files)), i % 100 + 1, i % 7 + 1, 1)
        wanted[key] = wanted.get(key, 0) + 1
    booked = {(row["path"], row["read_bytes"], row["sink_bytes"], row["new_files"]): row["n"]
              for row in live.rows(url, CHILD_ROWS % (churn.pids()[0], pids, churn.folder))}
    wrong = [(key, booked.get(key, 0), wanted.get(key, 0)) for key in set(booked) | set(wanted) if booked.get(key, 0) != wanted.get(key, 0)]
    tap.ok(not wrong, "%s: each of %d short-lived processes has exactly what it did" % (name, churn.number),
           "%d sorts differ, the first (what, booked, done):" % len(wrong), *wrong[:10])


def half(tap, url, churn, recorder, name, number, rate):
    start, used = time.monotonic(), live.process_seconds(recorder.pid)
    churn.begin(number, rate)
    live.wait_for(churn.over, "%d processes to have run" % churn.number, PATIENCE)
    seconds = time.monotonic() - start
    used = live.process_seconds(recorder.pid) - used
    live.wait_for(lambda: stored(url, churn), "all of it to be stored", PATIENCE)
    let_settle(url)
    resident, maps = resident_kb(recorder.pid), map_memory_kb(recorder.pid)
    tap.say("%s: %d processes in %.1f s (%.0f a second, the recorder at %.0f %% of a core); resident %d kB, BPF maps %d kB"
            % (name, number, seconds, number / seconds, 100 * used / seconds, resident, maps))
    return resident, maps


def warm_up(tap, url, churn, recorder, name, number, rate):
    """
    What fills once (caches of files and of pages, what the allocator keeps) is full when one more round leaves the recorder as it is. On a
    machine one round is enough for that; on an emulated processor a round is a small part of it.
    """
    before = 0
    for turn in range(1 if live.SLOWNESS == 1 else 8):
        resident = half(tap, url, churn, recorder, "%s, before (%d)" % (name, turn + 1), number, rate)[0]
        if resident <= before * 1.02 + 512:
            return
        before = resident


def churn_on(tap, scratch, name, holders, files, accounts, number, rate):
    """Two halves of the same churn: after the second the recorder is no bigger than after the first."""
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--interval", "1s" if FULL else "0.25s", "--max-accounts", str(accounts), "--verbose")
    churn = Churn(scratch, holders, files)
    if not FULL:
        warm_up(tap, url, churn, recorder, name, number // 2, rate)
    first = half(tap, url, churn, recorder, name + ", first half", number // 2, rate)
    second = half(tap, url, churn, recorder, name + ", second half", number - number // 2, rate)
    tap.ok(second[0] <= first[0] * 1.1 + 4096, "%s: resident memory does not grow: %d kB, then %d kB" % (name, first[0], second[0]))
    tap.equal(second[1], first[1], "%s: nor does the kernel's" % name)
    tap.equal(churn.stop(), 0, "%s: the workload ends well" % name)
    let_settle(url)
    held = end(tap, recorder, name)
    check_held(tap, name, held, len(live.children()) + OTHERS, 65536 + OTHERS, OTHERS)
    tap.equal(live.losses(url), [], "%s: nothing was lost" % name)
    live.check_balance(tap, url, name)
    check_exact(tap, url, churn, name)


def pairs(tap, scratch):
    """Many live pairs, and a steady churn beside them."""
    if FULL:
        churn_on(tap, scratch, "200,000 pairs", 40, 5000, 262144, 120000, 2000)
    else:
        churn_on(tap, scratch, "20,000 pairs", 20, 1000, 65536, live.fewer(6000), live.fewer(2000))


def hour(tap, scratch):
    """As many processes and files as hours have, in little time; both halves at one rate, as a burst that is twice as fast may take more."""
    churn_on(tap, scratch, "churn", 0, 100, 262144, 200000 if FULL else live.fewer(20000), 8000 if FULL else 0)


def lost_exits(tap, scratch):
    """The recorder stands still while the ring buffer overflows: exits and whole processes are lost, and forgotten all the same."""
    # some hundred bytes each, and the ring buffer of so many accounts has 4 MB, of a quarter of them 1 MB
    number, slots = (100000, 65536) if FULL else (20000, 65536) if live.SLOWNESS == 1 else (5000, 16384)
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--interval", "0.25s", "--max-accounts", str(slots), "--verbose")
    churn = Churn(scratch, 4, 100)
    for times in range(2):
        name = "stopped %d times" % (times + 1)
        unheard = max([int(m[1]) for m in map(SWEPT.search, recorder.lines) if m], default=0)
        os.kill(recorder.pid, signal.SIGSTOP)
        churn.begin(number)
        live.wait_for(churn.over, "%d processes to have run" % churn.number, PATIENCE)
        os.kill(recorder.pid, signal.SIGCONT)
        live.wait_for(lambda least=unheard + number // 10: any(int(m[1]) > least for m in map(SWEPT.search, recorder.lines) if m),
                      "a sweep to find the processes whose exit was lost; the recorder said: %s" % recorder.lines, PATIENCE)
        let_settle(url)
        tap.ok(True, "%s: a sweep ends who has ended unheard" % name)
    held = [int(m[2]) for m in map(SWEPT.search, recorder.lines) if m]
    tap.say("held at the sweeps: %s" % held)
    tap.equal(churn.stop(), 0, "the workload ends well")
    let_settle(url)
    held = end(tap, recorder, "exits lost")
    check_held(tap, "exits lost", held, len(live.children()) + OTHERS, 65536 + OTHERS, OTHERS)
    live.check_balance(tap, url, "exits lost")
    lost = {row["reason"]: row["lost"] for row in live.rows(url, "select reason, sum(lost) as lost from loss group by reason")}
    tap.ok(any("process records" in reason for reason in lost), "the loss is a row: %s" % lost)
    written = live.value(url, "select sum(write_bytes) from io where process_id in (select id from process where ppid = %d or comm = '(unknown)'"
                              " or comm = '(other processes)')" % churn.pids()[0])
    tap.ok(written >= churn.written() + churn.number, "what the processes wrote is in the books: %s of %d" % (written, churn.written() + churn.number))
    mine = live.rows(url, "select comm, count(*) as n from process where pid in (%s) group by comm" % ", ".join(map(str, churn.pids())))
    tap.ok("(unknown)" not in {row["comm"] for row in mine}, "who was there all the time is known: %s" % mine)


PLACES = 65536
ENTRY = struct.Struct("=12xI16x")  # struct iol_task of src/abi/event.h, of which the pid


def map_of_processes(pid, kind, entries):
    """A descriptor of our own for the recorder's map with processes that is of this kind."""
    wanted = {"map_type": kind, "key_size": 4, "value_size": ENTRY.size, "max_entries": entries}
    for name in os.listdir("/proc/%d/fdinfo" % pid):
        with open("/proc/%d/fdinfo/%s" % (pid, name), encoding="ascii") as info:
            text = info.read()
        if all(re.search(r"^%s:\s+%d$" % what, text, re.M) for what in wanted.items()):
            return ctypes.CDLL(None, use_errno=True).syscall(438, os.pidfd_open(pid), int(name), 0)  # pidfd_getfd(2)
    raise live.Failure("the recorder has no such map of processes")


class Table:
    """The recorder's table of processes: places, and a map for those that find theirs taken."""

    def __init__(self, pid):
        self.more = map_of_processes(pid, 1, 32768)
        self.places = mmap.mmap(map_of_processes(pid, 2, PLACES), ENTRY.size * PLACES)


NOBODY = 1 << 30  # no process has this number, nor one above it, nor one that is a little below
ROOM = 1000  # more entries than there are new processes at any moment
UPDATE, DELETE = 2, 3  # BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM


def on_entries(command, table, pids):
    """bpf(2) with the entries of these processes, up to the first that fails; how many did not."""
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    key, value = ctypes.c_uint32(), (ctypes.c_char * ENTRY.size)()
    at_value = ctypes.addressof(value) if command == UPDATE else 0  # what a command does not take has to be 0
    attributes = struct.pack("=IIQQQ", table, 0, ctypes.addressof(key), at_value, 0)
    for done, pid in enumerate(pids):
        key.value = pid
        if libc.syscall(number, command, attributes, len(attributes)) != 0:
            return done
    return len(pids)


def fill(table):
    """Entries of processes that are none, until no more fit."""
    free = [i for i, (pid,) in enumerate(ENTRY.iter_unpack(table.places)) if pid == 0]
    for i in free:
        struct.pack_into("=I", table.places, ENTRY.size * i + 12, NOBODY + i)
    return len(free) + on_entries(UPDATE, table.more, range(NOBODY + PLACES, 2 * NOBODY))


def has_room(table):
    """
    A sweep leaves few places when the table was filled meanwhile. Another one comes after another loss, as soon as that takes little
    of the time: where there is not enough room the table is full afterwards, and a process is lost.
    """
    more = range(NOBODY - ROOM, NOBODY)
    if on_entries(UPDATE, table.more, more) < ROOM:
        subprocess.run(["true"], check=True)
        return False
    return on_entries(DELETE, table.more, more) == ROOM


def full_table(tap, scratch):
    """No room in the map of processes: what they do is counted under their names all the same, and the table recovers."""
    if platform.machine() not in ("x86_64", "aarch64"):
        raise live.Skip("the number of bpf(2) is not known here")
    url = live.new_url("sqlite", scratch)
    churn = Churn(scratch, 2, 100)
    recorder = live.Recorder(url, "--interval", "0.25s", "--max-accounts", "262144", "--verbose")
    lost = "select coalesce(sum(lost), 0) from loss where reason like 'process table full%'"
    table = Table(recorder.pid)

    def over_and_full():
        """A sweep that finds the table full empties it: so that the churn meets it full, it is filled again and again."""
        fill(table)
        return churn.over()

    tap.say("%d entries filled in" % fill(table))
    churn.begin(max(500, live.fewer(2000)))
    live.wait_for(over_and_full, "the processes to have run", PATIENCE)
    live.wait_for(lambda: stored(url, churn), "all of it to be stored", PATIENCE)
    live.wait_for(lambda: live.value(url, lost) > 0, "the loss to be a row", PATIENCE)
    live.wait_for(lambda: any(SWEPT.search(line) for line in recorder.lines), "a sweep, which empties the table", PATIENCE)
    # the next sweep comes no sooner than after fifty times as long as the last one took, which with a full table is seconds on a slow processor
    live.wait_for(lambda: has_room(table), "a sweep since it was filled for the last time", 4 * PATIENCE)
    let_settle(url)
    before = live.value(url, lost)
    churn.begin(max(500, live.fewer(2000)))
    live.wait_for(churn.over, "more processes to have run", PATIENCE)
    live.wait_for(lambda: stored(url, churn), "all of it to be stored", PATIENCE)
    tap.equal(live.value(url, lost), before, "the table has room again: %d lost before" % before)
    tap.equal(churn.stop(), 0, "the workload ends well")
    check_held(tap, "full table", end(tap, recorder, "full table"), len(live.children()) + OTHERS, 65536 + OTHERS, OTHERS)
    live.check_balance(tap, url, "full table")
    if live.hooks_left_out(url):
        tap.skip("full table: what each process did", "this kernel leaves out hooks where a table is filled by bpf(2) calls, as the test does")
    else:
        check_exact(tap, url, churn, "full table")


def quiet_interval(tap, scratch):
    """Accounts of a process that has ended are free again when nothing else happens, so that the next one finds as many."""
    slots, files = 512, 300
    url = live.new_url("sqlite", scratch)
    size = sum(os.path.getsize(worklib.new_file(scratch, "quiet-%d" % i)) for i in range(files))
    with subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        recorder = live.Recorder(url, "--interval", "0.25s", "--max-accounts", str(slots), "--pid", str(shell.pid), "--verbose")

        def is_over(turns):
            found = json.loads(live.run("status", "--format", "json", "--pid", str(recorder.pid)).stdout)
            return (live.value(url, "select sum(read_bytes) from io") or 0) >= turns * size and found[0]["accounts"] < files / 2

        for turn in range(3):
            shell.stdin.write("cat %s/quiet-* > /dev/null; echo $?\n" % scratch)
            shell.stdin.flush()
            tap.equal(shell.stdout.readline(), "0\n", "turn %d: %d files were read" % (turn + 1, files))
            live.wait_for(lambda turns=turn + 1: is_over(turns), "the accounts of cat to have been posted, and to be no more", PATIENCE)
        shell.stdin.close()
        tap.equal((shell.wait(live.PATIENCE), recorder.stop()), (0, 0), "shell and recorder end well")
    tap.equal(live.losses(url), [], "nothing was lost")
    read = live.rows(url, "select count(*) as files, sum(bytes) as bytes from (select file_id, sum(read_bytes) as bytes from io where file_id in"
                          " (select id from file where path like '%s/quiet-%%') group by file_id) t" % scratch)
    tap.equal(read, [{"files": files, "bytes": 3 * size}], "each file was read by each cat")


live.main(pairs, hour, lost_exits, full_table, quiet_interval)
