// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/schema.h"

#include <stddef.h>

#include "base/cleanup.h"

#define WORDS(type, words)                                                                                             \
    {                                                                                                                  \
        type, words, IOL_ARRAY_SIZE(words)                                                                             \
    }
#define INT(row, name, doc)                                                                                            \
    {                                                                                                                  \
#name, IOL_TYPE_INT, offsetof(struct row, name), false, NULL, doc, 0                                           \
    }
#define INT_NOT_NULL(row, name, doc)                                                                                   \
    {                                                                                                                  \
#name, IOL_TYPE_INT, offsetof(struct row, name), true, NULL, doc, 0                                            \
    }
#define TIME(row, name, doc)                                                                                           \
    {                                                                                                                  \
#name, IOL_TYPE_TIME, offsetof(struct row, name), false, NULL, doc, 0                                          \
    }
#define TIME_NOT_NULL(row, name, doc)                                                                                  \
    {                                                                                                                  \
#name, IOL_TYPE_TIME, offsetof(struct row, name), true, NULL, doc, 0                                           \
    }
#define TEXT(row, name, doc)                                                                                           \
    {                                                                                                                  \
#name, IOL_TYPE_TEXT, offsetof(struct row, name), false, NULL, doc, 0                                          \
    }
#define TEXT_NOT_NULL(row, name, doc)                                                                                  \
    {                                                                                                                  \
#name, IOL_TYPE_TEXT, offsetof(struct row, name), true, NULL, doc, 0                                           \
    }
#define ENUM(row, name, words, doc)                                                                                    \
    {                                                                                                                  \
#name, IOL_TYPE_ENUM, offsetof(struct row, name), true, words, doc, 0                                          \
    }
#define INT_SINCE(version, row, name, doc)                                                                             \
    {                                                                                                                  \
#name, IOL_TYPE_INT, offsetof(struct row, name), false, NULL, doc, version                                     \
    }

static const char *const route_words[] = {
    [IOL_ROUTE_RW] = "rw",
    [IOL_ROUTE_SENDFILE] = "sendfile",
    [IOL_ROUTE_SPLICE] = "splice",
    [IOL_ROUTE_COPY_FILE_RANGE] = "copy_file_range",
    [IOL_ROUTE_IO_URING] = "io_uring",
    [IOL_ROUTE_MMAP] = "mmap",
};
_Static_assert(IOL_ARRAY_SIZE(route_words) == IOL_ROUTE_COUNT, "a word for each route");

static const char *const kind_words[] = {
    [IOL_KIND_FILE] = "file",   [IOL_KIND_DIR] = "dir",     [IOL_KIND_LINK] = "link",     [IOL_KIND_CHR] = "chr",
    [IOL_KIND_BLK] = "blk",     [IOL_KIND_PIPE] = "pipe",   [IOL_KIND_SOCKET] = "socket", [IOL_KIND_ANON] = "anon",
    [IOL_KIND_MEMFD] = "memfd", [IOL_KIND_OTHER] = "other",
};
_Static_assert(IOL_ARRAY_SIZE(kind_words) == IOL_KIND_COUNT, "a word for each kind");

static const char *const origin_words[] = {
    [IOL_ORIGIN_FORK] = "fork",
    [IOL_ORIGIN_EXEC] = "exec",
    [IOL_ORIGIN_RUNNING] = "running",
};
_Static_assert(IOL_ARRAY_SIZE(origin_words) == IOL_ORIGIN_COUNT, "a word for each origin");

static const char *const event_kind_words[] = {
    [IOL_EVENT_EXEC] = "exec",
    [IOL_EVENT_EXEC_FAILED] = "exec_failed",
    [IOL_EVENT_FORK] = "fork",
    [IOL_EVENT_EXIT] = "exit",
    [IOL_EVENT_READ] = "read",
    [IOL_EVENT_WRITE] = "write",
    [IOL_EVENT_MMAP] = "mmap",
    [IOL_EVENT_OPEN] = "open",
    [IOL_EVENT_OPEN_FAILED] = "open_failed",
    [IOL_EVENT_RENAME] = "rename",
    [IOL_EVENT_UNLINK] = "unlink",
    [IOL_EVENT_TRUNCATE] = "truncate",
    [IOL_EVENT_LINK] = "link",
    [IOL_EVENT_SYMLINK] = "symlink",
    [IOL_EVENT_MKDIR] = "mkdir",
    [IOL_EVENT_RMDIR] = "rmdir",
    [IOL_EVENT_CHMOD] = "chmod",
    [IOL_EVENT_CHOWN] = "chown",
    [IOL_EVENT_SETXATTR] = "setxattr",
};
_Static_assert(IOL_ARRAY_SIZE(event_kind_words) == IOL_EVENT_KIND_COUNT, "a word for each kind of event");

const struct iol_enum iol_enum_route = WORDS("io_route", route_words);
const struct iol_enum iol_enum_kind = WORDS("file_kind", kind_words);
const struct iol_enum iol_enum_origin = WORDS("process_origin", origin_words);
const struct iol_enum iol_enum_event_kind = WORDS("event_kind", event_kind_words);

static const struct iol_column host_columns[] = {
    INT_NOT_NULL(iol_host, id, "hash of machine_id and name"),
    TEXT(iol_host, name, "host name"),
    TEXT(iol_host, machine_id, "/etc/machine-id"),
    TEXT(iol_host, boot_id, "kernel boot id of the latest recording"),
    TEXT(iol_host, kernel, "kernel release of the latest recording"),
    TIME(iol_host, seen, "when the latest recording was last heard of"),
};

static const struct iol_column recording_columns[] = {
    INT_NOT_NULL(iol_recording, id, "hash of host, boot and start"),
    INT_NOT_NULL(iol_recording, host_id, "host.id"),
    TEXT(iol_recording, boot_id, "kernel boot id"),
    TIME_NOT_NULL(iol_recording, started, "when it began to count"),
    TIME(iol_recording, ended, "when it ended; NULL while it runs, or when it was killed"),
    TEXT(iol_recording, version, "version of ioledger"),
    TEXT(iol_recording, probes, "tracepoint or fexit"),
    TEXT(iol_recording, scope, "filters and rules as given"),
    INT(iol_recording, excluded_ops, "operations left out: of the recorder, of its database server, by --ignore"),
    INT(iol_recording, excluded_bytes, "bytes left out: of the recorder, of its database server, by --ignore"),
};

static const struct iol_column login_columns[] = {
    INT_NOT_NULL(iol_login, host_id, "host.id"),
    INT_NOT_NULL(iol_login, uid, "user id"),
    TEXT(iol_login, name, "login name"),
};

static const struct iol_column process_columns[] = {
    INT_NOT_NULL(iol_process, id, "hash of host, boot, pid, start time and image"),
    INT_NOT_NULL(iol_process, host_id, "host.id"),
    INT_NOT_NULL(iol_process, pid, "process id in the initial pid namespace"),
    TIME(iol_process, start_time, "when the process was forked"),
    TIME(iol_process, exec_time, "when this image was executed; NULL for a fork that has not called exec"),
    INT(iol_process, parent_id, "process.id of the image that forked or executed this one; NULL when unknown"),
    INT(iol_process, ppid, "process id of the parent"),
    ENUM(iol_process, origin, &iol_enum_origin, "how the image came to be"),
    TEXT(iol_process, comm, "command name, as the kernel has it"),
    TEXT(iol_process, exe, "path of the executable"),
    TEXT(iol_process, argv, "arguments, joined by one space"),
    TEXT(iol_process, cwd, "working directory"),
    INT(iol_process, uid, "real user id"),
    INT(iol_process, euid, "effective user id"),
    INT(iol_process, gid, "real group id"),
    INT(iol_process, login_uid, "audit login uid; NULL when unset"),
    INT(iol_process, session_id, "audit session id; NULL when unset"),
    TEXT(iol_process, cgroup, "path in the cgroup hierarchy"),
    TEXT(iol_process, container_id, "container id taken from the cgroup"),
    INT_SINCE(4, iol_process, ns_pid, "process id in its own pid namespace; NULL: that is the initial one"),
    TEXT(iol_process, flags, "words joined by commas: escaped, argv_truncated, exe_deleted, ..."),
};

static const struct iol_column process_exit_columns[] = {
    INT_NOT_NULL(iol_process_exit, process_id, "process.id of its last image"),
    TIME_NOT_NULL(iol_process_exit, ts, "when it ended"),
    INT(iol_process_exit, exit_code, "NULL when killed by a signal"),
    INT(iol_process_exit, signal, "NULL when it ended by itself"),
};

static const struct iol_column file_columns[] = {
    INT_NOT_NULL(iol_file, id, "hash of host, device, inode, generation and path"),
    INT_NOT_NULL(iol_file, host_id, "host.id"),
    INT(iol_file, dev, "st_dev of stat(2)"),
    INT(iol_file, inode, "inode number"),
    INT(iol_file, generation, "tells apart files that had the same inode number one after the other"),
    ENUM(iol_file, kind, &iol_enum_kind, "kind of file"),
    TEXT_NOT_NULL(iol_file, path, "as the process saw it; pseudo files stand in parentheses: (pipes), (other files)"),
    TEXT(iol_file, flags, "words joined by commas: deleted, truncated, unreachable, escaped, ..."),
};

static const struct iol_column io_columns[] = {
    TIME_NOT_NULL(iol_io, ts, "end of the interval"),
    INT(iol_io, interval_ms, "length of the interval"),
    INT_NOT_NULL(iol_io, host_id, "host.id"),
    INT_NOT_NULL(iol_io, process_id, "process.id"),
    INT_NOT_NULL(iol_io, file_id, "file.id"),
    ENUM(iol_io, route, &iol_enum_route, "system calls that it went by"),
    INT(iol_io, read_ops, "reads that succeeded"),
    INT(iol_io, read_bytes, "bytes they returned; NULL: unknown"),
    INT(iol_io, write_ops, "writes that succeeded"),
    INT(iol_io, write_bytes, "bytes they wrote; NULL: unknown"),
    INT(iol_io, read_errors, "reads that failed"),
    INT(iol_io, write_errors, "writes that failed"),
    TIME(iol_io, first_ts, "first operation seen in the interval"),
    TIME(iol_io, last_ts, "last operation seen in the interval"),
};

static const struct iol_column event_columns[] = {
    TIME_NOT_NULL(iol_event, ts, "when"),
    INT_NOT_NULL(iol_event, host_id, "host.id"),
    INT(iol_event, process_id, "process.id; of a fork, the child"),
    INT(iol_event, tid, "thread id"),
    ENUM(iol_event, kind, &iol_enum_event_kind, "what happened"),
    INT(iol_event, file_id, "file.id"),
    INT(iol_event, other_file_id, "file.id of the second file, of a rename for example"),
    INT(iol_event, offset_bytes, "offset in the file"),
    INT(iol_event, bytes, "bytes returned"),
    INT(iol_event, result, "0 or more: success; negative: -errno; exit: the exit code, or minus the signal"),
    INT(iol_event, weight, "operations that this event stands for"),
};

static const struct iol_column total_columns[] = {
    TIME_NOT_NULL(iol_total, ts, "end of the interval"), INT(iol_total, interval_ms, "length of the interval"),
    INT_NOT_NULL(iol_total, host_id, "host.id"),         ENUM(iol_total, route, &iol_enum_route, "system calls"),
    INT(iol_total, read_ops, "reads that succeeded"),    INT(iol_total, read_bytes, "bytes they returned"),
    INT(iol_total, write_ops, "writes that succeeded"),  INT(iol_total, write_bytes, "bytes they wrote"),
    INT(iol_total, read_errors, "reads that failed"),    INT(iol_total, write_errors, "writes that failed"),
};

static const struct iol_column loss_columns[] = {
    TIME(iol_loss, ts_from, "from"),
    TIME(iol_loss, ts_to, "to"),
    INT_NOT_NULL(iol_loss, host_id, "host.id"),
    TEXT_NOT_NULL(iol_loss, reason, "what ran out"),
    INT_NOT_NULL(iol_loss, lost, "how many"),
};

static const struct iol_column batch_columns[] = {
    INT_NOT_NULL(iol_batch_row, host_id, "host.id"),
    TEXT_NOT_NULL(iol_batch_row, boot_id, "kernel boot id"),
    INT_NOT_NULL(iol_batch_row, seq, "number of the batch, unique within the boot"),
    TIME_NOT_NULL(iol_batch_row, ts, "when it was closed"),
};

static const char *const id_key[] = {"id", NULL};
static const char *const login_key[] = {"host_id", "uid", NULL};
static const char *const process_exit_key[] = {"process_id", NULL};
static const char *const batch_key[] = {"host_id", "boot_id", "seq", NULL};

#define COLUMNS(name) name##_columns, IOL_ARRAY_SIZE(name##_columns)

const struct iol_table iol_schema_tables[IOL_TABLE_COUNT] = {
    [IOL_TABLE_HOST] =
        {IOL_TABLE_HOST, "host",
         "A machine: id is a hash of machine_id and name; boot_id, kernel and seen are those of the latest recording",
         COLUMNS(host), id_key, IOL_WRITE_LATEST},
    [IOL_TABLE_RECORDING] = {IOL_TABLE_RECORDING, "recording", "One run of the recorder", COLUMNS(recording), id_key,
                             IOL_WRITE_LATEST},
    [IOL_TABLE_LOGIN] = {IOL_TABLE_LOGIN, "login", "The name of a user id on a host when it was first seen",
                         COLUMNS(login), login_key, IOL_WRITE_ONCE},
    [IOL_TABLE_PROCESS] = {IOL_TABLE_PROCESS, "process", "One process image: a process between two execs",
                           COLUMNS(process), id_key, IOL_WRITE_ONCE, "start_time"},
    [IOL_TABLE_PROCESS_EXIT] = {IOL_TABLE_PROCESS_EXIT, "process_exit", "How a process ended", COLUMNS(process_exit),
                                process_exit_key, IOL_WRITE_ONCE},
    [IOL_TABLE_FILE] = {IOL_TABLE_FILE, "file",
                        "A file under one name; renamed, it gets a second row with the same dev, inode and generation",
                        COLUMNS(file), id_key, IOL_WRITE_ONCE},
    [IOL_TABLE_IO] = {IOL_TABLE_IO, "io", "What one process did to one file by one route within one interval",
                      COLUMNS(io), NULL, IOL_WRITE_APPEND, .by_day = true},
    [IOL_TABLE_EVENT] = {IOL_TABLE_EVENT, "event", "One thing that happened", COLUMNS(event), NULL, IOL_WRITE_APPEND,
                         .by_day = true},
    [IOL_TABLE_TOTAL] = {IOL_TABLE_TOTAL, "total",
                         "The totals of the kernel for one interval, counted apart from the accounts", COLUMNS(total),
                         NULL, IOL_WRITE_APPEND},
    [IOL_TABLE_LOSS] = {IOL_TABLE_LOSS, "loss", "Detail that was lost; bytes and operations never are", COLUMNS(loss),
                        NULL, IOL_WRITE_APPEND},
    [IOL_TABLE_BATCH] = {IOL_TABLE_BATCH, "batch", "One transaction of the recorder: stored again, it changes nothing",
                         COLUMNS(batch), batch_key, IOL_WRITE_ONCE},
};

const char *iol_schema_word(const struct iol_enum *words, int64_t index)
{
    return index >= 0 && (uint64_t)index < words->count ? words->words[index] : NULL;
}
