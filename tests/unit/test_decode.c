// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/decode.h"
#include "core/row.h"
#include "records.h"

static const struct process_spec cat = {
    .ts = 77,
    .image = 0x1111,
    .parent = 0x2222,
    .start_ns = 5,
    .exec_ns = 6,
    .pid = 41,
    .ppid = 40,
    .tid = 42,
    .origin = IOL_ORIGIN_EXEC,
    .uid = 1000,
    .login_uid = 1001,
    .session_id = 9,
    .bits = IOL_PROCESS_TRACED,
    .comm = "cat",
    .exe_info = {.inode = 12, .dev = 13, .kind = IOL_KIND_FILE},
    .exe = {"/usr/bin/cat", 12},
    .cwd = {"/home/jan", 9},
    .cgroup = {"/user.slice", 11},
    .argv = {"cat\0-n\0file", 12}, /* with its last NUL */
};

static const struct file_spec notes = {
    .key = 0x3333,
    .info = {.inode = 14, .dev = 15, .generation = 16, .kind = IOL_KIND_FILE, .bits = IOL_FILE_DELETED},
    .path = {"/home/jan/notes", 15},
};

static const struct iol_record_event read_event = {
    .head = {.ts = 80},
    .image = 0x1111,
    .file = 0x3333,
    .kind = IOL_EVENT_READ,
    .tid = 42,
    .offset = 7,
    .result = 5,
    .weight = 100,
};

static const struct change_spec renamed = {
    .ts = 81,
    .image = 0x1111,
    .kind = IOL_EVENT_RENAME,
    .file = {.info = {.kind = IOL_KIND_DIR}, .path = {"/home/jan", 9}, .given = {"old", 3}},
    .other = {.info = {.kind = IOL_KIND_DIR}, .path = {"/tmp", 4}, .given = {"new/name", 8}},
};

static struct record record_of(enum iol_record_type type)
{
    switch (type) {
    case IOL_RECORD_PROCESS:
        return record_process(&cat);
    case IOL_RECORD_EXIT:
        return record_exit(78, 0x1111, 3 << 8);
    case IOL_RECORD_EXEC_FAILED:
        return record_exec_failed(79, 0x1111, -ENOENT, BYTES("/no/such"));
    case IOL_RECORD_FILE:
        return record_file(&notes);
    case IOL_RECORD_EVENT:
        return record_event(&read_event);
    case IOL_RECORD_CHANGE:
        return record_change(&renamed);
    case IOL_RECORD_FORK:
        return record_fork(&cat);
    }
    fail();
    return (struct record){0};
}

static const enum iol_record_type all_types[] = {IOL_RECORD_PROCESS, IOL_RECORD_EXIT,  IOL_RECORD_EXEC_FAILED,
                                                 IOL_RECORD_FILE,    IOL_RECORD_EVENT, IOL_RECORD_CHANGE,
                                                 IOL_RECORD_FORK};

static size_t fixed_size(enum iol_record_type type)
{
    static const size_t sizes[] = {
        [IOL_RECORD_PROCESS] = sizeof(struct iol_record_process),
        [IOL_RECORD_EXIT] = sizeof(struct iol_record_exit),
        [IOL_RECORD_EXEC_FAILED] = sizeof(struct iol_record_exec_failed),
        [IOL_RECORD_FILE] = sizeof(struct iol_record_file),
        [IOL_RECORD_EVENT] = sizeof(struct iol_record_event),
        [IOL_RECORD_CHANGE] = sizeof(struct iol_record_change),
        [IOL_RECORD_FORK] = sizeof(struct iol_record_fork),
    };

    return sizes[type];
}

static int decode(const struct record *record, struct iol_decoded *ret_decoded)
{
    return iol_decode_record(record->data, record->size, ret_decoded);
}

/* A refused record must not touch what the caller has. */
static void assert_refused(const struct record *record)
{
    struct iol_decoded decoded, before;

    memset(&decoded, 0xA5, sizeof(decoded));
    memset(&before, 0xA5, sizeof(before));
    assert_int_equal(decode(record, &decoded), -EBADMSG);
    assert_memory_equal(&decoded, &before, sizeof(decoded));
}

static void assert_bytes(const struct iol_bytes *bytes, const char *data, size_t size)
{
    assert_int_equal(bytes->size, size);
    assert_memory_equal(bytes->data, data, size);
}

#define ASSERT_BYTES(bytes, literal) assert_bytes(&(bytes), literal, sizeof(literal) - 1)

static void a_process_has_all_its_members(void **state)
{
    _cleanup_record_ struct record record = record_process(&cat);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&record, &decoded), 0);
    assert_int_equal(decoded.type, IOL_RECORD_PROCESS);
    assert_int_equal(decoded.process.fixed.head.ts, 77);
    assert_int_equal(decoded.process.fixed.image, 0x1111);
    assert_int_equal(decoded.process.fixed.parent_image, 0x2222);
    assert_int_equal(decoded.process.fixed.start_ns, 5);
    assert_int_equal(decoded.process.fixed.exec_ns, 6);
    assert_int_equal(decoded.process.fixed.pid, 41);
    assert_int_equal(decoded.process.fixed.ppid, 40);
    assert_int_equal(decoded.process.fixed.tid, 42);
    assert_int_equal(decoded.process.fixed.origin, IOL_ORIGIN_EXEC);
    assert_int_equal(decoded.process.fixed.uid, 1000);
    assert_int_equal(decoded.process.fixed.login_uid, 1001);
    assert_int_equal(decoded.process.fixed.session_id, 9);
    assert_int_equal(decoded.process.fixed.exe.inode, 12);
    assert_string_equal(decoded.process.fixed.comm, "cat");
    ASSERT_BYTES(decoded.process.exe, "/usr/bin/cat");
    ASSERT_BYTES(decoded.process.cwd, "/home/jan");
    ASSERT_BYTES(decoded.process.cgroup, "/user.slice");
    ASSERT_BYTES(decoded.process.argv, "cat\0-n\0file\0");
}

/* It is a process like any other. */
static void a_fork_is_a_process(void **state)
{
    _cleanup_record_ struct record record = record_of(IOL_RECORD_FORK);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&record, &decoded), 0);
    assert_int_equal(decoded.type, IOL_RECORD_PROCESS);
    assert_int_equal(decoded.process.fixed.head.ts, 77);
    assert_int_equal(decoded.process.fixed.image, 0x1111);
    assert_int_equal(decoded.process.fixed.parent_image, 0x2222);
    assert_int_equal(decoded.process.fixed.start_ns, 5);
    assert_int_equal(decoded.process.fixed.exec_ns, 0);
    assert_int_equal(decoded.process.fixed.pid, 41);
    assert_int_equal(decoded.process.fixed.ppid, 40);
    assert_int_equal(decoded.process.fixed.tid, 41);
    assert_int_equal(decoded.process.fixed.origin, IOL_ORIGIN_FORK);
    assert_int_equal(decoded.process.fixed.bits,
                     IOL_PROCESS_TRACED | IOL_PROCESS_INHERITS | IOL_PROCESS_SAME_LOCATION | IOL_PROCESS_SAME_TRAITS);
    assert_int_equal(decoded.process.exe.size + decoded.process.cwd.size, 0);
    assert_int_equal(decoded.process.cgroup.size + decoded.process.argv.size, 0);
}

static void an_exit_has_all_its_members(void **state)
{
    _cleanup_record_ struct record record = record_of(IOL_RECORD_EXIT);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&record, &decoded), 0);
    assert_int_equal(decoded.type, IOL_RECORD_EXIT);
    assert_int_equal(decoded.exit.head.ts, 78);
    assert_int_equal(decoded.exit.image, 0x1111);
    assert_int_equal(decoded.exit.status, 3 << 8);
}

static void a_failed_exec_has_all_its_members(void **state)
{
    _cleanup_record_ struct record record = record_of(IOL_RECORD_EXEC_FAILED);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&record, &decoded), 0);
    assert_int_equal(decoded.type, IOL_RECORD_EXEC_FAILED);
    assert_int_equal(decoded.exec_failed.fixed.head.ts, 79);
    assert_int_equal(decoded.exec_failed.fixed.image, 0x1111);
    assert_int_equal(decoded.exec_failed.fixed.error, -ENOENT);
    ASSERT_BYTES(decoded.exec_failed.path, "/no/such");
}

static void a_file_has_all_its_members(void **state)
{
    _cleanup_record_ struct record record = record_file(&notes);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&record, &decoded), 0);
    assert_int_equal(decoded.type, IOL_RECORD_FILE);
    assert_int_equal(decoded.file.fixed.key, 0x3333);
    assert_int_equal(decoded.file.fixed.info.inode, 14);
    assert_int_equal(decoded.file.fixed.info.dev, 15);
    assert_int_equal(decoded.file.fixed.info.generation, 16);
    assert_int_equal(decoded.file.fixed.info.bits, IOL_FILE_DELETED);
    ASSERT_BYTES(decoded.file.path, "/home/jan/notes");
}

static void records_without_texts_are_whole(void **state)
{
    const struct process_spec bare = {.image = 1, .comm = ""};
    const struct file_spec nameless = {.key = 100};
    _cleanup_record_ struct record process = record_process(&bare);
    _cleanup_record_ struct record failed = record_exec_failed(0, 1, -EFAULT, BYTES(""));
    _cleanup_record_ struct record file = record_file(&nameless);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&process, &decoded), 0);
    assert_int_equal(decoded.process.exe.size + decoded.process.argv.size, 0);
    assert_int_equal(decode(&failed, &decoded), 0);
    assert_int_equal(decoded.exec_failed.path.size, 0);
    assert_int_equal(decode(&file, &decoded), 0);
    assert_int_equal(decoded.file.path.size, 0);
}

/* Where the length fields are. */
static const struct {
    enum iol_record_type type;
    size_t offset;
} lengths[] = {
    {IOL_RECORD_PROCESS, offsetof(struct iol_record_process, exe.path_len)},
    {IOL_RECORD_PROCESS, offsetof(struct iol_record_process, cwd_len)},
    {IOL_RECORD_PROCESS, offsetof(struct iol_record_process, cgroup_len)},
    {IOL_RECORD_PROCESS, offsetof(struct iol_record_process, argv_len)},
    {IOL_RECORD_EXEC_FAILED, offsetof(struct iol_record_exec_failed, path_len)},
    {IOL_RECORD_FILE, offsetof(struct iol_record_file, info.path_len)},
};

static void add_to_length(struct record *record, size_t offset, uint32_t n)
{
    uint32_t length;

    memcpy(&length, (char *)record->data + offset, sizeof(length));
    length += n;
    memcpy((char *)record->data + offset, &length, sizeof(length));
}

static void a_length_too_large_by_one_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(lengths); i++) {
        _cleanup_record_ struct record record = record_of(lengths[i].type);

        add_to_length(&record, lengths[i].offset, 1);
        assert_refused(&record);
    }
}

/* Sums that go round must not look small. */
static void enormous_lengths_are_refused(void **state)
{
    static const uint32_t values[] = {UINT32_MAX, UINT32_MAX - 30, 1U << 31, 1U << 16};

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(lengths); i++) {
        for (size_t k = 0; k < IOL_ARRAY_SIZE(values); k++) {
            _cleanup_record_ struct record record = record_of(lengths[i].type);

            memcpy((char *)record.data + lengths[i].offset, &values[k], sizeof(values[k]));
            assert_refused(&record);
        }
    }
}

/* One byte is nobody's then: the text is shorter, those behind it are shifted, and nothing points outside. */
static void a_length_too_small_by_one_shortens_the_text(void **state)
{
    struct iol_decoded decoded;

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(lengths); i++) {
        _cleanup_record_ struct record record = record_of(lengths[i].type);
        const char *end = (char *)record.data + record.size;

        add_to_length(&record, lengths[i].offset, UINT32_MAX);
        assert_int_equal(decode(&record, &decoded), 0);
        if (lengths[i].type == IOL_RECORD_PROCESS)
            assert_ptr_equal(decoded.process.argv.data + decoded.process.argv.size, end - 1);
        else if (lengths[i].type == IOL_RECORD_FILE)
            ASSERT_BYTES(decoded.file.path, "/home/jan/note");
        else
            ASSERT_BYTES(decoded.exec_failed.path, "/no/suc");
    }
}

static struct iol_bytes filled(size_t size)
{
    struct iol_bytes bytes = {malloc(size), size};

    assert_non_null(bytes.data);
    memset((void *)(uintptr_t)bytes.data, 'x', size);
    return bytes;
}

/* Every text at its largest is taken, and refused with one byte more, though the byte is there. */
static void texts_have_their_limits(void **state)
{
    static const size_t limits[] = {IOL_PATH_MAX, IOL_PATH_MAX, IOL_CGROUP_MAX, IOL_ARGV_MAX};
    struct iol_decoded decoded;

    (void)state;
    for (size_t text = 0; text < 4; text++) {
        for (size_t more = 0; more < 2; more++) {
            struct iol_bytes bytes = filled(limits[text] + more);
            struct process_spec spec = cat;
            struct iol_bytes *texts[] = {&spec.exe, &spec.cwd, &spec.cgroup, &spec.argv};

            *texts[text] = bytes;
            _cleanup_record_ struct record record = record_process(&spec);
            if (more)
                assert_refused(&record);
            else
                assert_int_equal(decode(&record, &decoded), 0);
            free((void *)(uintptr_t)bytes.data);
        }
    }
}

static void paths_of_files_have_their_limit(void **state)
{
    struct iol_bytes path = filled(IOL_PATH_MAX + 1);
    const struct file_spec longest = {.key = 1, .path = {path.data, IOL_PATH_MAX}};
    const struct file_spec longer = {.key = 1, .path = path};
    _cleanup_record_ struct record good = record_file(&longest), bad = record_file(&longer);
    _cleanup_record_ struct record bad_exec = record_exec_failed(0, 1, -ENOENT, path);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&good, &decoded), 0);
    assert_int_equal(decoded.file.path.size, IOL_PATH_MAX);
    assert_refused(&bad);
    assert_refused(&bad_exec);
    free((void *)(uintptr_t)path.data);
}

static void set_head_size(struct record *record, size_t size)
{
    ((struct iol_record *)record->data)->size = (uint32_t)size;
}

/* The size that the record gives is smaller than what every record of its type has. */
static void a_size_below_the_fixed_part_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(all_types); i++) {
        _cleanup_record_ struct record record = record_of(all_types[i]);

        set_head_size(&record, fixed_size(all_types[i]) - 1);
        assert_refused(&record);
        set_head_size(&record, 0);
        assert_refused(&record);
    }
}

static void a_size_beyond_the_buffer_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(all_types); i++) {
        _cleanup_record_ struct record record = record_of(all_types[i]);

        set_head_size(&record, record.size + 1);
        assert_refused(&record);
        set_head_size(&record, UINT32_MAX);
        assert_refused(&record);
    }
}

/* The buffer ends early, anywhere: each piece in memory of its own, where a sanitizer sees any read beyond. */
static void every_cut_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(all_types); i++) {
        _cleanup_record_ struct record whole = record_of(all_types[i]);

        for (size_t size = 0; size < whole.size; size++) {
            _cleanup_record_ struct record cut = {malloc(size), size};

            assert_true(size == 0 || cut.data);
            if (size > 0)
                memcpy(cut.data, whole.data, size);
            assert_refused(&cut);
            if (size >= sizeof(struct iol_record) && size >= fixed_size(all_types[i]) &&
                all_types[i] != IOL_RECORD_EXIT) {
                /* even when its head agrees, as its texts are not there */
                set_head_size(&cut, size);
                assert_refused(&cut);
            }
        }
    }
}

static void bytes_behind_the_record_are_not_its_own(void **state)
{
    _cleanup_record_ struct record file = record_file(&notes);
    _cleanup_record_ struct record longer = {calloc(1, file.size + 8), file.size + 8};
    struct iol_decoded decoded;

    (void)state;
    memcpy(longer.data, file.data, file.size);
    assert_int_equal(decode(&longer, &decoded), 0);
    ASSERT_BYTES(decoded.file.path, "/home/jan/notes");
    add_to_length(&longer, offsetof(struct iol_record_file, info.path_len), 1);
    assert_refused(&longer);
}

static void an_event_has_all_its_members(void **state)
{
    _cleanup_record_ struct record record = record_of(IOL_RECORD_EVENT);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&record, &decoded), 0);
    assert_int_equal(decoded.event.head.ts, 80);
    assert_int_equal(decoded.event.file, 0x3333);
    assert_int_equal(decoded.event.kind, IOL_EVENT_READ);
    assert_int_equal(decoded.event.tid, 42);
    assert_int_equal(decoded.event.offset, 7);
    assert_int_equal(decoded.event.result, 5);
    assert_int_equal(decoded.event.weight, 100);
}

static void a_change_has_both_its_names(void **state)
{
    _cleanup_record_ struct record record = record_of(IOL_RECORD_CHANGE);
    struct iol_decoded decoded;

    (void)state;
    assert_int_equal(decode(&record, &decoded), 0);
    assert_int_equal(decoded.change.fixed.kind, IOL_EVENT_RENAME);
    ASSERT_BYTES(decoded.change.file.path, "/home/jan");
    ASSERT_BYTES(decoded.change.file.given, "old");
    ASSERT_BYTES(decoded.change.other.path, "/tmp");
    ASSERT_BYTES(decoded.change.other.given, "new/name");
}

static void unknown_types_are_refused(void **state)
{
    static const uint32_t types[] = {0, IOL_RECORD_FORK + 1, 1000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(types); i++) {
        _cleanup_record_ struct record record = record_process(&cat);

        ((struct iol_record *)record.data)->type = types[i];
        assert_refused(&record);
    }
}

static void values_outside_their_enum_are_refused(void **state)
{
    struct process_spec origin = cat, kind = cat;
    struct file_spec file = notes;

    (void)state;
    origin.origin = IOL_ORIGIN_COUNT;
    kind.exe_info.kind = IOL_KIND_COUNT;
    file.info.kind = IOL_KIND_COUNT;
    _cleanup_record_ struct record bad_origin = record_process(&origin);
    _cleanup_record_ struct record bad_exe = record_process(&kind);
    _cleanup_record_ struct record bad_file = record_file(&file);
    assert_refused(&bad_origin);
    assert_refused(&bad_exe);
    assert_refused(&bad_file);
}

static void paths_end_at_a_nul_and_argv_does_not(void **state)
{
    struct process_spec spec = cat;
    struct file_spec file = notes;
    struct iol_decoded decoded;

    (void)state;
    spec.exe = BYTES("/bin\0/true");
    spec.cwd = BYTES("\0/tmp");
    spec.cgroup = BYTES("/a\0b");
    spec.argv = BYTES("\0\0a\0");
    file.path = BYTES("/x\0y");
    _cleanup_record_ struct record process = record_process(&spec), other = record_file(&file);
    _cleanup_record_ struct record failed = record_exec_failed(0, 1, -ENOENT, BYTES("n\0n"));

    assert_int_equal(decode(&process, &decoded), 0);
    ASSERT_BYTES(decoded.process.exe, "/bin");
    ASSERT_BYTES(decoded.process.cwd, "");
    ASSERT_BYTES(decoded.process.cgroup, "/a");
    ASSERT_BYTES(decoded.process.argv, "\0\0a\0");
    assert_int_equal(decode(&other, &decoded), 0);
    ASSERT_BYTES(decoded.file.path, "/x");
    assert_int_equal(decode(&failed, &decoded), 0);
    ASSERT_BYTES(decoded.exec_failed.path, "n");
}

static void a_comm_without_nul_ends_all_the_same(void **state)
{
    struct process_spec spec = cat;
    struct iol_decoded decoded;

    (void)state;
    spec.comm = "0123456789abcdef";
    _cleanup_record_ struct record record = record_process(&spec);
    assert_int_equal(decode(&record, &decoded), 0);
    assert_string_equal(decoded.process.fixed.comm, "0123456789abcde");
}

static void records_need_no_alignment(void **state)
{
    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(all_types); i++) {
        _cleanup_record_ struct record record = record_of(all_types[i]);

        for (size_t shift = 1; shift < 8; shift++) {
            _cleanup_free_ char *memory = malloc(record.size + shift);
            struct iol_decoded decoded, aligned;

            assert_non_null(memory);
            memcpy(memory + shift, record.data, record.size);
            assert_int_equal(iol_decode_record(memory + shift, record.size, &decoded), 0);
            assert_int_equal(decode(&record, &aligned), 0);
            assert_int_equal(decoded.type, aligned.type);
            assert_memory_equal(&decoded.process.fixed, &aligned.process.fixed, fixed_size(all_types[i]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_all_its_members),
        cmocka_unit_test(a_fork_is_a_process),
        cmocka_unit_test(an_exit_has_all_its_members),
        cmocka_unit_test(a_failed_exec_has_all_its_members),
        cmocka_unit_test(a_file_has_all_its_members),
        cmocka_unit_test(records_without_texts_are_whole),
        cmocka_unit_test(a_length_too_large_by_one_is_refused),
        cmocka_unit_test(a_length_too_small_by_one_shortens_the_text),
        cmocka_unit_test(enormous_lengths_are_refused),
        cmocka_unit_test(texts_have_their_limits),
        cmocka_unit_test(paths_of_files_have_their_limit),
        cmocka_unit_test(a_size_below_the_fixed_part_is_refused),
        cmocka_unit_test(a_size_beyond_the_buffer_is_refused),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(bytes_behind_the_record_are_not_its_own),
        cmocka_unit_test(an_event_has_all_its_members),
        cmocka_unit_test(a_change_has_both_its_names),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(values_outside_their_enum_are_refused),
        cmocka_unit_test(paths_end_at_a_nul_and_argv_does_not),
        cmocka_unit_test(a_comm_without_nul_ends_all_the_same),
        cmocka_unit_test(records_need_no_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
