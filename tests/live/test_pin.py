#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Whatever kills the recorder and whenever: with --pin the next one goes on with the same books, and without it nothing stays.

$IOLEDGER_KILLS is how often the recorder is killed (20); $IOLEDGER_SEED chooses the moments.
"""
import contextlib
import ctypes
import errno
import mmap
import os
import platform
import random
import re
import signal
import stat
import struct
import subprocess
import tempfile
import time

import livelib as live

KILLS = int(os.environ.get("IOLEDGER_KILLS", "20"))
SEED = int(os.environ.get("IOLEDGER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def pin_folder(scratch):
    """A place to pin things that is this test's own; it goes with the scratch folder."""
    os.environ["STATE_DIRECTORY"] = os.path.join(scratch, "state")  # for the spool
    mount = os.path.join(scratch, "bpf")
    os.makedirs(mount, exist_ok=True)
    if not os.path.ismount(mount):
        done = subprocess.run(["mount", "-t", "bpf", "-o", "nosuid,nodev,noexec,mode=700", "bpf", mount],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise live.Skip("no bpf file system can be mounted here: " + done.stderr)
    return os.path.join(mount, "ioledger")


class Bpf:
    """What of bpf(2) it takes to see whether a thing is in the kernel, and to change what is pinned."""
    NUMBER = {"x86_64": 321, "aarch64": 280}.get(platform.machine())
    LOOKUP, UPDATE, GET, NEXT_ID = 1, 2, 7, {"map": 12, "prog": 11, "link": 31}

    @classmethod
    def call(cls, command, attributes):
        """The result, and the attributes as they are then."""
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(attributes, 128)
        result = libc.syscall(cls.NUMBER, command, buffer, len(buffer))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result, buffer.raw

    @classmethod
    def is_there(cls, kind, number):
        """
        By the number that follows the one before it: a descriptor of a prog_array that is on its way out would keep it there for good, as
        prog_array_map_clear() takes a reference each time that the last descriptor is closed, and its work, when it is queued already, gives one back.
        """
        try:
            return struct.unpack_from("=I", cls.call(cls.NEXT_ID[kind], struct.pack("=I", number - 1))[1], 4)[0] == number
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return False

    @classmethod
    def open(cls, path):
        name = ctypes.create_string_buffer(os.fsencode(path))
        return cls.call(cls.GET, struct.pack("=QII", ctypes.addressof(name), 0, 0))[0]

    @classmethod
    def change(cls, path, offset, number):
        """Puts a 32-bit number, or what a function makes of the one that is there, into the only value of a map."""
        fd = cls.open(path)
        with open("/proc/self/fdinfo/%d" % fd, encoding="ascii") as file:
            size = int(re.search(r"^value_size:\s*(\d+)", file.read(), re.M)[1])
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(size)
        where = struct.pack("=IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
        cls.call(cls.LOOKUP, where)
        if callable(number):
            number = number(struct.unpack_from("=I", value, offset)[0])
        struct.pack_into("=I", value, offset, number)
        cls.call(cls.UPDATE, where)
        os.close(fd)


def ids_in(fdinfo):
    """What a descriptor's fdinfo says it holds: (kind, id)."""
    with open(fdinfo, encoding="ascii", errors="replace") as file:
        return set((kind, int(number)) for kind, number in re.findall(r"^(map|prog|link)_id:\s*(\d+)", file.read(), re.M))


def ids_of(pid):
    found = set()
    for name in os.listdir("/proc/%d/fdinfo" % pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found |= ids_in("/proc/%d/fdinfo/%s" % (pid, name))
    return found


def ids_pinned(folder):
    found = set()
    for part, _, names in os.walk(folder):
        for name in names:
            fd = Bpf.open(os.path.join(part, name))
            found |= ids_in("/proc/self/fdinfo/%d" % fd)
            os.close(fd)
    return found


def check_gone(tap, ids, name):
    def left():
        return sorted(one for one in ids if Bpf.is_there(*one))
    try:
        live.wait_for(lambda: not left(), "the kernel to have let go of everything", 2 * live.PATIENCE)
    except live.Failure:
        pass
    tap.ok(len(ids) > 20 and not left(), "%s: nothing of %d maps, programs and links is left in the kernel" % (name, len(ids)), left())


class Churn:
    """Processes that come and go: each reads the file three times and ends."""

    def __init__(self, scratch, name="churn"):
        self.file = os.path.join(scratch, name + ".input")
        self.done = os.path.join(scratch, name + ".done")
        with open(self.file, "wb") as file:
            file.write(b"0123456789" * 3)
        # the count goes up when a process has ended; the pause is a builtin's, so that nothing but dd is started
        script = ('n=0; while [ ! -e "$2.stop" ]; do dd if="$1" of=/dev/null bs=10 count=3 2>/dev/null; n=$((n + 1)); '
                  'read -t 0.01 <> "$2.fifo"; done; echo $n > "$2"')
        os.mkfifo(self.done + ".fifo")
        self.process = subprocess.Popen(["bash", "-c", script, "churn", self.file, self.done])

    def stop(self):
        with open(self.done + ".stop", "w", encoding="ascii"):
            pass
        self.process.wait(live.PATIENCE)
        with open(self.done, encoding="ascii") as file:
            return int(file.read())

    def check(self, tap, url, count, name):
        """
        Each process has its rows. A ring buffer that was full, on a machine that is overloaded, and hooks that the kernel left out (see
        check_counts()) cost as many of them as `loss` says.
        """
        lost = live.value(url, "select coalesce(sum(lost), 0) from loss where reason like 'ring buffer full%' or reason like '%exits missing'")
        if lost:
            tap.say("%s: the ring buffer was full, or hooks were left out: %d details were lost" % (name, lost))
        rows = [row for row in live.accounts(url, where="f.path = '%s'" % self.file) if row["pid"] != os.getpid()]
        odd = [live.describe(row) for row in rows if (row["read_ops"], row["read_bytes"], row["comm"]) != (3, 30, "dd")]
        tap.ok(count - lost <= len(rows) <= count and len({row["process_id"] for row in rows}) == len(rows),
               "%s: each of %d short processes has its account" % (name, count), "%d accounts" % len(rows))
        tap.ok(len(odd) <= lost, "%s: each has exactly what it did, under its name" % name, *odd[:10])
        # what no recorder saw of a process can be missing only when records were lost
        sql = ("select count(*) from process p where p.id in (select process_id from io where file_id in (select id from "
               "file where path = '%s')) and p.pid <> %d and %%s" % (self.file, os.getpid()))
        endless = live.value(url, sql % "not exists (select 1 from process_exit x where x.process_id = p.id)")
        tap.ok(endless <= lost, "%s: each has its end" % name, "%d have none" % endless)
        bare = live.rows(url, (sql % "(p.exe is null or p.argv is null or p.origin <> 'exec' or p.exec_time is null)").replace("count(*)", "p.*"))
        tap.ok(len(bare) <= lost, "%s: each is described, by its own exec" % name, "%d are not" % len(bare), *bare[:5])
        untold = live.value(url, sql % "not exists (select 1 from event e where e.process_id = p.id and e.kind = 'exec')")
        tap.ok(untold <= lost, "%s: each has the event of its exec" % name, "%d have none" % untold)


def kill(recorder):
    recorder.process.kill()
    recorder.wait()


def check_counts(tap, url, many, name):
    """Exactly what was done; where hooks are left out no more is missing than `loss` says."""
    done, lost = many.counts(), live.hooks_left_out(url, "calls not counted")
    wrong = many.differences(url, least={} if lost else done, most=done)
    booked = sum(row["read_ops"] + row["read_errors"] + row["write_ops"] + row["write_errors"]
                 for row in live.accounts(url, pids=set(many.pids()), route="rw", origin="fork"))
    tap.ok(not wrong and many.operations() - booked <= lost, "%s: each of %d (process, file) is in the books" % (name, len(done)),
           "%d differ; %d operations, %d booked, %d told as left out" % (len(wrong), many.operations(), booked, lost), *wrong[:10])
    if lost:
        tap.say("%s: hooks were left out, %d calls" % (name, lost))


def killed_on_sqlite(tap, scratch):
    """Killed at random moments: while it starts for the first time, while it takes over, while it records."""
    chance = random.Random(SEED)
    pin = "--pin=" + pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    # with room in the ring buffer for what a busy machine does while nobody reads it
    options = (pin, "--interval", "50ms", "--max-accounts", "262144")

    # the first start, until one has come to its end: a set of pins that is half made is no use to anybody
    for _ in range(KILLS // 4):
        recorder = live.Recorder(url, *options, wait=False)
        time.sleep(chance.uniform(0, live.longer(0.4)))
        kill(recorder)
    recorder = live.Recorder(url, *options)
    many = live.ManyControl(scratch, files=100, processes=live.crowd(3), threads=live.crowd(2))
    many.start()
    many.set("go")
    churn = Churn(scratch)
    takeovers = 0
    for _ in range(KILLS - KILLS // 4):
        time.sleep(chance.expovariate(1 / 0.3))
        kill(recorder)
        time.sleep(chance.choice((0, 0, 0.2)))
        wait = chance.random() < 0.7
        recorder = live.Recorder(url, *options, wait=wait)
        takeovers += wait
        if not wait:
            time.sleep(chance.uniform(0, live.longer(0.2)))
    kill(recorder)
    count = churn.stop()
    many.pause()
    recorder = live.Recorder(url, *options)
    status = recorder.stop()
    name = "sqlite, %d kills" % KILLS
    tap.say("seed %d; %d processes came and went, %d takeovers were waited for" % (SEED, count, takeovers))
    tap.equal(status, 0, name + ": the last recorder ends with exit status 0")
    check_counts(tap, url, many, name)
    churn.check(tap, url, count, name)
    live.check_balance(tap, url, name)
    many.stop()
    losses = [row for row in live.losses(url) if not row["reason"].startswith(("AIO", "io_uring", "ring buffer full")) and
              not (live.kernel() >= (7, 0) and row["reason"].startswith("hooks left out"))]
    tap.equal(losses, [], name + ": nothing was lost")


def nothing_stays_without_it(tap, scratch):
    for signum in live.some((signal.SIGKILL, signal.SIGTERM), 1):
        for command in live.some((None, ["sleep", "1000"]), 1):
            recorder = live.Recorder(live.new_url("sqlite", scratch), command=command)
            recorder.wait_ready()
            live.wait_for(lambda: len(ids_of(recorder.pid)) > 20, "the recorder to have its programs")
            ids = ids_of(recorder.pid)
            recorder.stop(signum)
            check_gone(tap, ids, "record%s, %s" % (" -- CMD" if command else "", signum.name))


def start_work(scratch, files):
    many = live.ManyControl(scratch, files=files, processes=live.crowd(2), threads=live.crowd(2))
    many.start()
    many.set("go")
    return many


def wait_for_operations(many, more):
    start, more = many.operations(), live.fewer(more)
    live.wait_for(lambda: many.operations() >= start + more, "%d more operations" % more)


def check_books(tap, url, many, name):
    check_counts(tap, url, many, name)
    live.check_balance(tap, url, name)


def unpinned(tap, scratch):
    """stop --unpin, when nobody records any more: nothing that was counted is lost, and nothing stays."""
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--pin=" + folder, "--interval", "100ms")
    many = start_work(scratch, files=100)
    wait_for_operations(many, 20000)
    ids = ids_of(recorder.pid) | ids_pinned(folder)
    kill(recorder)
    wait_for_operations(many, 20000)
    many.pause()
    stopped = live.run("stop", "--unpin=" + folder)
    tap.equal((stopped.returncode, stopped.stdout), (0, b""), "stop --unpin ends with exit status 0")
    check_books(tap, url, many, "stop --unpin")
    many.stop()
    check_gone(tap, ids, "stop --unpin")
    tap.ok(not os.path.exists(folder), "stop --unpin: the folder is gone")
    tap.equal(os.listdir(os.path.join(scratch, "state", "pinned")), [], "stop --unpin: the spool is gone")
    again = live.run("stop", "--unpin=" + folder)
    tap.ok(again.returncode == 1 and b"nothing is pinned in " + os.fsencode(folder) in again.stderr, "a second time there is nothing", again.stderr)


def unpinned_while_one_records(tap, scratch):
    """stop --unpin stops the recorder first."""
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--pin=" + folder, "--interval", "100ms")
    many = start_work(scratch, files=50)
    wait_for_operations(many, 10000)
    many.pause()
    ids = ids_of(recorder.pid) | ids_pinned(folder)
    stopped = live.run("stop", "--unpin=" + folder)
    tap.equal(stopped.returncode, 0, "stop --unpin ends with exit status 0")
    tap.equal(recorder.wait(), 0, "and so does the recorder")
    check_books(tap, url, many, "stop --unpin while one records")
    check_gone(tap, ids, "stop --unpin while one records")
    many.stop()


def unpinned_in_pieces(tap, scratch):
    """stop --unpin is killed again and again, until one comes to its end."""
    chance = random.Random(SEED)
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    for _ in live.some(range(4), 1):
        recorder = live.Recorder(url, "--pin=" + folder, "--interval", "100ms")
        many = start_work(tempfile.mkdtemp(dir=scratch), files=100)
        wait_for_operations(many, 10000)
        kill(recorder)
        wait_for_operations(many, 10000)
        many.pause()
        stopper, pieces = None, 0
        while stopper is None or stopper.returncode != 0:
            stopper = subprocess.Popen([live.IOLEDGER, "stop", "--unpin=" + folder], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                stopper.wait(chance.uniform(0, live.longer(0.3)))
            except subprocess.TimeoutExpired:
                stopper.kill()
                stopper.wait()
                pieces += 1
            if not os.path.exists(folder):
                break
        check_books(tap, url, many, "stop --unpin in %d pieces" % (pieces + 1))
        many.stop()


def stopped_and_resumed(tap, scratch):
    """A recorder that is stopped leaves what is pinned, and the next one goes on; a second one at the same time does not begin."""
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    options = ("--pin=" + folder, "--interval", "100ms")
    recorder = live.Recorder(url, *options)
    many = start_work(scratch, files=100)
    tap.equal([stat.S_IMODE(os.stat(os.path.join(folder, part)).st_mode) for part in ("", "maps", "programs", "links")], [0o700] * 4,
              "what is pinned is for its owner only")
    second = live.run("record", "--db", live.new_url("sqlite", scratch), *options)
    tap.ok(second.returncode == 1 and b"another recorder (pid %d)" % recorder.pid in second.stderr, "a second recorder is told whom it would disturb",
           second.stderr)
    signals = live.some((signal.SIGINT, signal.SIGTERM), 1)
    for signum in signals:
        wait_for_operations(many, 10000)
        tap.equal(recorder.stop(signum), 0, "%s: exit status 0" % signum.name)
        tap.ok(any("stop --unpin" in line for line in recorder.lines), "%s: it says that the kernel goes on counting" % signum.name, recorder.errors())
        wait_for_operations(many, 10000)
        recorder = live.Recorder(url, *options)
    other = live.new_url("sqlite", scratch)
    recorder.stop()
    refused = live.run("record", "--db", other, *options)
    tap.ok(refused.returncode == 1 and os.fsencode(live.sqlite_path(url)) in refused.stderr, "counters that belong to other books are left alone",
           refused.stderr)
    many.pause()
    live.run("stop", "--unpin=" + folder)
    check_books(tap, url, many, "stopped and resumed")
    many.stop()
    excluded = live.rows(url, "select ended, excluded_ops from recording order by started")
    tap.ok(len(excluded) == len(signals) + 2 and all(row["ended"] and row["excluded_ops"] > 0 for row in excluded),
           "each recording has its end, and what it left out", excluded)


def number_at(path, size, *offsets):
    """64-bit numbers in the memory of a pinned map."""
    fd = Bpf.open(path)
    with contextlib.closing(mmap.mmap(fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, prot=mmap.PROT_READ)) as memory:
        os.close(fd)
        return [struct.unpack_from("=Q", memory, offset)[0] for offset in offsets]


def was_ending_an_epoch(folder):
    """Whether a recorder that is dead was about to: a tab of the epoch before the open one has not been settled (struct iol_thread)."""
    epoch = number_at(os.path.join(folder, "maps", "_data_control"), 8, 0)[0]
    tabs = [place * 1024 + 128 + side * 192 + 64 + tab * 64 for place in range(4096) for side in range(4) for tab in (0, 1)]
    return any(account and account >> 32 == epoch - 1 & 0xffffffff for account in number_at(os.path.join(folder, "maps", "_bss_threads"), 4096 * 1024, *tabs))


def between_two_steps(tap, scratch):
    """Dead at moments that random ones hardly hit: the maps are put into the state that such a death leaves."""
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    options = ("--pin=" + folder, "--interval", "100ms")
    # struct iol_control begins with the epoch, struct iol_fold with whether it is to be done
    for name, path, number in live.some((("an epoch ended, and nothing else of its end", "_data_control", lambda epoch: epoch + 1),
                                         ("a tab added to its account, and not known to be", "fold", 1)), 1):
        recorder = live.Recorder(url, *options)
        many = start_work(tempfile.mkdtemp(dir=scratch), files=20)
        wait_for_operations(many, 20000)
        epoch = number_at(os.path.join(folder, "maps", "_data_control"), 8, 0)[0]
        live.wait_for(lambda: number_at(os.path.join(folder, "maps", "_data_control"), 8, 0)[0] >= epoch + 3, "three epochs")
        kill(recorder)
        while was_ending_an_epoch(folder):
            recorder = live.Recorder(url, *options)
            wait_for_operations(many, 5000)
            kill(recorder)
        Bpf.change(os.path.join(folder, "maps", path), 0, number)
        wait_for_operations(many, 20000)
        many.pause()
        live.Recorder(url, *options).stop()
        check_books(tap, url, many, name)
        many.stop()
    live.run("stop", "--unpin=" + folder)


def entries_of(spool, old):
    """How many batches are whole in the segments that are not `old` (struct iol_segment_header, struct iol_entry_header)."""
    count = 0
    for name in set(os.listdir(spool)) - old if os.path.isdir(spool) else ():
        if name.endswith(".segment"):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(spool, name), "rb") as file:
                data, at = file.read(), 40
                while len(data) >= at + 144:
                    batch, _, journal = struct.unpack_from("=III", data, at + 56)
                    at += 144 + batch + journal
                    count += at <= len(data)
    return count


def killed_between_two_batches(tap, scratch):
    """
    An epoch had ended and was not posted: what was counted before is in one set of counters, what came after in the other, and whoever goes on
    makes a batch of each. Dead when the first one is in the spool, nothing of the other is lost.
    """
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    pinned = os.path.join(scratch, "state", "pinned")
    for turn in range(5):  # it may have been too late
        recorder = live.Recorder(url, "--pin=" + folder, "--interval", "100s")
        many = start_work(os.path.join(scratch, "turn-%d" % turn), files=100)
        wait_for_operations(many, 20000)
        kill(recorder)
        Bpf.change(os.path.join(folder, "maps", "_data_control"), 0, lambda epoch: epoch + 1)
        wait_for_operations(many, 20000)
        many.pause()
        spool = os.path.join(pinned, os.listdir(pinned)[0])
        old = set(os.listdir(spool))
        stopper = subprocess.Popen([live.IOLEDGER, "stop", "--unpin=" + folder], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        live.wait_for(lambda: entries_of(spool, old) >= 1 or stopper.poll() is not None, "its first batch", pause=0)
        stopper.kill()
        stopper.wait()
        between = entries_of(spool, old) == 1
        if os.path.exists(folder):
            live.run("stop", "--unpin=" + folder)
        check_books(tap, url, many, "stop --unpin, killed %s two batches" % ("between" if between else "after"))
        many.stop()
        if between:
            break


ABOUT_LAYOUT, ABOUT_ABI = 4, 8  # offsets in struct iol_about (abi/books.h)


def replaced(tap, scratch):
    """What other options, or another version, have pinned is posted to its end and replaced."""
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    more = ("--max-accounts", "70000")
    recorder = live.Recorder(url, "--pin=" + folder, "--interval", "100ms")
    for name, options, abi in live.some((("more accounts", more, None), ("another ABI", more, 1), ("other events", ("--events", "none"), None)), 1):
        many = start_work(os.path.join(scratch, name.replace(" ", "-")), files=50)
        wait_for_operations(many, 10000)
        kill(recorder)
        wait_for_operations(many, 10000)
        many.pause()
        if abi is not None:
            Bpf.change(os.path.join(folder, "about"), ABOUT_ABI, abi)
        old = ids_pinned(folder)
        recorder = live.Recorder(url, "--pin=" + folder, "--interval", "100ms", *options)
        tap.ok(any("replaced" in line for line in recorder.lines), name + ": the recorder says that it replaces what was pinned", recorder.errors())
        check_gone(tap, old, name)
        check_books(tap, url, many, name)
        many.stop()
    recorder.stop()
    tap.equal(live.run("stop", "--unpin=" + folder).returncode, 0, "stop --unpin ends with exit status 0")


def unknown_layout(tap, scratch):
    """What a version has pinned whose counters this one does not understand stays, until somebody says that it may go."""
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--pin=" + folder)
    kill(recorder)
    ids = ids_pinned(folder)
    Bpf.change(os.path.join(folder, "about"), ABOUT_LAYOUT, 99)
    for arguments in (("record", "--db", url, "--pin=" + folder), ("stop", "--unpin=" + folder)):
        done = live.run(*arguments)
        tap.ok(done.returncode == 1 and b"layout 99" in done.stderr and b"stop --unpin --discard" in done.stderr,
               "%s: one clear error that says what to do" % arguments[0], done.stderr)
    tap.equal(ids_pinned(folder), ids, "nothing was touched")
    done = live.run("stop", "--unpin=" + folder, "--discard")
    tap.equal(done.returncode, 0, "stop --unpin --discard takes it away")
    check_gone(tap, ids, "stop --unpin --discard")


def bad_folders(tap, scratch):
    url = live.new_url("sqlite", scratch)
    for pin, word in (("--pin=" + os.path.join(scratch, "x"), b"bpf file system"), ("--pin=x", b"absolute"), ("--pin=" + os.path.join(scratch, "no", "x"), b"no")):
        done = live.run("record", "--db", url, pin)
        tap.ok(done.returncode in (1, 2) and word in done.stderr and done.stderr.count(b"\n") <= 2, "%s: one clear error" % pin, done.stderr)
    done = live.run("record", "--db", url, "--pin", "--", "true")
    tap.equal(done.returncode, 2, "--pin goes with no CMD")


def short_of_room(tap, scratch):
    """While nobody records accounts run out: detail is lost, and the sums are not."""
    folder = pin_folder(scratch)
    url = live.new_url("sqlite", scratch)
    options = ("--pin=" + folder, "--interval", "100ms", "--max-accounts", "256")
    kill(live.Recorder(url, *options))
    many = start_work(scratch, files=1000)
    live.wait_for(lambda: len(many.counts()) == 1000 * many.processes, "the workload to have used its files")
    many.pause()
    recorder = live.Recorder(url, *options)
    recorder.stop()
    tap.equal(live.run("stop", "--unpin=" + folder).returncode, 0, "stop --unpin ends with exit status 0")
    done = [sum(column) for column in zip(*many.counts().values())]
    # when there is no slot for the process's (other files) either, its operations are those of (other processes)
    rows = [row for row in live.accounts(url, route="rw") if row["pid"] in many.pids() or row["comm"] == "(other processes)"]
    booked = [sum(row[c] for row in rows) for c in live.COUNTERS]
    tap.ok(all(got >= did for got, did in zip(booked, done)), "everything is in the books", "did %s, booked %s" % (done, booked))
    tap.ok(any(row["path"] == "(other files)" for row in rows), "some of it has no account of its own")
    tap.ok(live.value(url, "select count(*) from loss where reason like 'no free account%'") > 0, "and the ledger says so")
    live.check_balance(tap, url, "accounts ran out")
    many.stop()


if __name__ == "__main__":
    live.main(nothing_stays_without_it, bad_folders, stopped_and_resumed, unpinned, unpinned_while_one_records, unpinned_in_pieces, between_two_steps, killed_between_two_batches, replaced, unknown_layout, short_of_room,
              killed_on_sqlite)
