// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

// The answer: which process read or wrote this file, how much, when, and who started it?

const detailsPanel = el("aside", { id: "details", "aria-live": "polite" });

function sumsBox(entry) {
    const { n, exact } = entry.sums;
    return el("div", { class: "sums" },
        el("div", { class: "r", title: exactly(exact[READ_BYTES]) + " bytes" }, el("b", { "data-exact": exact[READ_BYTES] }, bytes(n[READ_BYTES])), "read in " + plural(exact[READ_OPS], "operation")),
        el("div", { class: "w", title: exactly(exact[WRITE_BYTES]) + " bytes" }, el("b", { "data-exact": exact[WRITE_BYTES] }, bytes(n[WRITE_BYTES])), "written in " + plural(exact[WRITE_OPS], "operation")));
}

function lineageOf(process) {
    const line = lineage(process);
    return el("div", { class: "lineage" }, line.flatMap((life, i) => [i > 0 ? el("span", {}, "\u203a") : null,
        el("button", { type: "button", title: visible(life.last.argv || life.last.exe || ""), onclick: () => change({ chosen: life === process.life ? process : life.last }) }, name(life === process.life ? process.comm : life.last.comm), el("span", { class: "soft num" }, " " + (life.last.pid ?? "")))]));
}

function chainText(process) {
    return lineage(process).flatMap((life, i) => [i > 0 ? " \u203a " : "", name(life === process.life ? process.comm : life.last.comm)]);
}

// One process and what it did in one direction to the file.
function doer(pair, at) {
    const process = pair.process, n = pair.sums.n, ops = pair.sums.exact[at - 1];
    const node = el("div", { class: "doer", tabindex: 0, role: "button", "data-pid": process.pid },
        el("span", { class: "line" }, el("span", {}, el("b", {}, name(process.comm)), el("span", { class: "soft num" }, " " + (process.pid ?? "")), process.user ? el("span", { class: "soft" }, " by ", name(process.user)) : null),
            el("span", { class: "num " + (at === READ_BYTES ? "read" : "write"), "data-exact": pair.sums.exact[at], title: exactly(pair.sums.exact[at]) + " bytes" }, bytes(n[at]))),
        el("span", { class: "line soft" }, el("span", { class: "num" }, time(pair.sums.first, true) + (pair.sums.last > pair.sums.first ? " \u2013 " + clock(pair.sums.last, true) : "")), el("span", { class: "num" }, plural(ops, "operation"))),
        process.argv ? el("span", { class: "argv", title: visible(process.argv) }, name(process.argv)) : null,
        process.parent ? el("span", { class: "chain" }, "started by ", chainText(process).slice(0, -2)) : null);
    const go = () => change({ chosen: process });
    node.addEventListener("click", go);
    node.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
    return node;
}

function doers(file, at, title) {
    const pairs = file.pairs.filter((pair) => pair.sums.n[at - 1] > 0).sort((a, b) => b.sums.n[at] - a.sums.n[at]);
    const rest = file.sums.n[at] - pairs.reduce((sum, pair) => sum + pair.sums.n[at], 0);
    const ops = file.sums.n[at - 1] - pairs.reduce((sum, pair) => sum + pair.sums.n[at - 1], 0);
    if (!pairs.length && ops <= 0) return [];
    return [el("h3", {}, title), pairs.map((pair) => doer(pair, at)),
        ops > 0 ? el("p", { class: "none" }, "and others: " + bytes(rest) + " in " + plural(ops, "operation")) : null];
}

function fileDetails(file) {
    const runs = processes.filter((process) => process.exe === file.path && process.origin !== "fork" && process.host === file.host);
    return [el("div", { class: "kind" }, file.path.startsWith("/") ? "File" : "Account", tags(file)), el("h2", { class: "path" }, name(file.path)), sumsBox(file),
        doers(file, WRITE_BYTES, "Written by"), doers(file, READ_BYTES, "Read by"),
        runs.length ? [el("h3", {}, "Executed as"), el("div", { class: "lineage" }, runs.slice(0, 40).map((process) => el("button", { type: "button", onclick: () => change({ chosen: process }) }, name(process.comm), el("span", { class: "soft" }, " " + process.pid))))] : null,
        el("dl", {}, row("first", time(file.sums.first, true)), row("last", time(file.sums.last, true)),
            row("processes", exactly(file.allProcesses)), errorsRow(file), file.sums.n[MAPPED] ? row("mapped", plural(file.sums.n[MAPPED], "time") + ", bytes unknown") : null)];
}

function row(label, value) {
    return value || value === 0 ? [el("dt", {}, label), el("dd", {}, value)] : null;
}

function errorsRow(entry) {
    const errors = entry.sums.n[READ_ERRORS] + entry.sums.n[WRITE_ERRORS];
    return errors ? row("errors", exactly(errors)) : null;
}

function processDetails(process) {
    const life = process.life, others = process.allFiles - process.files.length;
    const named = process.files.reduce((sum, pair) => sum + pair.sums.bytes, 0);
    return [el("div", { class: "kind" }, "Process " + (process.pid ?? "")), el("h2", {}, name(process.comm)),
        process.argv || process.exe ? el("div", { class: "code" }, name(process.argv || process.exe)) : null,
        el("h3", {}, "Started by"), lineageOf(process),
        el("dl", {}, row("program", process.exe ? name(process.exe, { class: "path" }) : null), row("user", process.user ? name(process.user) : null), row("directory", process.cwd ? name(process.cwd, { class: "path" }) : null),
            row("container", process.container ? name(process.container, { class: "mono" }) : null), row("host", manyHosts && process.host ? name(process.host.name) : null),
            row("began", time(process.executed || process.started, true) + (process.origin === "running" ? " (before the recording)" : "")),
            row("ended", process.ended ? time(process.ended, true) + ", " + ending(process) + " after " + length(process.ended - (process.executed || process.started)) : life.last !== process ? "went on as another program" : "not known: it still ran when the recording ended"), errorsRow(process)),
        el("h3", {}, "Did"), sumsBox(process),
        process.files.length ? [el("h3", {}, "Files"), process.files.slice(0, 60).map((pair) => fileOf(pair))] : null,
        process.files.length > 60 ? el("p", { class: "none" }, "and " + exactly(process.files.length - 60) + " more of those that are named here") : null,
        others > 0 || process.sums.bytes > named ? el("p", { class: "none" }, "and " + (others > 0 ? plural(others, "file") : "files") + " that this page does not name with it: " + bytes(process.sums.bytes - named)) : null,
        life.images.length > 1 ? [el("h3", {}, "It was, one after the other"), life.images.map((image) => small(image))] : null,
        life.children.length ? [el("h3", {}, "It started"), life.children.slice(0, 60).map((child) => small(child.last))] : null];
}

function small(process) {
    const node = el("div", { class: "doer", tabindex: 0, role: "button" }, el("span", { class: "line" }, el("span", {}, el("b", {}, name(process.comm)), el("span", { class: "soft num" }, " " + process.pid)), el("span", { class: "soft num" }, time(process.executed || process.started))),
        el("span", { class: "argv" }, name(process.argv || process.exe || "")));
    node.addEventListener("click", () => change({ chosen: process }));
    return node;
}

function fileOf(pair) {
    const { n, exact } = pair.sums;
    const node = el("div", { class: "doer", tabindex: 0, role: "button" }, el("span", { class: "line" }, path(pair.file.path)),
        el("span", { class: "line num" }, el("span", { class: "soft" }, time(pair.sums.last)), el("span", {}, n[READ_OPS] ? el("span", { class: "read", title: exactly(exact[READ_BYTES]) + " bytes" }, bytes(n[READ_BYTES]) + " read ") : null, n[WRITE_OPS] ? el("span", { class: "write", title: exactly(exact[WRITE_BYTES]) + " bytes" }, bytes(n[WRITE_BYTES]) + " written") : null)));
    node.addEventListener("click", () => change({ chosen: pair.file }));
    return node;
}

listeners.push((what) => {
    if (!("chosen" in what)) return;
    const close = el("button", { type: "button", class: "close", onclick: () => detailsPanel.classList.remove("open") }, "Close");
    const chosen = state.chosen;
    detailsPanel.replaceChildren(...(chosen ? [close, ...(chosen.type === "file" ? fileDetails(chosen) : processDetails(chosen)).flat(5).filter(Boolean)] : [el("p", { class: "soft" }, "Choose a file or a process.")]));
    detailsPanel.classList.toggle("open", Boolean(chosen) && !what.quietly);
    detailsPanel.scrollTop = 0;
});

// What is not known

function unknownSection() {
    const list = recordings(), rows = [];
    const lossRows = data.lossKinds.map(([host, reason, from, to, lost, times]) => el("tr", { class: "rest" }, el("td", {}, name(reason), manyHosts && hosts[host] ? el("span", { class: "tag" }, name(hosts[host].name)) : null),
        el("td", { class: "right num", "data-label": "lost" }, exactly(lost)), el("td", { class: "right num", "data-label": "times" }, exactly(times)), el("td", { class: "wide", "data-label": "when" }, el("span", { class: "num soft" }, time(from) + " \u2013 " + time(to)), range(from, to))));
    for (const recording of list.slice(0, 50)) {
        rows.push(el("tr", { class: "rest" }, el("td", {}, el("span", { class: "num" }, time(recording.started) + " \u2013 " + (recording.ended ? time(recording.ended) : "?")), manyHosts && recording.host ? el("span", { class: "tag" }, name(recording.host.name)) : null, recording.ended ? null : el("span", { class: "tag" }, "no end: killed, or still running")),
            el("td", { "data-label": "scope", class: "mono wide" }, name(recording.scope || "the whole machine")), el("td", { "data-label": "probes" }, name(recording.probes || "?")), el("td", { class: "right num", "data-label": "left out" }, plural(recording.ops, "operation"))));
    }
    const head = (...labels) => el("thead", {}, el("tr", {}, labels.map((label, i) => el("th", { scope: "col", class: label.startsWith(">") ? "right" : null }, label.replace(/^>/, "")))));
    return el("section", { id: "unknown" }, el("div", { class: "head" }, el("h2", {}, "What is not known"), el("p", {}, "A loss costs names, never operations or bytes: what could not be itemised is in accounts like (other files).")),
        lossRows.length ? el("table", { id: "losses" }, head("Lost", ">How many", ">Times", "When"), el("tbody", {}, lossRows)) : el("p", { class: "none", id: "losses" }, "No detail was lost."),
        el("p", { class: "soft" }, "\u00a0"), el("table", { id: "recordings" }, head("Recorded", "Scope", "Probes", ">Left out"), el("tbody", {}, rows)),
        data.allRecordings > list.length ? el("p", { class: "none" }, exactly(data.allRecordings - list.length) + " more recordings are outside of this span, or not named.") : null);
}

// How much of the span was recorded, on each host.
function coverage() {
    const byHost = new Map(), list = recordings();
    for (const recording of list) byHost.set(recording.host, [...(byHost.get(recording.host) || []), [recording.from, recording.to]]);
    let gaps = 0;
    for (const spans of byHost.values()) {
        let to = data.from;
        for (const [a, b] of spans.sort((x, y) => x[0] - y[0])) {
            gaps += a - to > 1500000 ? a - to : 0;
            to = Math.max(to, b);
        }
        gaps += data.to - to > 1500000 ? data.to - to : 0;
    }
    return { gaps, none: !list.length };
}

function pills() {
    const { gaps, none } = coverage(), list = [];
    const balanced = [0, 1, 2, 3, 4, 5].every((i) => String(all.exact[i]) === String(kernel.exact[i]));
    if (none) list.push(["bad", "Nothing was recorded in this span"]);
    else if (gaps) list.push(["warn", "Recorded with gaps: " + length(gaps) + " missing"]);
    else list.push(["good", "Recorded from beginning to end"]);
    if (data.lossKinds.length) list.push(["warn", "Names were lost " + plural(data.allLosses, "time") + ", see below"]);
    else if (!none) list.push(["good", "No detail lost"]);
    // Of an interval that is in the span in part those accounts count that were used in it, and the totals cannot be divided.
    if (!data.since && !data.until && (all.ops || kernel.ops)) list.push(balanced ? ["good", "Books balance: " + plural(kernel.ops, "operation") + ", to the byte"] : ["bad", "Books do not balance: see ioledger balance"]);
    return el("div", { class: "state", id: "state" }, list.map(([kind, text]) => el("span", { class: "pill " + kind }, text)));
}

// The page

const searchInput = el("input", { id: "search", type: "search", placeholder: "Which file, program, pid or user?", autocomplete: "off", spellcheck: "false", "aria-label": "Search" });

function search(text) {
    searchInput.value = text;
    change({ words: text.toLowerCase().split(/\s+/).filter(Boolean) });
}

function tiles() {
    const errors = all.n[READ_ERRORS] + all.n[WRITE_ERRORS];
    return el("div", { class: "tiles" }, [
        [bytes(all.n[READ_BYTES]), "read", "read", all.exact[READ_BYTES], exactly(all.exact[READ_BYTES]) + " bytes"], [bytes(all.n[WRITE_BYTES]), "written", "write", all.exact[WRITE_BYTES], exactly(all.exact[WRITE_BYTES]) + " bytes"],
        [count(all.ops), "operations", "", all.ops, exactly(all.ops)], [count(data.allFiles), "files", "", data.allFiles, exactly(data.allFiles)],
        [count(data.allProcesses), "process images", "", data.allProcesses, exactly(data.allProcesses)], [count(errors), "errors", "", errors, exactly(errors)],
    ].map(([value, label, className, exact, title]) => el("div", { class: "tile", title, "data-tile": label }, el("b", { class: className, "data-exact": exact }, value), el("span", {}, label))));
}

function themeButton() {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const set = (isDark) => { document.documentElement.dataset.theme = isDark ? "dark" : "light"; button.textContent = isDark ? "Light" : "Dark"; };
    const button = el("button", { type: "button", class: "theme", id: "theme", onclick: () => set(document.documentElement.dataset.theme !== "dark") });
    dark.addEventListener("change", () => set(dark.matches));
    set(dark.matches);
    return button;
}

function build() {
    const sections = { when: timeline(), where: treemap(), files: fileTable(), processes: processTable(), tree: treeSection(), unknown: unknownSection() };
    const labels = { when: "When", where: "Where", files: "Files", processes: "Processes", tree: "Who started whom", unknown: "What is not known" };
    const links = el("nav", { class: "links" }), chip = el("button", { type: "button", class: "chip", id: "range", hidden: true, onclick: () => change({ range: null }) });
    const span = data.from ? day(data.from) + " " + clock(data.from) + " \u2013 " + (oneDay ? "" : day(data.to) + " ") + clock(data.to) + " UTC (" + length(data.to - data.from) + ")" : "an empty ledger";
    const asked = data.since || data.until ? "asked for: " + [data.since ? "since " + day(data.since) + " " + clock(data.since) : "", data.until ? "until " + day(data.until) + " " + clock(data.until) : ""].filter(Boolean).join(" ") : "";

    document.title = visible("ioledger: " + hosts.map((host) => host.name).join(", ") + ", " + span);
    const showLinks = () => {
        links.replaceChildren(...Object.entries(labels).map(([id, label]) => el("a", { href: "#" + id }, label, (state.words.length || state.range) && sections[id].found !== undefined ? [" ", el("b", {}, exactly(sections[id].found))] : null)));
        chip.hidden = !state.range;
        if (state.range) chip.textContent = "Active " + time(state.range[0]) + " \u2013 " + clock(state.range[1]) + "  \u2715";
    };
    const icon = svg("svg", { width: 18, height: 18, viewBox: "0 0 18 18", fill: "none", stroke: "currentColor", "stroke-width": 2, "aria-hidden": "true" }, svg("circle", { cx: 8, cy: 8, r: 5.5 }), svg("path", { d: "M12.5 12.5 L16.5 16.5" }));
    document.getElementById("page").replaceChildren(
        el("div", { class: "frame" },
            el("header", { class: "top" }, el("span", { class: "brand" }, "ioledger report"), el("h1", {}, hosts.length ? hosts.flatMap((host, i) => [i > 0 ? ", " : "", name(host.name ?? "?")]) : "ioledger"), el("span", { class: "span num" }, span, asked ? " \u00b7 " + asked : ""), themeButton()),
            pills(), tiles(),
            el("div", { class: "bar" }, el("div", { class: "find" }, icon, searchInput, chip), links),
            el("main", { class: "columns" }, el("div", {}, Object.values(sections)), detailsPanel),
            el("footer", {}, "Made by ioledger " + data.version + " at " + day(data.made) + " " + clock(data.made) + " UTC from ", name(data.db, { class: "mono" }), ". Times are UTC. This page loads nothing and tells nobody."), hint));
    listeners.push((what) => { if ("words" in what || "range" in what) showLinks(); });
    showLinks();
    let timer = 0;
    searchInput.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => search(searchInput.value), 120); });
    document.addEventListener("keydown", (event) => {
        if (event.key === "/" && document.activeElement !== searchInput) {
            event.preventDefault();
            searchInput.focus();
        } else if (event.key === "Escape") {
            if (detailsPanel.classList.contains("open") && getComputedStyle(detailsPanel).position === "fixed") detailsPanel.classList.remove("open");
            else if (searchInput.value) search("");
        }
    });
    change({ chosen: files.find((file) => file.path.startsWith("/") && file.sums.n[WRITE_BYTES]) || files[0] || processes[0] || null, quietly: true });
    delete state.quietly;
}

build();
document.documentElement.dataset.ready = "yes";
