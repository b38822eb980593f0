// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

// Tables that can be sorted and searched, and the tree of processes.

const ROWS_AT_FIRST = 25, ROWS_MORE = 200;

// The part of a path that tells most stands first in the eye: its last component.
function path(text) {
    const slash = text.endsWith("/") ? text.lastIndexOf("/", text.length - 2) : text.lastIndexOf("/");
    return el("span", { class: "path" }, slash > 0 && text.startsWith("/") ? [name(text.slice(0, slash + 1), { class: "soft" }), el("b", {}, name(text.slice(slash + 1)))] : name(text));
}

function amount(entry, at, most, className) {
    const n = entry.sums.n[at], bar = el("i");
    const node = el("span", { class: "amount num " + (n ? className : "soft"), title: exactly(entry.sums.exact[at]) + " bytes in " + plural(entry.sums.exact[at - 1], "operation"), "data-exact": entry.sums.exact[at] }, n ? bytes(n) : "0", bar);
    styled(bar, { width: (most > 0 ? Math.max(n ? 2 : 0, n / most * 100) : 0) + "%" });
    return node;
}

function range(first, last) {
    const bar = el("i"), whole = Math.max(1, data.to - data.from);
    const left = Math.min(99, Math.max(0, (first - data.from) / whole * 100));
    styled(bar, { left: left + "%", width: Math.max(1, Math.min(100 - left, (last - first) / whole * 100)) + "%" });
    return el("span", { class: "range", title: time(first, true) + " \u2013 " + time(last, true) + " UTC" }, first ? bar : null);
}

function tags(file) {
    const list = file.flags ? file.flags.split(",") : [];
    return [file.kind !== "file" && file.path.startsWith("/") ? el("span", { class: "tag" }, name(file.kind)) : null,
        list.map((flag) => el("span", { class: flag === "deleted" ? "tag bad" : "tag" }, name(flag))),
        file.sums.n[MAPPED] ? el("span", { class: "tag", title: "Mapped into memory " + plural(file.sums.n[MAPPED], "time") + ": what was loaded and stored there is not known" }, "mapped") : null,
        manyHosts && file.host ? el("span", { class: "tag" }, name(file.host.name)) : null];
}

// columns: {id, label, class, width, sort(row), text: sorts up first, cell(row)}. rest() is what the rows do not name: {label, sums}.
function table(id, { title, columns, rows, searched, rest, onChoose, extra, nothing }) {
    const biggest = el("button", { type: "button", class: "theme", "data-sort": "biggest", onclick: () => { sorted = null; draw(); } }, "Biggest first");
    const head = el("tr"), body = el("tbody"), note = el("p"), more = el("button", { type: "button", class: "more" });
    const section = el("section", { id }, el("div", { class: "head" }, el("h2", {}, title), note, biggest, extra), el("table", {}, el("thead", {}, head), body), more);
    let sorted = null, upward = false, shown = ROWS_AT_FIRST;

    const texts = new Map();
    function textOf(row) {
        if (!texts.has(row)) texts.set(row, searched(row).filter(Boolean).join("\n").toLowerCase());
        return texts.get(row);
    }
    function compare(a, b) {
        if (!sorted) return byBytes(a, b);
        const x = sorted.sort(a), y = sorted.sort(b);
        const order = typeof x === "string" || typeof y === "string" ? (String(x ?? "") < String(y ?? "") ? -1 : String(x ?? "") > String(y ?? "") ? 1 : 0) : x - y;
        return (upward ? order : -order) || byBytes(a, b);
    }
    for (const column of columns) {
        const button = el("button", { type: "button", "data-sort": column.id, onclick: () => {
            upward = sorted === column ? !upward : Boolean(column.text);
            sorted = column;
            draw();
        } }, column.label);
        column.header = styled(el("th", { class: column.class, scope: "col" }, button), column.width ? { width: column.width } : {});
        head.append(column.header);
    }
    function draw() {
        const found = rows().filter((row) => inRange(row.sums.first, row.sums.last) && (!state.words.length || matches(textOf(row)))).sort(compare);
        const most = {};
        biggest.hidden = !sorted;
        for (const column of columns) {
            if (column === sorted) column.header.setAttribute("aria-sort", upward ? "ascending" : "descending");
            else column.header.removeAttribute("aria-sort");
            if (column.sum !== undefined) most[column.sum] = Math.max(0, ...rows().map((row) => row.sums.n[column.sum]));
        }
        body.replaceChildren();
        for (const row of found.slice(0, shown)) {
            const line = el("tr", { class: state.chosen === row ? "chosen" : null }, columns.map((column) =>
                el("td", { class: [column.class, column.wide ? "wide" : ""].join(" ").trim() || null, "data-label": column === columns[0] ? null : column.label }, column.sum !== undefined ? amount(row, column.sum, most[column.sum], column.colour) : column.cell(row))));
            line.addEventListener("click", () => onChoose(row));
            line.row = row;
            body.append(line);
        }
        const others = rest();
        if (others && !state.words.length && !state.range && shown >= found.length) {
            body.append(el("tr", { class: "rest" }, columns.map((column, i) => el("td", { class: column.class || null }, i === 0 ? others.label : column.sum !== undefined ? el("span", { class: "num" }, bytes(others.n[column.sum])) : null))));
        }
        more.hidden = found.length <= shown;
        more.textContent = "Show " + exactly(Math.min(ROWS_MORE, found.length - shown)) + " more of " + exactly(found.length);
        if (!found.length) body.append(el("tr", { class: "rest" }, el("td", { colspan: columns.length }, state.words.length || state.range ? nothing : "Nothing.")));
        note.textContent = state.words.length || state.range ? exactly(found.length) + " found" : sorted ? "" : "biggest first";
        section.found = found.length;
    }
    more.addEventListener("click", () => { shown += ROWS_MORE; draw(); });
    listeners.push((what) => {
        if ("words" in what || "range" in what) {
            shown = ROWS_AT_FIRST;
            draw();
        } else {
            for (const line of body.children) line.classList.toggle("chosen", Boolean(line.row) && line.row === state.chosen);
        }
    });
    section.draw = draw;
    draw();
    return section;
}

// All minus those that are named.
function remainder(whole, entries) {
    return whole.n.map((n, i) => n - entries.reduce((sum, entry) => sum + entry.sums.n[i], 0));
}

function fileTable() {
    const others = data.allFiles - files.length;
    return table("files", {
        title: "Files", rows: () => files, searched: (file) => [file.path, file.kind, file.flags, file.host && file.host.name],
        onChoose: (file) => change({ chosen: file }),
        nothing: others > 0 ? "None of the " + exactly(files.length) + " biggest files. A smaller one is found by: ioledger who PATH" : "No file.",
        rest: () => others > 0 && { label: "and " + plural(others, "smaller one"), n: remainder(all, files) },
        columns: [
            { id: "path", label: "File", sort: (file) => file.path, text: true, cell: (file) => [path(file.path), tags(file)] },
            { id: "read", label: "Read", class: "right", width: "6.5rem", sort: (file) => file.sums.n[READ_BYTES], sum: READ_BYTES, colour: "read" },
            { id: "written", label: "Written", class: "right", width: "6.5rem", sort: (file) => file.sums.n[WRITE_BYTES], sum: WRITE_BYTES, colour: "write" },
            { id: "by", label: "By", width: "10rem", sort: (file) => file.allProcesses, cell: whoCell },
            { id: "last", label: "When", width: "8.5rem", wide: true, sort: (file) => file.sums.last, cell: (file) => [el("span", { class: "num soft" }, time(file.sums.last)), range(file.sums.first, file.sums.last)] },
        ],
    });
}

function whoCell(file) {
    const first = file.pairs.find((pair) => pair.sums.n[WRITE_BYTES]) || file.pairs[0];
    const others = file.allProcesses - 1;
    if (!first) return null;
    return [el("span", { class: "main" }, name(first.process.comm), el("span", { class: "soft" }, first.process.pid ? " " + first.process.pid : "")),
        others > 0 ? el("span", { class: "sub" }, "and " + plural(others, "other")) : null];
}

function processTable() {
    let byProgram = false;
    const chooser = el("span", { class: "switch" }, ["processes", "programs"].map((key) => el("button", { type: "button", "data-by": key, "aria-pressed": String(key === "processes"), onclick: () => {
        byProgram = key === "programs";
        for (const button of chooser.children) button.setAttribute("aria-pressed", button.dataset.by === key);
        section.draw();
    } }, key)));
    const active = processes.filter((process) => process.sums.ops > 0 || process.sums.n[READ_ERRORS] + process.sums.n[WRITE_ERRORS] > 0).sort(byBytes);
    const section = table("processes", {
        title: "Processes", extra: chooser, rows: () => byProgram ? programs : active, nothing: "No process.",
        searched: (row) => [row.comm, row.exe, row.argv, row.user, row.pid && "pid " + row.pid, row.container, row.host && row.host.name],
        onChoose: (row) => row.type === "process" ? change({ chosen: row }) : search(row.exe || row.comm),
        rest: () => {
            const others = byProgram ? data.allPrograms - programs.length : data.allProcesses - processes.length;
            return others > 0 && { label: "and " + exactly(others) + " more", n: remainder(all, byProgram ? programs : active) };
        },
        columns: [
            { id: "name", label: "Process", sort: (row) => row.comm ?? "", text: true, cell: (row) => [
                el("span", { class: "main" }, el("b", {}, name(row.comm || "(unknown)")), row.pid ? el("span", { class: "soft num" }, " " + row.pid) : null, row.type === "process" && row.signal !== null ? el("span", { class: "tag bad" }, ending(row)) : null, row.exitCode > 0 ? el("span", { class: "tag bad" }, ending(row)) : null),
                el("span", { class: "sub mono", title: visible(row.argv || row.exe || "") }, name(row.type === "program" ? row.exe || "" : row.argv || row.exe || ""))] },
            { id: "read", label: "Read", class: "right", width: "6.5rem", sort: (row) => row.sums.n[READ_BYTES], sum: READ_BYTES, colour: "read" },
            { id: "written", label: "Written", class: "right", width: "6.5rem", sort: (row) => row.sums.n[WRITE_BYTES], sum: WRITE_BYTES, colour: "write" },
            { id: "by", label: "Started by", width: "10rem", sort: (row) => row.type === "program" ? row.count : starters(row).map((part) => part.textContent ?? part).join(""), text: true, cell: (row) => row.type === "program" ? el("span", { class: "soft" }, plural(row.count, "process", "processes")) : el("span", { class: "soft" }, starters(row)) },
            { id: "last", label: "When", width: "8.5rem", wide: true, sort: (row) => row.sums.last, cell: (row) => [el("span", { class: "num soft" }, time(row.sums.last)), range(row.sums.first, row.sums.last)] },
        ],
    });
    return section;
}

function starters(process) {
    const line = lineage(process).slice(0, -1).slice(-2);
    return line.flatMap((life, i) => [i > 0 ? " \u203a " : "", name(life.last.comm)]);
}

function ending(process) {
    if (process.signal !== null) return "signal " + process.signal;
    return process.exitCode !== null ? "exit " + process.exitCode : "";
}

// Who started whom

function treeSection() {
    const body = el("div"), note = el("p"), more = el("button", { type: "button", class: "more" });
    const openAll = el("button", { type: "button", class: "theme", id: "open-all" }, "Open all");
    const section = el("section", { id: "tree" }, el("div", { class: "head" }, el("h2", {}, "Who started whom"), note, openAll), body, more);
    let shown = ROWS_MORE, allOpen = false, found = null;

    for (const life of lives) life.text = life.images.map((image) => [image.comm, image.exe, image.argv, image.user, "pid " + image.pid].join("\n")).join("\n").toLowerCase();
    function look() {
        found = null;
        if (!state.words.length && !state.range) return;
        found = new Set();
        for (const life of lives) {
            life.hit = (!state.words.length || matches(life.text)) && (!state.range || life.images.some((image) => inRange(image.sums.first, image.sums.last)));
            for (let at = life; life.hit && at && !found.has(at); at = at.parent) found.add(at);
        }
    }
    function visit(visitRow) {
        const stack = [...roots].reverse().map((life) => [life, 0]);
        while (stack.length) {
            const [life, depth] = stack.pop();
            if (found && !found.has(life)) continue;
            visitRow(life, depth);
            const open = found ? life.open || life.children.some((child) => found.has(child)) : life.open;
            if (open) for (const child of [...life.children].reverse()) stack.push([child, depth + 1]);
        }
    }
    function row(life, depth) {
        const image = life.last, open = life.open || Boolean(found && life.children.some((child) => found.has(child)));
        const fold = el("button", { type: "button", class: "fold", "aria-expanded": life.children.length ? String(open) : null, "aria-label": open ? "close" : "open" }, life.children.length ? open ? "\u25be" : "\u25b8" : "\u00b7");
        const line = el("div", { class: ["row", life.images.includes(state.chosen) ? "chosen" : "", found && life.hit ? "found" : ""].join(" ").trim(), "data-pid": image.pid },
            fold, el("span", { class: "name" }, name(image.comm), el("span", { class: "soft num" }, " " + (image.pid ?? ""))),
            el("span", { class: "argv" }, name(image.argv || image.exe || "")),
            image.signal !== null || image.exitCode > 0 ? el("span", { class: "tag bad" }, ending(image)) : null,
            life.sums.n[READ_BYTES] ? el("span", { class: "num read" }, bytes(life.sums.n[READ_BYTES])) : null,
            life.sums.n[WRITE_BYTES] ? el("span", { class: "num write" }, bytes(life.sums.n[WRITE_BYTES])) : null);
        styled(line, { "padding-left": Math.min(depth, 24) * 1.05 + .3 + "rem" });
        fold.addEventListener("click", (event) => {
            event.stopPropagation();
            life.open = !open;
            draw();
        });
        line.addEventListener("click", () => change({ chosen: image }));
        line.life = life;
        return line;
    }
    function draw() {
        const rows = [];
        let n = 0;
        visit((life, depth) => { if (n++ < shown) rows.push(row(life, depth)); });
        body.replaceChildren(...rows);
        if (!n) body.append(el("p", { class: "none" }, "No process."));
        more.hidden = n <= shown;
        more.textContent = "Show more of " + exactly(n);
        section.found = found ? lives.filter((life) => life.hit).length : lives.length;
        const others = data.allProcesses - processes.filter((process) => process.sums.ops || process.origin !== "running").length;
        note.textContent = others > 0 ? exactly(others) + " more process images are not named in this page." : "";
    }
    more.addEventListener("click", () => { shown += ROWS_MORE; draw(); });
    openAll.addEventListener("click", () => {
        allOpen = !allOpen;
        for (const life of lives) life.open = allOpen;
        openAll.textContent = allOpen ? "Close all" : "Open all";
        draw();
    });
    listeners.push((what) => {
        if ("words" in what || "range" in what) {
            shown = ROWS_MORE;
            look();
            draw();
        } else {
            for (const line of body.children) line.classList.toggle("chosen", Boolean(line.life) && line.life.images.includes(state.chosen));
        }
    });
    // A tree with one trunk is opened until it branches.
    for (let life = roots.length === 1 ? roots[0] : null; life; life = life.children.length === 1 ? life.children[0] : null) life.open = true;
    for (const life of roots) life.open = life.open || roots.length < 6;
    draw();
    return section;
}
