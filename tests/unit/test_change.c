// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/model.h"
#include "records.h"

#define MAX_NAMES 40
#define DEV (8U << 20 | 1)

enum image { SHELL = 0x100, STRANGER };

struct fixture {
    struct iol_model *model;
    struct iol_batch *batch;
    uint64_t keys; /* of file records so far */
};

static void post(struct fixture *f, struct record record)
{
    struct iol_decoded decoded;

    assert_int_equal(iol_decode_record(record.data, record.size, &decoded), 0);
    assert_int_equal(iol_model_post(f->model, &decoded, f->batch), 0);
    record_free(&record);
}

static int make(void **state, size_t max_names)
{
    const struct iol_model_options options = {
        .host_id = 4711, .boot_id = "boot", .all = true, .max_idle_files = 100, .max_names = max_names};
    struct process_spec shell = {.image = SHELL,
                                 .pid = 50,
                                 .ppid = 1,
                                 .origin = IOL_ORIGIN_RUNNING,
                                 .login_uid = UINT32_MAX,
                                 .session_id = UINT32_MAX,
                                 .bits = IOL_PROCESS_TRACED,
                                 .comm = "sh"};
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->model = iol_model_new(&options);
    f->batch = iol_batch_new();
    assert_true(f->model && f->batch);
    f->keys = 1000;
    post(f, record_process(&shell));
    shell.image = STRANGER;
    shell.bits = 0;
    post(f, record_process(&shell));
    *state = f;
    return 0;
}

static int make_knowing(void **state)
{
    return make(state, MAX_NAMES);
}

static int make_blind(void **state)
{
    return make(state, 0);
}

static int drop(void **state)
{
    struct fixture *f = *state;

    iol_model_free(f->model);
    iol_batch_free(f->batch);
    free(f);
    return 0;
}

static struct iol_bytes bytes(const char *text)
{
    return (struct iol_bytes){text ? text : "", text ? strlen(text) : 0};
}

/* An account is opened on the file; returns the id of its row. */
static int64_t touch(struct fixture *f, const char *path, uint64_t inode, uint32_t kind)
{
    const struct file_spec spec = {
        .key = f->keys++,
        .info = {.inode = inode, .dev = DEV, .generation = 7, .kind = kind},
        .path = bytes(path),
    };
    const struct iol_rows *files = &f->batch->rows[IOL_TABLE_FILE];

    post(f, record_file(&spec));
    return ((const struct iol_file *)files->data)[files->count - 1].id;
}

static struct name_spec name(const char *base, const char *given)
{
    return (struct name_spec){.info = {.kind = IOL_KIND_OTHER}, .path = bytes(base), .given = bytes(given)};
}

static struct name_spec itself(const char *path, uint64_t inode, uint32_t kind)
{
    return (struct name_spec){.info = {.inode = inode, .dev = DEV, .generation = 7, .kind = kind}, .path = bytes(path)};
}

static void change(struct fixture *f, uint32_t kind, struct name_spec file, struct name_spec other)
{
    const struct change_spec spec = {.ts = 5, .image = SHELL, .kind = kind, .file = file, .other = other};

    post(f, record_change(&spec));
}

static void change_one(struct fixture *f, uint32_t kind, const char *base, const char *given)
{
    change(f, kind, name(base, given), (struct name_spec){0});
}

static void rename_to(struct fixture *f, const char *from, const char *to)
{
    change(f, IOL_EVENT_RENAME, name("", from), name("", to));
}

static size_t events(const struct fixture *f)
{
    return f->batch->rows[IOL_TABLE_EVENT].count;
}

static const struct iol_event *last_event(const struct fixture *f)
{
    assert_true(events(f) > 0);
    return &((const struct iol_event *)f->batch->rows[IOL_TABLE_EVENT].data)[events(f) - 1];
}

static const struct iol_file *file_of(const struct fixture *f, int64_t id)
{
    const struct iol_rows *files = &f->batch->rows[IOL_TABLE_FILE];

    for (size_t i = 0; i < files->count; i++) {
        const struct iol_file *file = &((const struct iol_file *)files->data)[i];

        if (file->id == id)
            return file;
    }
    fail_msg("no file %lld", (long long)id);
    return NULL;
}

/* "path kind inode flags" of a row, "-" for what is NULL. */
static const char *described(const struct fixture *f, int64_t id)
{
    static const char *const kinds[IOL_KIND_COUNT] = {"file", "dir",    "link", "chr",   "blk",
                                                      "pipe", "socket", "anon", "memfd", "other"};
    static char text[2][3 * IOL_PATH_MAX];
    static int turn;
    const struct iol_file *file = file_of(f, id);
    char inode[24] = "-";

    turn = !turn;
    if (file->inode != IOL_NULL)
        snprintf(inode, sizeof(inode), "%lld", (long long)file->inode);
    assert_int_equal(file->inode == IOL_NULL, file->dev == IOL_NULL);
    assert_int_equal(file->inode == IOL_NULL, file->generation == IOL_NULL);
    snprintf(text[turn], sizeof(text[turn]), "%s %s %s %s", file->path, kinds[file->kind], inode,
             file->flags ? file->flags : "-");
    return text[turn];
}

static void check(const struct fixture *f, uint32_t kind, const char *file, const char *other)
{
    const struct iol_event *event = last_event(f);

    assert_int_equal(event->kind, kind);
    assert_string_equal(described(f, event->file_id), file);
    if (other)
        assert_string_equal(described(f, event->other_file_id), other);
    else
        assert_true(event->other_file_id == IOL_NULL);
}

/* What a name is, to the model that knows the files /real/dir/known (1), /real/dir/link (a symbolic link) and no more. */
static const struct {
    uint32_t kind;
    const char *base, *given;
    uint32_t bits, name_bits;
    const char *want;
} resolutions[] = {
    {IOL_EVENT_UNLINK, "/new", "f", 0, 0, "/new/f other - -"},
    {IOL_EVENT_UNLINK, "/", "f", 0, 0, "/f other - -"},
    {IOL_EVENT_UNLINK, "", "/f", 0, 0, "/f other - -"},
    {IOL_EVENT_UNLINK, "", "//./f", 0, 0, "/f other - -"},
    {IOL_EVENT_UNLINK, "", "/", 0, 0, "/ dir - -"},
    {IOL_EVENT_MKDIR, "/new", "f/", 0, 0, "/new/f dir - -"},
    {IOL_EVENT_RMDIR, "/new", "./f//", 0, 0, "/new/f dir - -"},
    {IOL_EVENT_UNLINK, "/new", "a/f", 0, 0, "/new/a/f other - unresolved"},
    {IOL_EVENT_UNLINK, "", "/a/f", 0, 0, "/a/f other - unresolved"},
    {IOL_EVENT_UNLINK, "/new/a", "../f", 0, 0, "/new/f other - -"},
    {IOL_EVENT_UNLINK, "/new/a", "../../../f", 0, 0, "/f other - -"},
    {IOL_EVENT_UNLINK, "/new", "a/../f", 0, 0, "/new/f other - unresolved"},
    {IOL_EVENT_UNLINK, "/new", "a/../../../f", 0, 0, "/f other - unresolved"},
    {IOL_EVENT_CHMOD, "/new", ".", 0, 0, "/new dir - -"},
    {IOL_EVENT_CHMOD, "/new/a", "..", 0, 0, "/new dir - -"},
    {IOL_EVENT_CHMOD, "/new", "a", 0, 0, "/new/a other - -"},
    {IOL_EVENT_TRUNCATE, "/new", "a", 0, 0, "/new/a file - -"},
    {IOL_EVENT_OPEN_FAILED, "/new", "a", 0, 0, "/new/a other - -"},
    {IOL_EVENT_SYMLINK, "/new", "a", 0, 0, "/new/a link - -"},
    {IOL_EVENT_UNLINK, "", "/real/dir/known", 0, 0, "/real/dir/known file 1 -"},
    {IOL_EVENT_UNLINK, "", "/real/./dir//known", 0, 0, "/real/dir/known file 1 -"},
    {IOL_EVENT_UNLINK, "/real", "dir/known", 0, 0, "/real/dir/known file 1 -"},
    {IOL_EVENT_UNLINK, "/real/dir", "known", 0, 0, "/real/dir/known file 1 -"},
    {IOL_EVENT_UNLINK, "", "/real/dir/../dir/known", 0, 0, "/real/dir/known file 1 -"},
    {IOL_EVENT_UNLINK, "", "/real/dir/new", 0, 0, "/real/dir/new other - -"},
    {IOL_EVENT_UNLINK, "", "/real/dir/known/new", 0, 0, "/real/dir/known/new other - unresolved"},
    {IOL_EVENT_UNLINK, "", "/real/a/../dir/known", 0, 0, "/real/dir/known other - unresolved"},
    {IOL_EVENT_CHMOD, "", "/real/dir/known", 0, 0, "/real/dir/known file 1 -"},
    {IOL_EVENT_CHMOD, "", "/real/dir", 0, 0, "/real/dir dir - -"},
    {IOL_EVENT_UNLINK, "/real/dir", "link", 0, 0, "/real/dir/link link 2 -"},
    {IOL_EVENT_CHMOD, "/real/dir", "link", 0, 0, "/real/dir/link other - unresolved"},
    {IOL_EVENT_UNLINK, "/real/dir", "link/f", 0, 0, "/real/dir/link/f other - unresolved"},
    {IOL_EVENT_UNLINK, "/real/dir", "known", IOL_FILE_CHROOT, 0, "/real/dir/known other - chroot"},
    {IOL_EVENT_UNLINK, "", "/real/dir/known", IOL_FILE_MNTNS, 0, "/real/dir/known other - mntns,unresolved"},
    {IOL_EVENT_UNLINK, "", "/known", IOL_FILE_MNTNS, 0, "/known other - mntns"},
    {IOL_EVENT_UNLINK, "/x", "f", IOL_FILE_TRUNCATED, 0, "/x/f other - truncated,unresolved"},
    {IOL_EVENT_UNLINK, "", "f", IOL_FILE_UNREACHABLE, 0, "f other - unreachable,unresolved"},
    {IOL_EVENT_CHMOD, "", "", IOL_FILE_UNREACHABLE, 0, "(no open file) other - unreachable,unresolved"},
    {IOL_EVENT_UNLINK, "/real/dir", "", 0, IOL_NAME_UNREADABLE, "/real/dir dir - unresolved"},
    {IOL_EVENT_UNLINK, "/new", "a\xff", 0, 0, "/new/a\\xff other - escaped"},
    {IOL_EVENT_UNLINK, "/new", "a/\xff", 0, 0, "/new/a/\\xff other - escaped,unresolved"},
};

static void names_are_put_together(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(resolutions); i++) {
        struct name_spec file = name(resolutions[i].base, resolutions[i].given);
        struct iol_record_change *fixed;
        struct record record;

        iol_model_forget_names(f->model);
        touch(f, "/real/dir/known", 1, IOL_KIND_FILE);
        touch(f, "/real/dir/link", 2, IOL_KIND_LINK);
        file.info.bits = resolutions[i].bits;
        record = record_change(&(struct change_spec){.image = SHELL, .kind = resolutions[i].kind, .file = file});
        fixed = record.data;
        fixed->file.bits = resolutions[i].name_bits;
        post(f, record);
        check(f, resolutions[i].kind, resolutions[i].want, NULL);
    }
}

/* The longest that the kernel side sends, and what it makes together. */
static void the_longest_names(void **state)
{
    struct fixture *f = *state;
    char base[IOL_PATH_MAX + 1], given[IOL_PATH_MAX + 1];

    for (size_t i = 0; i < IOL_PATH_MAX; i++) {
        base[i] = i % 2 ? 'd' : '/';
        given[i] = i % 2 ? '/' : 'g';
    }
    base[IOL_PATH_MAX] = given[IOL_PATH_MAX] = '\0';
    change_one(f, IOL_EVENT_UNLINK, base, given);
    assert_int_equal(strlen(file_of(f, last_event(f)->file_id)->path), 2 * IOL_PATH_MAX);
    assert_string_equal(file_of(f, last_event(f)->file_id)->flags, "unresolved");
}

static void without_all_changes_no_name_is_known(void **state)
{
    struct fixture *f = *state;

    touch(f, "/d/f", 1, IOL_KIND_FILE);
    change_one(f, IOL_EVENT_UNLINK, "/d", "f");
    check(f, IOL_EVENT_UNLINK, "/d/f other - -", NULL);
    rename_to(f, "/d/f", "/d/g");
    check(f, IOL_EVENT_RENAME, "/d/f other - unresolved", "/d/g other - unresolved");
}

static void the_event_has_all_that_the_record_has(void **state)
{
    struct fixture *f = *state;
    struct change_spec spec = {
        .ts = 77, .image = SHELL, .kind = IOL_EVENT_OPEN_FAILED, .result = -EACCES, .file = name("/d", "f")};

    iol_model_set_boot_offset(f->model, 1000);
    post(f, record_change(&spec));
    assert_int_equal(last_event(f)->ts, 1077);
    assert_int_equal(last_event(f)->result, -EACCES);
    assert_int_equal(last_event(f)->weight, 1);
    assert_true(last_event(f)->bytes == IOL_NULL && last_event(f)->offset_bytes == IOL_NULL);
    spec.kind = IOL_EVENT_OPEN;
    spec.result = 5; /* a descriptor */
    spec.file = itself("/d/f", 1, IOL_KIND_FILE);
    post(f, record_change(&spec));
    assert_int_equal(last_event(f)->result, 0);
}

static void the_row_is_that_of_the_account(void **state)
{
    struct fixture *f = *state;
    int64_t id = touch(f, "/d/f", 1, IOL_KIND_FILE);

    change_one(f, IOL_EVENT_CHMOD, "", "/d/f");
    assert_true(last_event(f)->file_id == id);
    rename_to(f, "/d/f", "/d/g");
    assert_true(last_event(f)->file_id == id);
    assert_true(last_event(f)->other_file_id == touch(f, "/d/g", 1, IOL_KIND_FILE));
    change(f, IOL_EVENT_OPEN, itself("/d/new", 9, IOL_KIND_FILE), (struct name_spec){0});
    assert_true(last_event(f)->file_id == touch(f, "/d/new", 9, IOL_KIND_FILE));
}

static void a_renamed_file_is_known_by_its_new_name_alone(void **state)
{
    struct fixture *f = *state;

    touch(f, "/d/f", 1, IOL_KIND_FILE);
    touch(f, "/d/g", 2, IOL_KIND_FILE);
    change(f, IOL_EVENT_RENAME, name("/d", "f"), name("/d", "g"));
    check(f, IOL_EVENT_RENAME, "/d/f file 1 -", "/d/g file 1 -");
    change_one(f, IOL_EVENT_CHMOD, "", "/d/g");
    check(f, IOL_EVENT_CHMOD, "/d/g file 1 -", NULL);
    change_one(f, IOL_EVENT_CHMOD, "", "/d/f");
    check(f, IOL_EVENT_CHMOD, "/d/f other - -", NULL);
    /* a file that nobody touched takes the place of one that is known */
    rename_to(f, "/d/h", "/d/g");
    check(f, IOL_EVENT_RENAME, "/d/h other - -", "/d/g other - -");
    change_one(f, IOL_EVENT_CHMOD, "", "/d/g");
    check(f, IOL_EVENT_CHMOD, "/d/g other - -", NULL);
}

static void a_renamed_directory_takes_what_is_below_along(void **state)
{
    struct fixture *f = *state;

    touch(f, "/d/sub/deep/f", 1, IOL_KIND_FILE);
    rename_to(f, "/d/sub", "/d/other");
    check(f, IOL_EVENT_RENAME, "/d/sub dir - -", "/d/other dir - -");
    change_one(f, IOL_EVENT_UNLINK, "", "/d/other/deep/f");
    check(f, IOL_EVENT_UNLINK, "/d/other/deep/f file 1 -", NULL);
    change_one(f, IOL_EVENT_UNLINK, "", "/d/sub/deep/f");
    check(f, IOL_EVENT_UNLINK, "/d/sub/deep/f other - unresolved", NULL);
}

static void exchanged_files_change_places(void **state)
{
    struct fixture *f = *state;
    struct change_spec spec = {.image = SHELL, .kind = IOL_EVENT_RENAME};
    struct record record;

    touch(f, "/d/f", 1, IOL_KIND_FILE);
    touch(f, "/e/sub/g", 2, IOL_KIND_FILE);
    spec.file = name("", "/d/f");
    spec.other = name("", "/e/sub");
    for (int i = 0; i < 3; i++) { /* there, back, and there again */
        record = record_change(&spec);
        ((struct iol_record_change *)record.data)->other.bits = IOL_NAME_EXCHANGED;
        post(f, record);
        check(f, IOL_EVENT_RENAME, i % 2 ? "/d/f dir - -" : "/d/f file 1 -",
              i % 2 ? "/e/sub dir - -" : "/e/sub file 1 -");
    }
    change_one(f, IOL_EVENT_CHMOD, "", "/d/f/g");
    check(f, IOL_EVENT_CHMOD, "/d/f/g file 2 -", NULL);
    change_one(f, IOL_EVENT_CHMOD, "", "/e/sub");
    check(f, IOL_EVENT_CHMOD, "/e/sub file 1 -", NULL);
}

static void exchanged_with_a_stranger(void **state)
{
    struct fixture *f = *state;
    struct change_spec spec = {
        .image = SHELL, .kind = IOL_EVENT_RENAME, .file = name("", "/d/new"), .other = name("", "/d/f")};
    struct record record;

    touch(f, "/d/f", 1, IOL_KIND_FILE);
    record = record_change(&spec);
    ((struct iol_record_change *)record.data)->other.bits = IOL_NAME_EXCHANGED;
    post(f, record);
    check(f, IOL_EVENT_RENAME, "/d/new other - -", "/d/f other - -");
    change_one(f, IOL_EVENT_CHMOD, "", "/d/new");
    check(f, IOL_EVENT_CHMOD, "/d/new file 1 -", NULL);
    change_one(f, IOL_EVENT_CHMOD, "", "/d/f");
    check(f, IOL_EVENT_CHMOD, "/d/f other - -", NULL);
}

static void removed_names_mean_nothing(void **state)
{
    struct fixture *f = *state;

    touch(f, "/d/f", 1, IOL_KIND_FILE);
    change_one(f, IOL_EVENT_UNLINK, "/d", "f");
    change_one(f, IOL_EVENT_CHMOD, "/d", "f");
    check(f, IOL_EVENT_CHMOD, "/d/f other - -", NULL);
    touch(f, "/d/sub/f", 2, IOL_KIND_FILE);
    change_one(f, IOL_EVENT_RMDIR, "", "/d/sub");
    check(f, IOL_EVENT_RMDIR, "/d/sub dir - -", NULL);
    change_one(f, IOL_EVENT_UNLINK, "", "/d/sub/f");
    check(f, IOL_EVENT_UNLINK, "/d/sub/f other - unresolved", NULL);
}

static void made_names_are_known(void **state)
{
    struct fixture *f = *state;

    change_one(f, IOL_EVENT_MKDIR, "/d", "sub");
    change_one(f, IOL_EVENT_MKDIR, "", "/d/sub/below");
    check(f, IOL_EVENT_MKDIR, "/d/sub/below dir - -", NULL);
    change_one(f, IOL_EVENT_SYMLINK, "", "/d/sub/below/link");
    check(f, IOL_EVENT_SYMLINK, "/d/sub/below/link link - -", NULL);
    change_one(f, IOL_EVENT_UNLINK, "", "/d/sub/below/link/f");
    check(f, IOL_EVENT_UNLINK, "/d/sub/below/link/f other - unresolved", NULL);
    rename_to(f, "/d/sub/below/link", "/d/moved");
    check(f, IOL_EVENT_RENAME, "/d/sub/below/link link - -", "/d/moved link - -");
    touch(f, "/d/f", 1, IOL_KIND_FILE);
    change(f, IOL_EVENT_LINK, name("/d", "f"), name("", "/d/sub/g"));
    check(f, IOL_EVENT_LINK, "/d/f file 1 -", "/d/sub/g file 1 -");
    change_one(f, IOL_EVENT_UNLINK, "/d", "f");
    change_one(f, IOL_EVENT_UNLINK, "/d/sub", "g");
    check(f, IOL_EVENT_UNLINK, "/d/sub/g file 1 -", NULL);
    change(f, IOL_EVENT_LINK, itself("/d/open", 3, IOL_KIND_FILE), name("/d", "h"));
    check(f, IOL_EVENT_LINK, "/d/open file 3 -", "/d/h file 3 -");
    change_one(f, IOL_EVENT_UNLINK, "", "/d/h");
    check(f, IOL_EVENT_UNLINK, "/d/h file 3 -", NULL);
}

/* A link to a directory leads to a name that is known, under another one. */
static void changes_by_uncertain_names_forget_what_they_may_mean(void **state)
{
    static const uint32_t kinds[] = {IOL_EVENT_UNLINK, IOL_EVENT_RMDIR, IOL_EVENT_RENAME};
    struct fixture *f = *state;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(kinds); i++) {
        for (int way = 0; way < 3; way++) {
            struct name_spec file = name("", way ? "/f" : "/link/f");

            file.info.bits = way == 1 ? IOL_FILE_CHROOT : way == 2 ? IOL_FILE_MNTNS : 0;
            touch(f, "/d/f", 1, IOL_KIND_FILE);
            touch(f, "/d/g", 2, IOL_KIND_FILE);
            change(f, kinds[i], file, kinds[i] == IOL_EVENT_RENAME ? name("/d", "h") : (struct name_spec){0});
            change_one(f, IOL_EVENT_CHMOD, "", "/d/f");
            check(f, IOL_EVENT_CHMOD, "/d/f other - -", NULL);
            change_one(f, IOL_EVENT_CHMOD, "", "/d/g");
            check(f, IOL_EVENT_CHMOD, "/d/g file 2 -", NULL);
        }
    }
    touch(f, "/d/f", 1, IOL_KIND_FILE);
    rename_to(f, "/d/g", "/link/f");
    check(f, IOL_EVENT_RENAME, "/d/g file 2 -", "/link/f file 2 unresolved");
    change_one(f, IOL_EVENT_CHMOD, "", "/d/f");
    check(f, IOL_EVENT_CHMOD, "/d/f other - -", NULL);
}

/* Changes of the database server's: no events, but names change all the same. */
static void untraced_processes_change_names_too(void **state)
{
    struct fixture *f = *state;
    const struct change_spec spec = {.image = STRANGER, .kind = IOL_EVENT_UNLINK, .file = name("/d", "f")};

    touch(f, "/d/f", 1, IOL_KIND_FILE);
    post(f, record_change(&spec));
    assert_int_equal(events(f), 0);
    change_one(f, IOL_EVENT_CHMOD, "", "/d/f");
    check(f, IOL_EVENT_CHMOD, "/d/f other - -", NULL);
}

static void a_mount_makes_all_names_new(void **state)
{
    struct fixture *f = *state;

    touch(f, "/d/f", 1, IOL_KIND_FILE);
    change(f, 0, (struct name_spec){0}, (struct name_spec){0});
    assert_int_equal(events(f), 0);
    change_one(f, IOL_EVENT_CHMOD, "", "/d/f");
    check(f, IOL_EVENT_CHMOD, "/d/f other - unresolved", NULL);
}

static void a_failed_open_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct change_spec spec = {
        .image = SHELL, .kind = IOL_EVENT_OPEN_FAILED, .result = -EPERM, .file = name("", "/d/f")};

    touch(f, "/d/f", 1, IOL_KIND_FILE);
    post(f, record_change(&spec));
    check(f, IOL_EVENT_OPEN_FAILED, "/d/f file 1 -", NULL);
}

static void a_reused_name_is_the_new_file(void **state)
{
    struct fixture *f = *state;

    touch(f, "/d/f/below", 1, IOL_KIND_FILE);
    touch(f, "/d/f", 2, IOL_KIND_FILE); /* the directory went without being seen */
    change_one(f, IOL_EVENT_UNLINK, "", "/d/f/below");
    check(f, IOL_EVENT_UNLINK, "/d/f/below other - unresolved", NULL);
    touch(f, "/d/f/below", 3, IOL_KIND_FILE);
    change_one(f, IOL_EVENT_CHMOD, "/d", "f");
    check(f, IOL_EVENT_CHMOD, "/d/f dir - -", NULL);
}

static void names_are_bounded_and_the_oldest_go(void **state)
{
    struct fixture *f = *state;
    char path[32];

    for (int i = 1; i <= 10 * MAX_NAMES; i++) {
        snprintf(path, sizeof(path), "/d/%d/f", i);
        touch(f, path, (uint64_t)i, IOL_KIND_FILE);
    }
    change_one(f, IOL_EVENT_CHMOD, "", path);
    assert_int_equal(file_of(f, last_event(f)->file_id)->inode, 10 * MAX_NAMES);
    change_one(f, IOL_EVENT_CHMOD, "", "/d/1/f");
    check(f, IOL_EVENT_CHMOD, "/d/1/f other - unresolved", NULL);
}

/* No kernel tells such things, but a record may be missing. */
static void impossible_renames_do_no_harm(void **state)
{
    static const char *const paths[][2] = {{"/a", "/a/b/c"}, {"/a/b/c", "/a"}, {"/a/b", "/a/b"},
                                           {"/a/b", "/"},    {"/", "/a/b"},    {"/a/b/c", "/a/b"}};
    struct fixture *f = *state;

    for (uint32_t exchanged = 0; exchanged < 2; exchanged++) {
        for (size_t i = 0; i < IOL_ARRAY_SIZE(paths); i++) {
            struct record record;

            touch(f, "/a/b/c", 1, IOL_KIND_FILE);
            record = record_change(&(struct change_spec){.image = SHELL,
                                                         .kind = IOL_EVENT_RENAME,
                                                         .file = name("", paths[i][0]),
                                                         .other = name("", paths[i][1])});
            ((struct iol_record_change *)record.data)->other.bits = exchanged ? IOL_NAME_EXCHANGED : 0;
            post(f, record);
            assert_string_equal(file_of(f, last_event(f)->other_file_id)->path, paths[i][1]);
        }
    }
}

/* 6 MB of paths, while nothing changes; then the first of them does, and the last. */
static void files_of_many_accounts_are_known(void **state)
{
    enum { FILES = 2000, LENGTH = 3000 };
    struct fixture *f = *state;
    char path[LENGTH + 1], want[LENGTH + 32];

    for (uint64_t i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "/many/%0*llu", LENGTH - 6, (unsigned long long)i);
        for (char *slash = path + 200; slash < path + LENGTH - 10; slash += 200)
            *slash = '/';
        touch(f, path, 1 + i, IOL_KIND_FILE);
    }
    snprintf(want, sizeof(want), "%s file %d -", path, FILES);
    change_one(f, IOL_EVENT_UNLINK, "", path);
    check(f, IOL_EVENT_UNLINK, want, NULL);
    memset(path + LENGTH - 4, '0', 4);
    snprintf(want, sizeof(want), "%s file 1 -", path);
    change_one(f, IOL_EVENT_UNLINK, "", path);
    check(f, IOL_EVENT_UNLINK, want, NULL);
}

static int make_knowing_many(void **state)
{
    return make(state, 65536);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_knowing, drop)
    static const struct CMUnitTest tests[] = {
        TEST(names_are_put_together),
        TEST(the_longest_names),
        cmocka_unit_test_setup_teardown(files_of_many_accounts_are_known, make_knowing_many, drop),
        cmocka_unit_test_setup_teardown(without_all_changes_no_name_is_known, make_blind, drop),
        TEST(the_event_has_all_that_the_record_has),
        TEST(the_row_is_that_of_the_account),
        TEST(a_renamed_file_is_known_by_its_new_name_alone),
        TEST(a_renamed_directory_takes_what_is_below_along),
        TEST(exchanged_files_change_places),
        TEST(exchanged_with_a_stranger),
        TEST(removed_names_mean_nothing),
        TEST(made_names_are_known),
        TEST(changes_by_uncertain_names_forget_what_they_may_mean),
        TEST(untraced_processes_change_names_too),
        TEST(a_mount_makes_all_names_new),
        TEST(a_failed_open_changes_nothing),
        TEST(a_reused_name_is_the_new_file),
        TEST(names_are_bounded_and_the_oldest_go),
        TEST(impossible_renames_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
