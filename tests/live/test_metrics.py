#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What --metrics tells, while it records, is what the database has; whoever asks does not hold up the recording."""
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import livelib as live

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="[^"\\\n]*",?)*)\})? ([0-9.]+)')


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def get(port, path="/metrics", host="127.0.0.1"):
    done = subprocess.run(["curl", "-sS", "-g", "-m", str(live.longer(20)), "-D", "-", "http://%s:%d%s" % (host, port, path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise live.Failure("curl: " + done.stderr)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    return head, body


def samples(text):
    """{(name, labels): value}, and complaints about the form."""
    found, types, helped, wrong = {}, {}, set(), []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split(" ", 3)[2])
        elif line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:]
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            if not match:
                wrong.append("not a sample: " + line)
                continue
            name, labels, value = match.groups()
            if name not in types or name not in helped:
                wrong.append("no TYPE or HELP before: " + line)
            elif (types[name] == "counter") != name.endswith("_total") or types[name] not in ("counter", "gauge"):
                wrong.append("a name that is not as Prometheus has them: " + line)
            key = (name, tuple(sorted(re.findall(r'([a-z]+)="([^"]*)"', labels or ""))))
            if key in found:
                wrong.append("twice: " + line)
            found[key] = float(value)
    return found, wrong


def figures_of(port):
    _, body = get(port)
    return samples(body)[0]


def total(found, name, **labels):
    return sum(value for (other, have), value in found.items() if other == name and set(labels.items()) <= set(have))


def at_rest(port):
    """Figures of which everything is in the database."""
    last = {}

    def rest():
        before = dict(last)
        last.clear()
        last.update(figures_of(port))
        return before and all(total(before, name) == total(last, name) for name in ("ioledger_operations_total", "ioledger_rows_total")) and not total(
            last, "ioledger_waiting_batches")
    live.wait_for(rest, "rest")
    return last


def as_in_the_database(tap, scratch):
    for kind in ("sqlite", "postgresql"):
        url = live.new_url(kind, scratch)
        port = free_port()
        many = live.ManyControl(scratch, files=100, processes=2, threads=2)
        recorder = live.Recorder(url, "--interval", "300ms", "--exe", live.workload("many"), "--max-accounts", "4096", "--sample", "50:kind:file",
                                 "--metrics", "127.0.0.1:%d" % port)
        many.start()
        many.set("go")
        live.wait_for(lambda: total(figures_of(port), "ioledger_operations_total") > 50000, "50,000 operations")
        many.pause()
        found = at_rest(port)
        for column, name, direction in (("read_ops", "operations", "read"), ("write_ops", "operations", "write"), ("read_bytes", "bytes", "read"),
                                        ("write_bytes", "bytes", "write"), ("read_errors", "operation_errors", "read"),
                                        ("write_errors", "operation_errors", "write")):
            want = {row["route"]: row["n"] for row in live.rows(url, "select route, sum(%s) as n from total group by route" % column)}
            got = {route: total(found, "ioledger_%s_total" % name, route=route, direction=direction)
                   for route in ("rw", "sendfile", "splice", "copy_file_range", "io_uring", "mmap")}
            tap.equal({route: n for route, n in got.items() if n}, {route: int(n) for route, n in want.items() if n},
                      "%s: %s by route as in the database" % (kind, column))
        events = {row["kind"]: row["n"] for row in live.rows(url, "select kind, count(*) as n from event group by kind")}
        tap.equal({dict(labels)["kind"]: value for (name, labels), value in found.items() if name == "ioledger_events_total" and value}, events,
                  "%s: events by kind as in the database" % kind)
        tap.equal(total(found, "ioledger_batches_total"), live.value(url, "select count(*) from batch"), "%s: batches" % kind)
        tap.ok(total(found, "ioledger_rows_total") >= live.value(url, "select count(*) from io"), "%s: rows" % kind)
        tap.equal((total(found, "ioledger_losses_total"), total(found, "ioledger_database_errors_total"), total(found, "ioledger_database_up")), (0, 0, 1),
                  "%s: no losses, no errors, the database is there" % kind)
        tap.ok(0 < total(found, "ioledger_accounts") <= total(found, "ioledger_accounts_max") == 4096, "%s: accounts" % kind, found)
        with open("/proc/%d/statm" % recorder.pid, encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        tap.ok(resident / 1.5 < total(found, "process_resident_memory_bytes") < resident * 1.5, "%s: memory" % kind)
        tap.ok(0 < total(found, "process_cpu_seconds_total") < 100 and total(found, "ioledger_uptime_seconds") > 0, "%s: CPU and uptime" % kind)
        version = live.run("--version").stdout.decode().split()[1]
        tap.ok(total(found, "ioledger_build_info", version=version, probes="tracepoint") + total(found, "ioledger_build_info", version=version, probes="fexit") == 1,
               "%s: build_info" % kind, found)
        many.stop()
        tap.equal(recorder.stop(), 0, "%s: it ends well" % kind)
        live.check_balance(tap, url, "metrics, %s" % kind)


def form(tap, scratch):
    """The text is as Prometheus takes it, and nothing else is served."""
    port = free_port()
    recorder = live.Recorder(live.new_url("sqlite", scratch), "--metrics", str(port), "--interval", "100ms")
    live.wait_for(lambda: figures_of(port), "figures")
    head, body = get(port)
    tap.ok(head.startswith("HTTP/1.1 200") and re.search("^content-type: text/plain; version=0.0.4", head, re.M | re.I), "the head", head)
    found, wrong = samples(body)
    tap.ok(len(found) > 50 and not wrong, "each sample has its HELP and TYPE, once", *wrong[:10])
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True, check=False)
        tap.ok(done.returncode == 0 and not done.stderr, "promtool finds nothing wrong", done.stderr)
    else:
        tap.skip("promtool check metrics", "prometheus is not installed")
    for path, method, want in (("/", "GET", 404), ("/metrics/", "GET", 404), ("/metrics", "POST", 405), ("/metrics", "HEAD", 200)):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), method=method, data=b"x" * 100000 if method == "POST" else None)
        try:
            with urllib.request.urlopen(request, timeout=live.longer(20)) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        tap.equal(status, want, "%s %s: %d" % (method, path, want))
    tap.equal(recorder.stop(), 0, "it ends well")


def never_held_up(tap, scratch):
    """A crowd that connects and says nothing, or half a request, costs no interval, and the next one is served."""
    url = live.new_url("sqlite", scratch)
    port = free_port()
    recorder = live.Recorder(url, "--metrics", "127.0.0.1:%d" % port, "--interval", "100ms")
    live.wait_for(lambda: figures_of(port), "figures")
    crowd = []
    before = live.value(url, "select count(*) from batch")
    for _ in range(100):
        peer = socket.socket()
        peer.setblocking(False)
        peer.connect_ex(("127.0.0.1", port))
        crowd.append(peer)
    for turn, peer in enumerate(crowd):
        try:
            if turn % 2:
                peer.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + (b"\r\n" if turn % 4 == 1 else b""))
        except OSError:
            pass
    begun = time.monotonic()
    live.wait_for(lambda: live.value(url, "select count(*) from batch") >= before + 20, "20 intervals")
    took = time.monotonic() - begun
    # an interval without any operation makes no batch, so that it is a bound from above that can be told
    tap.ok(took < live.longer(20), "20 intervals of 100 ms go on as ever", "%.1f s" % took)
    for peer in crowd:
        peer.close()
    live.wait_for(lambda: subprocess.run(["curl", "-sSf", "-m", "2", "http://127.0.0.1:%d/metrics" % port], capture_output=True,
                                         check=False).returncode == 0, "an answer after the crowd")
    tap.equal(recorder.stop(), 0, "it ends well")
    live.check_balance(tap, url, "a crowd")


def addresses(tap, scratch):
    if os.path.exists("/proc/net/if_inet6") and "lo" in open("/proc/net/if_inet6", encoding="ascii").read():
        port = free_port(socket.AF_INET6, "::1")
        recorder = live.Recorder(live.new_url("sqlite", scratch), "--metrics", "[::1]:%d" % port, "--interval", "100ms")
        live.wait_for(lambda: get(port, host="[::1]")[1].startswith("#"), "figures over IPv6")
        tap.equal(recorder.stop(), 0, "IPv6")
    else:
        tap.skip("IPv6", "this machine has none")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(1)
        for address, want in (("127.0.0.1:%d" % busy.getsockname()[1], "somebody else does"), ("192.0.2.1:9464", "Cannot assign requested address"),
                              ("no.such.host.invalid:9464", "cannot listen on no.such.host.invalid:9464 for --metrics")):
            done = live.run("record", "--db", live.new_url("sqlite", scratch), "--metrics", address, "--duration", "1s")
            said = done.stderr.decode()
            tap.ok(done.returncode == 1 and want in said and "recording to" not in said, "refused: --metrics %s" % address, said)


if __name__ == "__main__":
    live.main(as_in_the_database, form, never_held_up, addresses)
