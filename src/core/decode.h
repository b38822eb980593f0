// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Records from the kernel, checked: whatever the bytes are, the result never points outside of them. */
#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"

struct iol_bytes {
    const char *data; /* not NUL-terminated */
    size_t size;
};

struct iol_decoded_process {
    struct iol_record_process fixed;
    struct iol_bytes exe, cwd, cgroup, argv;
};

struct iol_decoded_exec_failed {
    struct iol_record_exec_failed fixed;
    struct iol_bytes path;
};

struct iol_decoded_file {
    struct iol_record_file fixed;
    struct iol_bytes path;
};

/* One name of a change; both texts are empty when it has none. */
struct iol_decoded_name {
    struct iol_bytes
        path; /* as the kernel walked it: the file's own, or that of the directory that `given` starts from */
    struct iol_bytes given; /* as the program gave it */
};

struct iol_decoded_change {
    struct iol_record_change fixed;
    struct iol_decoded_name file, other;
};

struct iol_decoded {
    enum iol_record_type type;
    union {
        struct iol_decoded_process process; /* of a fork too, whatever its record is */
        struct iol_record_fork fork;        /* not in what is returned */
        struct iol_record_exit exit;
        struct iol_decoded_exec_failed exec_failed;
        struct iol_decoded_file file;
        struct iol_record_event event;
        struct iol_decoded_change change;
    };
};

/*
 * Returns 0, or -EBADMSG when the record is cut short, of an unknown type, or claims lengths that it
 * does not have. The texts point into `data`.
 */
int iol_decode_record(const void *data, size_t size, struct iol_decoded *ret_decoded);
