// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Writes a ledger with known contents through the sink of the URL: fixture URL full|empty|unbalanced|lossy|incomplete|page|many|renamed|answers.
 * What is in it stands here, and tests/cli/test_commands.py says what the commands must make of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "core/batch.h"
#include "store/sink.h"

#define HOST_A INT64_C(-7000000000000000001) /* ids are hashes: any 64 bits */
#define HOST_B INT64_C(9007199254740993)     /* 2^53 + 1: no double holds it */
#define SECOND INT64_C(1000000000)
#define T0 (INT64_C(1763886000) * SECOND) /* 2025-11-23 08:20:00 UTC */
#define BOOT "0d9f0fd7-8a4e-4d5f-b5a9-3a3bb1a7c001"
#define MANY 5000

static struct iol_batch *batch;

static void *add(enum iol_table_id table)
{
    void *row = iol_batch_add(batch, table);

    if (!row)
        abort();
    return row;
}

static const char *stored(const char *bytes, bool *ret_escaped)
{
    return iol_text_store(batch->arena, bytes, strlen(bytes), ret_escaped);
}

static void add_host(int64_t id, const char *name)
{
    *(struct iol_host *)add(IOL_TABLE_HOST) =
        (struct iol_host){.id = id, .name = name, .machine_id = name, .boot_id = BOOT, .kernel = "6.1.0", .seen = T0};
    *(struct iol_login *)add(IOL_TABLE_LOGIN) = (struct iol_login){.host_id = id, .uid = 0, .name = "root"};
}

static struct iol_process *add_process(int64_t id, int64_t pid, int64_t parent_id, enum iol_origin origin,
                                       const char *comm, const char *exe, const char *argv)
{
    struct iol_process *p = add(IOL_TABLE_PROCESS);
    bool escaped = false;

    *p = (struct iol_process){.id = id,
                              .host_id = HOST_A,
                              .pid = pid,
                              .start_time = T0 + pid * SECOND,
                              .exec_time = origin == IOL_ORIGIN_FORK ? IOL_NULL : T0 + pid * SECOND + id * 1000000,
                              .parent_id = parent_id ? parent_id : IOL_NULL,
                              .ppid = 1,
                              .origin = origin,
                              .comm = stored(comm, &escaped),
                              .exe = stored(exe, NULL),
                              .argv = stored(argv, NULL),
                              .cwd = "/src",
                              .login_uid = IOL_NULL,
                              .session_id = IOL_NULL,
                              .ns_pid = IOL_NULL,
                              .cgroup = "/"};
    p->flags = escaped ? "escaped" : NULL;
    return p;
}

static void add_exit(int64_t process_id, int64_t exit_code, int64_t signal)
{
    *(struct iol_process_exit *)add(IOL_TABLE_PROCESS_EXIT) = (struct iol_process_exit){
        .process_id = process_id, .ts = T0 + 3000 * SECOND, .exit_code = exit_code, .signal = signal};
}

static void add_file(int64_t id, int64_t inode, enum iol_kind kind, const char *path, const char *flags)
{
    bool escaped;
    const char *text = stored(path, &escaped);

    *(struct iol_file *)add(IOL_TABLE_FILE) = (struct iol_file){.id = id,
                                                                .host_id = HOST_A,
                                                                .dev = inode ? 2049 : 0,
                                                                .inode = inode,
                                                                .kind = kind,
                                                                .path = text,
                                                                .flags = escaped ? "escaped" : flags};
}

/* An account of one interval (they end a second apart), and what it adds to the kernel's total. */
static void add_io(int interval, int64_t process_id, int64_t file_id, enum iol_route route, int64_t read_ops,
                   int64_t read_bytes, int64_t write_ops, int64_t write_bytes, int64_t read_errors)
{
    int64_t ts = T0 + 2000 * SECOND + interval * SECOND;
    struct iol_rows *totals = &batch->rows[IOL_TABLE_TOTAL];
    struct iol_total *total = NULL;

    *(struct iol_io *)add(IOL_TABLE_IO) = (struct iol_io){.ts = ts,
                                                          .interval_ms = 1000,
                                                          .host_id = HOST_A,
                                                          .process_id = process_id,
                                                          .file_id = file_id,
                                                          .route = route,
                                                          .read_ops = read_ops,
                                                          .read_bytes = read_bytes,
                                                          .write_ops = write_ops,
                                                          .write_bytes = write_bytes,
                                                          .read_errors = read_errors,
                                                          .first_ts = ts - SECOND / 2 + file_id * 1000,
                                                          .last_ts = ts - SECOND / 4 + file_id * 1000};
    for (size_t i = 0; i < totals->count; i++) {
        struct iol_total *t = &((struct iol_total *)totals->data)[i];

        if (t->ts == ts && t->route == (int64_t)route)
            total = t;
    }
    if (!total) {
        total = add(IOL_TABLE_TOTAL);
        *total = (struct iol_total){.ts = ts, .interval_ms = 1000, .host_id = HOST_A, .route = route};
    }
    total->read_ops += read_ops;
    total->read_bytes += read_bytes;
    total->write_ops += write_ops;
    total->write_bytes += write_bytes;
    total->read_errors += read_errors;
}

static void add_family(void)
{
    add_process(1, 1, 0, IOL_ORIGIN_RUNNING, "systemd", "/usr/lib/systemd/systemd", "/sbin/init");
    add_process(2, 812, 1, IOL_ORIGIN_RUNNING, "bash", "/usr/bin/bash", "-bash")->uid = 1000;
    add_process(3, 900, 2, IOL_ORIGIN_FORK, "bash", "/usr/bin/bash", "-bash")->uid = 1000;
    add_process(4, 900, 3, IOL_ORIGIN_EXEC, "make", "/usr/bin/make", "make -j2")->uid = 1000;
    add_process(5, 911, 4, IOL_ORIGIN_FORK, "make", "/usr/bin/make", "make -j2")->uid = 1000;
    add_process(6, 911, 5, IOL_ORIGIN_EXEC, "sh", "/usr/bin/dash", "/bin/sh -c exec cc1")->uid = 1000;
    add_process(7, 911, 6, IOL_ORIGIN_EXEC, "cc1", "/usr/libexec/cc1", "cc1 -quiet a.c")->uid = 1000;
    add_process(8, 912, 4, IOL_ORIGIN_EXEC, "ld", "/usr/bin/ld", "ld a.o")->uid = 4242; /* has no name */
    add_process(9, 911, 1, IOL_ORIGIN_RUNNING, "cron", "/usr/sbin/cron", "/usr/sbin/cron")->start_time -= 500 * SECOND;
    add_process(10, 950, 8, IOL_ORIGIN_EXEC, "e\033]0;x\a\n\"'\\", "/h/pro\ngram", "\033[2Jargv \"a,b\" \xff");
    /* Was there, and did nothing. */
    add_process(11, 2, 0, IOL_ORIGIN_RUNNING, "kthreadd", "", "");
    add_exit(4, 2, IOL_NULL);
    add_exit(7, 0, IOL_NULL);
    add_exit(8, IOL_NULL, 9);
}

static void add_exec(int64_t process_id, int64_t file_id)
{
    *(struct iol_event *)add(IOL_TABLE_EVENT) = (struct iol_event){.ts = T0 + 1000 * SECOND,
                                                                   .host_id = HOST_A,
                                                                   .process_id = process_id,
                                                                   .tid = 1,
                                                                   .kind = IOL_EVENT_EXEC,
                                                                   .file_id = file_id,
                                                                   .other_file_id = IOL_NULL,
                                                                   .offset_bytes = IOL_NULL,
                                                                   .bytes = IOL_NULL,
                                                                   .weight = 1};
}

static void add_files(void)
{
    add_file(101, 11, IOL_KIND_FILE, "/src/a.c", NULL);
    add_file(102, 11, IOL_KIND_FILE, "/src/hardlink.c", NULL);
    add_file(103, 12, IOL_KIND_FILE, "/src/sub/b.c", "deleted");
    add_file(104, 0, IOL_KIND_PIPE, "(pipes)", NULL);
    add_file(105, 13, IOL_KIND_FILE, "/srcery", NULL); /* not below /src */
    add_file(106, 14, IOL_KIND_FILE, "/usr/libexec/cc1", NULL);
    add_exec(7, 106);
    add_file(111, 21, IOL_KIND_FILE, "/h/new\nline", NULL);
    add_file(112, 22, IOL_KIND_FILE, "/h/quote\"'s, and comma", NULL);
    add_file(113, 23, IOL_KIND_FILE, "/h/back\\slash", NULL);
    add_file(114, 24, IOL_KIND_FILE, "/h/esc\033[31mred\r", NULL);
    add_file(115, 25, IOL_KIND_FILE, "/h/bad\xff\\byte", NULL);
    add_file(116, 26, IOL_KIND_FILE, "/h/bidi\xe2\x80\xaeover", NULL);
    add_file(117, 27, IOL_KIND_FILE, "/h/;DROP TABLE io;--$1", NULL);
    add_file(118, 28, IOL_KIND_FILE, "/h/\xc3\xbc\xe6\xbc\xa2\xf0\x9f\x98\x80", NULL);
    add_file(119, 29, IOL_KIND_FILE, " /h/leading blank", NULL);
    add_file(120, 30, IOL_KIND_FILE, "/w\\x/bad\xfe", NULL); /* a backslash that is doubled because of what follows */
}

static void add_accounts(void)
{
    add_io(1, 7, 101, IOL_ROUTE_RW, 3, 300, 0, 0, 1);
    add_io(2, 7, 101, IOL_ROUTE_RW, 1, 100, 2, 20, 0);
    add_io(2, 8, 101, IOL_ROUTE_SENDFILE, 1, 50, 0, 0, 0);
    add_io(1, 4, 102, IOL_ROUTE_RW, 5, 5000, 0, 0, 0);
    add_io(1, 7, 103, IOL_ROUTE_RW, 2, 2048, 0, 0, 0);
    add_io(1, 2, 104, IOL_ROUTE_RW, 10, 10, 20, 20, 0);
    add_io(1, 9, 105, IOL_ROUTE_COPY_FILE_RANGE, 1, INT64_C(9007199254740993), 0, 0, 0);
    for (int64_t file = 111; file <= 120; file++)
        add_io(2, 10, file, IOL_ROUTE_RW, file - 110, 10 * (file - 110), 0, 0, 0);
}

static void add_full(void)
{
    add_host(HOST_A, "alpha");
    *(struct iol_login *)add(IOL_TABLE_LOGIN) = (struct iol_login){.host_id = HOST_A, .uid = 1000, .name = "ann"};
    *(struct iol_recording *)add(IOL_TABLE_RECORDING) = (struct iol_recording){.id = 1,
                                                                               .host_id = HOST_A,
                                                                               .boot_id = BOOT,
                                                                               .started = T0,
                                                                               .ended = T0 + 4000 * SECOND,
                                                                               .version = "0",
                                                                               .probes = "tracepoint",
                                                                               .scope = ""};
    add_family();
    add_files();
    add_accounts();
}

static void add_unbalanced(void)
{
    add_full();
    /* One operation that no account has, and two errors that cancel each other out over the whole. */
    ((struct iol_total *)batch->rows[IOL_TABLE_TOTAL].data)[0].read_ops++;
    ((struct iol_io *)batch->rows[IOL_TABLE_IO].data)[0].write_errors = 1;
    ((struct iol_total *)batch->rows[IOL_TABLE_TOTAL].data)[1].write_errors = 1;
}

static void add_lossy(void)
{
    add_full();
    add_host(HOST_B, "beta");
    *(struct iol_recording *)add(IOL_TABLE_RECORDING) = (struct iol_recording){.id = 2,
                                                                               .host_id = HOST_B,
                                                                               .boot_id = BOOT,
                                                                               .started = T0,
                                                                               .ended = IOL_NULL,
                                                                               .version = "0",
                                                                               .probes = "tracepoint",
                                                                               .scope = ""};
    *(struct iol_loss *)add(IOL_TABLE_LOSS) = (struct iol_loss){
        .ts_from = T0, .ts_to = T0 + SECOND, .host_id = HOST_A, .reason = "no account slot", .lost = 40};
    *(struct iol_loss *)add(IOL_TABLE_LOSS) = (struct iol_loss){
        .ts_from = T0 + SECOND, .ts_to = T0 + 2 * SECOND, .host_id = HOST_A, .reason = "no account slot", .lost = 2};
}

/* What would be obeyed by a browser that takes names for HTML, and one loss. */
static void add_page(void)
{
    add_lossy();
    add_process(12, 960, 7, IOL_ORIGIN_EXEC, "<i>x</i>&amp;", "/h/</title>",
                "\"><img src=x onerror=document.title='owned'> \xe2\x80\xae<svg/onload=document.title='owned'>");
    add_exit(12, 0, IOL_NULL);
    add_file(130, 31, IOL_KIND_FILE, "/h/</script><script>document.title='owned'</script>", NULL);
    add_file(131, 32, IOL_KIND_FILE, "/h/<!--<script>", NULL);
    add_file(132, 33, IOL_KIND_FILE, "/h/\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d/\xd8\xb9\xd8\xb1\xd8\xa8.txt", NULL);
    add_file(133, 34, IOL_KIND_FILE, "/h/javascript:document.title='owned'", "deleted");
    add_file(134, 35, IOL_KIND_FILE, "/h/lib.so", NULL);
    for (int64_t file = 130; file <= 133; file++)
        add_io(3, 12, file, IOL_ROUTE_RW, 2, 1000 * (file - 129), 1, 500, 0);
    add_io(3, 12, 134, IOL_ROUTE_MMAP, 4, 0, 0, 0, 0);
}

/* Not only detail was lost. */
static void add_incomplete(void)
{
    add_lossy();
    static const struct {
        const char *reason;
        int64_t lost;
    } more[] = {{"hooks left out by the kernel: calls not counted", 45},
                {"AIO completions read by the program itself: bytes unknown", 7},
                {"route not covered: io_uring", 1}};
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        *(struct iol_loss *)add(IOL_TABLE_LOSS) = (struct iol_loss){
            .ts_from = T0, .ts_to = T0 + SECOND, .host_id = HOST_A, .reason = more[i].reason, .lost = more[i].lost};
    }
}

/* MANY processes, each the child of the one before, each with a file of its own. */
static void add_many(void)
{
    add_host(HOST_A, "alpha");
    for (int64_t i = 1; i <= MANY; i++) {
        char path[64], comm[16];

        snprintf(comm, sizeof(comm), "p%d", (int)i);
        snprintf(path, sizeof(path), "/many/file%d", (int)i);
        add_process(i, i, i - 1, IOL_ORIGIN_EXEC, comm, "/bin/p", comm);
        add_file(100000 + i, i, IOL_KIND_FILE, path, NULL);
        add_io(1, i, 100000 + i, IOL_ROUTE_RW, 1, i, 0, 0, 0);
    }
}

static void add_change(int second, enum iol_event_kind kind, int64_t file_id, int64_t other_file_id)
{
    struct iol_event *event;

    add_exec(5, file_id);
    event = &((struct iol_event *)batch->rows[IOL_TABLE_EVENT].data)[batch->rows[IOL_TABLE_EVENT].count - 1];
    event->ts = T0 + 2000 * SECOND + second * SECOND;
    event->kind = kind;
    event->other_file_id = other_file_id ? other_file_id : IOL_NULL;
}

/* Each account is told by the bytes read in it. Seconds as of add_io(), whose accounts are open in the second before. */
static void add_renamed(void)
{
    add_host(HOST_A, "alpha");
    add_process(5, 500, 0, IOL_ORIGIN_EXEC, "mv", "/bin/mv", "mv");
    add_process(6, 600, 0, IOL_ORIGIN_EXEC, "cat", "/bin/cat", "cat");
    /* a chain /r/a, /r/b, /r/c with other files under the same names before and after, and the directory renamed at last */
    add_file(201, 0, IOL_KIND_FILE, "/r/a", NULL);
    add_file(202, 0, IOL_KIND_FILE, "/r/b", NULL);
    add_file(203, 0, IOL_KIND_FILE, "/r/c", NULL);
    add_file(204, 0, IOL_KIND_FILE, "/s/c", NULL);
    add_file(205, 0, IOL_KIND_DIR, "/r", NULL);
    add_file(206, 0, IOL_KIND_DIR, "/s", NULL);
    add_io(1, 6, 201, IOL_ROUTE_RW, 1, 1, 0, 0, 0);
    add_change(2, IOL_EVENT_UNLINK, 201, 0);
    add_change(3, IOL_EVENT_OPEN, 201, 0);
    add_io(4, 6, 201, IOL_ROUTE_RW, 1, 2, 0, 0, 0);
    add_io(4, 6, 202, IOL_ROUTE_RW, 1, 4, 0, 0, 0);
    add_change(5, IOL_EVENT_RENAME, 201, 202);
    add_io(6, 6, 202, IOL_ROUTE_RW, 1, 8, 0, 0, 0);
    add_io(7, 6, 201, IOL_ROUTE_RW, 1, 16, 0, 0, 0);
    add_change(8, IOL_EVENT_RENAME, 202, 203);
    add_io(9, 6, 203, IOL_ROUTE_RW, 1, 32, 0, 0, 0);
    add_io(10, 6, 202, IOL_ROUTE_RW, 1, 64, 0, 0, 0);
    add_change(11, IOL_EVENT_RENAME, 205, 206);
    add_io(12, 6, 204, IOL_ROUTE_RW, 1, 128, 0, 0, 0);
    add_change(13, IOL_EVENT_UNLINK, 204, 0);
    add_io(14, 6, 204, IOL_ROUTE_RW, 1, 256, 0, 0, 0);
    /* a file that is written anew beside its name each time, and one with a hard link */
    add_file(211, 0, IOL_KIND_FILE, "/e/conf", NULL);
    for (int64_t i = 0; i < 100; i++) {
        char path[32];

        snprintf(path, sizeof(path), "/e/conf.tmp%d", (int)i);
        add_file(300 + i, 0, IOL_KIND_FILE, path, NULL);
        add_change(20 + (int)i, IOL_EVENT_RENAME, 300 + i, 211);
    }
    add_io(20, 6, 300, IOL_ROUTE_RW, 1, 1, 0, 0, 0);
    add_io(119, 6, 399, IOL_ROUTE_RW, 1, 2, 0, 0, 0);
    add_io(120, 6, 211, IOL_ROUTE_RW, 1, 4, 0, 0, 0);
    add_file(221, 0, IOL_KIND_FILE, "/l/one", NULL);
    add_file(222, 0, IOL_KIND_FILE, "/l/two", NULL);
    add_io(1, 6, 221, IOL_ROUTE_RW, 1, 1, 0, 0, 0);
    add_change(2, IOL_EVENT_LINK, 221, 222);
    add_io(3, 6, 221, IOL_ROUTE_RW, 1, 2, 0, 0, 0);
    add_io(4, 6, 222, IOL_ROUTE_RW, 1, 4, 0, 0, 0);
    /* no event, but the same device, inode and generation, or only the same inode one after the other */
    add_file(231, 51, IOL_KIND_FILE, "/g/one", NULL);
    add_file(232, 51, IOL_KIND_FILE, "/g/two", NULL);
    add_file(233, 51, IOL_KIND_FILE, "/g/reused", NULL);
    for (size_t i = 1; i <= 3; i++) {
        struct iol_rows *files = &batch->rows[IOL_TABLE_FILE];

        ((struct iol_file *)files->data)[files->count - i].generation = i == 1 ? 8 : 9;
    }
    for (int64_t i = 1; i <= 3; i++)
        add_io(1, 6, 230 + i, IOL_ROUTE_RW, 1, i, 0, 0, 0);
}

#define AT(second) (T0 + 2000 * SECOND + (second)*SECOND)

static void add_recording(int64_t id, int64_t started, int64_t ended, const char *scope)
{
    *(struct iol_recording *)add(IOL_TABLE_RECORDING) = (struct iol_recording){.id = id,
                                                                               .host_id = HOST_A,
                                                                               .boot_id = BOOT,
                                                                               .started = started,
                                                                               .ended = ended,
                                                                               .version = "0",
                                                                               .probes = "tracepoint",
                                                                               .scope = scope};
}

/* One build after another: who was there is the same, with ids of 10 more each time. */
static void add_build(int64_t first)
{
    add_process(first + 2, 900 + first, 11, IOL_ORIGIN_EXEC, "make", "/usr/bin/make", "make -j2 all")->uid = 1000;
    add_process(first + 3, 901 + first, first + 2, IOL_ORIGIN_EXEC, "cc1", "/usr/libexec/cc1", "cc1 -quiet a.c")->uid =
        1000;
    add_process(first + 4, 902 + first, first + 2, IOL_ORIGIN_EXEC, "as", "/usr/bin/as", "as -o a.o")->uid = 1000;
    for (int64_t i = 2; i <= 4; i++)
        add_exit(first + i, 0, IOL_NULL);
}

/*
 * Two builds, each recorded by itself, and then somebody who looks at what came of it. Not recorded: from second 51 to 100, from 151
 * to 200, and, as the third recording was killed, what comes after its last interval at 301. Detail was lost at 120.
 */
static void add_answers(void)
{
    add_host(HOST_A, "alpha");
    *(struct iol_login *)add(IOL_TABLE_LOGIN) = (struct iol_login){.host_id = HOST_A, .uid = 1000, .name = "ann"};
    add_recording(1, AT(0), AT(51), "-- make");
    add_recording(-2, AT(100), AT(151), "-- make");
    add_recording(3, AT(200), IOL_NULL, "");
    *(struct iol_loss *)add(IOL_TABLE_LOSS) = (struct iol_loss){
        .ts_from = AT(120), .ts_to = AT(121), .host_id = HOST_A, .reason = "no account slot", .lost = 7};
    add_process(10, 800, 0, IOL_ORIGIN_RUNNING, "sshd", "/usr/sbin/sshd", "sshd: ann [priv]");
    add_process(11, 812, 10, IOL_ORIGIN_RUNNING, "bash", "/usr/bin/bash", "-bash")->uid = 1000;
    add_build(10);
    add_build(20);
    add_process(40, 990, 11, IOL_ORIGIN_EXEC, "cat", "/bin/cat", "cat a.o")->container_id = "0123456789ab";
    add_process(41, 991, 11, IOL_ORIGIN_EXEC, "rm", "/bin/rm", "rm a.o");
    add_file(501, 61, IOL_KIND_FILE, "/b/src/a.c", NULL);
    add_file(502, 62, IOL_KIND_FILE, "/b/src/old.h", NULL);
    add_file(503, 63, IOL_KIND_FILE, "/b/src/new.h", NULL);
    add_file(504, 0, IOL_KIND_FILE, "/b/out/tmp1", NULL);
    add_file(505, 0, IOL_KIND_FILE, "/b/out/a.o", NULL);
    add_file(506, 66, IOL_KIND_FILE, "/b/esc\033[31m\n\xe2\x80\xae/x\r", NULL);
    add_file(507, 67, IOL_KIND_FILE, "/usr/lib/libc.so", NULL);
    add_io(1, 13, 501, IOL_ROUTE_RW, 2, 100, 0, 0, 0);
    add_io(1, 13, 502, IOL_ROUTE_RW, 1, 10, 0, 0, 0);
    add_io(2, 13, 507, IOL_ROUTE_MMAP, 1, 0, 0, 0, 0);
    add_io(3, 14, 506, IOL_ROUTE_RW, 1, 5, 1, 6, 0);
    add_io(101, 23, 501, IOL_ROUTE_RW, 3, 150, 0, 0, 0);
    add_io(101, 23, 503, IOL_ROUTE_RW, 1, 20, 0, 0, 0);
    add_io(102, 23, 507, IOL_ROUTE_MMAP, 1, 0, 0, 0, 0);
    /* the story of /b/out/a.o, which was /b/out/tmp1 until second 12 */
    add_change(10, IOL_EVENT_OPEN, 504, 0);
    add_io(11, 14, 504, IOL_ROUTE_RW, 0, 0, 3, 3000, 0);
    add_io(12, 14, 504, IOL_ROUTE_RW, 0, 0, 1, 1000, 0);
    add_change(12, IOL_EVENT_RENAME, 504, 505);
    add_change(13, IOL_EVENT_CHMOD, 505, 0);
    add_io(201, 40, 505, IOL_ROUTE_RW, 1, 400, 0, 0, 0);
    add_io(202, 40, 505, IOL_ROUTE_RW, 9, 3600, 0, 0, 2);
    add_io(301, 40, 505, IOL_ROUTE_RW, 1, 1, 0, 0, 0);
    add_change(310, IOL_EVENT_UNLINK, 505, 0);
    for (size_t i = batch->rows[IOL_TABLE_EVENT].count; i-- > 0;) {
        struct iol_event *event = &((struct iol_event *)batch->rows[IOL_TABLE_EVENT].data)[i];

        event->process_id = event->kind == IOL_EVENT_UNLINK ? 41 : 14;
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*add)(void);
    } contents[] = {{"full", add_full},
                    {"empty", NULL},
                    {"unbalanced", add_unbalanced},
                    {"lossy", add_lossy},
                    {"incomplete", add_incomplete},
                    {"page", add_page},
                    {"many", add_many},
                    {"renamed", add_renamed},
                    {"answers", add_answers}};
    struct iol_error err = {0};
    struct iol_sink *sink;
    bool known = false;

    batch = iol_batch_new();
    for (size_t i = 0; argc == 3 && batch && i < sizeof(contents) / sizeof(contents[0]); i++) {
        if (strcmp(argv[2], contents[i].name) == 0) {
            known = true;
            if (contents[i].add)
                contents[i].add();
        }
    }
    if (!known) {
        fputs("usage: fixture URL full|empty|unbalanced|lossy|incomplete|page|many|renamed|answers\n", stderr);
        return 2;
    }
    *(struct iol_batch_row *)add(IOL_TABLE_BATCH) =
        (struct iol_batch_row){.host_id = HOST_A, .boot_id = BOOT, .seq = 1, .ts = T0};
    if (iol_sink_open(argv[1], &(struct iol_sink_options){0}, &sink, &err) < 0 ||
        iol_sink_write(sink, batch, &err) < 0) {
        fprintf(stderr, "fixture: %s\n", err.text);
        return 1;
    }
    iol_sink_close(sink);
    iol_batch_free(batch);
    return 0;
}
