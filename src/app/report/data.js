// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
"use strict";

// What is in the page: names from the ledger may hold anything, and reach the document as text nodes only.

const READ_OPS = 0, READ_BYTES = 1, WRITE_OPS = 2, WRITE_BYTES = 3, READ_ERRORS = 4, WRITE_ERRORS = 5, MAPPED = 6;
const SUMS = 7;
const data = JSON.parse(document.getElementById("data").textContent);

// Sums from `at` on in a row of the data. Integers beyond 2^53 come as texts: `exact` keeps them as they are.
function sums(row, at) {
    const exact = row.slice(at, at + SUMS), n = exact.map(Number);
    return { n, exact, first: row[at + SUMS], last: row[at + SUMS + 1], bytes: n[READ_BYTES] + n[WRITE_BYTES], ops: n[READ_OPS] + n[WRITE_OPS] };
}

function byBytes(a, b) {
    return b.sums.bytes - a.sums.bytes || b.sums.ops - a.sums.ops;
}

const hosts = data.hosts.map(([name, kernel]) => ({ name, kernel }));
const manyHosts = hosts.length > 1;
const processes = data.processes.map((row) => ({
    type: "process", id: row[0], parentId: row[1], host: hosts[row[2]], pid: row[3], origin: row[4], comm: row[5] ?? "(unknown)", exe: row[6],
    argv: row[7], cwd: row[8], user: row[9], container: row[10], started: row[11], executed: row[12], ended: row[13],
    exitCode: row[14], signal: row[15], allFiles: row[16], sums: sums(row, 17), files: [], parent: null, known: row[2] >= 0 || row[4] !== null,
}));
const processById = new Map(processes.map((process) => [process.id, process]));
const files = data.files.map((row) => ({
    type: "file", host: hosts[row[0]], path: row[1], kind: row[2], flags: row[3], allProcesses: row[4], sums: sums(row, 5),
    pairs: row[5 + SUMS + 2].map((pair) => ({ process: processById.get(pair[0]), sums: sums(pair, 1) })),
})).sort(byBytes);
const fileByPath = new Map(files.map((file) => [file.path, file]));
const programs = data.programs.map((row) => ({ type: "program", exe: row[0], comm: row[1], count: row[2], sums: sums(row, 3) }));
const all = sums(data.accounts, 1), kernel = sums(data.kernel, 1);

for (const file of files) {
    for (const pair of file.pairs) {
        pair.file = file;
        pair.process.files.push(pair);
    }
}
for (const process of processes) {
    const parent = processById.get(process.parentId);
    process.parent = parent && parent !== process ? parent : null;
    process.files.sort(byBytes);
}

// A process as people count them: all images that one pid was between its start and its end.
const lives = [];
function lifeOf(process) {
    const line = [];
    let at = process;
    for (; at && !at.life && line.length < 100000; at = at.parent) {
        if (line.includes(at) && line.length < 300) break;
        line.push(at);
    }
    while (line.length) {
        const image = line.pop(), parent = image.parent && image.parent.life;
        if (parent && image.parent.pid === image.pid && image.parent.started === image.started && image.parent.host === image.host) {
            image.life = parent;
            parent.images.push(image);
        } else {
            image.life = { images: [image], parent: parent || null, children: [], open: false };
            lives.push(image.life);
            if (parent) parent.children.push(image.life);
        }
    }
    return process.life;
}
processes.forEach(lifeOf);
for (const life of lives) {
    life.images.sort((a, b) => (a.executed || a.started) - (b.executed || b.started));
    life.last = life.images[life.images.length - 1];
    life.sums = { n: new Array(SUMS).fill(0) };
    for (const image of life.images) image.sums.n.forEach((n, i) => { life.sums.n[i] += n; });
    life.began = life.images[0].started;
}
for (const life of lives) life.children.sort((a, b) => a.began - b.began);
const roots = lives.filter((life) => !life.parent).sort((a, b) => a.began - b.began);

// From the oldest ancestor that is known to the process itself.
function lineage(process) {
    const line = [];
    for (let life = process.life; life && line.length < 256; life = life.parent) line.unshift(life);
    return line;
}

// Numbers and times

function scaled(n, base, units) {
    let unit = 0;
    for (; n >= base && unit < units.length - 1; unit++) n /= base;
    return unit === 0 ? String(n) : n.toFixed(n >= 100 && n >= base ? 0 : 1) + units[unit];
}

function bytes(n) {
    return n < 1024 ? n + " B" : scaled(n, 1024, ["", " KB", " MB", " GB", " TB", " PB", " EB"]);
}

function count(n) {
    return n < 10000 ? exactly(n) : scaled(n, 1000, ["", "K", "M", "G", "T", "P"]);
}

function exactly(n) {
    return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}

function plural(n, one, many) {
    return exactly(n) + " " + (Number(n) === 1 ? one : many || one + "s");
}

// Times are microseconds since 1970, and shown in UTC.
function day(us) {
    return new Date(us / 1000).toISOString().slice(0, 10);
}

const oneDay = day(data.from) === day(data.to);

function clock(us, withFraction) {
    const iso = new Date(us / 1000).toISOString();
    return iso.slice(11, 19) + (withFraction ? "." + String(us % 1000000).padStart(6, "0").slice(0, 3) : "");
}

function time(us, withFraction) {
    if (!us) return "\u2013";
    return (oneDay && day(us) === day(data.from) ? "" : day(us) + " ") + clock(us, withFraction);
}

function length(us) {
    const s = us / 1e6;
    if (s < 1) return Math.round(us / 1000) + " ms";
    if (s < 60) return (s < 10 ? s.toFixed(1) : Math.round(s)) + " s";
    if (s < 3600) return Math.floor(s / 60) + " min " + Math.floor(s % 60) + " s";
    if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
    return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

// The document

// What a browser would hide, obey or turn round: controls, zero-width and bidirectional formatting, tags, halves of characters.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const NAMED = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\u001b": "\\e" };

function escaped(character) {
    const code = character.codePointAt(0);
    return NAMED[character] || (code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u{" + code.toString(16) + "}");
}

function visible(text) {
    return String(text).replace(HIDDEN, escaped);
}

function el(name, attributes, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
        if (value === undefined || value === null || value === false) continue;
        if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
        else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
}

// A name from the ledger: isolated, so that right-to-left letters leave what is around them alone.
function name(text, attributes) {
    const node = el("bdi", attributes);
    let at = 0;
    text = String(text);
    for (const match of text.matchAll(HIDDEN)) {
        node.append(text.slice(at, match.index), el("span", { class: "esc" }, escaped(match[0])));
        at = match.index + match[0].length;
    }
    node.append(text.slice(at));
    return node;
}

function svg(tag, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
}

function styled(node, properties) {
    for (const [key, value] of Object.entries(properties)) node.style.setProperty(key, value);
    return node;
}

const hint = el("div", { class: "hint", hidden: true });

function showHint(event, ...content) {
    hint.replaceChildren(...content);
    hint.hidden = false;
    const x = Math.min(event.clientX + 14, innerWidth - hint.offsetWidth - 8);
    const y = event.clientY + 18 + hint.offsetHeight > innerHeight ? event.clientY - hint.offsetHeight - 12 : event.clientY + 18;
    styled(hint, { left: Math.max(8, x) + "px", top: Math.max(8, y) + "px" });
}

function hideHint() {
    hint.hidden = true;
}

// What is chosen, searched and asked for; whoever shows something of it listens.
const state = { words: [], range: null, chosen: null };
const listeners = [];

function change(what) {
    Object.assign(state, what);
    for (const listener of listeners) listener(what);
}

function matches(text) {
    return state.words.every((word) => text.includes(word));
}

function inRange(first, last) {
    return !state.range || (first && first <= state.range[1] && last >= state.range[0]);
}
