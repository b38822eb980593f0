#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Stack and frames of the BPF objects, as check_max_stack_depth() of kernels before 6.13 counts them. Prints TAP.

usage: tests/check/stack.py [-v] OBJECT...

A chain of calls may have 512 bytes in all, each function rounded up to 32, and 8 frames (see "Stack" in
src/bpf/compat.bpf.h). A newer kernel gives functions stacks of their own and would not notice. -v tells every function.
"""
import os
import struct
import sys

STACK, FRAMES, ROUND = 512, 8, 32
HOT = ("on_sys_exit",)  # every system call of the machine pays for them
HOT_STACK = 48  # rounded up to 16 it must stay below 64 (BPF_PRIV_STACK_MIN_SIZE): from there on 6.13 gives it a stack in a page of its own
R_BPF_64_32 = 10
STT_FUNC, STT_SECTION = 2, 3
FRAME_POINTER = 10


class Object:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        offset, = struct.unpack_from("<Q", self.data, 40)
        size, count, _ = struct.unpack_from("<HHH", self.data, 58)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, offset + i * size) for i in range(count)]
        table = next(s for s in self.sections if s[1] == 2)  # SHT_SYMTAB
        self.names = self.sections[table[6]][4]
        self.symbols = [struct.unpack_from("<IBBHQQ", self.data, table[4] + at) for at in range(0, table[5], 24)]
        self.functions = {(s[3], s[4]): (self.text(s[0]), s[5]) for s in self.symbols if s[1] & 15 == STT_FUNC}
        self.calls = self.read_calls()

    def text(self, at):
        start = self.names + at
        return self.data[start:self.data.index(b"\0", start)].decode()

    def read_calls(self):
        """(section, offset of the call) -> (section, offset of the function called)."""
        calls = {}
        for section in self.sections:
            for at in range(section[4], section[4] + section[5], 16) if section[1] == 9 else ():  # SHT_REL
                offset, info = struct.unpack_from("<QQ", self.data, at)
                if info & 0xffffffff != R_BPF_64_32:
                    continue
                symbol = self.symbols[info >> 32]
                imm, = struct.unpack_from("<i", self.data, self.sections[section[7]][4] + offset + 4)
                inside = (imm + 1) * 8 if symbol[1] & 15 == STT_SECTION else 0
                calls[section[7], offset] = (symbol[3], symbol[4] + inside)
        return calls

    def look(self, place):
        """(name, bytes of stack, functions called) of the function that begins at `place`."""
        section, start = place
        name, size = self.functions[place]
        base = self.sections[section][4]
        depth, copies, called = 0, set(), []
        for at in range(start, start + size, 8):
            code, registers, offset, imm = struct.unpack_from("<BBhi", self.data, base + at)
            to, source = registers & 15, registers >> 4
            kind = code & 7
            if kind == 1 and source == FRAME_POINTER or kind in (2, 3) and to == FRAME_POINTER:  # ldx, st, stx
                depth = max(depth, -offset)
            if code == 0xbf and source == FRAME_POINTER:
                copies.add(to)
            elif code == 0x07 and to in copies:
                depth = max(depth, -imm)
                copies.discard(to)
            elif code == 0x85 and source == 1 and (section, at) in self.calls:
                called += [callee for callee in [self.calls[section, at]] if callee[0]]  # 0: a function of the kernel
            elif code == 0x85 and source == 1:  # in the same section, known to the assembler
                called.append((section, at + 8 + imm * 8))
            elif kind in (4, 7):
                copies.discard(to)
        return name, depth, called

    def chains(self, place, above=()):
        name, depth, called = self.look(place)
        here = above + ((name, (max(depth, 1) + ROUND - 1) // ROUND * ROUND),)
        yield here
        for callee in sorted(set(called)):
            yield from self.chains(callee, here)


def describe(chain):
    return "%d bytes, %d frames: %s" % (sum(size for _, size in chain), len(chain),
                                        " > ".join("%s %d" % part for part in chain))


def main():
    verbose = "-v" in sys.argv
    failed = count = 0

    def ok(good, name, *details):
        nonlocal failed, count
        count += 1
        failed += not good
        print("%s %d - %s" % ("ok" if good else "not ok", count, name), *details, sep="\n# ")

    for path in sys.argv[1:]:
        if path == "-v":
            continue
        code = Object(path)
        if verbose:
            for place in sorted(code.functions):
                print("# %4d %s" % (code.look(place)[1], code.look(place)[0]))
        for place in sorted(code.functions):
            name = code.functions[place][0]
            if not name.startswith("on_"):
                continue
            chains = list(code.chains(place))
            deepest = max(chains, key=lambda c: (sum(size for _, size in c)))
            longest = max(chains, key=len)
            title = "%s: %s: " % (os.path.basename(path), name)
            ok(sum(size for _, size in deepest) <= STACK, title + describe(deepest))
            ok(len(longest) <= FRAMES, title + describe(longest))
            if name in HOT and "legacy" not in path and "plain" not in path:
                own = code.look(place)[1]
                ok(own <= HOT_STACK, "%sits own stack, %d, is at most %d" % (title, own, HOT_STACK))
    print("1..%d" % count)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
