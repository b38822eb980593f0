// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/model.h"
#include "records.h"

#define HOST_ID 4711
#define BOOT_OFFSET INT64_C(1000000000000)
#define EXITED(code) ((code) << 8) /* status of wait(2) */
#define MAX_IDLE 4

/* Image keys: what the kernel would hash from start, pid and exec count. */
enum image { INIT = 0x100, SHELL, CHILD, CAT, OTHER };

struct fixture {
    struct iol_model *model;
    struct iol_batch *batch;
    uint64_t epoch;
};

static struct iol_model *new_model(bool all, bool running_ancestors, int64_t host_id, const char *boot_id)
{
    const struct iol_model_options options = {
        .host_id = host_id,
        .boot_id = boot_id,
        .all = all,
        .running_ancestors = running_ancestors,
        .max_idle_files = MAX_IDLE,
    };
    struct iol_model *model = iol_model_new(&options);

    assert_non_null(model);
    iol_model_set_boot_offset(model, BOOT_OFFSET);
    return model;
}

static int make(void **state, bool all, bool running_ancestors)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->model = new_model(all, running_ancestors, HOST_ID, "boot-1");
    f->batch = iol_batch_new();
    assert_non_null(f->batch);
    *state = f;
    return 0;
}

static int make_all(void **state)
{
    return make(state, true, true);
}

static int make_filtered(void **state)
{
    return make(state, false, true);
}

static int make_command(void **state)
{
    return make(state, false, false);
}

static int drop(void **state)
{
    struct fixture *f = *state;

    iol_model_free(f->model);
    iol_batch_free(f->batch);
    free(f);
    return 0;
}

static void next_batch(struct fixture *f)
{
    iol_batch_free(f->batch);
    f->batch = iol_batch_new();
    assert_non_null(f->batch);
}

/* Decodes and posts, and frees the record: the model keeps nothing of it. */
static void post(struct fixture *f, struct record record)
{
    struct iol_decoded decoded;

    assert_int_equal(iol_decode_record(record.data, record.size, &decoded), 0);
    assert_int_equal(iol_model_post(f->model, &decoded, f->batch), 0);
    record_free(&record);
}

static size_t count(const struct fixture *f, enum iol_table_id table)
{
    return f->batch->rows[table].count;
}

static const void *row_at(const struct fixture *f, enum iol_table_id table, size_t index)
{
    assert_in_range(index, 0, count(f, table) - 1);
    return (char *)f->batch->rows[table].data + index * iol_batch_row_size(table);
}

static const struct iol_process *process_row(const struct fixture *f, size_t index)
{
    return row_at(f, IOL_TABLE_PROCESS, index);
}

static const struct iol_event *event_row(const struct fixture *f, size_t index)
{
    return row_at(f, IOL_TABLE_EVENT, index);
}

static const struct iol_file *file_row(const struct fixture *f, size_t index)
{
    return row_at(f, IOL_TABLE_FILE, index);
}

static struct process_spec running(uint64_t image, uint64_t parent, uint32_t pid, uint32_t ppid)
{
    return (struct process_spec){
        .image = image,
        .parent = parent,
        .start_ns = 1000 + pid,
        .pid = pid,
        .ppid = ppid,
        .origin = IOL_ORIGIN_RUNNING,
        .login_uid = UINT32_MAX,
        .session_id = UINT32_MAX,
        .bits = IOL_PROCESS_TRACED,
        .comm = "bash",
        .exe_info = {.inode = 7, .dev = 8 << 20 | 1, .kind = IOL_KIND_FILE},
        .exe = BYTES("/bin/bash"),
        .cwd = BYTES("/root"),
        .cgroup = BYTES("/init.scope"),
        .argv = BYTES("bash\0-l\0"),
    };
}

/* A fork brings no exe and no argv of its own. */
static struct process_spec forked(uint64_t image, uint64_t parent, uint32_t pid, uint32_t ppid)
{
    struct process_spec spec = running(image, parent, pid, ppid);

    spec.ts = 2000;
    spec.origin = IOL_ORIGIN_FORK;
    spec.bits |= IOL_PROCESS_INHERITS;
    spec.exe = spec.argv = BYTES("");
    spec.exe_info = (struct iol_file_info){0};
    return spec;
}

static struct process_spec executed(uint64_t image, uint64_t parent, uint32_t pid, uint32_t ppid)
{
    struct process_spec spec = running(image, parent, pid, ppid);

    spec.ts = spec.exec_ns = 3000;
    spec.origin = IOL_ORIGIN_EXEC;
    spec.comm = "cat";
    spec.exe = BYTES("/bin/cat");
    spec.exe_info.inode = 9;
    spec.argv = BYTES("cat\0a file\0");
    return spec;
}

static struct process_spec untraced(struct process_spec spec)
{
    spec.bits &= ~(uint32_t)IOL_PROCESS_TRACED;
    return spec;
}

static void post_process(struct fixture *f, struct process_spec spec)
{
    post(f, record_process(&spec));
}

static size_t processes_held(const struct fixture *f)
{
    struct iol_model_stats stats;

    iol_model_get_stats(f->model, &stats);
    return stats.processes_held;
}

static size_t files_held(const struct fixture *f)
{
    struct iol_model_stats stats;

    iol_model_get_stats(f->model, &stats);
    return stats.files_held;
}

struct forgotten {
    uint64_t keys[64];
    size_t count;
};

static void note_forgotten(void *arg, const uint64_t *keys, size_t n)
{
    struct forgotten *forgotten = arg;

    assert_in_range(n, 1, IOL_ARRAY_SIZE(forgotten->keys) - forgotten->count);
    for (size_t i = 0; i < n; i++)
        forgotten->keys[forgotten->count++] = keys[i];
}

static size_t end_epoch(struct fixture *f)
{
    struct forgotten forgotten = {0};

    iol_model_trim(f->model, ++f->epoch, 0, note_forgotten, &forgotten);
    return forgotten.count;
}

/* Enough epochs for a line of ended processes to go, one after the other. */
static void settle(struct fixture *f)
{
    for (int i = 0; i < 8; i++)
        end_epoch(f);
}

/* Processes */

static void a_running_process_has_its_row(void **state)
{
    struct fixture *f = *state;
    const struct iol_process *row;
    struct process_spec spec = running(SHELL, INIT, 50, 1);

    spec.uid = 65111; /* nobody's on any machine */
    spec.login_uid = 1001;
    spec.session_id = 3;
    spec.ns_pid = 17;
    post_process(f, spec);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 1);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 0);
    row = process_row(f, 0);
    assert_int_equal(row->host_id, HOST_ID);
    assert_int_equal(row->pid, 50);
    assert_int_equal(row->ppid, 1);
    assert_int_equal(row->start_time, BOOT_OFFSET + 1050);
    assert_true(row->exec_time == IOL_NULL);
    assert_int_equal(row->origin, IOL_ORIGIN_RUNNING);
    assert_string_equal(row->comm, "bash");
    assert_string_equal(row->exe, "/bin/bash");
    assert_string_equal(row->argv, "bash -l");
    assert_string_equal(row->cwd, "/root");
    assert_string_equal(row->cgroup, "/init.scope");
    assert_int_equal(row->uid, 65111);
    assert_int_equal(row->login_uid, 1001);
    assert_int_equal(row->session_id, 3);
    assert_int_equal(row->ns_pid, 17);
    assert_null(row->container_id);
    assert_null(row->flags);
}

static void the_login_comes_once(void **state)
{
    struct fixture *f = *state;
    const struct iol_login *row;

    post_process(f, running(SHELL, INIT, 50, 1));
    post_process(f, running(OTHER, INIT, 51, 1));
    assert_int_equal(count(f, IOL_TABLE_LOGIN), 1);
    row = row_at(f, IOL_TABLE_LOGIN, 0);
    assert_int_equal(row->uid, 0);
    assert_string_equal(row->name, "root");
    assert_int_equal(row->host_id, HOST_ID);
    assert_true(process_row(f, 0)->login_uid == IOL_NULL);
    assert_true(process_row(f, 0)->session_id == IOL_NULL);
    assert_true(process_row(f, 0)->ns_pid == IOL_NULL);
}

static void the_same_record_twice_is_one_row(void **state)
{
    struct fixture *f = *state;

    post_process(f, running(SHELL, INIT, 50, 1));
    post_process(f, forked(CHILD, SHELL, 60, 50));
    post_process(f, running(SHELL, INIT, 50, 1));
    post_process(f, forked(CHILD, SHELL, 60, 50));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 2);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 1);
}

static void the_images_of_a_process_have_one_start(void **state)
{
    struct fixture *f = *state;

    post_process(f, running(SHELL, INIT, 50, 1));
    post_process(f, forked(CHILD, SHELL, 60, 50));
    iol_model_set_boot_offset(f->model, BOOT_OFFSET + 3600);
    post_process(f, executed(CAT, CHILD, 60, 50));
    assert_int_equal(process_row(f, 2)->start_time, process_row(f, 1)->start_time);
    assert_int_equal(process_row(f, 2)->exec_time, BOOT_OFFSET + 3600 + 3000);
}

/* bash forks, the child executes cat, cat ends. */
static void fork_exec_and_exit_make_a_chain(void **state)
{
    struct fixture *f = *state;
    const struct iol_process *shell, *child, *cat;
    const struct iol_process_exit *ended;

    post_process(f, running(SHELL, INIT, 50, 1));
    post_process(f, forked(CHILD, SHELL, 60, 50));
    post_process(f, executed(CAT, CHILD, 60, 50));
    post(f, record_exit(4000, CAT, EXITED(3)));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 3);
    shell = process_row(f, 0);
    child = process_row(f, 1);
    cat = process_row(f, 2);
    assert_int_equal(child->parent_id, shell->id);
    assert_int_equal(cat->parent_id, child->id);
    assert_int_equal(child->origin, IOL_ORIGIN_FORK);
    assert_int_equal(cat->origin, IOL_ORIGIN_EXEC);
    assert_int_equal(cat->exec_time, BOOT_OFFSET + 3000);
    assert_string_equal(cat->exe, "/bin/cat");
    assert_string_equal(cat->argv, "cat a file");
    assert_int_equal(cat->pid, child->pid);

    /* one end: the image that called exec has none of its own */
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 1);
    ended = row_at(f, IOL_TABLE_PROCESS_EXIT, 0);
    assert_int_equal(ended->process_id, cat->id);
    assert_int_equal(ended->ts, BOOT_OFFSET + 4000);
    assert_int_equal(ended->exit_code, 3);
    assert_true(ended->signal == IOL_NULL);

    assert_int_equal(count(f, IOL_TABLE_EVENT), 3);
    assert_int_equal(event_row(f, 0)->kind, IOL_EVENT_FORK);
    assert_int_equal(event_row(f, 0)->process_id, child->id);
    assert_int_equal(event_row(f, 0)->ts, BOOT_OFFSET + 2000);
    assert_int_equal(event_row(f, 0)->tid, 60);
    assert_int_equal(event_row(f, 0)->weight, 1);
    assert_int_equal(event_row(f, 1)->kind, IOL_EVENT_EXEC);
    assert_int_equal(event_row(f, 1)->process_id, cat->id);
    assert_int_equal(event_row(f, 1)->file_id, file_row(f, 0)->id);
    assert_string_equal(file_row(f, 0)->path, "/bin/cat");
    assert_int_equal(event_row(f, 2)->kind, IOL_EVENT_EXIT);
    assert_int_equal(event_row(f, 2)->process_id, cat->id);
    assert_int_equal(event_row(f, 2)->result, 3);
}

static void a_fork_runs_what_its_parent_ran(void **state)
{
    struct fixture *f = *state;
    struct process_spec shell = running(SHELL, INIT, 50, 1), child = forked(CHILD, SHELL, 60, 50);

    shell.exe_info.bits = IOL_FILE_DELETED;
    shell.bits |= IOL_PROCESS_ARGV_TRUNCATED;
    child.comm = "worker";
    child.cwd = BYTES("/tmp");
    child.cgroup = BYTES("/other");
    post_process(f, shell);
    post_process(f, child);
    assert_string_equal(process_row(f, 1)->exe, "/bin/bash");
    assert_string_equal(process_row(f, 1)->argv, "bash -l");
    assert_string_equal(process_row(f, 1)->flags, "exe_deleted,argv_truncated");
    assert_string_equal(process_row(f, 1)->comm, "worker");
    assert_string_equal(process_row(f, 1)->cwd, "/tmp");
    assert_string_equal(process_row(f, 1)->cgroup, "/other");
    assert_true(process_row(f, 1)->exec_time == IOL_NULL);
}

/* What the parent executes later is not what the child runs; what the child has of its own stays beside it. */
static void a_fork_keeps_what_it_inherited(void **state)
{
    struct fixture *f = *state;
    struct process_spec shell = running(SHELL, INIT, 50, 1), child = forked(CHILD, SHELL, 60, 50);

    shell.exe_info.bits = IOL_FILE_DELETED;
    child.comm = "\xff";
    post_process(f, shell);
    post_process(f, child);
    post_process(f, executed(CAT, SHELL, 50, 1));
    post_process(f, forked(OTHER, CHILD, 61, 60));
    assert_string_equal(process_row(f, 1)->flags, "escaped,exe_deleted");
    assert_string_equal(process_row(f, 3)->exe, "/bin/bash");
    assert_string_equal(process_row(f, 3)->flags, "exe_deleted,escaped");
}

static void a_fork_inherits_only_what_it_does_not_bring(void **state)
{
    struct fixture *f = *state;
    struct process_spec child = forked(CHILD, SHELL, 60, 50);

    child.exe = BYTES("/bin/own");
    child.argv = BYTES("own");
    post_process(f, running(SHELL, INIT, 50, 1));
    post_process(f, child);
    assert_string_equal(process_row(f, 1)->exe, "/bin/own");
    assert_string_equal(process_row(f, 1)->argv, "own");
}

/* The short record of a fork says who, when, and whose child. */
static void fork_of(struct fixture *f, uint64_t image, uint64_t parent, uint32_t pid, uint32_t ppid)
{
    const struct process_spec spec = {.ts = 2000,
                                      .image = image,
                                      .parent = parent,
                                      .start_ns = 1000 + pid,
                                      .pid = pid,
                                      .ppid = ppid,
                                      .ns_pid = 7,
                                      .bits = IOL_PROCESS_TRACED};

    post(f, record_fork(&spec));
}

static void a_short_fork_is_in_everything_as_its_parent(void **state)
{
    struct fixture *f = *state;
    struct process_spec shell = running(SHELL, INIT, 50, 1);
    const struct iol_process *parent, *child;

    shell.uid = 1000;
    shell.login_uid = 1001;
    shell.session_id = 9;
    shell.cgroup = BYTES("/system.slice/docker-"
                         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope");
    shell.cwd = BYTES("/a\xff");
    post_process(f, shell);
    fork_of(f, CHILD, SHELL, 60, 50);
    fork_of(f, OTHER, CHILD, 61, 60);
    parent = process_row(f, 0);
    for (size_t i = 1; i < 3; i++) {
        child = process_row(f, i);
        assert_int_equal(child->origin, IOL_ORIGIN_FORK);
        assert_int_equal(child->pid, 59 + i);
        assert_int_equal(child->ns_pid, 7);
        assert_int_equal(child->start_time, BOOT_OFFSET + 1059 + (int64_t)i);
        assert_int_equal(child->parent_id, process_row(f, i - 1)->id);
        assert_true(child->exec_time == IOL_NULL);
        assert_string_equal(child->comm, "bash");
        assert_string_equal(child->exe, "/bin/bash");
        assert_string_equal(child->argv, "bash -l");
        assert_string_equal(child->cwd, parent->cwd);
        assert_string_equal(child->cgroup, parent->cgroup);
        assert_non_null(parent->container_id);
        assert_string_equal(child->container_id, parent->container_id);
        assert_string_equal(child->flags, "escaped");
        assert_int_equal(child->uid, 1000);
        assert_int_equal(child->euid, 1000);
        assert_int_equal(child->gid, 1000);
        assert_int_equal(child->login_uid, 1001);
        assert_int_equal(child->session_id, 9);
        assert_int_equal(event_row(f, i - 1)->kind, IOL_EVENT_FORK);
        assert_int_equal(event_row(f, i - 1)->tid, 59 + i);
        assert_int_equal(event_row(f, i - 1)->ts, BOOT_OFFSET + 2000);
    }
}

/* Never the case, unless a record is lost in a way that the kernel side does not know of. */
static void a_short_fork_without_a_parent_claims_nothing(void **state)
{
    struct fixture *f = *state;

    fork_of(f, CHILD, SHELL, 60, 50);
    assert_string_equal(process_row(f, 0)->comm, "(unknown)");
    assert_null(process_row(f, 0)->cwd);
    assert_null(process_row(f, 0)->exe);
    assert_true(process_row(f, 0)->uid == IOL_NULL);
    assert_true(process_row(f, 0)->session_id == IOL_NULL);
}

/* Its own row says where it was when it was told of; what it forks, and what it executes, is where it was told to be by now. */
static void a_process_that_has_moved_hands_down_where_it_is(void **state)
{
    struct fixture *f = *state;
    struct process_spec child = forked(CHILD, SHELL, 60, 50), cat = executed(CAT, SHELL, 50, 1);

    post_process(f, running(SHELL, INIT, 50, 1));
    child.cwd = BYTES("/tmp/\xff");
    child.cgroup = BYTES("/other");
    child.bits |= IOL_PROCESS_PARENT_MOVED;
    post_process(f, child);
    fork_of(f, OTHER, SHELL, 61, 50);
    cat.cwd = cat.cgroup = BYTES("");
    cat.bits |= IOL_PROCESS_SAME_LOCATION;
    post_process(f, cat);
    fork_of(f, 0x200, CAT, 62, 50);
    fork_of(f, 0x201, CHILD, 63, 60);
    assert_string_equal(process_row(f, 0)->cwd, "/root");
    assert_null(process_row(f, 0)->flags);
    for (size_t i = 1; i < 6; i++) {
        assert_string_equal(process_row(f, i)->cwd, process_row(f, 1)->cwd);
        assert_string_equal(process_row(f, i)->cgroup, "/other");
        assert_string_equal(process_row(f, i)->flags, "escaped");
    }
    assert_string_equal(process_row(f, 3)->exe, "/bin/cat");
    assert_string_equal(process_row(f, 4)->comm, "cat");
}

/* "escaped" is about what is in the row: an argv that the image before had is not. */
static void an_exec_inherits_no_more_than_where_it_is(void **state)
{
    struct fixture *f = *state;
    struct process_spec shell = running(SHELL, INIT, 50, 1), cat = executed(CAT, SHELL, 50, 1);

    shell.argv = BYTES("bash\0\xff\0");
    shell.exe_info.bits = IOL_FILE_DELETED;
    cat.cwd = cat.cgroup = BYTES("");
    cat.bits |= IOL_PROCESS_SAME_LOCATION;
    post_process(f, shell);
    post_process(f, cat);
    assert_string_equal(process_row(f, 1)->cwd, "/root");
    assert_string_equal(process_row(f, 1)->cgroup, "/init.scope");
    assert_string_equal(process_row(f, 1)->comm, "cat");
    assert_string_equal(process_row(f, 1)->exe, "/bin/cat");
    assert_null(process_row(f, 1)->flags);
}

/* The iterator has found the child before its own record was read: that says who its parent is, and what it runs. */
static void a_fork_that_was_seen_first_inherits_too(void **state)
{
    struct fixture *f = *state;
    struct process_spec seen = running(CHILD, SHELL, 60, 50);

    seen.argv = BYTES("");
    seen.bits |= IOL_PROCESS_NO_ARGV;
    post_process(f, running(SHELL, INIT, 50, 1));
    post_process(f, seen);
    fork_of(f, CHILD, SHELL, 60, 50);
    assert_int_equal(process_row(f, 2)->origin, IOL_ORIGIN_FORK);
    assert_int_equal(process_row(f, 2)->parent_id, process_row(f, 0)->id);
    assert_string_equal(process_row(f, 2)->argv, "bash -l");
    assert_string_equal(process_row(f, 2)->comm, "bash");
    assert_string_equal(process_row(f, 2)->cwd, "/root");
}

static void the_parent_need_not_be_known(void **state)
{
    struct fixture *f = *state;

    post_process(f, forked(CHILD, SHELL, 60, 50));
    post_process(f, running(SHELL, INIT, 50, 1));
    assert_int_equal(process_row(f, 0)->parent_id, process_row(f, 1)->id);
    assert_null(process_row(f, 0)->exe);
}

static void who_has_no_parent_has_none(void **state)
{
    struct fixture *f = *state;
    struct process_spec kernel = running(OTHER, 0x999, 2, 0);

    post_process(f, running(INIT, 0x999, 1, 0));
    kernel.bits |= IOL_PROCESS_KERNEL | IOL_PROCESS_NO_ARGV;
    kernel.argv = BYTES("");
    post_process(f, kernel);
    assert_true(process_row(f, 0)->parent_id == IOL_NULL);
    assert_true(process_row(f, 1)->parent_id == IOL_NULL);
    assert_string_equal(process_row(f, 1)->flags, "kernel");
    assert_null(process_row(f, 1)->argv);
}

static void an_exec_of_the_first_process_has_its_old_image(void **state)
{
    struct fixture *f = *state;

    post_process(f, running(INIT, 0, 1, 0));
    post_process(f, executed(OTHER, INIT, 1, 0));
    assert_int_equal(process_row(f, 1)->parent_id, process_row(f, 0)->id);
}

static void signals_are_told_from_exit_codes(void **state)
{
    static const struct {
        int status;
        int64_t code, signal, result;
    } ends[] = {
        {EXITED(0), 0, IOL_NULL, 0},
        {EXITED(255), 255, IOL_NULL, 255},
        {SIGKILL, IOL_NULL, SIGKILL, -SIGKILL},
        {SIGSEGV | 0x80, IOL_NULL, SIGSEGV, -SIGSEGV}, /* with a core dump */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(ends); i++) {
        const struct iol_process_exit *row;

        next_batch(f);
        post_process(f, running(SHELL + i, INIT, 50, 1));
        post(f, record_exit(4000, SHELL + i, ends[i].status));
        row = row_at(f, IOL_TABLE_PROCESS_EXIT, 0);
        assert_true(row->exit_code == ends[i].code);
        assert_true(row->signal == ends[i].signal);
        assert_true(event_row(f, 0)->result == ends[i].result);
    }
}

/* Two threads may both find themselves the last one. */
static void the_first_exit_counts(void **state)
{
    struct fixture *f = *state;

    post_process(f, running(SHELL, INIT, 50, 1));
    post(f, record_exit(4000, SHELL, EXITED(1)));
    post(f, record_exit(4001, SHELL, EXITED(2)));
    settle(f);
    post(f, record_exit(4002, SHELL, EXITED(3)));
    post(f, record_exit(4003, OTHER, EXITED(0)));
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 1);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 1);
    assert_int_equal(event_row(f, 0)->result, 1);
}

static void an_exec_ends_the_old_image(void **state)
{
    struct fixture *f = *state;
    struct iol_model_process *shell, *cat;

    post_process(f, running(SHELL, INIT, 50, 1));
    shell = iol_model_get_process(f->model, SHELL, f->batch);
    assert_non_null(shell);
    assert_false(iol_model_process_ended(shell));
    post_process(f, executed(CAT, SHELL, 50, 1));
    cat = iol_model_get_process(f->model, CAT, f->batch);
    assert_true(iol_model_process_ended(shell));
    assert_false(iol_model_process_ended(cat));
    iol_model_put_process(f->model, shell);
    iol_model_put_process(f->model, cat);
}

static void a_fork_does_not_end_its_parent(void **state)
{
    struct fixture *f = *state;
    struct iol_model_process *shell;

    post_process(f, running(SHELL, INIT, 50, 1));
    shell = iol_model_get_process(f->model, SHELL, f->batch);
    post_process(f, forked(CHILD, SHELL, 60, 50));
    assert_false(iol_model_process_ended(shell));
    iol_model_put_process(f->model, shell);
}

static void a_failed_exec_is_an_event_with_the_name_given(void **state)
{
    struct fixture *f = *state;

    post_process(f, running(SHELL, INIT, 50, 1));
    post(f, record_exec_failed(3500, SHELL, -ENOENT, BYTES("no/such")));
    assert_int_equal(count(f, IOL_TABLE_EVENT), 1);
    assert_int_equal(event_row(f, 0)->kind, IOL_EVENT_EXEC_FAILED);
    assert_int_equal(event_row(f, 0)->result, -ENOENT);
    assert_int_equal(event_row(f, 0)->process_id, process_row(f, 0)->id);
    assert_int_equal(event_row(f, 0)->file_id, file_row(f, 0)->id);
    assert_string_equal(file_row(f, 0)->path, "no/such");
    assert_string_equal(file_row(f, 0)->flags, "unresolved");
    assert_int_equal(file_row(f, 0)->kind, IOL_KIND_OTHER);
}

static void a_failed_exec_of_an_unreadable_name_has_no_file(void **state)
{
    struct fixture *f = *state;

    post_process(f, running(SHELL, INIT, 50, 1));
    post(f, record_exec_failed(3500, SHELL, -EFAULT, BYTES("")));
    assert_true(event_row(f, 0)->file_id == IOL_NULL);
    assert_int_equal(count(f, IOL_TABLE_FILE), 0);
}

/* Only those traced and their ancestors have rows, and the ancestors once. */
static void a_filter_keeps_ancestors(void **state)
{
    struct fixture *f = *state;
    int64_t cat;

    post_process(f, untraced(running(INIT, 0, 1, 0)));
    post_process(f, untraced(running(SHELL, INIT, 50, 1)));
    post_process(f, untraced(running(OTHER, INIT, 51, 1)));
    post_process(f, untraced(forked(CHILD, SHELL, 60, 50)));
    post(f, record_exec_failed(3500, SHELL, -ENOENT, BYTES("x")));
    assert_int_equal(iol_batch_count(f->batch), 0);

    post_process(f, executed(CAT, CHILD, 60, 50));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 4);
    cat = process_row(f, 0)->id;
    assert_string_equal(process_row(f, 0)->comm, "cat");
    assert_int_equal(process_row(f, 0)->parent_id, process_row(f, 1)->id);
    assert_int_equal(process_row(f, 1)->parent_id, process_row(f, 2)->id);
    assert_int_equal(process_row(f, 2)->parent_id, process_row(f, 3)->id);
    assert_int_equal(process_row(f, 3)->pid, 1);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 1);
    assert_int_equal(event_row(f, 0)->kind, IOL_EVENT_EXEC);

    next_batch(f);
    post_process(f, forked(0x900, CAT, 61, 60));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 1);
    assert_int_equal(process_row(f, 0)->parent_id, cat);
    next_batch(f);
    post(f, record_exit(4000, OTHER, EXITED(0)));
    assert_int_equal(iol_batch_count(f->batch), 0);
    post(f, record_exit(4000, SHELL, EXITED(0))); /* an ancestor: its end, but no event */
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 1);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 0);
}

/* An ancestor that had gone before anybody below it was traced has still ended. */
static void an_ancestor_that_ended_early_has_its_exit(void **state)
{
    struct fixture *f = *state;
    const struct iol_process_exit *row;

    post_process(f, untraced(running(SHELL, INIT, 50, 1)));
    post_process(f, untraced(forked(CHILD, SHELL, 60, 50)));
    post(f, record_exit(2500, SHELL, EXITED(5)));
    settle(f);
    assert_int_equal(iol_batch_count(f->batch), 0);
    post_process(f, executed(CAT, CHILD, 60, 1));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 3);
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 1);
    row = row_at(f, IOL_TABLE_PROCESS_EXIT, 0);
    assert_int_equal(row->process_id, process_row(f, 2)->id);
    assert_int_equal(row->ts, BOOT_OFFSET + 2500);
    assert_int_equal(row->exit_code, 5);
    assert_true(row->signal == IOL_NULL);
}

/* Those that were there before are nobody's business then: a row that has no parent's row names none. */
static void a_recording_of_a_command_begins_with_it(void **state)
{
    struct fixture *f = *state;

    post_process(f, untraced(running(INIT, 0, 1, 0)));
    post_process(f, untraced(running(SHELL, INIT, 50, 1)));
    post_process(f, untraced(forked(CHILD, SHELL, 60, 50)));
    post_process(f, executed(CAT, CHILD, 60, 50));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 2);
    assert_string_equal(process_row(f, 0)->comm, "cat");
    assert_int_equal(process_row(f, 0)->parent_id, process_row(f, 1)->id);
    assert_int_equal(process_row(f, 1)->origin, IOL_ORIGIN_FORK);
    assert_true(process_row(f, 1)->parent_id == IOL_NULL);

    post_process(f, running(SHELL, INIT, 50, 1));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 3);
    assert_int_equal(process_row(f, 2)->pid, 50);
    assert_true(process_row(f, 2)->parent_id == IOL_NULL);
}

static void a_process_marked_later_gets_its_row_then(void **state)
{
    struct fixture *f = *state;

    post_process(f, untraced(running(SHELL, INIT, 50, 1)));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 0);
    post_process(f, running(SHELL, INIT, 50, 1));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 1);
    post_process(f, running(SHELL, INIT, 50, 1));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 1);
}

static void without_a_filter_all_have_rows(void **state)
{
    struct fixture *f = *state;
    struct iol_model_stats stats;

    post_process(f, untraced(running(SHELL, INIT, 50, 1)));
    post_process(f, untraced(forked(CHILD, SHELL, 60, 50)));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 2);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 0);
    iol_model_get_stats(f->model, &stats);
    assert_int_equal(stats.processes, 0);
    post_process(f, forked(OTHER, SHELL, 61, 50));
    iol_model_get_stats(f->model, &stats);
    assert_int_equal(stats.processes, 1);
}

static void a_reused_pid_is_another_process(void **state)
{
    struct fixture *f = *state;

    post_process(f, running(SHELL, INIT, 50, 1));
    post(f, record_exit(4000, SHELL, EXITED(0)));
    post_process(f, forked(OTHER, INIT, 50, 1));
    assert_int_equal(process_row(f, 0)->pid, process_row(f, 1)->pid);
    assert_true(process_row(f, 0)->id != process_row(f, 1)->id);
}

static int64_t id_in(int64_t host_id, const char *boot_id)
{
    struct fixture f = {.model = new_model(true, true, host_id, boot_id), .batch = iol_batch_new()};
    int64_t id;

    post_process(&f, running(SHELL, INIT, 50, 1));
    id = process_row(&f, 0)->id;
    iol_model_free(f.model);
    iol_batch_free(f.batch);
    return id;
}

static void ids_depend_on_host_boot_and_image_alone(void **state)
{
    (void)state;
    assert_true(id_in(1, "a") == id_in(1, "a"));
    assert_true(id_in(1, "a") != id_in(1, "b"));
    assert_true(id_in(1, "a") != id_in(2, "a"));
    assert_true(id_in(1, "a") != 0);
}

/* Accounts */

/* All of a short life may lie between two looks at the counters: its account must still find it. */
static void an_ended_process_waits_for_its_accounts(void **state)
{
    struct fixture *f = *state;
    struct iol_model_process *child, *cat;

    post_process(f, running(SHELL, INIT, 50, 1));
    post_process(f, forked(CHILD, SHELL, 60, 50));
    post_process(f, executed(CAT, CHILD, 60, 50));
    post(f, record_exit(4000, CAT, EXITED(0)));
    /* its records may have come before the epoch of its operations was closed */
    end_epoch(f);
    child = iol_model_get_process(f->model, CHILD, f->batch);
    cat = iol_model_get_process(f->model, CAT, f->batch);
    assert_int_equal(iol_model_process_id(child), process_row(f, 1)->id);
    assert_int_equal(iol_model_process_id(cat), process_row(f, 2)->id);
    assert_true(iol_model_process_ended(child));
    assert_true(iol_model_process_ended(cat));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 3);
    settle(f);
    assert_int_equal(processes_held(f), 3);
    iol_model_put_process(f->model, child);
    iol_model_put_process(f->model, cat);
    settle(f);
    assert_int_equal(processes_held(f), 1);
}

static void operations_of_nobody_known_have_a_process_all_the_same(void **state)
{
    struct fixture *f = *state;
    struct iol_model_process *others = iol_model_get_process(f->model, 0, f->batch);
    struct iol_model_process *unknown = iol_model_get_process(f->model, OTHER, f->batch);

    assert_string_equal(process_row(f, 0)->comm, "(other processes)");
    assert_int_equal(process_row(f, 0)->pid, 0);
    assert_string_equal(process_row(f, 1)->comm, "(unknown)");
    assert_true(process_row(f, 1)->uid == IOL_NULL);
    assert_int_equal(iol_model_process_id(others), process_row(f, 0)->id);
    assert_true(process_row(f, 0)->id != process_row(f, 1)->id);
    iol_model_put_process(f->model, others);
    iol_model_put_process(f->model, unknown);
    next_batch(f);
    others = iol_model_get_process(f->model, 0, f->batch);
    assert_int_equal(iol_batch_count(f->batch), 0);
    iol_model_put_process(f->model, others);
    iol_model_put_process(f->model, NULL);
}

/* Memory */

static void memory_is_given_back_after_churn(void **state)
{
    struct fixture *f = *state;

    post_process(f, running(SHELL, INIT, 50, 1));
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t child = 0x10000 + 2 * i, cat = child + 1;

        post_process(f, forked(child, SHELL, 60, 50));
        post_process(f, executed(cat, child, 60, 50));
        post(f, record_exit(4000, cat, EXITED(0)));
        if (i % 1000 == 999) {
            end_epoch(f);
            next_batch(f);
        }
        assert_in_range(processes_held(f), 1, 4001);
    }
    settle(f);
    assert_int_equal(processes_held(f), 1);
}

/* A process that executes itself, or leaves its work to a child and ends, for ever. */
static void long_lines_of_ancestors_are_not_held(void **state)
{
    struct fixture *f = *state;
    uint64_t last = SHELL;

    post_process(f, running(SHELL, INIT, 50, 1));
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t child = 0x10000 + 2 * i, image = child + 1;

        post_process(f, forked(child, last, 60, 50));
        post(f, record_exit(4000, last, EXITED(0)));
        post_process(f, executed(image, child, 60, 1));
        last = image;
        if (i % 100 == 99) {
            end_epoch(f);
            next_batch(f);
        }
    }
    settle(f);
    assert_int_equal(processes_held(f), 1);
}

/* An untraced line is held as long as somebody below it may become traced, and no longer. */
static void untraced_ancestors_are_held_for_their_children(void **state)
{
    struct fixture *f = *state;

    post_process(f, untraced(running(SHELL, INIT, 50, 1)));
    post_process(f, untraced(forked(CHILD, SHELL, 60, 50)));
    post(f, record_exit(4000, SHELL, EXITED(0)));
    settle(f);
    assert_int_equal(processes_held(f), 2);
    post(f, record_exit(4000, CHILD, EXITED(0)));
    settle(f);
    assert_int_equal(processes_held(f), 0);
}

/* Texts */

static void containers_are_known_by_their_cgroup(void **state)
{
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const struct {
        struct iol_bytes cgroup;
        const char *id;
    } cases[] = {
        {BYTES("/system.slice/docker-" ID ".scope"), ID},
        {BYTES("/docker/" ID), ID},
        {BYTES("/kubepods/burstable/pod1/" ID "/init"), ID},
        {BYTES("/user.slice/user-0.slice/session-1.scope"), NULL},
        {BYTES("/a/" ID "0"), NULL}, /* longer than an id */
        {BYTES("/a/123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), NULL},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(cases); i++) {
        struct process_spec spec = running(0x1000 + i, INIT, 50, 1);

        spec.cgroup = cases[i].cgroup;
        post_process(f, spec);
        if (cases[i].id)
            assert_string_equal(process_row(f, i)->container_id, cases[i].id);
        else
            assert_null(process_row(f, i)->container_id);
    }
#undef ID
}

/* One that no filter asked for is told again when it moves into a cgroup that is recorded: its row has that cgroup. */
static void who_moves_into_a_container_is_known_by_it(void **state)
{
    struct fixture *f = *state;
    struct process_spec spec = untraced(running(SHELL, INIT, 50, 1));

    spec.cgroup = (struct iol_bytes)BYTES("/user.slice");
    post_process(f, spec);
    assert_int_equal(iol_batch_count(f->batch), 0);
    spec = running(SHELL, INIT, 50, 1);
    spec.cgroup = (struct iol_bytes)BYTES("/machine.slice/machine-box.scope");
    post_process(f, spec);
    assert_string_equal(process_row(f, 0)->cgroup, "/machine.slice/machine-box.scope");
    assert_string_equal(process_row(f, 0)->container_id, "box");
}

static void what_is_not_utf8_is_escaped_and_says_so(void **state)
{
    struct fixture *f = *state;
    struct process_spec specs[6];

    for (size_t i = 0; i < IOL_ARRAY_SIZE(specs); i++)
        specs[i] = running(0x1000 + i, INIT, 50, 1);
    specs[0].comm = "a\xff\\";
    specs[1].argv = BYTES("x\0\xc3\0y\0\0");
    specs[2].exe = BYTES("/bin/\xe2\x82");
    specs[3].cwd = BYTES("/\x80");
    specs[4].cgroup = BYTES("/\xfe");
    specs[5].comm = "\xc3\xa9\n\\"; /* valid, whatever it does to a terminal */
    for (size_t i = 0; i < IOL_ARRAY_SIZE(specs); i++)
        post_process(f, specs[i]);
    assert_string_equal(process_row(f, 0)->comm, "a\\xff\\\\");
    assert_string_equal(process_row(f, 1)->argv, "x \\xc3 y");
    assert_string_equal(process_row(f, 2)->exe, "/bin/\\xe2\\x82");
    assert_string_equal(process_row(f, 3)->cwd, "/\\x80");
    assert_string_equal(process_row(f, 4)->cgroup, "/\\xfe");
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(process_row(f, i)->flags, "escaped");
    assert_string_equal(process_row(f, 5)->comm, "\xc3\xa9\n\\");
    assert_null(process_row(f, 5)->flags);
}

static void every_flag_at_once_fits(void **state)
{
    struct fixture *f = *state;
    struct process_spec spec = running(SHELL, INIT, 50, 1);
    uint32_t all = IOL_FILE_DELETED | IOL_FILE_TRUNCATED | IOL_FILE_UNREACHABLE | IOL_FILE_CHROOT | IOL_FILE_MNTNS;

    spec.bits |= IOL_PROCESS_ARGV_TRUNCATED;
    spec.exe_info.bits = spec.cwd_bits = all;
    spec.exe = spec.cwd = BYTES("/\xff");
    spec.comm = "\xff";
    spec.argv = BYTES("\xff");
    post_process(f, spec);
    post(f, record_file(&(struct file_spec){.key = 100, .info = {.bits = all}, .path = BYTES("/\xff")}));
    assert_string_equal(process_row(f, 0)->flags, "exe_deleted,argv_truncated,escaped");
    assert_string_equal(file_row(f, 0)->flags, "deleted,truncated,unreachable,chroot,mntns,escaped");
}

/* Files */

static struct file_spec file_of(uint64_t key, struct iol_bytes path)
{
    return (struct file_spec){
        .key = key,
        .info = {.inode = 77, .dev = 259U << 20 | 300, .generation = 5, .kind = IOL_KIND_FILE},
        .path = path,
    };
}

static void post_file(struct fixture *f, struct file_spec spec)
{
    post(f, record_file(&spec));
}

static void a_file_has_its_row(void **state)
{
    struct fixture *f = *state;
    struct iol_model_file *file;
    const struct iol_file *row;

    post_file(f, file_of(100, BYTES("/etc/hosts")));
    row = file_row(f, 0);
    assert_int_equal(row->host_id, HOST_ID);
    assert_true(row->dev == (int64_t)makedev(259, 300));
    assert_int_equal(row->inode, 77);
    assert_int_equal(row->generation, 5);
    assert_int_equal(row->kind, IOL_KIND_FILE);
    assert_string_equal(row->path, "/etc/hosts");
    assert_null(row->flags);
    file = iol_model_get_file(f->model, 100, f->batch);
    assert_int_equal(iol_model_file_id(file), row->id);
    assert_int_equal(count(f, IOL_TABLE_FILE), 1);
    iol_model_put_file(f->model, file);
    iol_model_put_file(f->model, NULL);
}

/* What is different makes another id, and nothing else does: not the kernel's key, nor when it was seen. */
static void ids_of_files_depend_on_what_they_are(void **state)
{
    struct fixture *f = *state;
    struct file_spec specs[8];

    for (size_t i = 0; i < IOL_ARRAY_SIZE(specs); i++)
        specs[i] = file_of(100 + i, BYTES("/a/name"));
    specs[2].path = BYTES("/a/renamed");
    specs[3].info.inode++;
    specs[4].info.dev++;
    specs[5].info.generation++;
    specs[6].info.bits = IOL_FILE_DELETED;
    specs[7].info.kind = IOL_KIND_BLK;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(specs); i++)
        post_file(f, specs[i]);
    assert_true(file_row(f, 0)->id == file_row(f, 1)->id);
    for (size_t i = 1; i < IOL_ARRAY_SIZE(specs); i++)
        for (size_t k = i + 1; k < IOL_ARRAY_SIZE(specs); k++)
            assert_true(file_row(f, i)->id != file_row(f, k)->id);
}

static void pseudo_files_are_named_after_what_they_stand_for(void **state)
{
    static const struct {
        uint64_t key;
        const char *path;
        int64_t kind;
    } cases[] = {
        {IOL_FILE_GROUP + IOL_KIND_PIPE, "(pipes)", IOL_KIND_PIPE},
        {IOL_FILE_GROUP + IOL_KIND_SOCKET, "(sockets)", IOL_KIND_SOCKET},
        {IOL_FILE_GROUP + IOL_KIND_FILE, "(files)", IOL_KIND_FILE},
        {IOL_FILE_GROUP + IOL_KIND_OTHER, "(others)", IOL_KIND_OTHER},
        {IOL_FILE_OTHER, "(other files)", IOL_KIND_OTHER},
        {IOL_FILE_NOT_OPEN, "(no open file)", IOL_KIND_OTHER},
        {IOL_FILE_GROUP + IOL_KIND_COUNT, "(unknown file)", IOL_KIND_OTHER},
        {0x123456789, "(unknown file)", IOL_KIND_OTHER},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(cases); i++) {
        struct iol_model_file *file = iol_model_get_file(f->model, cases[i].key, f->batch);

        assert_string_equal(file_row(f, i)->path, cases[i].path);
        assert_int_equal(file_row(f, i)->kind, cases[i].kind);
        assert_int_equal(file_row(f, i)->dev, 0);
        assert_int_equal(file_row(f, i)->inode, 0);
        assert_null(file_row(f, i)->flags);
        assert_int_equal(iol_model_file_id(file), file_row(f, i)->id);
        iol_model_put_file(f->model, file);
    }
    iol_model_put_file(f->model, iol_model_get_file(f->model, IOL_FILE_OTHER, f->batch));
    assert_int_equal(count(f, IOL_TABLE_FILE), IOL_ARRAY_SIZE(cases));
}

static void names_that_the_kernel_makes_up_are_the_kernels(void **state)
{
    static const struct {
        uint32_t kind;
        struct iol_bytes name;
        const char *path;
        const char *flags;
    } cases[] = {
        {IOL_KIND_MEMFD, BYTES("memfd:secret"), "/memfd:secret", NULL},
        {IOL_KIND_ANON, BYTES("[eventfd]"), "anon_inode:[eventfd]", NULL},
        {IOL_KIND_PIPE, BYTES(""), "pipe:[77]", NULL},
        {IOL_KIND_SOCKET, BYTES("TCP"), "socket:[77]", NULL},
        {IOL_KIND_FILE, BYTES("lost"), "/lost", "unreachable"},
        {IOL_KIND_MEMFD, BYTES("memfd:\xff\\"), "/memfd:\\xff\\\\", "escaped"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(cases); i++) {
        struct file_spec spec = file_of(100 + i, cases[i].name);

        spec.info.kind = cases[i].kind;
        spec.info.bits = IOL_FILE_PSEUDO_DENTRY | IOL_FILE_MNTNS | IOL_FILE_CHROOT;
        post_file(f, spec);
        assert_string_equal(file_row(f, i)->path, cases[i].path);
        if (cases[i].flags)
            assert_string_equal(file_row(f, i)->flags, cases[i].flags);
        else
            assert_null(file_row(f, i)->flags);
    }
}

static void the_longest_name_made_up_is_whole(void **state)
{
    static char name[IOL_PATH_MAX];
    struct fixture *f = *state;
    struct file_spec spec = file_of(100, (struct iol_bytes){name, sizeof(name)});

    memset(name, 'n', sizeof(name));
    spec.info.kind = IOL_KIND_ANON;
    spec.info.bits = IOL_FILE_PSEUDO_DENTRY;
    post_file(f, spec);
    assert_int_equal(strlen(file_row(f, 0)->path), strlen("anon_inode:") + sizeof(name));
}

static void flags_of_files_are_words(void **state)
{
    static const struct {
        uint32_t bits;
        struct iol_bytes path;
        const char *flags;
    } cases[] = {
        {IOL_FILE_DELETED, BYTES("/a"), "deleted"},
        {IOL_FILE_TRUNCATED, BYTES("/a"), "truncated"},
        {IOL_FILE_UNREACHABLE, BYTES("/a"), "unreachable"},
        {IOL_FILE_CHROOT, BYTES("/a"), "chroot"},
        {IOL_FILE_MNTNS, BYTES("/a"), "mntns"},
        {0, BYTES("/\xff"), "escaped"},
        {IOL_FILE_DELETED | IOL_FILE_MNTNS, BYTES("/\xff"), "deleted,mntns,escaped"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(cases); i++) {
        struct file_spec spec = file_of(100 + i, cases[i].path);

        spec.info.bits = cases[i].bits;
        post_file(f, spec);
        assert_string_equal(file_row(f, i)->flags, cases[i].flags);
    }
}

/* Forgetting */

static void post_files(struct fixture *f, uint64_t first_key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        post_file(f, file_of(first_key + i, BYTES("/f")));
}

static void few_files_are_not_forgotten(void **state)
{
    struct fixture *f = *state;

    post_files(f, 100, MAX_IDLE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(end_epoch(f), 0);
    assert_int_equal(files_held(f), MAX_IDLE);
}

/* First the kernel, and two epochs later the model. */
static void idle_files_are_forgotten_in_two_epochs(void **state)
{
    struct fixture *f = *state;

    post_files(f, 100, MAX_IDLE + 1);
    assert_int_equal(end_epoch(f), MAX_IDLE + 1);
    assert_int_equal(files_held(f), MAX_IDLE + 1);
    assert_int_equal(end_epoch(f), 0);
    assert_int_equal(files_held(f), MAX_IDLE + 1);
    assert_int_equal(end_epoch(f), 0);
    assert_int_equal(files_held(f), 0);
}

static void the_kernel_forgets_exactly_the_idle_ones(void **state)
{
    struct fixture *f = *state;
    struct forgotten forgotten = {0};
    struct iol_model_file *used, *pseudo;

    post_files(f, 100, MAX_IDLE + 1);
    used = iol_model_get_file(f->model, 102, f->batch);
    pseudo = iol_model_get_file(f->model, IOL_FILE_OTHER, f->batch);
    iol_model_put_file(f->model, pseudo);
    iol_model_trim(f->model, 1, 0, note_forgotten, &forgotten);
    assert_int_equal(forgotten.count, MAX_IDLE);
    for (size_t i = 0; i < forgotten.count; i++) {
        assert_in_range(forgotten.keys[i], 100, 100 + MAX_IDLE);
        assert_int_not_equal(forgotten.keys[i], 102);
    }
    iol_model_trim(f->model, 2, 0, note_forgotten, &forgotten);
    iol_model_trim(f->model, 3, 0, note_forgotten, &forgotten);
    assert_int_equal(files_held(f), 2);
    iol_model_put_file(f->model, used);
}

/* So that a row of a file which nothing has referred to for long may be deleted: the kernel sends it again. */
static void files_idle_for_long_are_forgotten(void **state)
{
    struct fixture *f = *state;
    struct forgotten forgotten = {0};
    struct iol_model_file *used;

    post_files(f, 100, 3);
    used = iol_model_get_file(f->model, 101, f->batch);
    iol_model_trim(f->model, 1, IOL_MODEL_IDLE_NS / 2, note_forgotten, &forgotten);
    iol_model_put_file(f->model, iol_model_get_file(f->model, 102, f->batch));
    iol_model_trim(f->model, 2, IOL_MODEL_IDLE_NS - 1, note_forgotten, &forgotten);
    assert_int_equal(forgotten.count, 0);
    iol_model_trim(f->model, 3, IOL_MODEL_IDLE_NS + IOL_MODEL_IDLE_NS / 16, note_forgotten, &forgotten);
    assert_int_equal(forgotten.count, 1);
    assert_int_equal(forgotten.keys[0], 100);
    iol_model_trim(f->model, 5, IOL_MODEL_IDLE_NS + IOL_MODEL_IDLE_NS / 16, note_forgotten, &forgotten);
    assert_int_equal(files_held(f), 2);
    iol_model_put_file(f->model, used);
}

/* An account opened on the strength of the old record finds its file, and keeps it. */
static void a_file_used_again_survives(void **state)
{
    struct fixture *f = *state;
    struct iol_model_file *file;
    int64_t id;

    post_files(f, 100, MAX_IDLE + 1);
    id = file_row(f, 0)->id;
    end_epoch(f);
    next_batch(f);
    file = iol_model_get_file(f->model, 100, f->batch);
    assert_int_equal(iol_model_file_id(file), id);
    assert_int_equal(iol_batch_count(f->batch), 0);
    for (int i = 0; i < 5; i++)
        end_epoch(f);
    assert_int_equal(files_held(f), 1);
    assert_int_equal(iol_model_file_id(file), id);
    iol_model_put_file(f->model, file);
}

/* The kernel had forgotten it and sent its record again: it must be made to forget it again. */
static void a_file_sent_again_starts_anew(void **state)
{
    struct fixture *f = *state;

    post_files(f, 100, MAX_IDLE + 1);
    assert_int_equal(end_epoch(f), MAX_IDLE + 1);
    post_files(f, 100, 1);
    assert_int_equal(end_epoch(f), 1);
    end_epoch(f);
    assert_int_equal(files_held(f), 1);
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    iol_model_free(NULL);
}

int main(void)
{
#define ALL(test) cmocka_unit_test_setup_teardown(test, make_all, drop)
#define FILTERED(test) cmocka_unit_test_setup_teardown(test, make_filtered, drop)
#define COMMAND(test) cmocka_unit_test_setup_teardown(test, make_command, drop)
    const struct CMUnitTest tests[] = {
        ALL(a_running_process_has_its_row),
        ALL(the_login_comes_once),
        ALL(the_same_record_twice_is_one_row),
        ALL(fork_exec_and_exit_make_a_chain),
        ALL(the_images_of_a_process_have_one_start),
        ALL(a_fork_runs_what_its_parent_ran),
        ALL(a_fork_keeps_what_it_inherited),
        ALL(a_fork_inherits_only_what_it_does_not_bring),
        ALL(a_short_fork_is_in_everything_as_its_parent),
        ALL(a_short_fork_without_a_parent_claims_nothing),
        ALL(a_process_that_has_moved_hands_down_where_it_is),
        ALL(an_exec_inherits_no_more_than_where_it_is),
        ALL(a_fork_that_was_seen_first_inherits_too),
        ALL(the_parent_need_not_be_known),
        ALL(who_has_no_parent_has_none),
        ALL(an_exec_of_the_first_process_has_its_old_image),
        ALL(signals_are_told_from_exit_codes),
        ALL(the_first_exit_counts),
        ALL(an_exec_ends_the_old_image),
        ALL(a_fork_does_not_end_its_parent),
        ALL(a_failed_exec_is_an_event_with_the_name_given),
        ALL(a_failed_exec_of_an_unreadable_name_has_no_file),
        FILTERED(a_filter_keeps_ancestors),
        FILTERED(an_ancestor_that_ended_early_has_its_exit),
        COMMAND(a_recording_of_a_command_begins_with_it),
        FILTERED(a_process_marked_later_gets_its_row_then),
        ALL(without_a_filter_all_have_rows),
        ALL(a_reused_pid_is_another_process),
        cmocka_unit_test(ids_depend_on_host_boot_and_image_alone),
        ALL(an_ended_process_waits_for_its_accounts),
        ALL(operations_of_nobody_known_have_a_process_all_the_same),
        ALL(memory_is_given_back_after_churn),
        ALL(long_lines_of_ancestors_are_not_held),
        FILTERED(untraced_ancestors_are_held_for_their_children),
        ALL(containers_are_known_by_their_cgroup),
        FILTERED(who_moves_into_a_container_is_known_by_it),
        ALL(what_is_not_utf8_is_escaped_and_says_so),
        ALL(every_flag_at_once_fits),
        ALL(a_file_has_its_row),
        ALL(ids_of_files_depend_on_what_they_are),
        ALL(pseudo_files_are_named_after_what_they_stand_for),
        ALL(names_that_the_kernel_makes_up_are_the_kernels),
        ALL(the_longest_name_made_up_is_whole),
        ALL(flags_of_files_are_words),
        ALL(few_files_are_not_forgotten),
        ALL(idle_files_are_forgotten_in_two_epochs),
        ALL(the_kernel_forgets_exactly_the_idle_ones),
        ALL(files_idle_for_long_are_forgotten),
        ALL(a_file_used_again_survives),
        ALL(a_file_sent_again_starts_anew),
        cmocka_unit_test(freeing_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
