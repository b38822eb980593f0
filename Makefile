# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors

# The front door: everything behind it is Meson (meson.build). MESON_FLAGS are given when BUILD is set up.
BUILD ?= build
MESON_FLAGS ?=
CLANG_FORMAT ?= $(shell command -v clang-format-14 || echo clang-format)

C_FILES = $(shell find src tests bench -name '*.[ch]')
TIDY_FILES = $(shell find src -name '*.c' ! -path 'src/bpf/*')

.PHONY: help build run check soak check-kernels bench bench-check deb install clean format lint
.NOTPARALLEL:

help:
	@echo 'make build        builds $(BUILD)/ioledger (as root, installs the packages that are missing)'
	@echo 'make run          as root: records this machine for some seconds and asks the database what happened'
	@echo 'make check        builds, then runs every test; as root, the live ones too'
	@echo 'make soak         as root: what takes long: 200 kills of recorder, database and line between them, 200,000 live accounts (a quarter of an hour)'
	@echo 'make check-kernels  boots other kernels under qemu, runs every test in each with both probe sets, and prints the matrix: an hour and a half'
	@echo '                  for each kernel; goes on where it was interrupted (KERNELS=6.12: one; DOCS=1: the matrix into docs/KERNELS.md)'
	@echo 'make bench        as root: what ioledger costs; PARTS=calls: a system call only; ROUNDS=9: in place of 5 (see bench/run --help)'
	@echo 'make bench-check  compares instructions and, as root, costs with bench/baseline.json'
	@echo 'make deb          builds a Debian package, in $(BUILD)/deb'
	@echo 'make install      installs it; PREFIX (default /usr/local) and DESTDIR are heeded'
	@echo 'make format       reformats the C files'
	@echo 'make lint         the source rules of the tests, clang-tidy and shellcheck'
	@echo 'make clean        removes $(BUILD)'

build:
	@tools/install-deps build
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) $(MESON_FLAGS)
	@ninja -C $(BUILD)

run: build
	@tools/install-deps demo
	@BUILD=$(BUILD) tools/demo

check:
	@tools/install-deps build test
	@$(MAKE) --no-print-directory build
	@BUILD=$(BUILD) WERROR=$(WERROR) tools/check

# As long as they take: --timeout-multiplier 0.
soak:
	@tools/install-deps build test
	@$(MAKE) --no-print-directory build
	@IOLEDGER_KILLS=200 IOLEDGER_BOUNDS=full IOLEDGER_FLEET=full meson test -C $(BUILD) --timeout-multiplier 0 live-kills live-pin outage live-bounds fleet

check-kernels:
	@tools/install-deps build test kernels
	@$(MAKE) --no-print-directory build
	@meson configure $(BUILD) -Dtests=enabled
	@ninja -C $(BUILD)
	@tests/vm/kernels --build $(BUILD) $(if $(DOCS),--docs) $(KERNELS)

bench: build
	@tools/install-deps bench
	@ninja -C $(BUILD) bench-programs
	@bench/run --build $(BUILD) $(if $(ROUNDS),--rounds $(ROUNDS)) $(PARTS)

bench-check: build
	@ninja -C $(BUILD) bench-programs
	@bench/check --build $(BUILD)

deb:
	@tools/install-deps build deb
	@packaging/make-deb $(BUILD)/deb

install: build
	@test -z "$(PREFIX)" || meson configure $(BUILD) -Dprefix="$(PREFIX)"
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD)

clean:
	rm -rf $(BUILD)

format:
	@tools/install-deps lint
	$(CLANG_FORMAT) -i $(C_FILES)

lint: build
	@tools/install-deps lint
	@tests/check/source.py
	clang-tidy -p $(BUILD) --quiet $(TIDY_FILES)
	@! command -v shellcheck >/dev/null || shellcheck tools/install-deps tools/demo .ci/run
