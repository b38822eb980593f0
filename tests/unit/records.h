// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Records as the kernel sends them, for tests: built from a description, in memory of exactly their size. */
#include <stddef.h>
#include <stdint.h>

#include "core/decode.h"

/* The bytes of a literal, without its last NUL. */
#define BYTES(literal) ((struct iol_bytes){(literal), sizeof(literal) - 1})

struct record {
    void *data; /* malloc'ed */
    size_t size;
};

struct process_spec {
    uint64_t ts, image, parent, start_ns, exec_ns;
    uint32_t pid, ppid, tid, origin, uid, login_uid, session_id, bits, ns_pid;
    const char *comm; /* at most IOL_COMM_MAX bytes, not ended by a NUL when it has all of them */
    struct iol_file_info exe_info;
    uint32_t cwd_bits;
    struct iol_bytes exe, cwd, cgroup, argv;
};

struct file_spec {
    uint64_t key;
    struct iol_file_info info;
    struct iol_bytes path;
};

struct name_spec {
    struct iol_file_info info;
    struct iol_bytes path, given;
};

struct change_spec {
    uint64_t ts, image;
    uint32_t kind;
    int result;
    struct name_spec file, other;
};

/* All of them end the test program when there is no memory. */
struct record record_process(const struct process_spec *spec);
struct record
record_fork(const struct process_spec *spec); /* of ts, image, parent, start_ns, pid, ppid, ns_pid and bits */
struct record record_exit(uint64_t ts, uint64_t image, int status);
struct record record_exec_failed(uint64_t ts, uint64_t image, int error, struct iol_bytes path);
struct record record_file(const struct file_spec *spec);
struct record record_event(const struct iol_record_event *event); /* its head is made here, but for ts */
struct record record_change(const struct change_spec *spec);

void record_free(struct record *record);
#define _cleanup_record_ _cleanup_(record_free)
