#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Builds the Debian package, and installs, starts, upgrades and purges it (package_guest.sh) in a machine of its own: a Debian made by
mmdebstrap, in which systemd is process 1 (systemd-nspawn). Its packages are kept in .cache of the source folder.
"""
import hashlib
import os
import re
import shutil
import subprocess

import livelib as live

ROOT = os.path.dirname(os.path.dirname(live.HERE))
CACHE = os.environ.get("IOLEDGER_CACHE") or os.path.join(ROOT, ".cache", "package")
GUEST = ("systemd", "systemd-sysv", "dbus", "curl", "sqlite3", "procps")
BOOT_SECONDS = 240
UNIT = """[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/guest.sh
ExecStopPost=systemctl --no-block poweroff
[Install]
WantedBy=multi-user.target
"""


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          **more)
    if done.returncode:
        raise live.Failure("%s: exit status %d: %s" % (" ".join(command), done.returncode, done.stdout[-3000:]))
    return done.stdout


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise live.Skip("%s is not installed" % tool)


def field(package, name):
    return run("dpkg-deb", "-f", package, name).strip()


def later_version(package, folder):
    """The same package, as the version after it."""
    tree = os.path.join(folder, "later")
    run("dpkg-deb", "-R", package, tree)
    control = os.path.join(tree, "DEBIAN", "control")
    with open(control, encoding="utf-8") as file:
        text = file.read()
    with open(control, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^Version: (.*)$", r"Version: \1+later", text, flags=re.M))
    run("dpkg-deb", "-b", tree, os.path.join(folder, "new.deb"))
    shutil.rmtree(tree)


def dependencies(package):
    """The first choice of each."""
    return sorted({re.match(r"[a-z0-9.+-]+", word.strip()).group(0) for word in field(package, "Depends").split(",")})


def release():
    with open("/etc/os-release", encoding="utf-8") as file:
        return dict(line.rstrip("\n").replace('"', "").split("=", 1) for line in file if "=" in line)


def base_system(package):
    """An archive of a system of this machine's release with what the package needs."""
    sources = [path for path in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list.d/ubuntu.sources", "/etc/apt/sources.list")
               if os.path.exists(path)]
    code = release().get("VERSION_CODENAME")
    if not sources or not code:
        raise live.Skip("this machine names no archive of packages")
    packages = ",".join(sorted({*GUEST, *dependencies(package)}))
    with open(sources[0], "rb") as file:
        key = hashlib.sha256(file.read() + packages.encode()).hexdigest()[:16]
    archive = os.path.join(CACHE, "%s-%s.tar" % (code, key))
    if not os.path.exists(archive):
        os.makedirs(CACHE, exist_ok=True)
        half = os.path.join(CACHE, "new-%d.tar" % os.getpid())
        done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + packages, code, half, sources[0]],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise live.Skip("no Debian could be made (is there a network?): " + done.stderr.strip().split("\n")[-1])
        os.rename(half, archive)
    return archive


def make_machine(scratch, archive, packages):
    root = os.path.join(scratch, "machine")
    os.mkdir(root)
    run("tar", "-C", root, "-xf", archive)
    shutil.copytree(packages, os.path.join(root, "packages"))
    shutil.copy(os.path.join(live.HERE, "package_guest.sh"), os.path.join(root, "guest.sh"))
    with open(os.path.join(root, "etc/systemd/system/guest.service"), "w", encoding="ascii") as file:
        file.write(UNIT)
    wants = os.path.join(root, "etc/systemd/system/multi-user.target.wants")
    os.makedirs(wants, exist_ok=True)
    os.symlink("../guest.service", os.path.join(wants, "guest.service"))
    return root


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def boot(root, bpf):
    """Its end is the machine's."""
    command = ["systemd-nspawn", "--quiet", "-D", root, "--boot", "--register=no", "--keep-unit", "--console=pipe", "--capability=all",
               "--system-call-filter=bpf perf_event_open", "--bind=%s:/sys/fs/bpf" % bpf, "--machine=ioledger-test"]
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        said, _ = machine.communicate(timeout=BOOT_SECONDS)
    except subprocess.TimeoutExpired:
        machine.terminate()  # it is powered off
        try:
            said, _ = machine.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            machine.kill()
            said, _ = machine.communicate()
    return said


def package(tap, scratch):
    need("dpkg-buildpackage", "dh", "mmdebstrap", "systemd-nspawn")
    packages = os.path.join(scratch, "packages")
    os.mkdir(packages)
    built = run(os.path.join(ROOT, "packaging", "make-deb"), os.path.join(scratch, "deb"), cwd=ROOT).strip().split("\n")[-1]
    tap.ok(os.path.exists(built), "the package is built", built)
    version = live.run("--version").stdout.decode().split()[1]
    tap.equal(field(built, "Version"), version, "its version is that of the program")
    if shutil.which("lintian"):
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", built], capture_output=True, text=True, check=False)
        tap.ok(done.returncode == 0, "lintian finds nothing wrong", done.stdout, done.stderr)
    else:
        tap.skip("lintian", "lintian is not installed")
    shutil.copy(built, os.path.join(packages, "old.deb"))
    later_version(built, packages)

    root = make_machine(scratch, base_system(built), packages)
    bpf = os.path.join(scratch, "bpf")
    os.mkdir(bpf)
    run("mount", "-t", "bpf", "-o", "nosuid,nodev,noexec,mode=700", "bpf", bpf)
    try:
        said = boot(root, bpf)
        results = read(os.path.join(root, "results")).split("\n")
        if not results[0]:
            raise live.Skip("no systemd could be booted in a container here: " + " ".join(said.split())[-300:])
        output = read(os.path.join(root, "output"))
        for line in results:
            word, _, name = line.partition(" ")
            if word in ("ok", "no"):
                tap.ok(word == "ok", "package: " + name)
        if not tap.ok("end" in results, "the machine came to its end") or any(line.startswith("no ") for line in results):
            tap.say(output[-12000:])
        left = subprocess.run(["find", bpf, "-mindepth", "2"], capture_output=True, text=True, check=False).stdout
        tap.equal(left, "", "nothing is pinned any more")
    finally:
        subprocess.run(["umount", bpf], check=False)


if __name__ == "__main__":
    live.main(package)
