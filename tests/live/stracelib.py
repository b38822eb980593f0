# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""strace as a second witness: the accounts of its output, those of a ledger in the same form, and where the two differ."""
import os
import re
import subprocess

import livelib as live

CALLS = {
    "read": "rw", "pread64": "rw", "readv": "rw", "preadv": "rw", "preadv2": "rw",
    "write": "rw", "pwrite64": "rw", "writev": "rw", "pwritev": "rw", "pwritev2": "rw",
    "sendfile": "sendfile", "splice": "splice", "copy_file_range": "copy_file_range",
}
OTHERS = ("execve", "execveat", "fork", "vfork", "clone", "clone3")
# -xx: every byte of a name as \xHH, so that none can be mistaken. -X raw: flags as numbers.
# No --seccomp-bpf: what stops a call must be the same for all of them.
STRACE = ["strace", "-f", "-y", "-xx", "-s", "0", "-X", "raw", "-e", "signal=none", "-e", "trace=" + ",".join((*CALLS, *OTHERS))]
CLONE_THREAD = 0x10000

LINE = re.compile(rb"^(\d+) +(.*)$")
CALL = re.compile(rb"^(\w+)\((.*)$")
RESUMED = re.compile(rb"^<\.\.\. (\w+) resumed>(.*)$")
UNFINISHED = re.compile(rb"<(?:unfinished|pid changed to \d+) \.\.\.>$")
SUPERSEDED = re.compile(rb"^\+\+\+ superseded by execve in pid (\d+)")
RESULT = re.compile(rb"\) += (-?\d+|\?|0x[0-9a-f]+)(?: (E\w+))?")
DESCRIPTOR = re.compile(rb"(-?\d+)(<[^>]*>(?:\(deleted\))?)?(?=[,)]| <unfinished)")
NAME = re.compile(rb'^"((?:\\x[0-9a-f]{2})*)"')


def unhex(text):
    return bytes(int(text[i + 2:i + 4], 16) for i in range(0, len(text), 4))


class Strace:
    """The accounts of a strace output: {(pid, image number, path, route): counters}, and {(pid, image number): comm}.

    Image 0 of a pid is the fork, each exec that succeeds begins the next. A thread counts for its process.
    """

    def __init__(self, path):
        self.accounts, self.comms, self.problems = {}, {}, []
        self.operations = 0
        self.process_of, self.image, self.unfinished = {}, {}, {}
        with open(path, "rb") as file:
            lines = [self.split(line) for line in file.read().split(b"\n") if line]
        self.find_threads(lines)
        for tid, text in lines:
            self.take(tid, text)
        for tid, (name, text) in self.unfinished.items():
            self.problems.append("%d: never finished: %s(%s" % (tid, name, text.decode("ascii", "replace")))

    @staticmethod
    def split(line):
        match = LINE.match(line)
        if not match:
            raise live.Failure("strace output that is not understood: %r" % line)
        return int(match[1]), match[2]

    def find_threads(self, lines):
        """Before anything else: a thread's first lines may come before those of the clone that made it."""
        open_flags = {}
        for tid, text in lines:
            name = (CALL.match(text) or RESUMED.match(text) or [None, None])[1]
            if name not in (b"clone", b"clone3", b"fork", b"vfork"):
                continue
            flags = re.search(rb"flags=([0-9a-fx|]+)", text)
            if flags:
                open_flags[tid] = sum(int(word, 0) for word in flags[1].split(b"|"))
            result = RESULT.search(text)
            # "= ? ERESTARTNOINTR": a signal came first, and the call is made once more.
            if result and result[1] != b"?" and not UNFINISHED.search(text) and int(result[1], 0) > 0:
                child = int(result[1], 0)
                if child in self.process_of:
                    self.problems.append("pid %d came twice in one run: run it again" % child)
                is_thread = name in (b"clone", b"clone3") and open_flags.get(tid, 0) & CLONE_THREAD
                self.process_of[child] = tid if is_thread else child
                open_flags.pop(tid, None)

    def process(self, tid):
        while self.process_of.get(tid, tid) != tid:
            tid = self.process_of[tid]
        return tid

    def take(self, tid, text):
        superseded = SUPERSEDED.match(text)
        if superseded and int(superseded[1]) in self.unfinished:
            # An exec by another thread is resumed under the main thread's id.
            self.unfinished[tid] = self.unfinished.pop(int(superseded[1]))
        if text.startswith((b"+++", b"---")):
            return
        resumed = RESUMED.match(text)
        if resumed:
            begun = self.unfinished.pop(tid, None)
            if not begun:
                self.problems.append("%d: resumed what never began: %r" % (tid, text))
                return
            name, text = begun[0], begun[1] + resumed[2]
        else:
            call = CALL.match(text)
            if not call:
                self.problems.append("%d: not understood: %r" % (tid, text))
                return
            name, text = call[1].decode(), call[2]
            unfinished = UNFINISHED.search(text)
            if unfinished:
                self.unfinished[tid] = (name, text[:unfinished.start()])
                return
        result = None
        for result in RESULT.finditer(text):
            pass
        if not result:
            self.problems.append("%d: no result: %s%r" % (tid, name, text))
        elif name in CALLS:
            self.book(self.process(tid), name, text, result)
        elif name in ("execve", "execveat") and result[1] == b"0":
            pid = self.process(tid)
            self.image[pid] = self.image.get(pid, 0) + 1
            self.comms[pid, self.image[pid]] = os.path.basename(unhex(NAME.match(text)[1]))[:15]

    def book(self, pid, name, text, result):
        returned = -1 if result[2] or result[1] == b"?" else int(result[1], 0)
        first = self.path(text)
        if name in ("sendfile", "splice", "copy_file_range"):
            after = DESCRIPTOR.match(text).end()
            # splice and copy_file_range have an offset between the two descriptors.
            skipped = re.match(rb", (?:NULL|\[[^]]*\](?: => \[[^]]*\])?|0x[0-9a-f]+)", text[after:]) if name != "sendfile" else None
            second = self.path(text[after + (skipped.end() if skipped else 0) + 2:])
            source, target = (second, first) if name == "sendfile" else (first, second)
            self.count(pid, source, CALLS[name], 0, returned)
            self.count(pid, target, CALLS[name], 3, returned)
        else:
            self.count(pid, first, CALLS[name], 3 if "write" in name else 0, returned)

    @staticmethod
    def path(text):
        match = DESCRIPTOR.match(text)
        if not match:
            raise live.Failure("no descriptor in strace's %r" % text)
        if not match[2]:
            return "(no open file)"
        raw = unhex(match[2][1:match[2].rindex(b">")])
        if raw.startswith(b"pipe:["):
            return "(pipes)"
        if raw.startswith(b"socket:["):
            return "(sockets)"
        return live.stored(raw)

    def count(self, pid, path, route, at, returned):
        self.operations += 1
        counters = self.accounts.setdefault((pid, self.image.get(pid, 0), path, route), [0] * 6)
        if returned < 0:
            counters[at + 2] += 1
        else:
            counters[at] += 1
            counters[at + 1] += returned


def ledger_accounts(url, seen_pids):
    """The same from the database. Left out are strace itself, which the recorder forked, and its fork that becomes the first command."""
    strace_exe = os.path.realpath(subprocess.run(["sh", "-c", "command -v strace"], capture_output=True, text=True, check=True).stdout.strip())
    images = {}
    for row in live.rows(url, "select id, pid, start_time, exec_time, origin, comm, exe from process"):
        images.setdefault(row["pid"], []).append(row)
    number, comms, strangers = {}, {}, []
    for pid, mine in images.items():
        mine.sort(key=lambda r: (str(r["start_time"]), r["origin"] == "exec", str(r["exec_time"])))
        if mine[0]["origin"] == "exec" and mine[0]["comm"] != "strace":
            strangers.append("pid %d has no row for its fork: %s" % (pid, mine[0]))
        for i, row in enumerate(mine):
            number[row["id"]] = (pid, i)
            comms[pid, i] = row["comm"]
    booked = {}
    for row in live.accounts(url):
        if row["exe"] == strace_exe and row["comm"] == "strace":
            continue
        if row["process_id"] not in number:
            strangers.append("io of no process: %s" % live.describe(row))
            continue
        pid, image = number[row["process_id"]]
        if pid not in seen_pids:
            strangers.append("strace never saw this: %s" % live.describe(row))
        key = (pid, image, row["path"], row["route"])
        booked[key] = [a + row[c] for a, c in zip(booked.get(key, [0] * 6), live.COUNTERS)]
    return booked, comms, strangers


def differences(seen, comms, booked, ledger_comms):
    found = []
    for key in sorted(set(seen) | set(booked)):
        a, b = seen.get(key), booked.get(key)
        if a != b:
            comm = comms.get(key[:2]) or ledger_comms.get(key[:2]) or "(fork)"
            found.append("pid %d image %d %s: %r %s" % (key[0], key[1], comm, key[2], key[3]))
            for counter, s, l in zip(live.COUNTERS, a or [0] * 6, b or [0] * 6):
                if s != l:
                    found.append("    %-12s strace %12d, ledger %12d (%+d)" % (counter, s, l, l - s))
    return found
