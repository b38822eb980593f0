#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Every error is one clear line on stderr, with a hint at most, and an exit status that is not 0; nothing is lost that could be kept."""
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess

import livelib as live

LIBRARY_NOISE = ("libbpf", "errno", "sqlite3_", "PGRES_")


def check_error(tap, name, done, *words, status=None):
    """One line that has the words, and at most one more; not a word from a library."""
    text = done.stderr if isinstance(done.stderr, str) else done.stderr.decode("utf-8", "replace")
    lines = [line for line in text.split("\n") if line]
    problems = []
    if done.returncode == 0 or done.returncode < 0:
        problems.append("exit status %d" % done.returncode)
    if status is not None and done.returncode != status:
        problems.append("exit status %d, not %d" % (done.returncode, status))
    if not 1 <= len(lines) <= 2:
        problems.append("%d lines" % len(lines))
    if any(not line.startswith("ioledger: ") for line in lines):
        problems.append("a line that is not ioledger's")
    problems += ["the first line says nothing of %r" % word for word in words if lines and word not in lines[0]]
    problems += ["library noise: %r" % noise for noise in LIBRARY_NOISE if noise in text]
    tap.ok(not problems, "%s: one clear line, exit status not 0" % name, *problems, "it said:", *lines)


def record(url, *options, prefix=(), program=live.IOLEDGER, **more):
    """A recording that must not begin; should it, it ends after a second."""
    return subprocess.run([*prefix, program, "record", "--db", url, "--duration", "1s", *options], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120, check=False, **more)


def limit_locked_memory():
    """As a user has it."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))


def rights(tap, scratch):
    # A copy, because the build folder may be out of nobody's reach.
    program = shutil.copy(live.IOLEDGER, os.path.join(scratch, "ioledger"))
    folder = os.path.join(scratch, "open")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    url = "sqlite:%s/ledger.db" % folder
    done = record(url, prefix=["setpriv", "--reuid=65534", "--clear-groups"], program=program)
    check_error(tap, "not root", done, "root")
    tap.equal(os.listdir(folder), [], "not root: no database is left behind")
    done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", program, "doctor"], capture_output=True, text=True, check=False)
    tap.ok(done.returncode == 1 and "privileges: record as root" in done.stdout and "Operation not permitted" not in done.stdout and
           re.search("^trampolines .*not known without these privileges$", done.stdout, re.M), "not root: doctor blames the user, not the kernel", done)
    if shutil.which("capsh"):
        done = record(url, prefix=["capsh", "--drop=cap_sys_admin,cap_bpf,cap_perfmon", "--shell=/usr/bin/env", "--"], program=program)
        check_error(tap, "root without capabilities", done, "cap")
    else:
        tap.skip("root without capabilities", "no capsh")
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
    caps = "--inh-caps=+bpf,+perfmon"
    if live.kernel() < (5, 11):  # maps count as locked memory
        done = record(url, "--control", "none", program=program, prefix=[*nobody, caps, caps.replace("inh", "ambient")], preexec_fn=limit_locked_memory)
        check_error(tap, "not root, where maps count as locked memory", done, "locked memory")
        caps += ",+sys_resource"
    for probes in ("auto", "tracepoint-legacy"):
        done = record(url, "--probes", probes, program=program, prefix=[*nobody, caps, caps.replace("inh", "ambient")], preexec_fn=limit_locked_memory)
        tap.ok(done.returncode == 0, "not root, with CAP_BPF and CAP_PERFMON, --probes %s: it records" % probes, done.stderr)
    script = 'mount -t tmpfs none /sys/kernel/btf && exec "$@"'
    done = record(url, prefix=["unshare", "-m", "sh", "-c", script, "sh"], program=program)
    check_error(tap, "no BTF", done, "BTF")


def postgresql(tap, scratch):
    database = live.new_url("postgresql", scratch)
    head, _, tail = database.partition("?")
    folder = os.path.join(scratch, "no-server-here")
    for name, url, words in (
            ("PostgreSQL that does not listen", "postgresql://postgres@127.0.0.1:1/postgres", ("127.0.0.1",)),
            ("PostgreSQL without its socket", "postgresql://postgres@/postgres?host=" + folder, (folder,)),
            ("a host that is not known", "postgresql://postgres@no-such-host.invalid/postgres", ("no-such-host.invalid",)),
            ("a database that is not there", "%s?%s" % (head.rpartition("/")[0] + "/nothere", tail), ("nothere",)),
            ("a role that is not there", database.replace("postgres@", "nobodyknown@"), ("nobodyknown",)),
            ("a URL that is none", "postgresql://a:b:c:d/x", ())):
        check_error(tap, name, record(url), *words)
        check_error(tap, name + ", asked", live.run("files", "--db", url), *words)
    secret = "postgresql://postgres:Geheim123@127.0.0.1:1/postgres"
    done = record(secret)
    tap.ok(b"Geheim123" not in done.stderr + done.stdout, "a password in the URL is in no message", done.stderr)

    live.psql(database, "create table io (not_ours int)")
    check_error(tap, "a database of another program", record(database), "io")
    readonly = live.new_url("postgresql", scratch)
    live.psql(readonly, "alter database %s set default_transaction_read_only = on" % readonly.partition("?")[0].rpartition("/")[2])
    check_error(tap, "a database that may not be written", record(readonly))


def sqlite_files(tap, scratch):
    garbage = os.path.join(scratch, "garbage.db")
    with open(garbage, "wb") as file:
        file.write(os.urandom(100000))
    check_error(tap, "a file that is no database", record("sqlite:" + garbage), "garbage.db")
    check_error(tap, "a file that is no database, asked", live.run("files", "--db", "sqlite:" + garbage), "garbage.db")

    foreign = os.path.join(scratch, "foreign.db")
    with sqlite3.connect(foreign) as db:
        db.execute("create table diary(day, text)")
    db.close()
    check_error(tap, "a database of another program", record("sqlite:" + foreign), "foreign.db")
    with sqlite3.connect(foreign) as db:
        tap.equal(db.execute("select name from sqlite_master").fetchall(), [("diary",)], "a database of another program stays as it is")
    db.close()

    good = os.path.join(scratch, "good.db")
    tap.equal(live.Recorder("sqlite:" + good, "--duration", "1s").wait(), 0, "a ledger to work on")
    damaged = shutil.copy(good, os.path.join(scratch, "damaged.db"))
    with open(damaged, "r+b") as file:
        size = os.path.getsize(damaged)
        for at in range(4096, size, 4096):
            file.seek(at)
            file.write(b"\xde\xad\xbe\xef" * 512)
    check_error(tap, "a damaged ledger", record("sqlite:" + damaged), "damaged.db")
    check_error(tap, "a damaged ledger, asked", live.run("files", "--db", "sqlite:" + damaged), "damaged.db")

    check_error(tap, "a folder that is not there", record("sqlite:/nonexistent/folder/x.db"), "/nonexistent/folder")
    check_error(tap, "a folder as database", record("sqlite:" + scratch), scratch)
    fifo = os.path.join(scratch, "fifo")
    os.mkfifo(fifo)
    check_error(tap, "jsonl into a FIFO that nobody reads", record("jsonl:" + fifo), fifo)
    check_error(tap, "jsonl with a closed stdout", record("jsonl:-", preexec_fn=lambda: os.close(1)), "stdout")
    check_error(tap, "no ledger there, asked", live.run("files", "--db", "sqlite:/nonexistent/x.db"), "/nonexistent/x.db")
    check_error(tap, "jsonl, asked", live.run("files", "--db", "jsonl:" + os.path.join(scratch, "x.jsonl")), "jsonl")
    point = os.path.join(scratch, "readonly")
    os.mkdir(point)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", point], check=True)
    check_error(tap, "a read-only file system", record("sqlite:%s/x.db" % point), point)
    check_error(tap, "jsonl on a read-only file system", record("jsonl:%s/x.jsonl" % point), point)


def second_recorder(tap, scratch):
    for scheme in ("sqlite", "jsonl"):
        url = "%s:%s" % (scheme, os.path.join(scratch, "shared." + scheme))
        first = live.Recorder(url)
        subprocess.run(["cat", "/etc/passwd"], stdout=subprocess.DEVNULL, check=True)
        check_error(tap, "a second recorder on the same %s file" % scheme, record(url), "another recorder", "shared." + scheme)
        tap.ok(first.process.poll() is None, "%s: the first one goes on" % scheme)
        tap.equal(first.stop(), 0, "%s: and ends well" % scheme)
    live.check_balance(tap, "sqlite:" + os.path.join(scratch, "shared.sqlite"), "a second recorder")


def usage(tap, scratch):
    url = live.new_url("sqlite", scratch)
    for name, words, must in (
            ("an unknown option", ["record", "--no-such-option"], ("--no-such-option",)),
            ("an unknown command", ["recrod"], ("recrod",)),
            ("an option without its value", ["record", "--db"], ("--db",)),
            ("an interval that is none", ["record", "--db", url, "--interval", "soon"], ("soon",)),
            ("an interval of nothing", ["record", "--db", url, "--interval", "0"], ("interval",)),
            ("a duration that is none", ["record", "--db", url, "--duration", "-3"], ("duration",)),
            ("a number of accounts that is none", ["record", "--db", url, "--max-accounts", "many"], ("many",)),
            ("a pid that is none", ["record", "--db", url, "--pid", "x1"], ("x1",)),
            ("an empty pid", ["record", "--db", url, "--pid", ""], ("--pid",)),
            ("an empty comm", ["record", "--db", url, "--comm", ""], ("--comm",)),
            ("an empty exe", ["record", "--db", url, "--exe", ""], ("--exe",)),
            ("an empty uid", ["record", "--db", url, "--uid", ""], ("--uid",)),
            ("no CMD after --", ["record", "--db", url, "--"], ("CMD",)),
            ("an empty PATH", ["who", "--db", url, ""], ()),
            ("no PATH", ["who", "--db", url], ("PATH",)),
            ("a database of an unknown kind", ["files", "--db", "oracle:x"], ("oracle",)),
            ("a database of an unknown kind, to record", ["record", "--db", "oracle:x"], ("oracle",)),
            ("an empty database", ["record", "--db", ""], ()),
            ("a format that is not known", ["files", "--db", url, "--format", "xml"], ("xml",))):
        if words[0] == "record":
            words[1:1] = ["--duration", "1s"]  # should it begin after all
        check_error(tap, name, live.run(*words), *must, status=2)
    for words in ([], ["--help"], ["--version"]):
        done = live.run(*words)
        tap.ok(done.stdout + done.stderr, "ioledger %s says something" % " ".join(words))
    for command in ("record", "who", "files", "tree", "balance", "doctor", "schema", "status", "stop"):
        done = live.run(command, "--help")
        tap.ok(done.returncode == 0 and done.stdout and not done.stderr, "%s --help" % command, done)
    tap.ok(not os.path.exists(live.sqlite_path(url)), "bad usage makes no database")


def nothing_found(tap, scratch):
    url = live.new_url("sqlite", scratch)
    tap.equal(live.Recorder(url, "--duration", "1s").wait(), 0, "a ledger to ask")
    path = os.path.join(scratch, "nobody-touched-this")
    check_error(tap, "a PATH that nothing touched", live.run("who", "--db", url, path), path, status=1)
    check_error(tap, "a folder below which nothing was touched", live.run("who", "--db", url, path + "/"), path, status=1)
    check_error(tap, "a process that touched nothing", live.run("files", "--db", url, "no-such-comm"), "no-such-comm", status=1)


def mount_small(scratch, size):
    point = os.path.join(scratch, "small")
    os.mkdir(point)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%s" % size, "none", point], check=True)
    return point


def fill(point, chunk):
    with open(os.path.join(point, "ballast"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * chunk)
        except OSError:
            pass


def reader_gone(tap, scratch):
    """Nobody reads what is written any more: the recording ends, whatever the rows go into."""
    fifo = os.path.join(scratch, "fifo")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    recorder = live.Recorder("jsonl:" + fifo, "--interval", "0.1s")
    os.close(reader)
    tap.equal(recorder.wait(live.PATIENCE), 1, "a FIFO whose reader has gone: the recording ends, exit status 1")
    tap.ok(recorder.lines[-1].endswith("nobody reads %s any more" % fifo), "a FIFO whose reader has gone: it is said", *recorder.lines)


def rows_only(tap, scratch):
    """What CMD prints does not get among the rows."""
    recorder = live.Recorder("jsonl:-", command=["echo", "from CMD"])
    tap.equal(recorder.wait(live.PATIENCE), 0, "jsonl:- with CMD: it ends well")
    lines = recorder.out.decode().splitlines()
    tap.ok(lines and all(line.startswith('{"table": ') for line in lines), "jsonl:- with CMD: on stdout are rows only", *lines[:5])
    tap.ok("from CMD" in recorder.lines, "jsonl:- with CMD: what CMD prints is on stderr", *recorder.lines)


def deleted_meanwhile(tap, scratch):
    """The ledger is deleted: that is said when it happens, and not only in the end."""
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--interval", "0.1s")
    live.wait_for(lambda: live.value(url, "select count(*) from batch") >= 1, "a batch")
    for name in os.listdir(scratch):
        os.unlink(os.path.join(scratch, name))
    live.wait_for(lambda: any("was deleted" in line for line in recorder.lines), "the recorder's word of the deleted ledger")
    tap.ok(recorder.process.poll() is None, "a ledger that is deleted: it is said at once", *recorder.lines)
    tap.equal(recorder.stop(), 1, "a ledger that is deleted: exit status 1")


def full_at_start(tap, scratch):
    point = mount_small(scratch, "32k")
    fill(point, 4096)
    check_error(tap, "SQLite on a disk that is full from the start", record("sqlite:%s/ledger" % point), "space")
    # A file that can be made is a place to write to until something has to be written.
    done = record("jsonl:%s/ledger" % point)
    tap.ok(done.returncode != 0 and b"space" in done.stderr, "jsonl on a disk that is full from the start: said, exit status not 0",
           done.returncode, done.stderr.decode("utf-8", "replace"))


def full_meanwhile(tap, scratch):
    """The disk fills up and nobody helps: it is said once, and what was stored before balances."""
    point = mount_small(scratch, "3m")
    url = "sqlite:%s/ledger.db" % point
    many = live.ManyControl(scratch, files=1000, processes=2, threads=1)
    recorder = live.Recorder(url, "--interval", "0.1s")
    many.start()
    many.set("go")
    live.wait_for(lambda: any("space" in line for line in recorder.lines) or recorder.process.poll() is not None,
                  "the recorder's word of the full disk")
    many.stop()
    recorder.process.send_signal(signal.SIGTERM)
    status = recorder.wait(120)
    tap.ok(status != 0, "a disk that fills up: the exit status is not 0", recorder.errors())
    told = [line for line in recorder.lines if "space" in line]
    tap.ok(1 <= len(told) <= 3, "a disk that fills up: it is said, and not again and again", *recorder.lines)
    tap.ok(any("row" in line for line in told + recorder.lines[-3:]), "a disk that fills up: what was not stored is told", *recorder.lines)
    live.check_balance(tap, url, "a disk that fills up")


def full_for_a_while(tap, scratch):
    """The disk fills up and is then cleared: nothing is missing."""
    point = mount_small(scratch, "200m")
    url = "sqlite:%s/ledger.db" % point
    many = live.ManyControl(scratch, files=500, processes=2, threads=1)
    recorder = live.Recorder(url, "--interval", "0.1s")
    many.start()
    many.set("go")
    live.wait_for(lambda: live.value(url, "select count(*) from batch") >= 2, "two batches")
    fill(point, 65536)
    live.wait_for(lambda: any("space" in line for line in recorder.lines), "the recorder's word of the full disk; it said %s"
                  % recorder.lines)
    tap.ok(recorder.process.poll() is None, "a disk full for a while: the recorder goes on", recorder.errors())
    operations = many.operations()
    live.wait_for(lambda: many.operations() > operations + live.fewer(50000), "more work")
    os.unlink(os.path.join(point, "ballast"))
    batches = live.value(url, "select count(*) from batch")
    live.wait_for(lambda: live.value(url, "select count(*) from batch") > batches, "batches after the disk was cleared")
    many.pause()
    tap.equal(recorder.stop(), 0, "a disk full for a while: the recorder ends well")
    wrong = many.differences(url)
    tap.ok(not wrong, "a disk full for a while: nothing is missing", *wrong[:10])
    live.check_balance(tap, url, "a disk full for a while")
    many.stop()


live.main(rights, postgresql, sqlite_files, second_recorder, usage, nothing_found, reader_gone, rows_only, deleted_meanwhile, full_at_start, full_meanwhile, full_for_a_while)
