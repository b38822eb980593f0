#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What is recorded is what was asked for: --pid, --comm, --uid, --exe, and `record -- CMD`; and never the recorder itself.

Every process of these tests reads a file of its own, so that the books tell who was recorded.
"""
import os
import pwd
import shutil
import signal
import subprocess

import livelib as live

NOBODY = pwd.getpwnam("nobody").pw_uid


def new_file(scratch, name):
    path = os.path.join(scratch, name)
    with open(path, "wb") as file:
        file.write(b"x" * 50)
    os.chmod(path, 0o644)
    return path


def readers(url, scratch):
    """{file: [comm of who read all of it]} of the files of this test."""
    found = {}
    for row in live.accounts(url):
        if os.path.dirname(row["path"]) == scratch and row["read_bytes"] == 50:
            found.setdefault(os.path.basename(row["path"]), []).append(row["comm"])
    return found


class Waiting:
    """A shell with a child, both there before the recorder; when told to, both read a file themselves and one with cat."""

    def __init__(self, scratch, name):
        self.fifos = [os.path.join(scratch, "%s.%s" % (name, word)) for word in ("go", "go-child")]
        for fifo in self.fifos:
            os.mkfifo(fifo)
        files = {word: new_file(scratch, "%s-%s" % (name, word)) for word in ("own", "cat", "child", "grandchild")}
        script = """
            (read -r x < "$GO_CHILD"; read -r x < "$CHILD"; cat "$GRANDCHILD"; :) &
            read -r x < "$GO"; read -r x < "$OWN"; cat "$CAT"; wait"""
        env = {**os.environ, "GO": self.fifos[0], "GO_CHILD": self.fifos[1], **{word.upper(): path for word, path in files.items()}}
        self.process = subprocess.Popen(["/bin/bash", "-c", script], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        live.wait_for(lambda: live.children(self.pid), "the child of a shell")

    def run(self):
        for fifo in self.fifos:
            with open(fifo, "wb", buffering=0) as file:
                file.write(b"\n")
        self.process.wait(live.PATIENCE)


def expect(tap, url, scratch, name, want):
    got = readers(url, scratch)
    tap.equal({file: sorted(comms) for file, comms in got.items()}, want, name)


def by_pid(tap, scratch):
    """--pid, twice: these processes, the children that they have already, and those to come; nobody else."""
    shells = {name: Waiting(scratch, name) for name in ("one", "two", "other")}
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--pid", str(shells["one"].pid), "--pid", str(shells["two"].pid))
    for shell in shells.values():
        shell.run()
    tap.equal(recorder.stop(), 0, "--pid: the recorder ends well")
    live.check_balance(tap, url, "--pid")
    pids = {row["pid"] for row in live.rows(url, "select pid from process")}
    tap.ok(shells["other"].pid not in pids, "--pid: another process has no row")
    comms = {"own": ["bash"], "cat": ["cat"], "child": ["bash"], "grandchild": ["cat"]}
    want = {"%s-%s" % (name, word): comm for name in ("one", "two") for word, comm in comms.items()}
    expect(tap, url, scratch, "--pid: both processes, their children and grandchildren, and nobody else", want)


def by_pid_errors(tap, scratch):
    done = live.run("record", "--db", live.new_url("sqlite", scratch), "--pid", "999999999")
    tap.ok(done.returncode not in (0, None), "--pid of no process is refused", done)
    lines = done.stderr.decode("utf-8", "replace").strip().split("\n")
    tap.ok(1 <= len(lines) <= 2 and "999999999" in lines[0], "--pid of no process: one line that names it, and a hint", *lines)


def cat(path, *prefix, program="cat"):
    subprocess.run([*prefix, program, path], stdout=subprocess.DEVNULL, check=True)


def by_comm(tap, scratch):
    url = live.new_url("sqlite", scratch)
    program = shutil.copy("/bin/cat", os.path.join(scratch, "a name of more than 15"))
    files = [new_file(scratch, name) for name in ("cat", "head", "wc", "long", "exec")]
    recorder = live.Recorder(url, "--comm", "cat", "--comm", "wc")
    cat(files[0])
    cat(files[1], program="head")
    cat(files[2], program="wc")
    cat(files[3], program=program)
    cat(files[4], "sh", "-c", 'exec "$@"', "sh")
    tap.equal(recorder.stop(), 0, "--comm: the recorder ends well")
    live.check_balance(tap, url, "--comm")
    expect(tap, url, scratch, "--comm, twice: these two and no other", {"cat": ["cat"], "wc": ["wc"], "exec": ["cat"]})
    comms = {row["comm"] for row in live.accounts(url)}
    tap.ok(comms <= {"cat", "wc"}, "--comm: every row of io is theirs", comms)


def by_uid(tap, scratch):
    """By name and by number."""
    os.chmod(scratch, 0o755)
    for name, user in live.some((("name", "nobody"), ("number", str(NOBODY))), 1):
        url = live.new_url("sqlite", scratch)
        files = [new_file(scratch, "%s-%s" % (name, who)) for who in ("nobody", "root", "change")]
        recorder = live.Recorder(url, "--uid", user)
        as_nobody = ("setpriv", "--reuid", str(NOBODY), "--clear-groups")
        cat(files[0], *as_nobody)
        cat(files[1])
        cat(files[2], "sh", "-c", 'setpriv --reuid %d --clear-groups "$@"; true' % NOBODY, "sh")
        tap.equal(recorder.stop(), 0, "--uid %s: the recorder ends well" % user)
        live.check_balance(tap, url, "--uid %s" % user)
        expect(tap, url, scratch, "--uid %s: what the user's processes read, and nobody else's" % user,
               {"%s-nobody" % name: ["cat"], "%s-change" % name: ["cat"]})
        uids = {row["uid"] for row in live.rows(url, "select distinct p.uid from io i join process p on p.id = i.process_id")}
        tap.equal(uids, {NOBODY}, "--uid %s: the user of every row of io" % user)
    done = live.run("record", "--db", live.new_url("sqlite", scratch), "--uid", "no-such-user")
    tap.ok(done.returncode == 2 and b"no-such-user" in done.stderr, "--uid of nobody known is bad usage", done)


def by_exe(tap, scratch):
    url = live.new_url("sqlite", scratch)
    copy = shutil.copy("/bin/cat", os.path.join(scratch, "copy-of-cat"))
    link = os.path.join(scratch, "link-to-cat")
    os.symlink(copy, link)
    os.makedirs(os.path.join(scratch, "sub"))
    same_name = shutil.copy("/bin/cat", os.path.join(scratch, "sub", "copy-of-cat"))
    files = [new_file(scratch, name) for name in ("copy", "link", "same-name", "other")]
    recorder = live.Recorder(url, "--exe", copy)
    cat(files[0], program=copy)
    cat(files[1], program=link)
    cat(files[2], program=same_name)
    cat(files[3])
    tap.equal(recorder.stop(), 0, "--exe: the recorder ends well")
    live.check_balance(tap, url, "--exe")
    expect(tap, url, scratch, "--exe: the program itself, also by a symbolic link; not another of its name",
           {"copy": ["copy-of-cat"], "link": ["link-to-cat"]})


def combined(tap, scratch):
    """Different filters must all hold."""
    url = live.new_url("sqlite", scratch)
    files = [new_file(scratch, name) for name in ("both", "comm-only", "uid-only", "none")]
    recorder = live.Recorder(url, "--uid", str(NOBODY), "--comm", "cat")
    as_nobody = ("setpriv", "--reuid", str(NOBODY), "--clear-groups")
    cat(files[0], *as_nobody)
    cat(files[1])
    cat(files[2], *as_nobody, program="head")
    cat(files[3], program="head")
    tap.equal(recorder.stop(), 0, "--uid and --comm: the recorder ends well")
    live.check_balance(tap, url, "--uid and --comm")
    expect(tap, url, scratch, "--uid and --comm: where both hold", {"both": ["cat"]})


def command(tap, scratch):
    """record -- CMD: CMD and its descendants, also those that leave it; nothing else; CMD's status is passed on."""
    url = live.new_url("sqlite", scratch)
    files = {name: new_file(scratch, name) for name in ("mine", "child", "orphan", "other")}
    script = 'cat "$MINE"; (cat "$CHILD") & setsid sh -c \'cat "$ORPHAN"\'; wait; : > "$READY"; read -r x < "$GO"; exit 7'
    ready, go = (os.path.join(scratch, name) for name in ("ready", "go"))
    os.mkfifo(ready)
    os.mkfifo(go)
    env = {**os.environ, "READY": ready, "GO": go, **{name.upper(): path for name, path in files.items()}}
    recorder = live.Recorder(url, command=["sh", "-c", script], env=env)
    os.close(os.open(ready, os.O_RDONLY))
    cat(files["other"])  # meanwhile, by somebody else
    with open(go, "wb", buffering=0) as file:
        file.write(b"\n")
    tap.equal(recorder.wait(), 7, "record -- CMD exits with CMD's status")
    live.check_balance(tap, url, "record -- CMD")
    expect(tap, url, scratch, "record -- CMD: CMD and its descendants, nobody else",
           {"mine": ["cat"], "child": ["cat"], "orphan": ["cat"]})
    tap.equal(recorder.out, b"x" * 150, "record -- CMD: CMD has the recorder's standard output")
    # Who started CMD is in the books too, without any io.
    ancestors = ancestors_of(os.getpid()) | {os.getpid(), recorder.pid}
    strangers = [row for row in live.rows(url, "select pid, comm, origin from process")
                 if row["pid"] not in ancestors and row["comm"] not in ("sh", "cat", "setsid", "ioledger")]
    tap.equal(strangers, [], "record -- CMD: only CMD's processes and their ancestors have rows")


def ancestors_of(pid):
    found = {0}
    while pid:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            pid = int(stat.read().rpartition(b")")[2].split()[1])
        found.add(pid)
    return found


def command_first_bytes(tap, scratch):
    """Nothing of CMD is missed, not even what its loader reads first."""
    url = live.new_url("sqlite", scratch)
    file = new_file(scratch, "file")
    recorder = live.Recorder(url, command=["/bin/cat", file])
    tap.equal(recorder.wait(), 0, "record -- cat FILE exits with 0")
    rows = [row for row in live.accounts(url, comm="cat") if "libc" in row["path"]]
    tap.ok(rows and rows[0]["read_bytes"] >= 832, "record -- CMD: the loader's first reads are in the books", *live.accounts(url, comm="cat"))
    live.check_balance(tap, url, "record -- cat")


def command_status(tap, scratch):
    not_executable = new_file(scratch, "not-executable")
    for name, words, want in live.some((
            ("exit 255", ["sh", "-c", "exit 255"], 255), ("SIGKILL", ["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
            ("a name that is not in PATH", ["no-such-command-here"], 127), ("a folder", [scratch], 126),
            ("true", ["true"], 0), ("SIGTERM", ["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
            ("a command that is not there", ["/nonexistent/command"], 127), ("a file that is not executable", [not_executable], 126)), 4):
        recorder = live.Recorder(live.new_url("sqlite", scratch), command=words)
        tap.ok(recorder.wait() == want, "record -- CMD: %s gives exit status %d" % (name, want),
               "exit status %s" % recorder.process.returncode, recorder.errors())
        if want in (126, 127):
            tap.ok(any(words[0] in line for line in recorder.lines), "record -- CMD: %s is named in the error" % name, recorder.errors())


def command_options(tap, scratch):
    """Options after the command are its own; --system records everybody while it runs."""
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, command=["echo", "--help", "--db", "x"])
    tap.equal((recorder.wait(), recorder.out), (0, b"--help --db x\n"), "record -- CMD --help: the option is CMD's")
    url = live.new_url("sqlite", scratch)
    ready, go = (os.path.join(scratch, name) for name in ("ready", "go"))
    os.mkfifo(ready)
    os.mkfifo(go)
    files = {name: new_file(scratch, name) for name in ("mine", "other")}
    recorder = live.Recorder(url, "--system", command=["sh", "-c", 'cat "$1"; : > "$2"; read -r x < "$3"; exit 9', "sh", files["mine"], ready, go])
    os.close(os.open(ready, os.O_RDONLY))
    cat(files["other"], program="head")
    with open(go, "wb", buffering=0) as file:
        file.write(b"\n")
    tap.equal(recorder.wait(), 9, "record --system -- CMD exits with CMD's status")
    live.check_balance(tap, url, "record --system -- CMD")
    expect(tap, url, scratch, "record --system -- CMD: CMD and everybody else", {"mine": ["cat"], "other": ["head"]})


def recorder_itself(tap, scratch):
    """The recorder, and the database server that it writes to, are not in their own books."""
    for kind in ("sqlite", "postgresql"):
        url = live.new_url(kind, scratch)
        many = live.ManyControl(scratch, files=20, processes=1, threads=1)
        recorder = live.Recorder(url, "--interval", "0.1s")
        pid = recorder.pid
        many.start()
        many.set("go")
        live.wait_for(lambda: live.value(url, "select count(*) from batch") >= 5, "five batches")
        many.stop()
        tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % kind)
        live.check_balance(tap, url, kind)
        rows = [live.describe(row) for row in live.accounts(url) if row["pid"] == pid]
        tap.equal(rows, [], "%s: no io of the recorder in its books" % kind)
        if kind == "sqlite":
            base = os.path.realpath(live.sqlite_path(url))
            rows = [live.describe(row) for row in live.accounts(url) if row["path"].startswith(base) and row["write_ops"]]
            tap.equal(rows, [], "sqlite: no write to the database in its books")
        else:
            # By its working directory: other servers of this machine are not left out.
            data = os.path.realpath(live.PostgreSQL.shared().folder)
            rows = live.rows(url, "select distinct p.pid, p.comm, p.cwd from io i join process p on p.id = i.process_id "
                             "where p.cwd like '%s/%%'" % data)
            tap.ok(not rows, "postgresql: no io of the server in the books", *rows[:10])
        left_out = live.rows(url, "select excluded_ops, excluded_bytes from recording")
        tap.ok(len(left_out) == 1 and left_out[0]["excluded_ops"] > 0 and left_out[0]["excluded_bytes"] > 0,
               "%s: what was left out is counted: %s" % (kind, left_out))


live.main(by_pid, by_pid_errors, by_comm, by_uid, by_exe, combined, command, command_first_bytes, command_status, command_options,
          recorder_itself)
