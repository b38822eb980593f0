// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

// When: reads up, writes down, what was recorded and what was lost below.

function timeline() {
    const box = el("div");
    const note = el("p");
    const section = el("section", { id: "when" },
        el("div", { class: "head" }, el("h2", {}, "When"), note, el("span", { class: "key read" }, "read"), el("span", { class: "key write" }, "written")), box);
    const base = Math.floor(data.from / data.barWidth) * data.barWidth;
    const bars = data.bars.map((bar) => bar.map(Number));
    const peak = Math.max(1, ...bars.map((bar) => Math.max(bar[READ_BYTES], bar[WRITE_BYTES])));
    let dragged = null;

    note.textContent = "One bar is " + length(data.barWidth) + ". Drag over a part to see only what was active then.";
    function draw() {
        const width = Math.max(280, box.clientWidth || 800), up = 88, down = 62, left = 68, axis = 34;
        const middle = up + 6, bottom = middle + down, height = bottom + axis, inner = width - left - 4;
        const end = base + bars.length * data.barWidth;
        const x = (us) => left + Math.min(1, Math.max(0, (us - base) / (end - base))) * inner;
        const image = svg("svg", { viewBox: "0 0 " + width + " " + height, height, role: "img", "aria-label": "Bytes read and written over time" });
        const brush = svg("rect", { class: "brush", y: 0, height: bottom, x: 0, width: 0 });
        const cursor = svg("line", { class: "cursor", y1: 0, y2: bottom, x1: -5, x2: -5 });
        const share = up / Math.max(1, ...bars.map((bar) => bar[READ_BYTES])), below = down / Math.max(1, ...bars.map((bar) => bar[WRITE_BYTES]));
        const scale = Math.min(share, below, up / peak);

        for (const [y, n] of [[middle - up, up / scale], [middle + down, down / scale]]) {
            image.append(svg("line", { class: "grid", x1: left, x2: width, y1: y, y2: y }),
                svg("text", { x: left - 6, y: y + (y < middle ? 9 : -2), "text-anchor": "end" }, bytes(Math.round(n / (data.barWidth / 1e6))) + "/s"));
        }
        bars.forEach((bar, i) => {
            const at = left + i / bars.length * inner, wide = Math.max(1, inner / bars.length - (inner / bars.length > 4 ? 1 : 0));
            const r = bar[READ_BYTES] * scale, w = bar[WRITE_BYTES] * scale;
            if (bar[READ_BYTES]) image.append(svg("rect", { class: "r", x: at, y: middle - Math.max(1, r), width: wide, height: Math.max(1, r) }));
            if (bar[WRITE_BYTES]) image.append(svg("rect", { class: "w", x: at, y: middle, width: wide, height: Math.max(1, w) }));
        });
        image.append(svg("line", { class: "zero", x1: left, x2: width, y1: middle, y2: middle }));
        image.append(svg("rect", { class: "uncovered", x: left, y: bottom + 5, width: inner, height: 5, rx: 2 }));
        for (const recording of recordings()) {
            image.append(svg("rect", { class: "covered", x: x(recording.from), y: bottom + 5, width: Math.max(2, x(recording.to) - x(recording.from)), height: 5, rx: 2 }));
        }
        for (const [from, to] of data.losses) {
            if (to >= base && from <= end) image.append(svg("rect", { class: "lost", x: x(from), y: bottom + 3, width: Math.max(3, x(to) - x(from)), height: 9 }));
        }
        const ticks = Math.max(2, Math.floor(inner / 130));
        for (let i = 0; i <= ticks; i++) {
            const us = base + (end - base) * i / ticks;
            image.append(svg("text", { x: left + inner * i / ticks, y: height - 6, "text-anchor": i === 0 ? "start" : i === ticks ? "end" : "middle" },
                oneDay ? clock(us) : (end - base) / ticks >= 86400e6 ? day(us) : day(us).slice(5) + " " + clock(us).slice(0, 5)));
        }
        image.append(cursor, brush);
        if (state.range) {
            brush.setAttribute("x", x(state.range[0]));
            brush.setAttribute("width", Math.max(2, x(state.range[1]) - x(state.range[0])));
        }
        const at = (event) => {
            const rect = image.getBoundingClientRect();
            return Math.min(bars.length - 1, Math.max(0, Math.floor((event.clientX - rect.left - left * rect.width / width) / (inner * rect.width / width) * bars.length)));
        };
        image.addEventListener("pointermove", (event) => {
            const i = at(event), bar = bars[i], from = base + i * data.barWidth;
            cursor.setAttribute("x1", left + (i + .5) / bars.length * inner);
            cursor.setAttribute("x2", left + (i + .5) / bars.length * inner);
            showHint(event, el("b", {}, time(from) + " \u2013 " + clock(from + data.barWidth)), el("br"),
                el("span", { class: "read" }, bytes(bar[READ_BYTES]) + " read"), ", ", el("span", { class: "write" }, bytes(bar[WRITE_BYTES]) + " written"),
                el("br"), count(bar[READ_OPS] + bar[WRITE_OPS]) + " operations" + (bar[READ_ERRORS] + bar[WRITE_ERRORS] ? ", " + count(bar[READ_ERRORS] + bar[WRITE_ERRORS]) + " errors" : ""));
            if (dragged !== null) {
                const [a, b] = [Math.min(dragged, i), Math.max(dragged, i) + 1];
                brush.setAttribute("x", left + a / bars.length * inner);
                brush.setAttribute("width", (b - a) / bars.length * inner);
            }
        });
        image.addEventListener("pointerleave", () => { hideHint(); cursor.setAttribute("x1", -5); cursor.setAttribute("x2", -5); });
        image.addEventListener("pointerdown", (event) => { dragged = at(event); image.setPointerCapture(event.pointerId); });
        image.addEventListener("pointercancel", () => { dragged = null; draw(); });
        image.addEventListener("pointerup", (event) => {
            if (dragged === null) return;
            const a = Math.min(dragged, at(event)), b = Math.max(dragged, at(event)) + 1;
            dragged = null;
            change({ range: a === b - 1 && state.range ? null : [base + a * data.barWidth, base + b * data.barWidth] });
        });
        box.replaceChildren(image);
    }
    listeners.push((what) => { if ("range" in what) draw(); });
    new ResizeObserver(draw).observe(box);
    return section;
}

// When it was recorded, as far as that is in the span.
function recordings() {
    return data.recordings.map(([host, started, ended, lastInterval, version, probes, scope, ops, excluded]) => ({
        host: hosts[host], started, ended, version, probes, scope, ops: Number(ops), excluded: Number(excluded),
        from: Math.max(started, data.from), to: Math.min(ended || lastInterval || started, data.to),
    })).filter((recording) => recording.to >= recording.from);
}

// Where: a treemap of directories. Its nodes come with their parents before them.

const directories = data.directories.map(([parent, nodeName, isDirectory, read, written, nFiles]) => ({
    parent, name: nodeName, isDirectory: Boolean(isDirectory), read: Number(read), written: Number(written), files: nFiles, children: [], path: "",
}));
directories.forEach((node, i) => {
    const parent = directories[node.parent];
    node.parent = i > 0 ? parent : null;
    if (!node.parent) return;
    parent.children.push(node);
    if (parent === directories[0]) node.path = node.name;
    else if (node.name !== null) node.path = (parent.path.startsWith("/") ? parent.path : "") + node.name + (node.isDirectory ? "/" : "");
});

// Rectangles as square as they can be (Bruls, Huizing and van Wijk): a row is filled as long as that makes its worst one better.
function squarify(items, x, y, width, height, place) {
    let rest = items.reduce((sum, item) => sum + item.size, 0), from = 0;
    while (from < items.length && rest > 0 && width > 0 && height > 0) {
        const short = Math.min(width, height), scale = width * height / rest;
        let to = from, row = 0, worst = Infinity;
        for (; to < items.length; to++) {
            const next = row + items[to].size * scale, first = items[from].size * scale, last = items[to].size * scale;
            const ratio = Math.max(short * short * first / (next * next), next * next / (short * short * last));
            if (ratio > worst) break;
            worst = ratio;
            row = next;
        }
        const thick = row / short;
        let along = 0;
        for (let i = from; i < to; i++) {
            const size = items[i].size * scale / thick;
            if (width >= height) place(items[i], x, y + along, thick, size);
            else place(items[i], x + along, y, size, thick);
            along += size;
            rest -= items[i].size;
        }
        if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
        from = to;
    }
}

function treemap() {
    const map = el("div", { class: "map" }), crumbs = el("div", { class: "crumbs" }), note = el("p");
    const measures = { "read + written": (node) => node.read + node.written, read: (node) => node.read, written: (node) => node.written };
    const chooser = el("span", { class: "switch" }, Object.keys(measures).map((key) => el("button", { type: "button", "data-measure": key, onclick: () => { measure = key; draw(); } }, key)));
    let measure = "read + written", current = directories[0];

    // A root that leads to one place only is no view.
    while (current && current.children.length === 1 && current.children[0].isDirectory) current = current.children[0];
    function label(node) {
        if (node.name === null) return plural(node.files, "smaller one");
        return (node.name || "/") + (node.isDirectory && !node.name.endsWith("/") ? "/" : "");
    }
    function only(node) {
        const children = node.children.filter((child) => measures[measure](child) > 0);
        return children.length === 1 && children[0].isDirectory ? children[0] : null;
    }
    function tile(node, x, y, width, height, depth) {
        let text = label(node);
        // Of directories that have nothing but one directory in them one tile is enough.
        for (let inner = only(node); inner; inner = only(node)) {
            text += label(inner);
            node = inner;
        }
        const size = measures[measure](node), found = state.words.length && node.name !== null && matches(node.path.toLowerCase()) && !node.isDirectory;
        const button = styled(el("button", {
            type: "button", class: (node.isDirectory ? "dir" : node.name === null ? "rest" : "leaf") + (found ? " found" : ""), "data-path": node.path, "data-bytes": size,
            "aria-label": visible(node.path || label(node)) + ", " + bytes(size),
        }), { left: x + "px", top: y + "px", width: width + "px", height: height + "px", "--part": (node.read + node.written ? node.written / (node.read + node.written) * 100 : 0) + "%" });
        button.addEventListener("pointermove", (event) => {
            showHint(event, el("b", { class: "path" }, name(node.name === null ? label(node) : node.path || "/")), el("br"),
                el("span", { class: "read" }, bytes(node.read) + " read"), ", ", el("span", { class: "write" }, bytes(node.written) + " written"),
                node.isDirectory ? ", " + plural(node.files, "file") : "");
            event.stopPropagation();
        });
        button.addEventListener("click", () => choose(node));
        if (width > 34 && height > 15) button.append(el("span", {}, name(text)));
        if (height > 32 && width > 40 && !node.isDirectory) button.append(el("span", {}, bytes(size)));
        map.append(button);
        if (node.isDirectory && depth < 4 && width > 46 && height > 40) fill(node, x + 3, y + 18, width - 6, height - 21, depth + 1);
    }
    function fill(node, x, y, width, height, depth) {
        const items = node.children.map((child) => ({ child, size: measures[measure](child) })).filter((item) => item.size > 0).sort((a, b) => b.size - a.size);
        squarify(items, x, y, width, height, (item, left, top, wide, high) => { if (wide >= 3 && high >= 3) tile(item.child, left, top, wide - 1, high - 1, depth); });
    }
    function choose(node) {
        hideHint();
        if (node.isDirectory) {
            current = node;
            draw();
        } else if (fileByPath.has(node.path)) {
            change({ chosen: fileByPath.get(node.path) });
        }
    }
    function draw() {
        const line = [];
        map.replaceChildren();
        crumbs.replaceChildren();
        for (const button of chooser.children) button.setAttribute("aria-pressed", button.dataset.measure === measure);
        if (!current) return;
        for (let node = current; node; node = node.parent) line.unshift(node);
        for (const node of line) crumbs.append(el("button", { type: "button", onclick: () => choose(node) }, name(node.parent ? label(node) : "everything")));
        note.textContent = bytes(measures[measure](current)) + " in " + plural(current.files, "file") + ". A click goes into a directory; colours are shares of reading and writing.";
        if (measures[measure](current) > 0) fill(current, 0, 0, map.clientWidth, map.clientHeight, 0);
        else map.append(el("p", { class: "none" }, "Nothing here."));
    }
    map.addEventListener("pointerleave", hideHint);
    listeners.push((what) => { if ("words" in what) draw(); });
    new ResizeObserver(draw).observe(map);
    return el("section", { id: "where" }, el("div", { class: "head" }, el("h2", {}, "Where"), note, chooser), crumbs, map);
}
