# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A guest: where its kernel comes from, what its initial file system has, and how it is booted."""
import base64
import glob
import gzip
import io
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SUITES = {"5.10": ("bullseye", "bullseye-security"), "6.1": ("bookworm", "bookworm-security"),
          "6.12": ("trixie", "trixie-security"), "7": ("trixie-backports", None)}  # 7: the newest there
CPU = "max,-cx16,-erms,-fsrm"  # see boot()
COMMANDS = ("sh", "cat", "cp", "dd", "head", "seq", "sort", "uniq", "wc", "mkdir", "mv", "rm")
ROUTES = ("routes", "preempt", "mix", "aio", "mmap", "uring", "uring_life", "race", "compat")  # workloads of tests/live that every guest runs
LIVE_COMMANDS = ("python3", "bash", "mount", "umount", "env", "sleep", "true", "false", "ln", "chmod", "truncate", "stat", "tee", "touch", "ls", "unshare",
                 "tail", "date", "id", "setpriv", "setsid", "strace", "tmux", "clear", "curl", "awk", "sed", "grep", "tr", "cut", "paste", "tar", "gzip", "gunzip", "xz", "bzip2", "split",
                 "diff", "cmp", "capsh", "mkfifo", "nohup", "timeout", "setcap", "getcap", "mknod", "readlink", "realpath", "uname", "sync", "yes",
                 "fallocate", "md5sum", "sha256sum", "od", "find", "xargs", "install", "make", "shred", "perl", "sqlite3", "echo", "rmdir", "dirname", "printf", "kill")


class Skip(Exception):
    pass


stopped = []  # signals that ask for an end: a guest is ended, and what it has handed over is looked at


# Kernels

def system_mirrors():
    """(archive, security archive) of the sources of this machine: whatever serves its own release."""
    text = ""
    for path in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*")]:
        if path.endswith((".list", ".sources")) and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text += file.read() + "\n\n"
    found = re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", text, re.M)
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(\w+):[ \t]*(.+)$", stanza, re.M))
        if fields.get("Types", "").startswith("deb"):
            found += [(uri, suite) for uri in fields.get("URIs", "").split() for suite in fields.get("Suites", "").split()]
    archive = [uri for uri, suite in found if re.fullmatch("bullseye|bookworm|trixie|forky|sid", suite)]
    security = [uri for uri, suite in found if re.fullmatch("(bullseye|bookworm|trixie|forky)-security", suite)]
    if not archive:
        raise Skip("apt has no source of Debian here")
    return archive[0], security[0] if security else None


def download(version, cache):
    """The newest linux-image-VERSION*-cloud-amd64.deb, by an apt that shares nothing with this machine's."""
    folder = os.path.join(cache, version)
    have = sorted(glob.glob(os.path.join(folder, "*.deb")), key=os.path.getmtime)
    if have:
        return have[-1]
    if not shutil.which("apt-get"):
        raise Skip("no apt-get to download it with")
    archive, security = system_mirrors()
    for part in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(folder, "apt", part), exist_ok=True)
    apt = os.path.join(folder, "apt")
    with open(os.path.join(apt, "sources.list"), "w", encoding="utf-8") as sources:
        sources.write("deb %s %s main\n" % (archive, SUITES[version][0]))
        if security and SUITES[version][1]:
            sources.write("deb %s %s main\n" % (security, SUITES[version][1]))
    open(os.path.join(apt, "status"), "w", encoding="utf-8").close()
    options = ["-o", "Dir::Etc::sourcelist=" + apt + "/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null",
               "-o", "Dir::State=" + apt, "-o", "Dir::State::status=" + apt + "/status", "-o", "Dir::Cache=" + apt + "/cache",
               "-o", "APT::Architecture=amd64", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-q"]

    def run(*command):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise Skip("%s: %s" % (" ".join(command[-2:]), (done.stderr.strip() or "failed").split("\n")[-1]))
        return done.stdout

    run("apt-get", *options, "update")
    depends = run("apt-cache", *options, "show", "--no-all-versions", "linux-image-cloud-amd64")
    package = re.search(r"^Depends: .*?(linux-image-\d\S+)", depends, re.M)
    if not package:
        raise Skip("the mirror has no cloud kernel " + version)
    # from 7.3 on the image itself is in a package of its own
    binary = re.search(r"^Depends: .*?(linux-binary-\d\S+)", run("apt-cache", *options, "show", package[1]), re.M)
    run("apt-get", *options, "download", (binary or package)[1])
    return glob.glob(os.path.join(folder, "*.deb"))[0]


def unpack(kernel, scratch):
    """The bzImage of a KERNEL argument that is a file."""
    if not kernel.endswith(".deb"):
        return kernel
    folder = os.path.join(scratch, "kernel")
    subprocess.run(["dpkg", "-x", kernel, folder], check=True)
    return (glob.glob(folder + "/boot/vmlinuz-*") + glob.glob(folder + "/usr/lib/modules/*/vmlinuz"))[0]


# The initial file system

class Initramfs:
    """A cpio archive of format newc (Documentation/driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self):
        self.out = io.BytesIO()
        self.names = set()
        self.number = 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        if name in self.names:
            return
        if os.path.dirname(name):
            self.folder(os.path.dirname(name))
        self.names.add(name)
        self._write(name, mode, data, device)

    def _write(self, name, mode, data, device):
        self.number += 1
        raw = os.fsencode(name) + b"\0"
        fields = (self.number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
        self.out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + raw)
        self.out.write(b"\0" * (-(110 + len(raw)) % 4) + data + b"\0" * (-len(data) % 4))

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def file(self, path, name=None):
        with open(path, "rb") as source:
            self.add(name or path, stat.S_IFREG | (os.stat(path).st_mode & 0o777), source.read())

    def program(self, path, name=None):
        """A program or shared library, with what it needs, the loader included."""
        self.file(path, name)
        done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
        for library in re.findall(r"(/\S+) \(0x", done.stdout):
            self.file(library)

    def tree(self, folder, skip):
        for path, folders, names in os.walk(folder):
            folders[:] = [f for f in folders if f not in skip]
            for name in names:
                full = os.path.join(path, name)
                if name.endswith(".so") or ".so." in name:
                    self.program(os.path.realpath(full), full)
                elif os.path.isfile(full):
                    self.file(full)

    def write(self, path):
        self._write("TRAILER!!!", 0, b"", (0, 0))
        with gzip.open(path, "wb", 1) as out:
            out.write(self.out.getvalue())


def make_initramfs(path, args):
    system = Initramfs()
    system.link("bin", "usr/bin")
    system.file(shutil.which("busybox"), "usr/bin/busybox")
    system.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    system.file(os.path.join(HERE, "init"), "init")
    for name in ("workload", "habits"):
        system.file(os.path.join(HERE, name), "guest/" + name)
    system.program(os.path.join(args.build, "ioledger"), "usr/bin/ioledger")
    for name in COMMANDS + (LIVE_COMMANDS if args.live else ()):
        found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
        if found or name in COMMANDS:  # a test without what it needs says so
            system.program(os.path.realpath(found), "usr/bin/" + name)
    for name in ROUTES:
        program = os.path.join(args.build, "tests/live/workload_" + name)
        if os.path.exists(program):
            system.program(program, "guest/workload_" + name)
    if args.verify:
        system.program(os.path.join(args.build, "tests/vm/verify"), "usr/bin/verify")
    if args.steps:
        system.program(os.path.join(args.build, "tests/vm/steps"), "usr/bin/steps")
    system.folder("etc")
    system.add("etc/passwd", stat.S_IFREG | 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    system.add("etc/group", stat.S_IFREG | 0o644, b"root:x:0:\nnogroup:x:65534:\n")
    if args.live:
        add_live(system, args)
    system.write(path)


def add_live(system, args):
    python = subprocess.run(["/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"],
                            capture_output=True, text=True, check=True).stdout.strip()
    system.tree(python, ("test", "idlelib", "lib2to3", "ensurepip", "tkinter", "pydoc_data", "dist-packages", "distutils"))
    tests = os.path.join(ROOT, "tests/live")
    for path in (*glob.glob(tests + "/*lib.py"), tests + "/exact_workload.sh", *("%s/test_%s.py" % (tests, name.partition(":")[0]) for name in args.only)):
        system.file(path, "ioledger/tests/live/" + os.path.basename(path))
    system.tree("/usr/lib/locale/C.utf8", ())
    for name in ("screen", "xterm", "tmux", "dumb", "vt100", "linux"):
        for folder in ("lib", "usr/share"):
            if os.path.exists("/%s/terminfo/%s/%s" % (folder, name[0], name)):
                system.file("/%s/terminfo/%s/%s" % (folder, name[0], name))
    system.add("ioledger/tests/db/pgcluster", stat.S_IFREG | 0o755, b"#!/bin/sh\nexit 77\n")  # there is no server
    for program in glob.glob(os.path.join(args.build, "tests/live/workload_*")) + glob.glob(os.path.join(args.build, "tests/live/lib*.so")):
        if os.path.isfile(program):
            system.program(program, "ioledger/workloads/" + os.path.basename(program))


# The guest

def follow(command, console, seconds):
    """Runs qemu, and tells on stderr what the guest says of its steps; until it ends, or is ended."""
    told, deadline = 0, time.monotonic() + seconds
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=lambda: os.nice(10)) as qemu:
        try:
            while True:
                try:
                    ended = qemu.wait(1) is not None
                except subprocess.TimeoutExpired:
                    ended = False
                lines = []
                if os.path.exists(console):
                    with open(console, encoding="utf-8", errors="backslashreplace") as file:
                        lines = [line for line in file.read().split("\n")[:-1] if line.startswith("vm: ")]
                for line in lines[told:]:
                    print("tests/vm/run: " + line[4:].rstrip(), file=sys.stderr, flush=True)
                told = len(lines)
                if ended or stopped or time.monotonic() > deadline:
                    return
        finally:
            qemu.kill()


def boot(image, initramfs, folder, words, seconds, *options, cpus=2, model=CPU):
    """Runs the guest; the folder of what it handed over, or None, and whether it came to its end."""
    console, results = os.path.join(folder, "console"), os.path.join(folder, "results")
    # Without cx16: qemu 7.2 leaves reserved bits set in the flags after cmpxchg16b, and an interrupt that
    # comes then ends in a double fault in the guest's kmalloc(). In one thread: with two, a CPU may run into the int3
    # with which the other one has just patched a static branch, when that is over: "Oops: int3" in __schedule().
    # no_timer_check: on a busy machine the first timer interrupts may come too late for the kernel, which panics then.
    # Without erms, fsrm and rep_good (112): an emulated "rep movsb" takes a turn for each byte, and the verifier copies a lot.
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-cpu", model, "-smp", str(cpus), "-m", "1024", "-nodefaults",
               "-display", "none", "-no-reboot", "-kernel", image, "-initrd", initramfs,
               "-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check clearcpuid=112 rdinit=/init " + words,
               "-serial", "file:" + console, "-serial", "file:" + results, *options]
    follow(command, console, seconds)
    out, ended = os.path.join(folder, "out"), False
    if not os.path.exists(results):
        return None, False
    with open(results, "rb") as file:
        *pieces, _ = re.split(rb"^(AND|END)\r?$", file.read(), flags=re.M)
    for piece, word in zip(pieces[::2], pieces[1::2]):
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(piece))) as archive:
            archive.extractall(out)
        ended |= word == b"END"
    os.remove(results)
    return out if pieces else None, ended
