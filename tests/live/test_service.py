#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What the recorder is as a system service: with the capabilities of the unit and no more, it records what root records, leaves
its counters pinned and takes them up again, and tells the service manager how it does.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import livelib as live

UNIT = os.environ.get("IOLEDGER_UNIT") or os.path.join(live.HERE, "../../build/packaging/ioledger.service")
USER = 65534
EXPOSURE_OK = 5.0  # below, `systemd-analyze security` says OK
CAPABILITIES = {"CAP_BPF", "CAP_PERFMON", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"}
BITS = {"CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19, "CAP_PERFMON": 38, "CAP_BPF": 39}


def unit_setting(name):
    with open(UNIT, encoding="utf-8") as file:
        return re.findall(r"^%s=(.*)$" % name, file.read(), re.M)


def confined():
    """The command that gives what follows it the user and the capabilities of the unit."""
    names = ["+" + name[4:].lower() for name in unit_setting("CapabilityBoundingSet")[0].split()]
    return ["setpriv", "--reuid=%d" % USER, "--regid=%d" % USER, "--clear-groups", "--no-new-privs", "--inh-caps=-all," + ",".join(names),
            "--ambient-caps=-all," + ",".join(names), "--bounding-set=-all," + ",".join(names)]


class Service:
    """A recorder as systemd would start it, in a folder that it may write to."""

    def __init__(self, scratch, *options, **env):
        self.folder = os.path.join(scratch, "service")
        os.makedirs(self.folder, exist_ok=True)
        os.chown(self.folder, USER, USER)
        self.program = os.path.join(scratch, "ioledger")
        if not os.path.exists(self.program):
            shutil.copy(live.IOLEDGER, self.program)  # the build folder may be out of its reach
        self.url = "sqlite:%s/ledger.db" % self.folder
        self.env = {"PATH": os.environ["PATH"], "STATE_DIRECTORY": self.folder, "RUNTIME_DIRECTORY": self.folder, **env}
        self.command = [*confined(), self.program]
        self.process = subprocess.Popen([*self.command, "record", "--db", self.url, *options], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=self.env)
        self.pid, self.lines = self.process.pid, []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def wait_ready(self):
        live.wait_for(lambda: any(line.startswith(live.READY) for line in self.lines) or self.process.poll() is not None, "the recorder: %s" % self.lines)
        if self.process.poll() is not None:
            raise live.Failure("the recorder ended: %s" % self.lines)
        return self

    def end(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        status = self.process.wait(live.PATIENCE)
        self.reader.join(10)
        return status


def read_bytes(path, n):
    """n reads of one byte each, by a process of root."""
    subprocess.run(["dd", "if=" + path, "of=/dev/null", "bs=1", "count=%d" % n, "status=none"], check=True)


def read_ops(url, path):
    return live.value(url, "select coalesce(sum(read_ops), 0) from io_named where comm = 'dd' and path = '%s'" % path)


def secret_file(scratch):
    folder = os.path.join(scratch, "secret")
    os.mkdir(folder, 0o700)
    path = os.path.join(folder, "file")
    with open(path, "wb") as file:
        file.write(b"x" * 10000)
    os.chmod(path, 0o600)
    return path


def hardening(tap, _):
    """The unit has these capabilities and no more, and systemd finds it hardened."""
    for name in ("CapabilityBoundingSet", "AmbientCapabilities"):
        tap.equal({word for line in unit_setting(name) for word in line.split()}, CAPABILITIES, "the unit: %s" % name)
    if not shutil.which("systemd-analyze"):
        tap.skip("systemd-analyze security", "systemd is not installed")
        return
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", UNIT], capture_output=True, text=True, check=False)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    tap.ok(level and float(level.group(1)) < EXPOSURE_OK, "systemd-analyze security: OK or better (%s)" % (level and level.group(1)), done.stdout[-300:],
           done.stderr)


def capabilities(tap, scratch):
    """With these capabilities it records what root would."""
    path = secret_file(scratch)
    earlier = subprocess.Popen(["sh", "-c", "sleep 1000; :", "an argument"])
    service = Service(scratch).wait_ready()
    with open("/proc/%d/status" % service.pid, encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    want = sum(1 << bit for bit in BITS.values())
    for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        tap.equal(int(status[name], 16), want, "%s is that of the unit" % name)
    tap.equal(status["Uid"].split(), [str(USER)] * 4, "it is not root")
    read_bytes(path, 1234)
    asked = live.run("status", "--control", os.path.join(service.folder, "record-%d.sock" % service.pid), "--format", "csv")
    # its user is neither root nor this one: whom to believe is said by the folder only
    tap.ok(asked.returncode == 1 and b"Operation not permitted" in asked.stderr, "a socket of another user is not believed", asked)
    tap.equal(service.end(), 0, "it ends well")
    tap.ok(not any("lost" in line for line in service.lines), "nothing is lost", service.lines)
    tap.equal(read_ops(service.url, path), 1234, "what only root may read is in the books, by its name")
    images = live.rows(service.url, "select exe, argv, cwd from process where pid = %d" % earlier.pid)
    tap.ok(images and images[0]["exe"] == os.path.realpath(shutil.which("sh")) and "an argument" in images[0]["argv"] and
           images[0]["cwd"] == os.getcwd(), "a process that ran before is known", images)
    earlier.kill()
    earlier.wait()
    live.check_balance(tap, service.url, "with the capabilities of the unit")


def pinned(tap, scratch):
    """What it counts outlives it, and nothing is counted twice or not at all; also by a user who may not ask for programs by id."""
    mount = os.path.join(scratch, "bpf")
    os.mkdir(mount)
    done = subprocess.run(["mount", "-t", "bpf", "-o", "nosuid,nodev,noexec,mode=700", "bpf", mount], capture_output=True, text=True, check=False)
    if done.returncode:
        raise live.Skip("no bpf file system can be mounted here: " + done.stderr)
    try:
        folder = os.path.join(mount, "ioledger")
        os.mkdir(folder, 0o700)
        os.chown(folder, USER, USER)
        path = secret_file(scratch)
        want = 0
        # the third one has other options, and replaces what is pinned
        for turn, (signum, more) in enumerate(((signal.SIGKILL, []), (signal.SIGTERM, []), (signal.SIGTERM, ["--max-accounts", "4096"]))):
            service = Service(scratch, "--pin=" + folder, *more).wait_ready()
            tap.equal(any("are replaced" in line for line in service.lines), bool(more), "turn %d: what is pinned is %s" % (
                turn, "replaced" if more else "taken up"))
            read_bytes(path, 100 + turn)
            service.end(signum)
            read_bytes(path, 1000 + turn)
            want += 1100 + 2 * turn
        # the hooks count until the last moment
        stop = threading.Event()
        busy = threading.Thread(target=lambda: [read_bytes("/dev/zero", 1000) for _ in iter(stop.is_set, True)])
        busy.start()
        done = subprocess.run([*service.command, "stop", "--unpin=" + folder], env=service.env, capture_output=True, text=True, timeout=live.PATIENCE,
                              check=False)
        stop.set()
        busy.join()
        tap.ok(done.returncode == 0, "what is pinned is ended", done.stderr)
        tap.ok(not os.path.exists(os.path.join(folder, "about")) and not os.path.exists(os.path.join(folder, "links")), "nothing is left of it")
        tap.equal(read_ops(service.url, path), want, "everything is in the books, once")
        live.check_balance(tap, service.url, "pinned with the capabilities of the unit")
    finally:
        subprocess.run(["umount", mount], check=False)


class Manager:
    """A service manager's end of NOTIFY_SOCKET."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.told = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            message = self.socket.recv(4096).decode("utf-8")
            self.told.append((time.monotonic(), message))

    def words(self, begin=0):
        return [message for _, message in self.told[begin:]]

    def wait(self, what, begin=0):
        live.wait_for(lambda: any(re.fullmatch(what, message) for message in self.words(begin)), "%s; told so far: %s" % (what, self.words()))


def notified(tap, scratch):
    """sd_notify(3): ready, alive, reloading, stopping."""
    if b"libsystemd" not in subprocess.run(["ldd", live.IOLEDGER], capture_output=True, check=False).stdout:
        raise live.Skip("this ioledger was built without libsystemd")
    manager = Manager(scratch)
    config = os.path.join(scratch, "ioledger.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write("interval = 100ms\n")
    watchdog = 1.5
    service = Service(scratch, "--config", config, NOTIFY_SOCKET=manager.path, WATCHDOG_USEC=str(int(watchdog * 1000000)))
    manager.wait("READY=1")
    manager.wait(r"STATUS=.* ops/s .* losses")
    live.wait_for(lambda: manager.words().count("WATCHDOG=1") >= 4, "signs of life: %s" % manager.words())
    times = [when for when, message in manager.told if message == "WATCHDOG=1"]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    tap.ok(max(gaps) < watchdog, "it says that it lives more often than the watchdog asks", gaps)
    service.process.send_signal(signal.SIGSTOP)
    asleep = len(manager.told)
    live.wait_for(lambda: time.monotonic() > manager.told[-1][0] + 2 * watchdog, "silence")
    tap.ok("WATCHDOG=1" not in manager.words(asleep + 1), "a recorder that hangs says nothing", manager.words(asleep))
    service.process.send_signal(signal.SIGCONT)

    begin = len(manager.told)
    with open(config, "a", encoding="ascii") as file:
        file.write("ignore = /proc/**\n")
    service.process.send_signal(signal.SIGHUP)
    manager.wait(r"RELOADING=1\nMONOTONIC_USEC=\d+", begin)
    manager.wait("READY=1", begin)
    words = [message.split("\n")[0] for message in manager.words(begin)]
    tap.ok(words.index("RELOADING=1") < words.index("READY=1"), "reloading, and ready again", words)
    tap.ok(any("1 rule now in force" in line for line in service.lines), "the rules were read", service.lines)
    tap.ok("STOPPING=1" not in manager.words(), "nothing is said of stopping before it does")
    tap.equal(service.end(), 0, "it ends well")
    manager.wait("STOPPING=1")
    live.check_balance(tap, service.url, "notified")


if __name__ == "__main__":
    live.main(hardening, capabilities, pinned, notified)
