#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Writes reports about ledgers with known contents (fixture.c), opens them from disk in a headless Chromium, clicks on what
is there, and compares what is shown with the ledger. Screenshots stay in the folder SHOTS.

test_report.py IOLEDGER FIXTURE PGCLUSTER CHCLUSTER SHOTS

It runs with the Python of the distribution, whose packages python3-selenium and chromium-driver drive the browser.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile

import clilib
from clilib import IOLEDGER, PATIENCE

try:
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    webdriver = None

SHOTS = os.path.abspath(sys.argv[5])
DRIVER, BROWSER = "/usr/bin/chromedriver", "/usr/bin/chromium"
COUNTERS = ("read_ops", "read_bytes", "write_ops", "write_bytes", "read_errors", "write_errors")
SPANS = (("--since", "2025-11-23 08:53:21"), ("--until", "2025-11-23 08:53:20.9"),
         ("--since", "2025-11-23 08:53:21", "--until", "2025-11-23 08:53:21.8"))
HOSTILE = ["/h/</script><script>document.title='owned'</script>", "/h/<!--<script>", "/h/javascript:document.title='owned'"]


def report(*args, cwd=None):
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    return subprocess.run([IOLEDGER, "report", *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, cwd=cwd,
                          env=env, check=False)


def data_of(page):
    text = page.decode()
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S).group(1))


def write(url, path, *args):
    done = report("--db", url, "-o", path, *args)
    if done.returncode != 0:
        raise RuntimeError("report failed: %r" % done.stderr)
    with open(path, "rb") as file:
        return file.read()


# The file

def test_file(tap, url, scratch):
    path = scratch + "/page.html"
    page = write(url, path)
    os.chmod(path, 0o600)
    tap.ok(b"</script><script>document" not in page, "names in the data cannot end their element")
    tap.equal(len(re.findall(rb"<script|<!--", page)), 2, "the page has two script elements, and nothing of a name is one")
    tap.ok(not re.search(rb"(?:src|href)\s*=|@import|url\(", page.split(b'<script id="data"')[0]), "nothing is loaded")
    policy = re.search(rb'Content-Security-Policy" content="([^"]*)"', page).group(1)
    tap.ok(policy.startswith(b"default-src 'none'; style-src 'sha256-") and b"unsafe" not in policy, "a strict policy", policy)
    tap.equal(data_of(report("--db", url, "-o", "-").stdout)["files"], data_of(page)["files"], "-o -: standard output")
    tap.equal(os.listdir(os.path.dirname(path)).count("page.html"), 1, "the page is there")
    tap.ok(not [name for name in os.listdir(scratch) if name.startswith("page.html.")], "and nothing beside it")
    os.symlink("page.html", scratch + "/link.html")
    write(url, scratch + "/link.html")
    tap.ok(os.path.islink(scratch + "/link.html"), "a symbolic link stays one, its target is written")
    tap.equal(report("--db", url, "-o", "/dev/null").returncode, 0, "a device is written to as it is")
    os.makedirs(scratch + "/cwd", exist_ok=True)
    tap.equal((report("--db", url, cwd=scratch + "/cwd").returncode, os.listdir(scratch + "/cwd")), (0, ["report.html"]),
              "without -o it is report.html in the working directory")


def test_refusals(tap, url, scratch):
    path = scratch + "/kept.html"
    with open(path, "w", encoding="ascii") as file:
        file.write("kept")
    for args, status, word in ((("-o", scratch + "/no/such.html"), 1, b"does not exist"), (("-o", scratch), 1, b"directory"),
                               (("-o", ""), 2, b"empty"), (("--limit", "0"), 2, b"between"), (("--limit", "1M"), 2, b"between"),
                               (("-o", "/proc/report.html"), 1, b"/proc/report.html"), (("more",), 2, b"more")):
        done = report("--db", url, *args)
        tap.ok(done.returncode == status and word in done.stderr and not done.stdout, "refused: %s" % " ".join(args), done)
    done = report("--db", "sqlite:" + scratch + "/none.db", "-o", path)
    with open(path, encoding="ascii") as file:
        tap.equal((done.returncode, file.read()), (1, "kept"), "a page that is there stays when a new one cannot be made")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([IOLEDGER, "report", "--db", url, "-o", "-"], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    tap.ok(done.returncode == 1 and b"No space left" in done.stderr, "a full disk", done)


def interrupt_while_writing(folder, url, signum):
    """Its status, after a signal that is sent while the page is half there."""
    before = os.listdir(folder)
    process = subprocess.Popen([IOLEDGER, "report", "--db", url, "--limit", "100000", "-o", os.path.join(folder, "page.html")], stdin=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signum, signal.SIG_DFL))  # nohup, and sh for what it has in the background, ignore some
    while os.listdir(folder) == before and process.poll() is None:
        pass
    process.send_signal(signum)
    return process.wait(PATIENCE)


def test_interrupted(tap, url, scratch):
    """Whoever ends it in the middle finds what was there before, and nothing else."""
    for kept in ([], ["page.html"]):
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            name, status, attempts = signal.Signals(signum).name, 0, 0
            while status == 0 and attempts < 100:  # of these it was quicker
                attempts += 1
                folder = "%s/%s-%d-%d" % (scratch, name, len(kept), attempts)
                os.mkdir(folder)
                for page in kept:
                    with open(os.path.join(folder, page), "w", encoding="ascii") as file:
                        file.write("kept")
                status = interrupt_while_writing(folder, url, signum)
            left = {}
            for page in os.listdir(folder):
                with open(os.path.join(folder, page), encoding="utf-8") as file:
                    left[page] = file.read()[:20]
            tap.equal((status, left), (-signum, {page: "kept" for page in kept}), "%s while it writes: %s stays" % (name, kept or "nothing"))


def test_interrupted_at_the_end(tap, url, scratch):
    """A signal that comes while the page gets its name: strace(1) has it sent at the entry of the call."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        for more, status, left in (("", 0, "<!doctype html>"), (":error=EACCES", -signal.Signals[name], "kept")):
            folder = tempfile.mkdtemp(dir=scratch)
            path = os.path.join(folder, "page.html")
            with open(path, "w", encoding="ascii") as file:
                file.write("kept")
            done = subprocess.run(["strace", "-f", "-qq", "-o", scratch + "/strace", "-e", "trace=/^rename", "-e", "inject=/^rename:signal=%s%s" % (name, more),
                                   IOLEDGER, "report", "--db", url, "-o", path], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
                                  preexec_fn=lambda: signal.signal(signal.Signals[name], signal.SIG_DFL), check=False)  # pylint: disable=cell-var-from-loop
            with open(path, encoding="utf-8") as file:
                page = file.read()
            tap.equal((done.returncode, page[:15].lower(), "</html>" in page, os.listdir(folder)), (status, left, status == 0, ["page.html"]),
                      "%s while it gets its name%s" % (name, more and ", which fails"))


def sums(rows, at):
    """The six counters from `at` on, added up; large integers come as texts."""
    return [sum(int(row[at + i]) for row in rows) for i in range(6)]


def test_limit(tap, url, scratch):
    whole, few = (data_of(write(url, scratch + "/few.html", "--limit", limit)) for limit in ("1000", "2"))
    tap.equal(len(few["files"]), 2, "--limit: so many files")
    tap.equal([few[key] for key in ("accounts", "kernel", "allFiles", "allProcesses", "bars")],
              [whole[key] for key in ("accounts", "kernel", "allFiles", "allProcesses", "bars")], "--limit: all sums are as they were")
    tap.equal([row[1] for row in few["files"]], [row[1] for row in sorted(whole["files"], key=lambda row: -int(row[6]) - int(row[8]))][:2],
              "--limit: the biggest ones")
    tap.equal(sums(whole["files"], 5), [int(n) for n in whole["accounts"][1:7]], "the files add up to the accounts")
    tap.equal(sums(whole["programs"], 3), [int(n) for n in whole["accounts"][1:7]], "so do programs")
    tap.equal(sums(whole["bars"], 0), [int(n) for n in whole["kernel"][1:7]], "the bars add up to the kernel's totals")
    for name, data in (("all", whole), ("few", few)):
        children = {}
        for number, (parent, _, _, read, written, files) in enumerate(data["directories"]):
            if number:
                children.setdefault(parent, []).append((int(read), int(written), files))
        wrong = [node[1] for number, node in enumerate(data["directories"]) if number in children and
                 (int(node[3]), int(node[4]), node[5]) != tuple(map(sum, zip(*children[number])))]
        tap.equal(wrong, [], "%s: each directory is the sum of what is in it" % name)


def test_many(tap, url, scratch):
    data = data_of(write(url, scratch + "/many.html", "--limit", "100"))
    tap.equal((len(data["files"]), data["allFiles"], data["allProcesses"]), (100, 5000, 5000), "many: the biggest hundred of 5,000")
    tap.equal(data["files"][0][1], "/many/file5000", "many: the biggest one first")
    rest = [node for node in data["directories"] if node[1] is None]
    tap.ok(rest and sum(node[5] for node in rest) + sum(not node[2] for node in data["directories"] if node[1] is not None) == 5000,
           "many: small files of a directory are one node, and counted", rest)


def test_span(tap, url, scratch):
    for args in SPANS:
        data = data_of(write(url, scratch + "/span.html", *args))
        rows = clilib.ask_json("files", "--db", url, *args)
        got = {(row[1], *map(int, row[5:11])) for row in data["files"]}
        tap.equal(got, {(row["path"], *(row[key] for key in COUNTERS)) for row in rows}, "the same as 'files' says: %s" % " ".join(args))
        tap.ok(0 < len(rows) < 20, "which is a part of all: %d" % len(rows))
        tap.ok(data["from"] >= data["since"] and (not data["until"] or data["to"] <= data["until"]), "and the page is about that span")
    nothing = data_of(write(url, scratch + "/span.html", "--until", "2025-11-23 08:53:00"))
    tap.equal((nothing["files"], nothing["recordings"] != []), ([], True), "a span in which nothing was done, though it was recorded")
    tap.ok(b"--since" in report("--since", "whenever", "--db", url).stderr, "a time that is none")


def comparable(data):
    rows = {key: sorted(map(json.dumps, value)) for key, value in data.items() if isinstance(value, list)}
    rows["files"] = sorted(json.dumps([*row[:-1], sorted(row[-1])]) for row in data["files"])
    return {**{key: value for key, value in data.items() if key not in ("made", "db")}, **rows}


# The page

class Page:
    """A browser with one page, and the questions that are asked of it."""

    def __init__(self, width=1440, height=1000):
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for argument in ("--headless=new", "--disable-gpu", "--hide-scrollbars", "--force-prefers-reduced-motion", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.driver.set_page_load_timeout(PATIENCE)
        self.size(width, height)

    def size(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700})

    def prefer(self, scheme):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def load(self, path):
        self.driver.get("file://" + path)
        self.wait("document.documentElement.dataset.ready === 'yes'")

    def js(self, expression, *args):
        return self.driver.execute_script("return " + expression, *args)

    def wait(self, expression):
        WebDriverWait(self.driver, PATIENCE).until(lambda _: self.js(expression))

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        return self.js("[...document.querySelectorAll(arguments[0])].map((node) => node.innerText)", selector)

    def exact(self, selector):
        return self.js("[...document.querySelectorAll(arguments[0])].map((node) => node.dataset.exact)", selector)

    def click(self, selector):
        node = self.one(selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", node)
        node.click()

    def search(self, text):
        field = self.one("#search")
        field.clear()
        field.send_keys(text)
        self.wait("state.words.join(' ') === %s" % json.dumps(text.lower()))

    def columns(self, table):
        """The rows of a table as (first column, bytes read, bytes written), exact."""
        return self.js("""[...document.querySelectorAll('#' + arguments[0] + ' tbody tr')].filter((row) => row.row).map((row) => [
            row.row.path ?? row.row.comm, ...[...row.querySelectorAll('.amount')].map((node) => node.dataset.exact)])""", table)

    def shot(self, name):
        """A screenshot that shows something: a PNG of that size, with many different lines."""
        path = os.path.join(SHOTS, name + ".png")
        self.driver.save_screenshot(path)
        with open(path, "rb") as file:
            head = file.read()
        return struct.unpack(">II", head[16:24]), len(head)


FILES = """SELECT f.path, sum(io.read_bytes), sum(io.write_bytes) FROM io JOIN file f ON f.id = io.file_id GROUP BY f.path
    ORDER BY sum(io.read_bytes) + sum(io.write_bytes) DESC, sum(io.read_ops) + sum(io.write_ops) DESC"""


def ask(url, sql):
    with contextlib.closing(sqlite3.connect(url[len("sqlite:"):])) as connection:
        return [[str(cell) if isinstance(cell, int) else cell for cell in row] for row in connection.execute(sql)]


def test_safe(tap, page):
    tap.equal([entry["message"] for entry in page.driver.get_log("browser")], [], "no complaint of the browser")
    requests = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    urls = {message["params"]["request"]["url"][:8] for message in requests if message["method"] == "Network.requestWillBeSent"}
    tap.ok(urls <= {"file:///"} and page.js("performance.getEntriesByType('resource').length") == 0, "nothing is requested but the page", urls)
    tap.ok(page.driver.title.startswith("ioledger: alpha"), "the title is ours", page.driver.title)
    tap.equal(page.js("document.querySelectorAll('script, img, iframe, object, embed, link').length"), 2, "no element came out of a name")
    shown = page.texts("#files td:first-child .path")
    for path in HOSTILE:
        tap.ok(path in shown, "shown as it is: %s" % path, shown)
    tap.ok("/h/bidi\\u{202e}over" in shown and "/h/new\\nline" in shown and "/h/esc\\e[31mred\\r" in shown, "what cannot be seen is made visible", shown)
    tap.ok(page.js("[...document.querySelectorAll('bdi')].length > 20"), "names are isolated from what is around them")
    tap.ok(not page.js("document.body.innerText.includes('\\u202e')"), "no right-to-left mark is left")


def test_figures(tap, page, url):
    rows = ask(url, FILES)
    tap.equal(page.columns("files"), rows, "files: names and bytes as in the ledger, biggest first")
    tiles = dict(zip(page.js("[...document.querySelectorAll('.tile')].map((node) => node.dataset.tile)"), page.exact(".tile b")))
    want = ask(url, "SELECT sum(read_bytes), sum(write_bytes), sum(read_ops) + sum(write_ops), sum(read_errors) + sum(write_errors) FROM io")[0]
    tap.equal([tiles[key] for key in ("read", "written", "operations", "errors")], want, "the sums of all")
    tap.equal(tiles["files"], str(len(rows)), "the number of files")
    tap.ok("Books balance" in page.one("#state").text, "the books balance", page.one("#state").text)
    tap.ok("Names were lost 2 times" in page.one("#state").text, "and what was lost is said at the top")
    tap.ok("no account slot" in page.one("#losses").text and "42" in page.one("#losses").text, "losses", page.one("#losses").text)
    tap.ok(any("no end" in text for text in page.texts("#recordings td")), "a recording without an end")
    tap.ok(page.js("[...document.querySelectorAll('#files tr')].some((row) => row.innerText.includes('lib.so') && row.innerText.includes('mapped'))"), "what was mapped is not taken for zero bytes")


def test_sort(tap, page, url):
    rows = ask(url, FILES)
    page.click("#files [data-sort=written]")
    tap.equal([row[2] for row in page.columns("files")], sorted((row[2] for row in rows), key=int, reverse=True), "sorted by bytes written")
    tap.equal(page.js("document.querySelector('#files th[aria-sort]').getAttribute('aria-sort')"), "descending", "and the header says so")
    page.click("#files [data-sort=written]")
    tap.equal([row[2] for row in page.columns("files")], sorted((row[2] for row in rows), key=int), "and upwards")
    page.click("#files [data-sort=path]")
    tap.equal([row[0] for row in page.columns("files")], sorted(row[0] for row in rows), "sorted by name")
    page.click("#files [data-sort=biggest]")
    tap.equal([row[0] for row in page.columns("files")], [row[0] for row in rows], "and as before")


def test_answer(tap, page):
    page.search("/src/a.c")
    tap.equal([row[0] for row in page.columns("files")], ["/src/a.c"], "search: the one file")
    page.click("#files tbody tr")
    text = page.one("#details").text
    tap.ok(re.search(r"Written by\s+cc1 911 by ann\s+20 B", text) and re.search(r"ld 912 by 4242\s+50 B", text), "who read and who wrote it, and how much", text)
    tap.ok("started by systemd \u203a bash \u203a make" in text, "and who started them", text)
    tap.ok("08:53:20.500" in text and "08:53:21.750" in text, "and when", text)
    tap.equal(page.exact("#details .sums b"), ["450", "20"], "the sums of the file")
    page.click("#details .doer[data-pid='911']")
    text = page.one("#details").text
    tap.ok("cc1 -quiet a.c" in text and "/src/sub/b.c" in text and "exit 0" in text, "a click on a process shows it", text)
    page.click("#details .lineage button:nth-of-type(3)")
    tap.ok("make -j2" in page.one("#details").text and "exit 2" in page.one("#details").text, "and one on its ancestor shows that", page.one("#details").text)
    page.search("srcery")
    tap.equal(page.columns("files"), [["/srcery", "9007199254740993", "0"]], "an integer that no double holds is exact")
    page.search("CC1")
    tap.equal([row[0] for row in page.columns("processes")], ["cc1"], "search: a program, whatever the case")
    tap.ok(page.js("[...document.querySelectorAll('#tree .row.found')].map((row) => row.dataset.pid).includes('911')"), "the tree is opened at what is found")
    page.search("nobody has this")
    tap.ok("No file" in page.one("#files").text and "No process" in page.one("#tree").text, "search: nothing", page.one("#files").text)
    page.driver.find_element(By.TAG_NAME, "body").send_keys("\ue00c")
    page.wait("state.words.length === 0")


def test_processes(tap, page, url):
    rows = ask(url, """SELECT p.comm, sum(io.read_bytes), sum(io.write_bytes) FROM io JOIN process p ON p.id = io.process_id GROUP BY p.id
        ORDER BY sum(io.read_bytes) + sum(io.write_bytes) DESC""")
    tap.equal(page.columns("processes"), rows, "processes: as in the ledger")
    page.click("#processes [data-sort=written]")
    tap.equal([row[2] for row in page.columns("processes")], sorted((row[2] for row in rows), key=int, reverse=True), "processes: sorted by bytes written")
    page.click("#processes [data-sort=biggest]")
    page.click("#processes [data-by=programs]")
    tap.ok("1 process" in page.one("#processes tbody tr").text, "by program", page.one("#processes tbody tr").text)
    page.click("#processes [data-by=processes]")


def test_tree(tap, page):
    before = len(page.texts("#tree .row"))
    page.click("#open-all")
    rows = page.js("[...document.querySelectorAll('#tree .row')].map((row) => [row.dataset.pid, parseFloat(row.style.paddingLeft)])")
    tap.ok(len(rows) > before and [pid for pid, _ in rows].count("911") == 2, "all open: each process once, though two had one pid", rows)
    depth = dict(rows)
    tap.ok(depth["1"] < depth["812"] < depth["900"] < depth["912"], "each below who started it", rows)
    page.click("#tree .row[data-pid='812'] .fold")
    tap.ok("900" not in page.js("[...document.querySelectorAll('#tree .row')].map((row) => row.dataset.pid)"), "and closed again")
    page.click("#tree .row[data-pid='812']")
    tap.ok("Process 812".lower() in page.one("#details").text.lower(), "a click on one shows it", page.one("#details").text)
    page.click("#open-all")


def test_treemap(tap, page, url):
    page.click("[data-measure=written]")
    want = ask(url, "SELECT sum(io.write_bytes) FROM io JOIN file f ON f.id = io.file_id WHERE f.path LIKE '/src/%'")[0][0]
    tap.equal(page.one("#where .map [data-path='/src/']").get_attribute("data-bytes"), want, "treemap: what was written below a directory")
    before = len(page.texts("#where .map button"))
    page.js("document.querySelector(\"#where .map [data-path='/src/']\").click()")
    tap.ok(page.texts("#where .crumbs button")[-1] == "src/" and len(page.texts("#where .map button")) < before, "a click goes into it",
           page.texts("#where .crumbs button"))
    tap.equal(page.one("#where .map [data-path='/src/a.c']").get_attribute("data-bytes"), "20", "treemap: what was written to one file")
    page.click("[data-measure=read]")
    tap.equal(page.one("#where .map [data-path='/src/a.c']").get_attribute("data-bytes"), "450", "treemap: what was read from it")
    page.js("document.querySelector(\"#where .map [data-path='/src/hardlink.c']\").click()")
    tap.ok("/src/hardlink.c" in page.one("#details h2").text, "a click on a file shows it", page.one("#details").text)
    page.click("#where .crumbs button")
    tap.equal(len(page.texts("#where .crumbs button")), 1, "and back")
    page.click("[data-measure='read + written']")


def test_timeline(tap, page):
    page.js("document.querySelector('#when').scrollIntoView({block: 'center'})")
    box = page.js("(() => { const r = document.querySelector('#when svg').getBoundingClientRect(); return [r.left, r.top, r.width]; })()")
    bars = page.js("data.bars.length")
    first = page.js("data.bars.findIndex((bar) => bar.some(Number))")
    x = [box[0] + 68 + (box[2] - 72) * (first + shift) / bars for shift in (-1.5, 1.5)]
    y = box[1] + 60
    for kind, at in (("mousePressed", x[0]), ("mouseMoved", (x[0] + x[1]) / 2), ("mouseMoved", x[1]), ("mouseReleased", x[1])):
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": at, "y": y, "button": "left", "buttons": 1, "clickCount": 1})
    page.wait("state.range !== null")
    tap.ok(page.one("#range").is_displayed() and len(page.columns("files")) > 0, "dragging over a part of the time narrows what is shown")
    for kind, at in (("mousePressed", box[0] + 90), ("mouseMoved", box[0] + 100), ("mouseReleased", box[0] + 100)):
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": at, "y": y, "button": "left", "buttons": 1, "clickCount": 1})
    page.wait("!document.querySelector('#files tbody tr').row")
    tap.ok("No file" in page.one("#files").text, "where nothing happened, nothing is left", page.one("#files").text)
    page.click("#range")
    tap.ok(not page.one("#range").is_displayed(), "and all of it comes back")


def test_looks(tap, page, path):
    for name, width, height, scheme in (("desk-light", 1440, 1000, "light"), ("desk-dark", 1440, 1000, "dark"), ("phone-light", 390, 844, "light"), ("phone-dark", 390, 844, "dark")):
        page.size(width, height)
        page.prefer(scheme)
        page.load(path)
        tap.equal(page.js("document.documentElement.dataset.theme"), scheme, "%s: as the system prefers" % name)
        tap.ok(page.js("document.documentElement.scrollWidth") <= width, "%s: nothing is wider than the screen" % name)
        size, length = page.shot(name)
        tap.ok(size == (width, height) and length > 15000, "%s: a screenshot" % name, size, length)
    page.click("#files tbody tr")
    tap.ok(page.one("#details").is_displayed() and page.js("document.querySelector('#details').getBoundingClientRect().bottom <= innerHeight + 1"), "phone: the answer comes up over the page")
    page.shot("phone-answer")
    page.click("#details .close")
    tap.ok(not page.one("#details").is_displayed(), "phone: and can be closed")
    page.click("#theme")
    tap.equal(page.js("document.documentElement.dataset.theme"), "light", "the other theme, by hand")


def test_empty(tap, page, url, scratch):
    write(url, scratch + "/empty.html")
    page.size(1440, 1000)
    page.load(scratch + "/empty.html")
    tap.equal([entry["message"] for entry in page.driver.get_log("browser")], [], "an empty ledger: no complaint of the browser")
    tap.ok("Nothing was recorded" in page.one("#state").text, "an empty ledger says so")


def test_elsewhere(tap, url, scratch):
    for name, start in (("PostgreSQL", clilib.start_postgres), ("ClickHouse", clilib.start_clickhouse)):
        urls = start(scratch, ("page",))
        if not urls:
            tap.skip(name, "no %s server is installed" % name)
            continue
        clilib.fill(urls)
        for args in ((), ("--limit", "3"), *SPANS):
            ours, theirs = (comparable(data_of(write(db, scratch + "/either.html", *args))) for db in (url, urls["page"]))
            tap.equal([key for key in ours if ours[key] != theirs[key]], [], "%s gives the same page %s" % (name, " ".join(args)))


def test_browser(tap, urls, scratch):
    if not webdriver or not os.path.exists(DRIVER) or not os.path.exists(BROWSER):
        tap.skip("the page in a browser", "chromium, chromium-driver or python3-selenium is not installed here")
        return
    os.makedirs(SHOTS, exist_ok=True)
    path = scratch + "/browser.html"
    write(urls["page"], path)
    try:
        page = Page()
    except WebDriverException as error:
        tap.ok(False, "the browser starts", str(error))
        return
    with contextlib.ExitStack() as stack:
        stack.callback(page.driver.quit)
        page.load(path)
        for test, args in ((test_safe, ()), (test_figures, (urls["page"],)), (test_sort, (urls["page"],)), (test_answer, ()), (test_processes, (urls["page"],)),
                           (test_tree, ()), (test_treemap, (urls["page"],)), (test_timeline, ()), (test_looks, (path,)), (test_empty, (urls["empty"], scratch))):
            run(tap, test, page, *args)


def run(tap, test, *args):
    clilib.run(tap, test.__name__, test, *args)


def main():
    tap = clilib.Tap()
    scratch = tempfile.mkdtemp(prefix="ioledger-report.")
    try:
        urls = {name: "sqlite:%s/%s.db" % (scratch, name) for name in ("page", "many", "empty")}
        clilib.fill(urls)
        run(tap, test_file, urls["page"], scratch)
        run(tap, test_refusals, urls["page"], scratch)
        run(tap, test_limit, urls["page"], scratch)
        run(tap, test_span, urls["page"], scratch)
        run(tap, test_many, urls["many"], scratch)
        run(tap, test_interrupted, urls["many"], scratch)
        run(tap, test_interrupted_at_the_end, urls["many"], scratch)
        run(tap, test_elsewhere, urls["page"], scratch)
        run(tap, test_browser, urls, scratch)
    finally:
        clilib.remove_servers(scratch)
        shutil.rmtree(scratch, ignore_errors=True)
    print("1..%d" % tap.count)
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
