# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What the books of the recordings in a guest must say: of tests/vm/workload, tests/vm/habits, of recorders that were killed."""
import os
import sqlite3


class Books:
    """One recording, as the guest handed it over."""

    def __init__(self, folder, name):
        self.folder = folder
        self.name = name
        self.db = sqlite3.connect(os.path.join(folder, name + ".db"))

    def text(self, step):
        with open(os.path.join(self.folder, step), encoding="utf-8", errors="backslashreplace") as file:
            return file.read()

    def status(self, step=""):
        return int(self.text(self.name + step + ".status"))

    def said(self, step=""):
        return self.text(self.name + step + ".out") + self.text(self.name + step + ".err")

    def rows(self, sql, *values):
        return self.db.execute(sql, values).fetchall()

    def account(self, comm, path):
        """(read ops, read bytes, written ops, written bytes, flags) of a program and a file, all routes together."""
        found = self.rows("select sum(read_ops), sum(read_bytes), sum(write_ops), sum(write_bytes), max(f.flags)"
                          " from io join process p on p.id = process_id join file f on f.id = file_id"
                          " where comm = ? and path = ?", comm, path)
        return found[0]


def check_reading(tap, books, name, losses=()):
    tap.ok(books.status("-balance") == 0, name + ": the books balance", books.said("-balance"))
    columns = "sum(read_ops), sum(read_bytes), sum(read_errors), sum(write_ops), sum(write_bytes), sum(write_errors)"
    query = "select ts, route, %s from %s group by 1, 2 having sum(read_ops + write_ops + read_errors + write_errors) > 0 order by 1, 2"
    io_rows, total_rows = (books.rows(query % (columns, table)) for table in ("io", "total"))
    tap.ok(io_rows == total_rows and io_rows, "%s: io equals total in each of %d intervals and routes" % (name, len(io_rows)),
           io_rows, total_rows)
    tap.equal(books.rows("select reason, sum(lost) from loss group by 1"), list(losses),
              name + (": no losses but that" if losses else ": no losses"))
    for step in ("-files", "-tree", "-who"):
        tap.ok(books.status(step) == 0 and books.text(books.name + step + ".out").strip(), name + ": ioledger " + step[1:],
               books.said(step))


def check_workload(tap, books, name, place, losses):
    tap.ok(books.status() == 3, name + ": record runs, and exits as its command does", books.said()[-6000:])
    text = sum(len(str(i)) + 1 for i in range(1, 2001))
    deep = place + "/" + "".join("component%d/" % i for i in range(10)) * 10 + "file"
    tap.equal(books.account("dd", place + "/bytes"), (1000, 1000, 0, 0, None), name + ": dd reads 1000 times 1 byte")
    tap.equal(books.account("dd", place + "/dd_out"), (0, 0, 1000, 1000, None), name + ": dd writes 1000 times 1 byte")
    tap.equal(books.account("cat", place + "/text")[1], text, name + ": cat reads its file")
    tap.equal(books.account("cat", place + "/cat_out")[3], text, name + ": cat writes its file")
    tap.equal(books.account("cat", place + "/moved")[1], text, name + ": a renamed file has its new name")
    tap.equal(books.account("cp", place + "/bytes")[1], 5000, name + ": cp reads its file")
    tap.equal(books.account("cp", place + "/cp_out")[3], 5000, name + ": cp writes its file")
    tap.equal(books.account("sort", "(pipes)")[3], text, name + ": sort writes to a pipe")
    tap.equal(books.account("sh", deep), (0, 0, 1, 4, None), name + ": a path of a hundred folders")
    tap.equal(books.account("sh", place + "/gone"), (0, 0, 1, 5, "deleted"), name + ": a deleted file")
    tap.equal(books.account("sh", place + "/new\nline"), (0, 0, 1, 4, None), name + ": a name with a line break")
    tap.equal(books.rows("select f.path, result from event left join file f on f.id = file_id where event.kind = 'exec_failed'"),
              [("./nothing", -2)], name + ": the exec that failed")
    tap.equal(books.rows("select exe, argv, cwd, uid, origin from process where comm = 'dd'"),
              [("/usr/bin/dd", "dd if=bytes of=dd_out bs=1 count=1000", place, 0, "exec")],
              name + ": exe, arguments and working directory")
    tap.equal(books.rows("select distinct q.comm from process p join process q on q.id = p.parent_id where p.comm = 'dd'"),
              [("sh",)], name + ": who started dd")
    exits = books.rows("select exit_code, signal from process_exit where coalesce(exit_code, 0) <> 0 or coalesce(signal, 0) <> 0"
                       " order by 1, 2")
    tap.ok({(e or 0, s or 0) for e, s in exits} >= {(0, 9), (7, 0), (3, 0)}, name + ": ends of processes", exits)
    for reason, _ in losses:
        tap.ok(reason.split(": ")[1] + ": it will not be in the books" in books.said(), "%s: record says: %s" % (name, reason))
    check_reading(tap, books, name, losses)


def check_sleep(tap, books, name, place):
    """The guest has slept for some seconds, which the clock since boot counts and the monotonic one does not."""
    clocks = [[int(word) for word in line.split(" ")[1:]] for line in books.text(books.name + ".out").split("\n") if line.startswith("clocks ")]
    (wall, boot, awake), (wall_after, boot_after, awake_after) = clocks
    slept = boot_after - boot - (awake_after - awake)
    tap.ok(slept >= 3, name + ": the guest slept", clocks)
    when = [books.rows("select cast(strftime('%s', min(first_ts)) as integer), cast(strftime('%s', max(last_ts)) as integer) from io"
                       " join file f on f.id = file_id where f.path = ? and write_ops > 0", place + "/" + file)[0] for file in ("dozes", "wakes")]
    tap.ok(wall - 10 <= when[0][0] <= when[0][1] <= wall and wall_after <= when[1][0] <= when[1][1] <= wall_after + 20,
           name + ": what was before and after its sleep has the time of the clock on the wall", clocks, when)


def check_habits(tap, books, name, place, losses):
    """What tests/vm/habits did, on a CPU that comes and goes, with a clock that is set; the JIT hardened, the kernel locked down if it can be."""
    tap.ok(books.status() == 0, name + ": record runs, and exits as its command does", books.said()[-3000:])
    tap.equal(books.account("dd", place + "/bytes")[:2], (6000, 6000), name + ": dd reads 6000 times 1 byte")
    check_sleep(tap, books, name, place)
    boxed = books.rows("select distinct p.cgroup from io join process p on p.id = process_id join file f on f.id = file_id"
                       " where f.path = ? and write_ops > 0", place + "/boxed")
    tap.equal(boxed, [("/box",)], name + ": a cgroup of the first version")
    for turn in ("before", "alone", "after"):
        wrote = [books.account("dd", "%s/%s%d" % (place, turn, i))[2:4] for i in (1, 2, 3)]
        tap.equal(wrote, [(500, 500)] * 3, "%s: dd writes %s, 500 times each" % (name, turn))
    backwards = books.rows("select count(*) from io where first_ts > last_ts or interval_ms < 0 or interval_ms > 600000")
    tap.equal(backwards, [(0,)], name + ": no interval runs backwards, or an hour")
    span = books.rows("select max(strftime('%s', ts)) - min(strftime('%s', ts)) from io")[0][0]
    tap.ok(3000 < span < 4200, name + ": rows have the time that the clock shows, and intervals their true length", span)
    check_reading(tap, books, name, losses)


def check_pins(tap, books, name, place, losses):
    """Two recorders that were killed, 100 reads in the time of each, and 1000 after each."""
    tap.ok(books.status() == 0, name + ": stop --unpin", books.said()[-3000:], books.text(books.name + "-second.err")[-3000:])
    tap.equal(books.account("dd", place + "/bytes")[:2], (2200, 2200), name + ": dd reads 2200 times 1 byte")
    fexit = "__x64_sys_read" in books.text(books.name + ".links") or "on_calls" in books.text(books.name + ".links")
    tap.equal((fexit, books.rows("select distinct probes from recording")), ("fexit" in name, [("fexit" if "fexit" in name else "tracepoint",)]),
              name + ": the hooks that are pinned are those of the set")
    recordings = books.rows("select count(*) from recording")[0][0]  # two, and stop --unpin: what has no probe is told in each
    tap.equal(recordings, 3, name + ": each recorder is in the books")
    check_reading(tap, books, name, [(reason, recordings * n) for reason, n in losses])


def check_system(tap, books, name, place, losses):
    tap.ok(books.status() == 0, name + ": record --duration", books.said())
    tap.equal(books.account("dd", place + "/bytes")[:2], (100, 100), name + ": a program that began later")
    tap.equal(books.rows("select exe, ppid from process where pid = 1 and origin = 'running'"), [("/usr/bin/busybox", 0)],
              name + ": process 1, which ran already")
    kernel = books.rows("select count(*) from process where origin = 'running' and flags like '%kernel%'")
    tap.ok(kernel[0][0] > 5, name + ": the kernel's own threads", kernel)
    check_reading(tap, books, name, losses)


def check_comm(tap, books, name, place, losses):
    tap.ok(books.status() == 0, name + ": record --comm", books.said())
    tap.equal(books.account("dd", place + "/bytes")[:2], (200, 200), name + ": the program asked for")
    tap.equal(books.rows("select distinct comm from io join process p on p.id = process_id"), [("dd",)], name + ": and no other")
    check_reading(tap, books, name, losses)


FOLDERS = ("-habits", "-pins")  # whose files stand in a folder of their own
CHECKS = {"": check_workload, "-system": check_system, "-comm": check_comm, "-habits": check_habits, "-pins": check_pins}
