// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/account.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/loss.h"
#include "core/model.h"
#include "records.h"

/*
 * The kernel's side in plain memory: what the programs would do to slots and totals is done here by
 * hand, and what is asked of the kernel is written down.
 */
#define N_CPUS 4
#define N_SPARE 16
#define N_SLOTS 1024
#define FIRST_SPARE (N_SLOTS - N_SPARE)
#define FIRST IOL_ABI_ROUTE_SLOTS /* the first slot that is not the host's own */
#define LIVE 0x500                /* image of a process that runs */
#define HOST_ID 4711
#define BOOT_OFFSET INT64_C(1000000000000)
#define EPOCH_NS UINT64_C(1000000000)
#define EPOCH_JIFFIES 250

struct fixture {
    struct iol_account slots[N_SLOTS];
    struct iol_cpu cpus[N_CPUS];
    struct iol_accounts *accounts;
    struct iol_model *model;
    struct iol_batch *batch;
    uint64_t epoch;     /* the open one */
    uint64_t paused_ns; /* between the epochs before and those to come */
    size_t removed[N_SLOTS], freed[N_SLOTS];
    size_t n_removed, n_freed;
};

static void remove_accounts(void *arg, const uint32_t *slots, size_t n)
{
    struct fixture *f = arg;

    for (size_t i = 0; i < n; i++) {
        assert_in_range(slots[i], FIRST, N_SLOTS - 1);
        f->removed[slots[i]]++;
        f->n_removed++;
    }
}

static void free_slots(void *arg, const uint32_t *slots, size_t n)
{
    struct fixture *f = arg;

    for (size_t i = 0; i < n; i++) {
        assert_in_range(slots[i], FIRST, N_SLOTS - 1);
        if (i > 0)
            assert_true(slots[i - 1] > slots[i]); /* they come off a stack: low ones are used first */
        f->freed[slots[i]]++;
        f->n_freed++;
    }
}

static uint64_t epoch_start_ns(uint64_t epoch)
{
    return epoch * EPOCH_NS;
}

static uint64_t epoch_start_jiffies(uint64_t epoch)
{
    return 5000 + epoch * EPOCH_JIFFIES;
}

static void post_record(struct fixture *f, struct record record)
{
    struct iol_decoded decoded;

    assert_int_equal(iol_decode_record(record.data, record.size, &decoded), 0);
    assert_int_equal(iol_model_post(f->model, &decoded, f->batch), 0);
    record_free(&record);
}

static void start_process(struct fixture *f, uint64_t image)
{
    const struct process_spec spec = {
        .image = image,
        .pid = (uint32_t)image,
        .ppid = 1,
        .origin = IOL_ORIGIN_RUNNING,
        .bits = IOL_PROCESS_TRACED,
        .comm = "worker",
        .argv = BYTES("worker"),
    };

    post_record(f, record_process(&spec));
}

static void end_process(struct fixture *f, uint64_t image)
{
    post_record(f, record_exit(0, image, 0));
}

static int make(void **state)
{
    const struct iol_model_options options = {.host_id = HOST_ID, .boot_id = "b", .all = true, .max_idle_files = 9999};
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    const struct iol_account_kernel kernel = {
        .slots = f->slots,
        .n_slots = N_SLOTS,
        .first_spare = FIRST_SPARE,
        .cpus = f->cpus,
        .n_cpus = N_CPUS,
        .arg = f,
        .remove_accounts = remove_accounts,
        .free_slots = free_slots,
    };
    f->model = iol_model_new(&options);
    f->batch = iol_batch_new();
    assert_non_null(f->model);
    assert_non_null(f->batch);
    iol_model_set_boot_offset(f->model, BOOT_OFFSET);
    assert_int_equal(iol_accounts_new(&kernel, HOST_ID, &f->accounts), 0);
    start_process(f, LIVE);
    *state = f;
    return 0;
}

static int drop(void **state)
{
    struct fixture *f = *state;

    iol_accounts_free(f->accounts);
    iol_model_free(f->model);
    iol_batch_free(f->batch);
    free(f);
    return 0;
}

/* As the programs do: a slot gets its names, its counters go on from where they are. */
static void open_slot(struct fixture *f, size_t index, uint64_t image, uint64_t file, uint32_t route)
{
    struct iol_account *slot = &f->slots[index];

    slot->key = (struct iol_account_key){.image = image, .number = index, .mix = route};
    slot->file = file;
    slot->route = route;
    slot->opened_ns = epoch_start_ns(f->epoch) + 1;
}

static void count(struct iol_counters *counters, uint64_t reads, uint64_t writes, uint64_t size)
{
    counters->read_ops += reads;
    counters->read_bytes += reads * size;
    counters->write_ops += writes;
    counters->write_bytes += writes * size;
}

static void touch(const struct fixture *f, struct iol_counters *counters, uint64_t jiffies)
{
    if (counters->last < epoch_start_jiffies(f->epoch))
        counters->first = jiffies;
    counters->last = jiffies;
}

/* Operations in the open epoch, on some CPU: the account and, apart from it, the total. */
static void operate(struct fixture *f, size_t index, uint64_t reads, uint64_t writes, uint64_t size)
{
    struct iol_account *slot = &f->slots[index];
    size_t cpu = (index + reads) % N_CPUS, route = index < FIRST ? index : slot->route;

    count(&slot->epoch[f->epoch & 1], reads, writes, size);
    count(&f->cpus[cpu].total[f->epoch & 1][route], reads, writes, size);
    touch(f, &slot->epoch[f->epoch & 1], epoch_start_jiffies(f->epoch) + 100);
}

/* Closes the open epoch; the batch has its rows alone. */
static void close_epoch(struct fixture *f)
{
    const struct iol_epoch epoch = {
        .number = f->epoch + 1,
        .closed = f->epoch & 1,
        .from_jiffies = epoch_start_jiffies(f->epoch),
        .to_jiffies = epoch_start_jiffies(f->epoch + 1),
        .from_ns = epoch_start_ns(f->epoch) + f->paused_ns,
        .to_ns = epoch_start_ns(f->epoch + 1) + f->paused_ns,
    };

    iol_batch_free(f->batch);
    f->batch = iol_batch_new();
    assert_non_null(f->batch);
    f->epoch++;
    assert_int_equal(iol_accounts_post(f->accounts, &epoch, f->model, f->batch), 0);
    iol_accounts_settle(f->accounts);
    iol_model_trim(f->model, epoch.number, epoch.to_ns, NULL, NULL);
}

static size_t rows(const struct fixture *f, enum iol_table_id table)
{
    return f->batch->rows[table].count;
}

static const struct iol_io *io_row(const struct fixture *f, size_t index)
{
    assert_in_range(index, 0, rows(f, IOL_TABLE_IO) - 1);
    return (const struct iol_io *)f->batch->rows[IOL_TABLE_IO].data + index;
}

static const struct iol_total *total_row(const struct fixture *f, size_t index)
{
    assert_in_range(index, 0, rows(f, IOL_TABLE_TOTAL) - 1);
    return (const struct iol_total *)f->batch->rows[IOL_TABLE_TOTAL].data + index;
}

static const struct iol_loss *loss_row(const struct fixture *f, size_t index)
{
    assert_in_range(index, 0, rows(f, IOL_TABLE_LOSS) - 1);
    return (const struct iol_loss *)f->batch->rows[IOL_TABLE_LOSS].data + index;
}

static struct iol_account_stats stats_of(const struct fixture *f)
{
    struct iol_account_stats stats;

    iol_accounts_get_stats(f->accounts, &stats);
    return stats;
}

struct sums {
    int64_t read_ops, read_bytes, write_ops, write_bytes, read_errors, write_errors;
};

static void assert_balanced(const struct fixture *f)
{
    struct sums io[IOL_ROUTE_COUNT] = {0}, total[IOL_ROUTE_COUNT] = {0};

#define ADD(sums, row)                                                                                                 \
    do {                                                                                                               \
        assert_in_range((row)->route, 0, IOL_ROUTE_COUNT - 1);                                                         \
        (sums)[(row)->route].read_ops += (row)->read_ops;                                                              \
        (sums)[(row)->route].read_bytes += (row)->read_bytes;                                                          \
        (sums)[(row)->route].write_ops += (row)->write_ops;                                                            \
        (sums)[(row)->route].write_bytes += (row)->write_bytes;                                                        \
        (sums)[(row)->route].read_errors += (row)->read_errors;                                                        \
        (sums)[(row)->route].write_errors += (row)->write_errors;                                                      \
    } while (0)
    for (size_t i = 0; i < rows(f, IOL_TABLE_IO); i++)
        ADD(io, io_row(f, i));
    for (size_t i = 0; i < rows(f, IOL_TABLE_TOTAL); i++)
        ADD(total, total_row(f, i));
#undef ADD
    assert_memory_equal(io, total, sizeof(io));
}

static void nothing_gives_no_rows(void **state)
{
    struct fixture *f = *state;

    open_slot(f, FIRST, LIVE, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    close_epoch(f);
    close_epoch(f);
    assert_int_equal(iol_batch_count(f->batch), 0);
    assert_int_equal(stats_of(f).in_use, 0);
}

static void operations_become_a_row(void **state)
{
    struct fixture *f = *state;
    struct iol_model_process *process;
    struct iol_model_file *file;
    const struct iol_io *row;

    open_slot(f, FIRST, LIVE, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_SENDFILE);
    operate(f, FIRST, 3, 2, 100);
    f->slots[FIRST].epoch[0].read_errors += 5;
    f->slots[FIRST].epoch[0].write_errors += 6;
    f->cpus[1].total[0][IOL_ABI_ROUTE_SENDFILE].read_errors += 5;
    f->cpus[2].total[0][IOL_ABI_ROUTE_SENDFILE].write_errors += 6;
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 1);
    row = io_row(f, 0);
    assert_int_equal(row->ts, BOOT_OFFSET + (int64_t)EPOCH_NS);
    assert_int_equal(row->interval_ms, 1000);
    assert_int_equal(row->host_id, HOST_ID);
    assert_int_equal(row->route, IOL_ROUTE_SENDFILE);
    assert_int_equal(row->read_ops, 3);
    assert_int_equal(row->read_bytes, 300);
    assert_int_equal(row->write_ops, 2);
    assert_int_equal(row->write_bytes, 200);
    assert_int_equal(row->read_errors, 5);
    assert_int_equal(row->write_errors, 6);
    process = iol_model_get_process(f->model, LIVE, f->batch);
    file = iol_model_get_file(f->model, IOL_FILE_NOT_OPEN, f->batch);
    assert_int_equal(row->process_id, iol_model_process_id(process));
    assert_int_equal(row->file_id, iol_model_file_id(file));
    iol_model_put_process(f->model, process);
    iol_model_put_file(f->model, file);
    assert_int_equal(rows(f, IOL_TABLE_TOTAL), 1);
    assert_int_equal(total_row(f, 0)->ts, row->ts);
    assert_int_equal(total_row(f, 0)->interval_ms, 1000);
    assert_int_equal(total_row(f, 0)->host_id, HOST_ID);
    assert_balanced(f);
}

static void errors_alone_are_a_row(void **state)
{
    struct fixture *f = *state;

    open_slot(f, FIRST, LIVE, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    f->slots[FIRST].epoch[0].write_errors++;
    f->cpus[0].total[0][IOL_ABI_ROUTE_RW].write_errors++;
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 1);
    assert_int_equal(io_row(f, 0)->write_errors, 1);
    assert_balanced(f);
    f->slots[FIRST].epoch[1].read_errors++;
    f->cpus[0].total[1][IOL_ABI_ROUTE_RW].read_errors++;
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 1);
    assert_int_equal(io_row(f, 0)->read_errors, 1);
    assert_balanced(f);
}

/* Each of the two sets of counters goes on from its own last reading. */
static void each_epoch_has_its_difference(void **state)
{
    static const uint64_t reads[] = {1, 10, 0, 100, 1000, 7};
    struct fixture *f = *state;

    open_slot(f, FIRST, LIVE, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(reads); i++) {
        if (reads[i])
            operate(f, FIRST, reads[i], 0, 3);
        close_epoch(f);
        assert_int_equal(rows(f, IOL_TABLE_IO), reads[i] ? 1 : 0);
        if (reads[i]) {
            assert_int_equal(io_row(f, 0)->read_ops, reads[i]);
            assert_int_equal(io_row(f, 0)->read_bytes, 3 * reads[i]);
        }
        assert_balanced(f);
    }
    assert_int_equal(stats_of(f).ops, 1118);
    assert_int_equal(stats_of(f).read_bytes, 3 * 1118);
    assert_int_equal(stats_of(f).io_rows, 5);
    assert_int_equal(stats_of(f).in_use, 1);
}

static void counters_may_pass_their_end(void **state)
{
    struct fixture *f = *state;

    open_slot(f, FIRST, LIVE, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    f->slots[FIRST].epoch[0].read_bytes = UINT64_MAX - 4;
    f->cpus[0].total[0][0].read_bytes = UINT64_MAX - 4;
    close_epoch(f);
    close_epoch(f);
    operate(f, FIRST, 1, 0, 10);
    close_epoch(f);
    assert_int_equal(io_row(f, 0)->read_bytes, 10);
    assert_balanced(f);
}

/* The kernel never sets a counter back: the next owner's row begins where the last one's ended. */
static void counters_go_on_when_a_slot_is_used_again(void **state)
{
    struct fixture *f = *state;
    int64_t first, second;

    start_process(f, 0x600);
    open_slot(f, FIRST, 0x600, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    operate(f, FIRST, 5, 0, 10);
    close_epoch(f);
    first = io_row(f, 0)->process_id;
    operate(f, FIRST, 6, 0, 10);
    end_process(f, 0x600);
    close_epoch(f);
    close_epoch(f);
    assert_int_equal(f->freed[FIRST], 1);

    open_slot(f, FIRST, LIVE, IOL_FILE_OTHER, IOL_ABI_ROUTE_SPLICE);
    operate(f, FIRST, 1, 2, 10);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 1);
    second = io_row(f, 0)->process_id;
    assert_true(first != second);
    assert_int_equal(io_row(f, 0)->read_ops, 1);
    assert_int_equal(io_row(f, 0)->write_bytes, 20);
    assert_int_equal(io_row(f, 0)->route, IOL_ROUTE_SPLICE);
    assert_balanced(f);
    operate(f, FIRST, 2, 0, 10);
    close_epoch(f);
    assert_int_equal(io_row(f, 0)->read_ops, 2);
    assert_balanced(f);
}

static void io_sums_to_the_totals(void **state)
{
    struct fixture *f = *state;
    uint64_t random = 88172645463325252ULL, ops = 0;

    for (uint64_t image = 0x700; image < 0x710; image++)
        start_process(f, image);
    for (size_t i = FIRST; i < FIRST + 200; i++)
        open_slot(f, i, 0x700 + i % 16, i % 3 ? IOL_FILE_OTHER : 1000 + i, (uint32_t)(i % IOL_ROUTE_COUNT));
    for (int epoch = 0; epoch < 20; epoch++) {
        for (int n = 0; n < 150; n++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            uint64_t index = random % (FIRST + 200), reads = random >> 20 & 7, writes = random >> 30 & 7;

            if (index == IOL_ABI_IGNORED || index == IOL_ABI_EXCLUDED)
                continue;
            operate(f, index, reads, writes, random >> 40 & 0xFFF);
            ops += reads + writes;
        }
        close_epoch(f);
        assert_in_range(rows(f, IOL_TABLE_TOTAL), 1, IOL_ROUTE_COUNT);
        assert_balanced(f);
    }
    assert_int_equal(stats_of(f).ops, ops);
}

/* Giving back */

static void an_ended_process_gives_its_slots_back_an_epoch_later(void **state)
{
    struct fixture *f = *state;

    start_process(f, 0x600);
    open_slot(f, FIRST, 0x600, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    open_slot(f, FIRST + 1, LIVE, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    operate(f, FIRST, 1, 0, 10);
    operate(f, FIRST + 1, 1, 0, 10);
    close_epoch(f);
    assert_int_equal(f->n_removed + f->n_freed, 0);
    assert_int_equal(stats_of(f).in_use, 2);

    end_process(f, 0x600);
    close_epoch(f);
    assert_int_equal(f->removed[FIRST], 1);
    assert_int_equal(f->n_freed, 0);
    assert_int_equal(stats_of(f).in_use, 2);
    close_epoch(f);
    assert_int_equal(f->freed[FIRST], 1);
    assert_int_equal(stats_of(f).in_use, 1);
    for (int i = 0; i < 5; i++)
        close_epoch(f);
    assert_int_equal(f->n_removed, 1);
    assert_int_equal(f->n_freed, 1);
}

/* Started, used and ended between two looks: known by its name, and its slot comes back. */
static void a_life_within_one_epoch_is_whole(void **state)
{
    struct fixture *f = *state;
    struct iol_model_stats held = {0};

    start_process(f, 0x600);
    open_slot(f, FIRST, 0x600, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    operate(f, FIRST, 1, 0, 10);
    end_process(f, 0x600);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 1);
    assert_int_equal(rows(f, IOL_TABLE_PROCESS), 0); /* its row came with its record */
    assert_int_equal(f->removed[FIRST], 1);
    assert_int_equal(f->n_freed, 0);
    close_epoch(f);
    assert_int_equal(f->freed[FIRST], 1);
    assert_int_equal(stats_of(f).in_use, 0);
    for (int i = 0; i < 3; i++)
        close_epoch(f);
    iol_model_get_stats(f->model, &held);
    assert_int_equal(held.processes_held, 1);
}

/* Its records were read after its epoch began to be closed: the operations lie in the next one. */
static void a_life_across_the_end_of_an_epoch_is_whole(void **state)
{
    struct fixture *f = *state;

    start_process(f, 0x600);
    end_process(f, 0x600);
    close_epoch(f);
    open_slot(f, FIRST, 0x600, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    operate(f, FIRST, 1, 0, 10);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 1);
    assert_int_equal(rows(f, IOL_TABLE_PROCESS), 0);
    close_epoch(f);
    assert_int_equal(f->freed[FIRST], 1);
}

/* A program that had found the slot before its key was removed. */
static void late_operations_are_posted(void **state)
{
    struct fixture *f = *state;
    int64_t process;

    start_process(f, 0x600);
    open_slot(f, FIRST, 0x600, IOL_FILE_NOT_OPEN, IOL_ABI_ROUTE_RW);
    operate(f, FIRST, 1, 0, 10);
    close_epoch(f);
    process = io_row(f, 0)->process_id;
    end_process(f, 0x600);
    close_epoch(f);
    assert_int_equal(f->removed[FIRST], 1);
    operate(f, FIRST, 7, 0, 10);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 1);
    assert_int_equal(io_row(f, 0)->read_ops, 7);
    assert_int_equal(io_row(f, 0)->process_id, process);
    assert_int_equal(f->freed[FIRST], 1);
    assert_balanced(f);
}

static void idle_accounts_stay_while_there_is_room(void **state)
{
    struct fixture *f = *state;
    size_t room = (N_SLOTS - FIRST) * 3 / 4 - 1;

    for (size_t i = FIRST; i < FIRST + room; i++) {
        open_slot(f, i, LIVE, IOL_FILE_OTHER, IOL_ABI_ROUTE_RW);
        operate(f, i, 1, 0, 1);
    }
    for (int i = 0; i < 30; i++)
        close_epoch(f);
    assert_int_equal(f->n_removed, 0);
    assert_int_equal(stats_of(f).in_use, room);
}

static void idle_accounts_go_after_long(void **state)
{
    struct fixture *f = *state;

    for (size_t i = FIRST; i < FIRST + 2; i++) {
        open_slot(f, i, LIVE, IOL_FILE_OTHER, IOL_ABI_ROUTE_RW);
        operate(f, i, 1, 0, 1);
    }
    operate(f, IOL_ABI_ROUTE_RW, 1, 0, 1); /* the host's own stays */
    close_epoch(f);
    f->paused_ns = IOL_MODEL_IDLE_NS / 2;
    operate(f, FIRST + 1, 1, 0, 1);
    close_epoch(f);
    assert_int_equal(f->n_removed, 0);
    f->paused_ns = IOL_MODEL_IDLE_NS;
    close_epoch(f);
    assert_int_equal(f->n_removed, 1);
    assert_int_equal(f->removed[FIRST], 1);
}

/* Three quarters taken: what was idle for ten epochs goes, what is used stays. */
static void idle_accounts_go_when_slots_are_scarce(void **state)
{
    struct fixture *f = *state;
    size_t taken = (N_SLOTS - FIRST) * 3 / 4 + 1;

    for (size_t i = FIRST; i < FIRST + taken; i++) {
        open_slot(f, i, LIVE, IOL_FILE_OTHER, IOL_ABI_ROUTE_RW);
        operate(f, i, 1, 0, 1);
    }
    close_epoch(f); /* epoch 1 */
    for (int epoch = 2; epoch <= 10; epoch++) {
        operate(f, FIRST + 3, 1, 0, 1);
        close_epoch(f);
        assert_int_equal(f->n_removed, 0);
    }
    operate(f, FIRST + 3, 1, 0, 1);
    close_epoch(f);
    assert_int_equal(f->n_removed, taken - 1);
    assert_int_equal(f->removed[FIRST + 3], 0);
    assert_int_equal(f->n_freed, 0);
    close_epoch(f);
    assert_int_equal(f->n_freed, taken - 1);
    assert_int_equal(stats_of(f).in_use, 1);
}

static void idle_accounts_go_at_once_when_slots_run_out(void **state)
{
    struct fixture *f = *state;
    size_t taken = (N_SLOTS - FIRST) * 7 / 8 + 1;

    for (size_t i = FIRST; i < FIRST + taken; i++) {
        open_slot(f, i, LIVE, IOL_FILE_OTHER, IOL_ABI_ROUTE_RW);
        operate(f, i, 1, 0, 1);
    }
    operate(f, IOL_ABI_ROUTE_RW, 1, 0, 1); /* the host's own, idle from now on, is nobody's to take */
    close_epoch(f);
    assert_int_equal(f->n_removed, 0);
    operate(f, FIRST, 1, 0, 1);
    close_epoch(f);
    assert_int_equal(f->n_removed, taken - 1);
    assert_int_equal(f->removed[FIRST], 0);
}

/* The scan */

static void use(struct fixture *f, size_t index)
{
    open_slot(f, index, LIVE, IOL_FILE_OTHER, IOL_ABI_ROUTE_RW);
    operate(f, index, 1, 0, 1);
}

static void holes_as_wide_as_the_cpus_are_crossed(void **state)
{
    struct fixture *f = *state;

    use(f, FIRST + N_CPUS);
    use(f, FIRST + 2 * N_CPUS + 1);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 2);
    assert_balanced(f);
}

/* Nothing behind a hole that cannot be one is looked at, so a small machine does not pay for a big array. */
static void a_long_run_of_unopened_slots_ends_the_scan(void **state)
{
    struct fixture *f = *state;

    use(f, FIRST);
    use(f, FIRST + 500);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 1);
}

static void spare_slots_are_looked_at_all_the_same(void **state)
{
    struct fixture *f = *state;

    use(f, FIRST);
    use(f, FIRST_SPARE);
    use(f, FIRST_SPARE + N_CPUS + 1);
    use(f, N_SLOTS - 1);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 4);
    assert_balanced(f);
}

/* Wherever the last run before them begins. */
static void spare_slots_have_a_run_of_their_own(void **state)
{
    struct fixture *f = *state;

    for (size_t i = FIRST; i < FIRST_SPARE; i++) {
        f->slots[i].opened_ns = 1;
        if (i < FIRST_SPARE - 150)
            continue;
        use(f, N_SLOTS - 1);
        close_epoch(f);
        assert_int_equal(rows(f, IOL_TABLE_IO), 1);
    }
}

static void every_slot_may_be_in_use(void **state)
{
    struct fixture *f = *state;

    for (size_t i = FIRST; i < N_SLOTS; i++)
        use(f, i);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), N_SLOTS - FIRST);
    assert_balanced(f);
}

/* The host's own slots have no key: (other processes), never given back, each under its own route. */
static void what_found_no_account_is_the_hosts(void **state)
{
    struct fixture *f = *state;
    const struct iol_process *process;
    const struct iol_file *file;

    operate(f, IOL_ABI_ROUTE_RW, 2, 0, 10);
    operate(f, IOL_ABI_ROUTE_SPLICE, 0, 3, 10);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_IO), 2);
    assert_int_equal(io_row(f, 0)->route, IOL_ROUTE_RW);
    assert_int_equal(io_row(f, 1)->route, IOL_ROUTE_SPLICE);
    assert_int_equal(rows(f, IOL_TABLE_PROCESS), 1);
    assert_int_equal(rows(f, IOL_TABLE_FILE), 1);
    process = f->batch->rows[IOL_TABLE_PROCESS].data;
    file = f->batch->rows[IOL_TABLE_FILE].data;
    assert_string_equal(process->comm, "(other processes)");
    assert_int_equal(process->pid, 0);
    assert_string_equal(file->path, "(other files)");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(io_row(f, i)->process_id, process->id);
        assert_int_equal(io_row(f, i)->file_id, file->id);
    }
    assert_balanced(f);
    for (int i = 0; i < 20; i++)
        close_epoch(f);
    assert_int_equal(f->n_removed + f->n_freed, 0);
}

/* Times */

static void set_times(struct fixture *f, uint64_t opened_ns, uint64_t first, uint64_t last)
{
    struct iol_counters *counters = &f->slots[FIRST].epoch[f->epoch & 1];

    f->slots[FIRST].opened_ns = opened_ns;
    counters->first = first;
    counters->last = last;
}

static void times_lie_within_the_interval(void **state)
{
    struct fixture *f = *state;
    uint64_t jiffies = epoch_start_jiffies(4), start = epoch_start_ns(4), end = epoch_start_ns(5);
    const struct {
        uint64_t opened_ns, first, last, first_ns, last_ns;
    } cases[] = {
        {1, jiffies + 25, jiffies + 125, start + EPOCH_NS / 10, start + EPOCH_NS / 2},
        {1, jiffies, jiffies + EPOCH_JIFFIES, start, end},
        {1, jiffies - 7, jiffies + EPOCH_JIFFIES + 7, start, end}, /* a tick read around the turn of the epoch */
        {1, 0, 0, start, start},
        {start + 5, jiffies, jiffies + 25, start + 5, start + EPOCH_NS / 10}, /* not before it was opened */
        {start + 5, jiffies, jiffies, start + 5, start + 5},
        {end + 5, jiffies + 25, jiffies + 25, start + EPOCH_NS / 10, start + EPOCH_NS / 10},
        {1, jiffies + 125, jiffies + 25, start + EPOCH_NS / 2, start + EPOCH_NS / 2}, /* two threads raced */
    };

    for (size_t i = 0; i < IOL_ARRAY_SIZE(cases); i++) {
        f->epoch = 4;
        use(f, FIRST);
        set_times(f, cases[i].opened_ns, cases[i].first, cases[i].last);
        close_epoch(f);
        assert_int_equal(io_row(f, 0)->first_ts, BOOT_OFFSET + (int64_t)cases[i].first_ns);
        assert_int_equal(io_row(f, 0)->last_ts, BOOT_OFFSET + (int64_t)cases[i].last_ns);
    }
}

/* Ticks stood still: what was before and after has its time, and nothing is in between. */
static void an_epoch_with_a_sleep_in_it_has_times(void **state)
{
    const struct iol_epoch epoch = {.number = 1,
                                    .from_jiffies = 1000,
                                    .to_jiffies = 2000,
                                    .from_ns = 10000,
                                    .to_ns = 20000,
                                    .slept_from_ns = 10500,
                                    .slept_ns = 9000};
    struct fixture *f = *state;

    use(f, FIRST);
    set_times(f, 1, 1400, 1600);
    assert_int_equal(iol_accounts_post(f->accounts, &epoch, f->model, f->batch), 0);
    assert_int_equal(io_row(f, 0)->first_ts, BOOT_OFFSET + 10400);
    assert_int_equal(io_row(f, 0)->last_ts, BOOT_OFFSET + 19600);
}

static void an_epoch_shorter_than_a_tick_has_times(void **state)
{
    const struct iol_epoch epoch = {.number = 1, .from_jiffies = 9, .to_jiffies = 9, .from_ns = 500, .to_ns = 700};
    struct fixture *f = *state;

    use(f, FIRST);
    set_times(f, 1, 9, 9);
    assert_int_equal(iol_accounts_post(f->accounts, &epoch, f->model, f->batch), 0);
    assert_int_equal(io_row(f, 0)->first_ts, BOOT_OFFSET + 500);
    assert_int_equal(io_row(f, 0)->last_ts, BOOT_OFFSET + 500);
    assert_int_equal(io_row(f, 0)->interval_ms, 0);
}

/* Losses, and what is left out */

static void losses_are_rows_when_they_happen(void **state)
{
    struct fixture *f = *state;

    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_LOSS), 0);
    f->cpus[0].lost[IOL_LOST_SCRATCH] += 2;
    f->cpus[N_CPUS - 1].lost[IOL_LOST_SCRATCH] += 3;
    f->cpus[1].lost[IOL_LOST_EVENTS] += 1;
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_LOSS), 2);
    assert_string_equal(loss_row(f, 0)->reason, iol_lost_reason(IOL_LOST_SCRATCH));
    assert_int_equal(loss_row(f, 0)->lost, 5);
    assert_int_equal(loss_row(f, 0)->ts_from, BOOT_OFFSET + (int64_t)epoch_start_ns(1));
    assert_int_equal(loss_row(f, 0)->ts_to, BOOT_OFFSET + (int64_t)epoch_start_ns(2));
    assert_int_equal(loss_row(f, 0)->host_id, HOST_ID);
    assert_string_equal(loss_row(f, 1)->reason, iol_lost_reason(IOL_LOST_EVENTS));
    assert_int_equal(loss_row(f, 1)->lost, 1);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_LOSS), 0);
    f->cpus[2].lost[IOL_LOST_SCRATCH]++;
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_LOSS), 1);
    assert_int_equal(loss_row(f, 0)->lost, 1);
    assert_int_equal(stats_of(f).lost[IOL_LOST_SCRATCH], 6);
}

static void every_reason_has_its_own_text(void **state)
{
    (void)state;
    for (int i = 0; i < IOL_LOST_COUNT; i++) {
        assert_non_null(iol_lost_reason(i));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(iol_lost_reason(i), iol_lost_reason(k));
    }
}

static void what_is_excluded_is_counted_apart(void **state)
{
    struct fixture *f = *state;

    count(&f->cpus[0].total[0][IOL_ABI_EXCLUDED], 2, 3, 100);
    use(f, FIRST);
    close_epoch(f);
    assert_int_equal(rows(f, IOL_TABLE_TOTAL), 1);
    assert_int_equal(total_row(f, 0)->route, IOL_ROUTE_RW);
    assert_int_equal(stats_of(f).excluded_ops, 5);
    assert_int_equal(stats_of(f).excluded_bytes, 500);
    assert_int_equal(stats_of(f).ops, 1);
    count(&f->cpus[1].total[1][IOL_ABI_EXCLUDED], 1, 0, 1);
    close_epoch(f);
    close_epoch(f);
    assert_int_equal(iol_batch_count(f->batch), 0);
    assert_int_equal(stats_of(f).excluded_ops, 6);
    assert_int_equal(stats_of(f).excluded_bytes, 501);
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    iol_accounts_free(NULL);
}

int main(void)
{
#define WITH_KERNEL(test) cmocka_unit_test_setup_teardown(test, make, drop)
    const struct CMUnitTest tests[] = {
        WITH_KERNEL(nothing_gives_no_rows),
        WITH_KERNEL(operations_become_a_row),
        WITH_KERNEL(errors_alone_are_a_row),
        WITH_KERNEL(each_epoch_has_its_difference),
        WITH_KERNEL(counters_may_pass_their_end),
        WITH_KERNEL(counters_go_on_when_a_slot_is_used_again),
        WITH_KERNEL(io_sums_to_the_totals),
        WITH_KERNEL(an_ended_process_gives_its_slots_back_an_epoch_later),
        WITH_KERNEL(a_life_within_one_epoch_is_whole),
        WITH_KERNEL(a_life_across_the_end_of_an_epoch_is_whole),
        WITH_KERNEL(late_operations_are_posted),
        WITH_KERNEL(idle_accounts_stay_while_there_is_room),
        WITH_KERNEL(idle_accounts_go_after_long),
        WITH_KERNEL(idle_accounts_go_when_slots_are_scarce),
        WITH_KERNEL(idle_accounts_go_at_once_when_slots_run_out),
        WITH_KERNEL(holes_as_wide_as_the_cpus_are_crossed),
        WITH_KERNEL(a_long_run_of_unopened_slots_ends_the_scan),
        WITH_KERNEL(spare_slots_are_looked_at_all_the_same),
        WITH_KERNEL(spare_slots_have_a_run_of_their_own),
        WITH_KERNEL(every_slot_may_be_in_use),
        WITH_KERNEL(what_found_no_account_is_the_hosts),
        WITH_KERNEL(times_lie_within_the_interval),
        WITH_KERNEL(an_epoch_with_a_sleep_in_it_has_times),
        WITH_KERNEL(an_epoch_shorter_than_a_tick_has_times),
        WITH_KERNEL(losses_are_rows_when_they_happen),
        cmocka_unit_test(every_reason_has_its_own_text),
        WITH_KERNEL(what_is_excluded_is_counted_apart),
        cmocka_unit_test(freeing_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
