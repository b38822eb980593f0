# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""How much slower real programs are while ioledger records, beside an empty BPF program on the same hook and beside nothing."""
import contextlib
import dataclasses
import functools
import glob
import mmap
import os
import random
import shlex
import shutil
import signal
import sqlite3
import subprocess
import time

from benchlib import (MIN_ROUNDS, ROOT, Chart, Floor, Recorder, Result, Table, Unavailable, children_seconds, cpu_seconds,
                      drop_idle_time, in_turns, median, median_interval, paired_ratio, paired_ratios, percent, percent_interval,
                      resident_mb, run_seconds, say, significant)

STATES = ("nothing", "floor", "record")
AIMS = {"floor": 1.03, "nothing": 1.08}
SETTLE_SECONDS = 0.5  # what the last state left behind is taken down: maps are freed after a grace period
TREE_FILES = 30_000
TOP_FOLDERS = 20
SQLITE_TRANSACTIONS = 20_000
SQLITE_RUNS = 5  # half a second each
PGBENCH_TRANSACTIONS = 12_000  # of each of two clients
PROCESSES = 3_000
PIECES = 30  # of those processes
FIXED_WORK = 8 << 20  # bytes of fresh memory, some 5 ms
TICK_SECONDS = 0.004  # at which the kernel looks whether a process is in user mode
SURE = 0.03  # of a user time
IDLE_SECONDS = 3


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    title: str
    command: tuple
    fresh: str = ""  # a folder that is emptied before each run
    server: int = 0  # a process that works for it beside its children
    pieces: int = 0  # the command is run so many times with fixed work in between, as its user time cannot be told (see run_in_pieces)
    worst: bool = False  # next to no work for each file, and each of them new: it tells how bad it gets, and has no aim


@dataclasses.dataclass
class Run:
    wall: float
    cpu: float
    user: float  # seconds in user mode, where the recorder does nothing, or of fixed work: they tell how fast the machine was
    own_cpu: float = 0  # of the recorder, until all is stored
    resident: float = 0  # of the recorder, when the program ends
    ops: int = 0
    rows: int = 0
    lost: int = 0


def need(name):
    path = shutil.which(name)
    if not path:
        raise Unavailable("%s is not installed" % name)
    return path


def shell(script):
    return "sh", "-ec", script


def prepare(command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Unavailable("%s: %s" % (shlex.join(command)[:60], (done.stderr.strip() or "no message").split("\n")[-1]))
    return done.stdout.strip()


def files_in(folder):
    """How many the tree has there: in all of it, or in one of its top folders."""
    return significant(TREE_FILES if folder == "." else TREE_FILES // TOP_FOLDERS)


def source_tree(folder):
    """A tree as large projects have them: 30,000 files of some 2 kB in 1,000 folders; the same every time."""
    if os.path.exists(folder):
        return folder
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=chance.randint(2, 11))) for _ in range(5000)]
    for number in range(TREE_FILES):
        place = os.path.join(folder, "d%02d" % (number % TOP_FOLDERS), "d%02d" % (number // TOP_FOLDERS % 50))
        os.makedirs(place, exist_ok=True)
        lines = (" ".join(chance.choices(words, k=8)) for _ in range(chance.randint(5, 55)))
        with open(os.path.join(place, "file%05d.c" % number), "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
    return folder


def compile_program(scratch, files=None):
    """`files`: of the sources, in the order of their paths; all, when none is given."""
    source, output = os.path.join(ROOT, "src"), os.path.join(scratch, "objects")
    flags = prepare([need("pkg-config"), "--cflags", "sqlite3", "libpq", "jansson", "libxxhash"])
    need("cc")
    compiler = "cc -O2 -std=gnu17 -D_GNU_SOURCE '-DIOL_VERSION=\"0\"' %s -I%s" % (flags, shlex.quote(source))
    lines = []
    for path in sorted(glob.glob(source + "/base/*.c") + glob.glob(source + "/core/*.c") + glob.glob(source + "/store/*.c"))[:files]:
        lines.append("%s -c %s -o %s/%s.o" % (compiler, shlex.quote(path), output, os.path.basename(path)[:-2]))
    # An interrupted compiler leaves temporary files.
    script = "export TMPDIR=%s; printf '%%s\\0' %s | xargs -0 -P2 -n1 sh -c" % (
        output, " ".join(shlex.quote(line) for line in lines))
    return Program("compile", "cc -O2, %d files, two at a time" % len(lines), shell(script), output)


def tar_program(scratch, folder="."):
    tree, output = source_tree(os.path.join(scratch, "tree")), os.path.join(scratch, "archive")
    need("gzip")
    script = "tar -cf - --exclude=.git -C %s %s | gzip -4 >%s/tree.tar.gz" % (tree, folder, output)
    return Program("tar", "tar and gzip, %s files" % files_in(folder), shell(script), output)


def git_tree(scratch):
    """A repository with all of the tree in one commit; the commands that git is called with, whatever its user has set."""
    tree = source_tree(os.path.join(scratch, "tree"))
    git = ["env", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", need("git"), "-C", tree, "-c", "gc.auto=0"]
    if not os.path.exists(os.path.join(tree, ".git")):
        prepare([*git, "init", "-q"])
        prepare([*git, "add", "."])
        prepare([*git, "-c", "user.name=bench", "-c", "user.email=bench", "commit", "-qm", "all"])
    return shlex.join(git)


def git_status_program(scratch, times=60):
    script = "i=0; while [ $i -lt %d ]; do %s status; i=$((i + 1)); done" % (times, git_tree(scratch))
    return Program("git-status", "%d × git status, 30,000 files" % times, shell(script))


def git_grep_program(scratch, folder="."):
    script = "%s grep -cE '[a-z]+_[0-9]+' -- %s || test $? = 1" % (git_tree(scratch), folder)
    return Program("git-grep", "git grep, an expression, %s files" % files_in(folder), shell(script))


def git_words_program(scratch):
    """The worst that there is: next to no work with each file, and each of them new to each process."""
    script = "i=0; while [ $i -lt 8 ]; do %s grep -c no_such_line || test $? = 1; i=$((i + 1)); done" % git_tree(scratch)
    return Program("git-words", "8 × git grep, a word, 30,000 files", shell(script), worst=True)


def sqlite_program(scratch, journal, transactions=SQLITE_TRANSACTIONS, times=1, **options):
    """Not synced: while the disk is waited for, nothing is slower."""
    script, folder = os.path.join(scratch, journal + ".sql"), os.path.join(scratch, "sqlite")
    with open(script, "w", encoding="ascii") as file:
        file.write("PRAGMA synchronous = OFF;\nPRAGMA journal_mode = %s;\nCREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v TEXT);\n"
                   "CREATE INDEX t_k ON t (k);\n" % journal)
        for number in range(transactions):
            file.write("BEGIN; INSERT INTO t VALUES (%d, %d, '%s'); SELECT count(*), max(v) FROM t WHERE k = %d; COMMIT;\n" % (
                number, number * 7919 % 1009, "v" * 100, number % 1009))
    command = "%s -batch %s/work.db <%s" % (need("sqlite3"), folder, script)
    title = "sqlite3, %s transactions, journal_mode = %s" % (significant(transactions), journal)
    if times > 1:
        command = "i=0; while [ $i -lt %d ]; do rm -f %s/*; %s; i=$((i + 1)); done" % (times, folder, command)
        title = "%d × %s" % (times, title)
    return Program("sqlite-" + journal, title, shell(command), folder, **options)


def sqlite_wal_program(scratch, transactions=SQLITE_TRANSACTIONS, times=SQLITE_RUNS):
    return sqlite_program(scratch, "wal", transactions, times)


def sqlite_journal_program(scratch):
    """A new file for each transaction, that is removed at its end."""
    return sqlite_program(scratch, "delete", worst=True)


def pgbench_program(scratch, cleanup, transactions=PGBENCH_TRANSACTIONS):
    folder, cluster = os.path.join(scratch, "pg"), os.path.join(ROOT, "tests", "db", "pgcluster")
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/pgbench"), key=lambda path: float(path.split("/")[4]))
    if not found:
        raise Unavailable("pgbench is not installed")
    cleanup.callback(subprocess.run, [cluster, "remove", folder], check=False)
    url = prepare([cluster, "start", folder])
    prepare([found[-1], "-i", "-q", "-s", "5", url])
    with open(os.path.join(folder, "data", "postmaster.pid"), encoding="ascii") as file:
        server = int(file.readline())
    command = found[-1], "-c", "2", "-j", "1", "-t", str(transactions), "--random-seed=1", url
    title = "pgbench, 2 clients, %s transactions" % significant(2 * transactions)
    return Program("pgbench", title, command, server=server)


def processes_program(_scratch, processes=PROCESSES, pieces=PIECES):
    script = "i=0; while [ $i -lt %d ]; do /bin/true; i=$((i + 1)); done" % (processes // pieces)
    return Program("processes", "%s × /bin/true" % significant(processes), shell(script), pieces=pieces)


def with_children(pid):
    """(user time, system time) of a server, of its children and of those that have ended."""
    if not pid:
        return 0, 0
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
        children = [int(child) for child in file.read().split()]
    user, system = cpu_seconds(pid)
    for child in children:
        with contextlib.suppress(OSError):
            more = cpu_seconds(child)
            user, system = user + more[0], system + more[1]
    return user, system


def run_command(program):
    server = with_children(program.server)
    began = time.monotonic()
    process = subprocess.Popen(program.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               start_new_session=True)
    try:
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        process.stderr.close()
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Unavailable("%s: exit %d: %s" % (program.name, process.returncode, said.decode(errors="replace").strip()[-200:]))
    user, system = (after - before for before, after in zip(server, with_children(program.server)))
    user += usage.ru_utime
    return Run(wall, user + usage.ru_stime + system, user)


def fixed_work():
    """Seconds of CPU for memory that is touched for the first time: much of what a new process does, and the recorder does nothing in it.
    The time of a loop that only counts varies with the machine in another way than that of /bin/true, and would tell nothing of it."""
    began = time.thread_time()
    with mmap.mmap(-1, FIXED_WORK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with contextlib.suppress(OSError):  # a kernel without large pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        for place in range(0, FIXED_WORK, mmap.PAGESIZE):
            memory[place] = 1
    return time.thread_time() - began


def run_in_pieces(program):
    """For processes that last less than a tick of the kernel's clock, 4 ms: unless it has CONFIG_VIRT_CPU_ACCOUNTING_GEN, the kernel looks
    at each tick which mode a process is in, and gives all CPU time of one that has seen no tick as user time (cputime_adjust() in
    kernel/sched/cputime.c). What makes such processes slower would be taken for a slower machine. So `user` is the time of the fixed
    work between the pieces, which is in none of the other times."""
    whole = Run(0, 0, 0)
    for _ in range(program.pieces):
        piece = run_command(program)
        whole.wall += piece.wall
        whole.cpu += piece.cpu
        whole.user += fixed_work()
    return whole


def run(program):
    if program.fresh:
        shutil.rmtree(program.fresh, ignore_errors=True)
        os.makedirs(program.fresh)
    return run_in_pieces(program) if program.pieces else run_command(program)


def settle(recorder=None):
    """Until the recorder has caught up with what ran before it."""
    drop_idle_time()
    time.sleep(SETTLE_SECONDS)
    for _ in range(20 if recorder else 0):
        before = run_seconds(recorder.pid)
        time.sleep(0.2)
        if run_seconds(recorder.pid) - before < 0.002:
            return


def books(path):
    """(operations, rows of io, lost details) of a ledger."""
    with contextlib.closing(sqlite3.connect(path)) as ledger:
        return [ledger.execute(query).fetchone()[0] for query in (
            "SELECT coalesce(sum(read_ops + write_ops), 0) FROM total", "SELECT count(*) FROM io",
            "SELECT coalesce(sum(lost), 0) FROM loss")]


def record(bench, program):
    with Recorder(bench, bench.scratch) as recorder:
        settle(recorder)
        before = run_seconds(recorder.pid)
        found = run(program)
        found.resident = resident_mb(recorder.pid)
        others = children_seconds()
        if recorder.stop():
            raise Unavailable("ioledger: " + recorder.said().strip().split("\n")[-1])
        found.own_cpu = children_seconds() - others - before
    found.ops, found.rows, found.lost = books(recorder.path)
    os.unlink(recorder.path)
    return found


def measure_state(bench, program, state):
    if state == "record":
        return record(bench, program)
    with Floor(bench) if state == "floor" else contextlib.nullcontext():
        settle()
        return run(program)


def each(found, value):
    return {state: [getattr(one, value) for one in runs] for state, runs in found.items()}


def equal_speed(found):
    """{state: [wall clock time of a second of user mode, ...]}: what takes as long in user mode in all states had the same machine."""
    return {state: [run.wall / run.user for run in runs] for state, runs in found.items()}


def ticks_tell_speed(runs):
    """Whether the user time of a run is known well enough. Of n ticks within the run's CPU time those in user mode, a part p, are counted, as
    chance has it: so the user time is known to sqrt((1 - p) / (p n)) of it, one standard deviation. What has seen no tick in kernel
    mode may have seen none at all."""
    user, cpu = median([run.user for run in runs]), median([run.cpu for run in runs])
    return 0 < cpu - user <= SURE ** 2 * user * cpu / TICK_SECONDS


def tells_speed(program, runs):
    return program.pieces > 0 or ticks_tell_speed(runs)


def told(program, found):
    """{state: [time, ...]}, in which the program's slowdown is told: at equal speed where that can be, or by the clock."""
    return equal_speed(found) if tells_speed(program, found["nothing"]) else each(found, "wall")


def time_row(program, found):
    wall, cpu = each(found, "wall"), each(found, "cpu")
    equal = equal_speed(found) if tells_speed(program, found["nothing"]) else None
    return [program.title, "%.2f" % median(wall["nothing"]), percent(paired_ratio(wall, "floor", "nothing")),
            *(percent_interval(paired_ratios(wall, "record", base)) for base in AIMS),
            *(percent_interval(paired_ratios(equal, "record", base)) if equal else "" for base in AIMS),
            *(percent(paired_ratio(cpu, "record", base)) for base in AIMS)]


def own_row(title, runs):
    def middle(value):
        return median([value(one) for one in runs])

    return [title, significant(middle(lambda one: one.ops / one.wall)), significant(middle(lambda one: one.rows)),
            "%.2f s" % middle(lambda one: one.own_cpu), "%.1f %%" % middle(lambda one: 100 * one.own_cpu / one.wall),
            "%.1f %%" % middle(lambda one: 100 * one.own_cpu / one.cpu),
            "%.0f MB" % middle(lambda one: one.resident), significant(max(one.lost for one in runs))]


def idle_row(bench):
    program = Program("idle", "nothing (sleep %d)" % IDLE_SECONDS, ("sleep", str(IDLE_SECONDS)))
    row = own_row(program.title, [record(bench, program) for _ in range(bench.rounds)])
    row[5] = ""  # it has none
    return row


def programs(scratch, cleanup, notes):
    """Each Program that this machine has; why it has not is noted."""
    makers = (compile_program, tar_program, git_status_program, git_grep_program, sqlite_wal_program,
              lambda scratch: pgbench_program(scratch, cleanup), processes_program, sqlite_journal_program, git_words_program)
    for make in makers:
        try:
            yield make(scratch)
        except Unavailable as reason:
            say("bench: %s" % reason)
            notes.append("Not measured: %s." % reason)


def measure_all(bench, cleanup, notes):
    """{Program: {state: [Run, ...]}}"""
    found = {}
    for program in programs(bench.scratch, cleanup, notes):
        try:
            say("bench: work: %s" % program.name)
            run(program)  # caches are warm from here on
            found[program] = in_turns(bench.rounds, STATES, functools.partial(measure_state, bench, program))
        except Unavailable as reason:
            say("bench: work: %s" % reason)
            notes.append("Not measured: %s." % reason)
    if not found:
        raise Unavailable(" ".join(notes))
    return found


def aims(ratios_of, worst=(), told=""):
    """`ratios_of`: {"PROGRAM record/BASE": [ratio, ...]}; `worst`: names of the programs that have no aim."""
    missed, unsure = [], {True: [], False: []}
    for name, ratios in ratios_of.items():
        program, pair = name.split(" ")
        if program in worst:
            continue
        aim, (low, high) = AIMS[pair.split("/")[1]], median_interval(ratios)
        over = median(ratios) > aim
        if over:
            missed.append("%s %s" % (name, percent(median(ratios))))
        if low <= aim < high:
            unsure[over].append("%s %s" % (name, percent_interval(ratios)))
    text = ["Aims%s: record at most %s beside the floor, at most %s beside nothing." % (told, *map(percent, AIMS.values())),
            "Not met: %s." % ", ".join(missed) if missed else "All are met."]
    if unsure[True] or unsure[False]:
        told = ["%s %s" % (which, ", ".join(unsure[over]))
                for over, which in ((True, "of those not met"), (False, "of those met")) if unsure[over]]
        text.append("Cannot be told, as the interval reaches over the aim: %s." % "; ".join(told))
    if worst:
        text.append("The last %d programs are the worst that there is, next to no work for each of many new files, and have no aim."
                    % len(worst))
    return " ".join(text)


def method(rounds):
    interval = ("the interval in which the median lies with 95 % certainty" if rounds >= MIN_ROUNDS else
                "the lowest and the highest, as it takes %d rounds to tell how sure a median is" % MIN_ROUNDS)
    return ("Medians of the ratios within each of %d rounds, in parentheses %s. Wall clock and CPU are ratios of times as they were. At "
            "equal speed is the ratio of wall clock time for each second of CPU that the program itself takes in user mode: there the "
            "recorder does nothing, so that this time tells how fast the machine was in that run (for /bin/true, too short for that, the "
            "time for fresh memory that is touched between groups of %d processes). The kernel counts user time by ticks: where that tells it to more "
            "than %.0f %% of it only, as of programs that are mostly in the kernel, there is no such ratio. It leaves out what slows the program's own code in "
            "user mode, as when the recorder takes its place in the caches; the CPU columns, user and system time of the program, have "
            "that too. The recorder's CPU time is that from the program's start until all is stored and the recorder has ended; the last "
            "row shows what of it is there without a program." % (rounds, interval, PROCESSES // PIECES, 100 * SURE))


def measure(bench):
    missing, figures, ratios, bars = [], {}, {}, []
    with contextlib.ExitStack() as cleanup:
        found = measure_all(bench, cleanup, missing)
    for program, runs in found.items():
        seen = told(program, runs)
        for base in AIMS:
            name = "%s record/%s" % (program.name, base)
            ratios[name] = paired_ratios(seen, "record", base)
            figures["work " + name] = median(ratios[name])
        for state in ("floor", "record"):
            bars.append(("%s, %s" % (program.name, state), 100 * (paired_ratio(seen, state, "nothing") - 1)))
    times = Table("work", ["program", "nothing, s", "floor / nothing", "record / floor", "record / nothing",
                           "at equal speed: record / floor", "record / nothing", "CPU: record / floor", "record / nothing"],
                  [time_row(program, runs) for program, runs in found.items()])
    own = Table("work own use", ["program", "operations/s", "rows of `io`", "recorder's CPU", "of a core", "of the program's CPU",
                                 "resident", "details lost"],
                [own_row(program.title, runs["record"]) for program, runs in found.items()] + [idle_row(bench)])
    chart = Chart("work", "How much slower real programs are", "", "% slower than with nothing", {"slower": bars},
                  bars=True)
    worst = {program.name for program in found if program.worst}
    verdict = aims(ratios, worst, ", at equal speed where that is told, else by the clock")
    verdict += " Intervals of several percent are too wide for that: part turns tells it."
    return Result("work", [times, own], [chart], [method(bench.rounds), verdict, *missing], figures)
