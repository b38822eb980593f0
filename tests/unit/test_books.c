// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Books that outlive the recorder: what journals tell, and that a successor posts each operation once, whenever the one before died. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/account.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/journal.h"
#include "core/model.h"
#include "records.h"

#define N_SLOTS 64
#define FIRST IOL_ABI_ROUTE_SLOTS
#define SHELL 0x500
#define FILE_KEY 0x7777
#define KNOWN_MAX 256

/* What outlives a recorder. */
struct kernel {
    struct iol_account slots[N_SLOTS];
    struct iol_cpu cpus[1];
    uint64_t epoch;
    bool handed_out[N_SLOTS], alive[N_SLOTS];

    struct iol_books books;
    struct iol_posted posted[N_SLOTS];
    struct {
        uint64_t key;
        int64_t id;
    } files[KNOWN_MAX];
    struct {
        uint64_t image;
        struct iol_known_image known;
    } images[KNOWN_MAX];
    struct iol_posted_sums ledger; /* sums over the rows of io that are safe */
    size_t process_rows;           /* that are safe */
};

struct recorder {
    struct kernel *kernel;
    struct iol_model *model;
    struct iol_accounts *accounts;
    struct iol_batch *batch;
    struct iol_journal journal;
    struct iol_books books;
};

static void remove_accounts(void *arg, const uint32_t *slots, size_t n)
{
    (void)arg;
    (void)slots;
    (void)n;
}

static void free_slots(void *arg, const uint32_t *slots, size_t n)
{
    (void)arg;
    if (n > 0)
        fail_msg("slot %u is handed back by the reader of its journal", slots[0]);
}

static void recall(struct recorder *r)
{
    struct kernel *k = r->kernel;

    for (size_t i = 0; i < KNOWN_MAX; i++) {
        if (k->files[i].id)
            assert_int_equal(iol_model_recall_file(r->model, k->files[i].key, k->files[i].id), 0);
        if (k->images[i].known.bits)
            assert_int_equal(iol_model_recall_process(r->model, k->images[i].image, &k->images[i].known), 0);
    }
    for (size_t i = 0; i < N_SLOTS; i++) {
        if (k->posted[i].state == IOL_POSTED_RELEASED) {
            k->handed_out[i] = false;
            k->posted[i].state = IOL_POSTED_FREE;
        }
    }
    assert_int_equal(iol_accounts_restore(r->accounts, k->posted, &k->books, r->model, r->batch), 0);
}

static struct recorder *begin(struct kernel *kernel)
{
    struct recorder *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->kernel = kernel;
    r->books = kernel->books;
    const struct iol_model_options options = {.host_id = 4711,
                                              .boot_id = "b",
                                              .all = true,
                                              .max_idle_files = 16,
                                              .epoch = kernel->books.epoch,
                                              .journal = &r->journal};
    const struct iol_account_kernel account_kernel = {
        .slots = kernel->slots,
        .n_slots = N_SLOTS,
        .first_spare = N_SLOTS,
        .cpus = kernel->cpus,
        .n_cpus = 1,
        .remove_accounts = remove_accounts,
        .free_slots = free_slots,
        .keeps_books = true,
    };
    r->model = iol_model_new(&options);
    r->batch = iol_batch_new();
    assert_non_null(r->model);
    assert_non_null(r->batch);
    assert_int_equal(iol_accounts_new(&account_kernel, 4711, &r->accounts), 0);
    recall(r);
    return r;
}

static void die(struct recorder *r)
{
    iol_accounts_free(r->accounts);
    iol_model_free(r->model);
    iol_batch_free(r->batch);
    iol_journal_done(&r->journal);
    free(r);
}

static void put_file(struct kernel *k, uint64_t key, int64_t id)
{
    size_t i;

    for (i = 0; i < KNOWN_MAX && !(k->files[i].id && k->files[i].key == key); i++)
        ;
    for (size_t free = 0; i == KNOWN_MAX && free < KNOWN_MAX; free++) {
        if (!k->files[free].id)
            i = free;
    }
    assert_in_range(i, 0, KNOWN_MAX - 1);
    k->files[i].key = key;
    k->files[i].id = id;
}

static void put_image(struct kernel *k, uint64_t image, const struct iol_known_image *known)
{
    size_t i;

    for (i = 0; i < KNOWN_MAX && !(k->images[i].known.bits && k->images[i].image == image); i++)
        ;
    for (size_t free = 0; i == KNOWN_MAX && free < KNOWN_MAX; free++) {
        if (!k->images[free].known.bits)
            i = free;
    }
    assert_in_range(i, 0, KNOWN_MAX - 1);
    k->images[i].image = image;
    k->images[i].known = *known;
}

/* As app/resume.c does, without the spool between. */
static void commit(struct recorder *r)
{
    struct kernel *k = r->kernel;
    const struct iol_io *rows = r->batch->rows[IOL_TABLE_IO].data;
    struct iol_journal_view view;
    void *data;
    size_t size;

    r->books.seq++;
    iol_accounts_journal(r->accounts, &r->journal, &r->books);
    assert_int_equal(iol_journal_take(&r->journal, &r->books, &data, &size), 0);
    assert_int_equal(iol_journal_read(data, size, &view), 0);
    for (size_t i = 0; i < view.n_slots; i++)
        k->posted[view.slots[i].index] = view.slots[i].posted;
    for (size_t i = 0; i < view.n_files; i++)
        put_file(k, view.file_keys[i], view.file_ids[i]);
    for (size_t i = 0; i < view.n_images; i++)
        put_image(k, view.images[i], &view.image_values[i]);
    for (size_t i = 0; i < view.n_slots; i++) {
        if (k->posted[view.slots[i].index].state == IOL_POSTED_RELEASED) {
            k->handed_out[view.slots[i].index] = false;
            k->posted[view.slots[i].index].state = IOL_POSTED_FREE;
        }
    }
    k->books = view.books;
    for (size_t i = 0; i < r->batch->rows[IOL_TABLE_IO].count; i++) {
        k->ledger.read_ops += (uint64_t)rows[i].read_ops;
        k->ledger.read_bytes += (uint64_t)rows[i].read_bytes;
        k->ledger.write_ops += (uint64_t)rows[i].write_ops;
    }
    k->process_rows += r->batch->rows[IOL_TABLE_PROCESS].count;
    free(data);
    iol_batch_free(r->batch);
    r->batch = iol_batch_new();
    assert_non_null(r->batch);
}

static void post_record(struct recorder *r, struct record record)
{
    struct iol_decoded decoded;

    assert_int_equal(iol_decode_record(record.data, record.size, &decoded), 0);
    assert_int_equal(iol_model_post(r->model, &decoded, r->batch), 0);
    record_free(&record);
}

static void post_process(struct recorder *r, uint64_t image, uint64_t parent, uint32_t origin)
{
    const struct process_spec spec = {
        .image = image,
        .parent = parent,
        .pid = (uint32_t)image,
        .ppid = 1,
        .origin = origin,
        .bits = IOL_PROCESS_TRACED | (origin == IOL_ORIGIN_FORK ? IOL_PROCESS_INHERITS : 0),
        .comm = "worker",
        .exe = origin == IOL_ORIGIN_FORK ? BYTES("") : BYTES("/bin/worker"),
        .argv = origin == IOL_ORIGIN_FORK ? BYTES("") : BYTES("worker"),
    };

    post_record(r, record_process(&spec));
}

static void post_file(struct recorder *r, uint64_t key)
{
    const struct file_spec spec = {.key = key, .info = {.inode = key, .dev = 1}, .path = BYTES("/some/file")};

    post_record(r, record_file(&spec));
}

static void open_slot(struct kernel *k, size_t index, uint64_t image, uint64_t file)
{
    k->slots[index].key = (struct iol_account_key){.image = image, .number = index};
    k->slots[index].file = file;
    k->slots[index].opened_ns = 1 + k->epoch;
    k->handed_out[index] = k->alive[index] = true;
}

static void operate(struct kernel *k, size_t index, uint64_t reads)
{
    struct iol_counters *both[] = {&k->slots[index].epoch[k->epoch & 1],
                                   &k->cpus[0].total[k->epoch & 1][IOL_ABI_ROUTE_RW]};

    for (size_t i = 0; i < 2; i++) {
        both[i]->read_ops += reads;
        both[i]->read_bytes += 10 * reads;
    }
}

static void close_epoch(struct recorder *r)
{
    const struct iol_epoch epoch = {
        .number = r->books.epoch + 1, .closed = r->kernel->epoch & 1, .to_ns = 1, .to_jiffies = 1};

    r->kernel->epoch++;
    assert_int_equal(iol_accounts_post(r->accounts, &epoch, r->model, r->batch), 0);
    r->books.epoch = epoch.number;
    iol_model_trim(r->model, epoch.number, epoch.to_ns, NULL, NULL);
}

static size_t count(const struct recorder *r, enum iol_table_id table)
{
    return r->batch->rows[table].count;
}

static const struct iol_process *process_row(const struct recorder *r, size_t index)
{
    assert_in_range(index, 0, count(r, IOL_TABLE_PROCESS) - 1);
    return (const struct iol_process *)r->batch->rows[IOL_TABLE_PROCESS].data + index;
}

static const struct iol_io *io_row(const struct recorder *r, size_t index)
{
    assert_in_range(index, 0, count(r, IOL_TABLE_IO) - 1);
    return (const struct iol_io *)r->batch->rows[IOL_TABLE_IO].data + index;
}

static void a_journal_is_read_as_it_was_written(void **state)
{
    const struct iol_books books = {.seq = 5, .ring = 6, .from_ns = 7};
    const struct iol_posted posted = {.sums = {{.read_ops = 1}}, .state = IOL_POSTED_USED};
    const struct iol_known_image known = {12, IOL_KNOWN_ROW};
    struct iol_journal journal = {0};
    struct iol_journal_view view;
    _cleanup_free_ void *data = NULL;
    size_t size = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        iol_journal_slot(&journal, i, &posted);
    iol_journal_file(&journal, 1, 2);
    iol_journal_file(&journal, 3, 0);
    iol_journal_image(&journal, 4, &known);
    assert_int_equal(iol_journal_take(&journal, &books, &data, &size), 0);
    assert_int_equal(iol_journal_read(data, size, &view), 0);
    assert_memory_equal(&view.books, &books, sizeof(books));
    assert_int_equal(view.n_slots, 1000);
    assert_int_equal(view.slots[999].index, 999);
    assert_memory_equal(&view.slots[999].posted, &posted, sizeof(posted));
    assert_int_equal(view.n_files, 2);
    assert_int_equal(view.file_keys[1], 3);
    assert_int_equal(view.file_ids[0], 2);
    assert_int_equal(view.n_images, 1);
    assert_int_equal(view.images[0], 4);
    assert_int_equal(view.image_values[0].pid, 12);

    /* what is cut short, or is of another layout, is none */
    assert_int_equal(iol_journal_read(data, size - 8, &view), -EBADMSG);
    assert_int_equal(iol_journal_read(data, 8, &view), -EBADMSG);
    ((uint64_t *)data)[1]++;
    assert_int_equal(iol_journal_read(data, size, &view), -EBADMSG);
    free(TAKE_PTR(data));

    /* the next one has only what came since */
    assert_int_equal(iol_journal_take(&journal, &books, &data, &size), 0);
    assert_int_equal(iol_journal_read(data, size, &view), 0);
    assert_int_equal(view.n_slots + view.n_files + view.n_images, 0);
    iol_journal_done(&journal);
}

static void a_successor_posts_the_difference(void **state)
{
    struct kernel *k = *state;
    struct recorder *r = begin(k);
    int64_t file_id;

    post_process(r, SHELL, 1, IOL_ORIGIN_EXEC);
    post_file(r, FILE_KEY);
    open_slot(k, FIRST, SHELL, FILE_KEY);
    operate(k, FIRST, 3);
    close_epoch(r);
    file_id = io_row(r, 0)->file_id;
    commit(r);
    die(r);
    operate(k, FIRST, 4);

    r = begin(k);
    close_epoch(r);
    assert_int_equal(count(r, IOL_TABLE_IO), 1);
    assert_int_equal(io_row(r, 0)->read_ops, 4);
    assert_int_equal(io_row(r, 0)->file_id, file_id);
    assert_int_equal(count(r, IOL_TABLE_PROCESS), 0);
    assert_int_equal(count(r, IOL_TABLE_FILE), 0);
    assert_int_equal(((const struct iol_total *)r->batch->rows[IOL_TABLE_TOTAL].data)->read_ops, 4);
    die(r);
}

static void what_was_not_committed_is_posted_again(void **state)
{
    struct kernel *k = *state;
    struct recorder *r = begin(k);

    post_process(r, SHELL, 1, IOL_ORIGIN_EXEC);
    commit(r);
    open_slot(k, FIRST, SHELL, IOL_FILE_NOT_OPEN);
    operate(k, FIRST, 3);
    close_epoch(r);
    die(r);

    r = begin(k);
    close_epoch(r); /* the other set of counters */
    assert_int_equal(count(r, IOL_TABLE_IO), 0);
    close_epoch(r);
    assert_int_equal(io_row(r, 0)->read_ops, 3);
    die(r);
}

static void a_recalled_image_is_described_and_not_told_again(void **state)
{
    struct kernel *k = *state;
    struct recorder *r = begin(k);

    post_process(r, SHELL, 1, IOL_ORIGIN_EXEC);
    commit(r);
    die(r);

    r = begin(k);
    iol_model_sweep_begin(r->model);
    post_process(r, SHELL, 1, IOL_ORIGIN_RUNNING);
    post_process(r, SHELL + 1, SHELL, IOL_ORIGIN_FORK);
    assert_int_equal(iol_model_sweep_end(r->model, r->batch), 0);
    assert_int_equal(count(r, IOL_TABLE_PROCESS), 1);
    assert_int_equal(process_row(r, 0)->pid, SHELL + 1);
    assert_string_equal(process_row(r, 0)->exe, "/bin/worker"); /* inherited */
    post_record(r, record_exit(9, SHELL, 0));
    assert_int_equal(count(r, IOL_TABLE_PROCESS_EXIT), 1);
    die(r);
}

static void a_fork_of_one_who_is_gone_keeps_what_the_iterator_has_seen(void **state)
{
    struct kernel *k = *state;
    struct recorder *r = begin(k);

    iol_model_sweep_begin(r->model);
    post_process(r, SHELL + 1, SHELL, IOL_ORIGIN_RUNNING);
    post_process(r, SHELL + 1, SHELL, IOL_ORIGIN_FORK);
    assert_int_equal(iol_model_sweep_end(r->model, r->batch), 0);
    assert_int_equal(count(r, IOL_TABLE_PROCESS), 1);
    assert_int_equal(process_row(r, 0)->origin, IOL_ORIGIN_FORK);
    assert_string_equal(process_row(r, 0)->exe, "/bin/worker");
    die(r);
}

static void a_made_up_image_is_described_by_a_successor(void **state)
{
    struct kernel *k = *state;
    struct recorder *r = begin(k);

    open_slot(k, FIRST, SHELL, IOL_FILE_NOT_OPEN);
    operate(k, FIRST, 1);
    close_epoch(r);
    assert_string_equal(process_row(r, 0)->comm, "(unknown)");
    commit(r);
    die(r);

    r = begin(k);
    post_process(r, SHELL, 1, IOL_ORIGIN_RUNNING);
    assert_int_equal(count(r, IOL_TABLE_PROCESS), 1);
    assert_string_equal(process_row(r, 0)->comm, "worker");
    die(r);
}

static void what_is_forgotten_is_not_recalled(void **state)
{
    struct kernel *k = *state;
    struct recorder *r = begin(k);

    post_process(r, SHELL, 1, IOL_ORIGIN_EXEC);
    post_record(r, record_exit(9, SHELL, 0));
    commit(r);
    assert_int_equal(k->images[0].known.bits, IOL_KNOWN_ROW | IOL_KNOWN_TRACED);
    for (int i = 0; i < 4; i++)
        close_epoch(r);
    commit(r);
    assert_int_equal(k->images[0].known.bits, 0);
    die(r);
}

static void what_was_left_out_is_told_once(void **state)
{
    struct kernel *k = *state;
    struct recorder *r = begin(k);
    struct iol_account_stats stats;

    k->cpus[0].total[0][IOL_ABI_EXCLUDED].read_ops = 5;
    close_epoch(r);
    commit(r);
    die(r);

    r = begin(k);
    iol_accounts_get_stats(r->accounts, &stats);
    assert_int_equal(stats.excluded_ops, 5);
    iol_accounts_left_out_told(r->accounts);
    commit(r);
    die(r);

    r = begin(k);
    iol_accounts_get_stats(r->accounts, &stats);
    assert_int_equal(stats.excluded_ops, 0);
    die(r);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 11;
}

static bool lives(void *arg, uint32_t pid, uint64_t image)
{
    (void)arg;
    (void)pid;
    (void)image;
    return false;
}

static struct recorder *begin_with_a_sweep(struct kernel *k)
{
    struct recorder *r = begin(k);

    iol_model_sweep_begin(r->model);
    for (size_t i = FIRST; i < N_SLOTS; i++) {
        if (k->handed_out[i] && k->alive[i])
            post_process(r, k->slots[i].key.image, 1, IOL_ORIGIN_RUNNING);
    }
    iol_model_sweep_ask(r->model, lives, NULL);
    assert_int_equal(iol_model_sweep_end(r->model, r->batch), 0);
    return r;
}

/* One thing that may happen; records are only sent to a recorder that commits them at once, as the ring buffer would keep them. */
static void happen(struct recorder *r, uint64_t *seed, uint64_t *next_image, uint64_t *done)
{
    struct kernel *k = r->kernel;
    size_t index = FIRST + next_random(seed) % (N_SLOTS - FIRST);

    if (k->handed_out[index] && !k->alive[index])
        return;
    if (!k->handed_out[index]) {
        post_process(r, *next_image, 1, IOL_ORIGIN_EXEC);
        commit(r);
        open_slot(k, index, (*next_image)++, IOL_FILE_NOT_OPEN);
    } else if (next_random(seed) % 4 == 0) {
        post_record(r, record_exit(9, k->slots[index].key.image, 0));
        k->alive[index] = false;
        commit(r);
        return;
    }
    operate(k, index, index);
    *done += index;
}

static void whenever_a_recorder_dies_each_operation_is_posted_once(void **state)
{
    struct kernel *k = *state;
    uint64_t seed = 88172645463325252ULL, next_image = 0x1000, done = 0;
    struct recorder *r = begin_with_a_sweep(k);

    for (int i = 0; i < 20000; i++) {
        switch (next_random(&seed) % 8) {
        case 0:
            close_epoch(r);
            break;
        case 1:
            commit(r);
            break;
        case 2:
            if (next_random(&seed) % 4 == 0) {
                die(r);
                r = begin_with_a_sweep(k);
            }
            break;
        default:
            happen(r, &seed, &next_image, &done);
        }
    }
    die(r);
    r = begin_with_a_sweep(k);
    close_epoch(r);
    close_epoch(r);
    commit(r);
    assert_true(done > 100000 && next_image > 0x1100);
    assert_int_equal(k->ledger.read_ops, done);
    assert_int_equal(k->ledger.read_bytes, 10 * done);
    assert_int_equal(k->books.total[0][IOL_ABI_ROUTE_RW].read_ops + k->books.total[1][IOL_ABI_ROUTE_RW].read_ops, done);
    assert_int_equal(k->process_rows, next_image - 0x1000);
    for (size_t i = FIRST; i < N_SLOTS; i++)
        assert_true(k->alive[i] || !k->handed_out[i] || k->posted[i].state == IOL_POSTED_USED);
    die(r);
}

static int make(void **state)
{
    *state = calloc(1, sizeof(struct kernel));
    return *state ? 0 : -1;
}

static int drop(void **state)
{
    free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_journal_is_read_as_it_was_written),
        TEST(a_successor_posts_the_difference),
        TEST(what_was_not_committed_is_posted_again),
        TEST(a_recalled_image_is_described_and_not_told_again),
        TEST(a_fork_of_one_who_is_gone_keeps_what_the_iterator_has_seen),
        TEST(a_made_up_image_is_described_by_a_successor),
        TEST(what_is_forgotten_is_not_recalled),
        TEST(what_was_left_out_is_told_once),
        TEST(whenever_a_recorder_dies_each_operation_is_posted_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
