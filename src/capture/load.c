// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* From the embedded object to loaded programs and mapped memory. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "bpf/objects.h"
#include "capture/capture.intern.h"
#include "capture/drain.h"
#include "capture/pin.h"
#include "capture/preempt.h"

#define RING_BYTES_PER_SLOT 64 /* a second of short processes, while user space posts that many accounts */
#define RING_BYTES_MIN (1U << 20)
#define RING_BYTES_MAX (64U << 20)
#define MAX_FILES 65536U
#define MAX_TASKS 32768U  /* beyond those that have a place in `task_places` */
#define SCRATCH_PER_CPU 2 /* bpf/scratch.bpf.h */

static __attribute__((format(printf, 2, 0))) int print_verbose(enum libbpf_print_level level, const char *format,
                                                               va_list args)
{
    if (level == LIBBPF_DEBUG)
        return 0;
    return vfprintf(stderr, format, args);
}

void iol_capture_set_verbose(bool verbose)
{
    libbpf_set_print(verbose ? print_verbose : NULL);
}

/* Kernels before 5.11 charge BPF memory to RLIMIT_MEMLOCK. Not being allowed to raise it is an error only if the load fails. */
static void raise_memlock(void)
{
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

    (void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

/* The modern programs need the kfunc bpf_rdonly_cast (6.2). */
static bool kernel_is_modern(void)
{
    struct btf *btf = btf__load_vmlinux_btf();
    bool modern = btf && btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;

    btf__free(btf);
    return modern;
}

/* The legacy ones need an atomic compare-and-swap: 5ffa25502b5a "bpf: Add instructions for atomic_[cmp]xchg", 5.12. */
static bool kernel_can_exchange(void)
{
    const struct bpf_insn insns[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .src_reg = BPF_REG_0, .off = -8},
        {.code = BPF_STX | BPF_ATOMIC | BPF_DW,
         .dst_reg = BPF_REG_10,
         .src_reg = BPF_REG_0,
         .off = -8,
         .imm = BPF_CMPXCHG},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int program =
        bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "exchange", "Dual BSD/GPL", insns, IOL_ARRAY_SIZE(insns), NULL);

    if (program >= 0)
        close(program);
    return program >= 0;
}

struct object {
    const unsigned char *data;
    size_t size;
};

static struct object embedded_object(bool legacy)
{
    if (!legacy && kernel_is_modern())
        return (struct object){iol_bpf_object, (size_t)(iol_bpf_object_end - iol_bpf_object)};
    if (kernel_can_exchange())
        return (struct object){iol_bpf_legacy_object, (size_t)(iol_bpf_legacy_object_end - iol_bpf_legacy_object)};
    return (struct object){iol_bpf_plain_object, (size_t)(iol_bpf_plain_object_end - iol_bpf_plain_object)};
}

static int open_object(struct iol_capture *capture, const struct object *object, struct iol_error *err)
{
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "ioledger");

    capture->object = bpf_object__open_mem(object->data, object->size, &options);
    if (!capture->object)
        return iol_error_set(err, -errno, "cannot read the embedded BPF programs: %m");
    return 0;
}

static void set_size(struct iol_capture *capture, const char *name, uint32_t entries)
{
    bpf_map__set_max_entries(bpf_object__find_map_by_name(capture->object, name), entries);
}

/* A power of two, and so of pages; it is mapped twice. */
static uint32_t ring_bytes(uint64_t slots)
{
    uint32_t bytes = RING_BYTES_MIN;

    while (bytes < RING_BYTES_MAX && bytes < slots * RING_BYTES_PER_SLOT)
        bytes *= 2;
    return bytes;
}

/* A power of two; of eight keys each, half of which are used when as many files are known as user space remembers. */
static uint32_t sent_sets(size_t slots)
{
    uint32_t sets = MAX_FILES / 4;

    while (sets < slots / 4)
        sets *= 2;
    return sets;
}

/* A power of two, two at least, each with places for seven accounts: nearly all find one, as a process's own or by their inodes. */
static uint32_t account_sets(size_t slots)
{
    uint32_t sets = 2;

    while (sets < slots / 4)
        sets *= 2;
    return sets;
}

/* Slots are shared between the host's own (one for each route), the spare ones for pseudo files, and the rest. */
static void choose_sizes(struct iol_capture *capture)
{
    uint32_t spare = (uint32_t)capture->n_slots / 8;

    capture->n_spare = spare < 16 ? 16 : spare > 4096 ? 4096 : spare;
    capture->ring_bytes = ring_bytes(capture->n_slots);
    capture->settings.sent_mask = sent_sets(capture->n_slots) - 1;
    capture->settings.set_mask = account_sets(capture->n_slots) - 1;
    capture->settings.ring_wakeup = capture->ring_bytes / 4; /* see ring_send_event() */
}

static void set_sizes(struct iol_capture *capture)
{
    uint32_t slots = (uint32_t)capture->n_slots;

    set_size(capture, "slots", slots);
    set_size(capture, "account_sets", capture->settings.set_mask + 1);
    set_size(capture, "accounts", slots);
    set_size(capture, "free_slots", slots);
    set_size(capture, "spare_slots", capture->n_spare);
    set_size(capture, "sent", capture->settings.sent_mask + 1);
    set_size(capture, "files", slots < MAX_FILES ? MAX_FILES : slots);
    set_size(capture, "tasks", MAX_TASKS);
    set_size(capture, "cpus", (uint32_t)capture->n_cpus);
    set_size(capture, "scratches", (uint32_t)capture->n_cpus * SCRATCH_PER_CPU);
    set_size(capture, "ring", capture->ring_bytes);
}

static int find_programs(struct iol_capture *capture)
{
    static const struct {
        const char *name;
        size_t offset;
    } wanted[] = {
        {"on_clock", offsetof(struct iol_capture, clock_program_fd)},
        {"on_hand_back", offsetof(struct iol_capture, hand_back_program_fd)},
        {"on_running", offsetof(struct iol_capture, running_program_fd)},
    };

    for (size_t i = 0; i < IOL_ARRAY_SIZE(wanted); i++) {
        struct bpf_program *program = bpf_object__find_program_by_name(capture->object, wanted[i].name);
        int fd = program ? fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0) : -1;

        if (fd < 0)
            return -ENOENT;
        *(int *)((char *)capture + wanted[i].offset) = fd;
    }
    return 0;
}

static int make_grace_map(struct iol_capture *capture)
{
    LIBBPF_OPTS(bpf_map_create_opts, options);

    capture->inner_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", sizeof(uint32_t), sizeof(uint32_t), 1, NULL);
    if (capture->inner_fd < 0)
        return -errno;
    options.inner_map_fd = (uint32_t)capture->inner_fd;
    capture->outer_fd =
        bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace", sizeof(uint32_t), sizeof(uint32_t), 1, &options);
    return capture->outer_fd < 0 ? -errno : 0;
}

static int copy_roots(struct iol_capture *capture, const struct iol_capture_options *options)
{
    capture->command = options->command;
    capture->excluded = options->excluded;
    if (!options->n_pids)
        return 0;
    capture->pids = calloc(options->n_pids, sizeof(*capture->pids));
    if (!capture->pids)
        return -ENOMEM;
    memcpy(capture->pids, options->pids, options->n_pids * sizeof(*capture->pids));
    capture->n_pids = options->n_pids;
    return 0;
}

/* libbpf keeps what a section began with as long as the object is there: of this one 4 MB of zeros. */
static void drop_initial_threads(const struct iol_capture *capture)
{
    struct bpf_map *map = bpf_object__find_map_by_name(capture->object, ".bss.threads");
    size_t size = 0;
    const void *zeros = map ? bpf_map__initial_value(map, &size) : NULL;

    if (zeros)
        madvise((void *)(uintptr_t)zeros, iol_capture_page_round(size), MADV_REMOVE);
}

/* libbpf has copied what it needs of it. Its pages are the binary's own: should they be read again, they come from there. */
static void drop_object(const struct object *object)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)object->data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)object->data + object->size) / page * page;

    madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static int load_object(struct iol_capture *capture, enum iol_probe_set set, struct iol_error *err)
{
    struct bpf_map *settings = bpf_object__find_map_by_name(capture->object, ".rodata.settings");
    int r;

    set_sizes(capture);
    r = iol_capture_choose_programs(capture, set, err);
    if (r < 0)
        return r;
    r = bpf_map__set_initial_value(settings, &capture->settings, sizeof(capture->settings));
    if (r < 0)
        return iol_error_set(err, r, "the embedded BPF programs do not fit this binary: build it anew");
    r = bpf_object__load(capture->object);
    drop_initial_threads(capture);
    return r < 0 ? iol_capture_explain(r, err) : 0;
}

/* From here on it is the same whether the programs were loaded now or long ago. */
static int open_loaded(struct iol_capture *capture, const struct iol_capture_options *options, struct iol_error *err)
{
    int r = iol_capture_map_memory(capture);

    if (r < 0)
        return iol_error_set(err, r, "cannot map the accounts: %s", strerror(-r));
    r = make_grace_map(capture);
    if (r < 0)
        return iol_error_set(err, r, "cannot create a map of maps: %s", strerror(-r));
    r = capture->resumed ? iol_capture_recover(capture) : 0;
    if (r < 0)
        return iol_error_set(err, r, "cannot map the places of threads: %s", strerror(-r));
    if (!options->pin || !options->pin->any) {
        capture->rules = capture->control->rules;
        r = iol_capture_set_rules(capture, &options->rules, err);
        if (r < 0)
            return r;
    }
    r = iol_ring_new(iol_capture_map(capture, "ring"), capture->ring_bytes, &capture->ring);
    if (r < 0)
        return iol_error_set(err, r, "cannot map the ring buffer: %s", strerror(-r));
    iol_ring_hold(capture->ring, capture->folder != NULL);
    return 0;
}

static int load_anew(struct iol_capture *capture, const struct iol_capture_options *options,
                     const struct object *object, struct iol_error *err)
{
    int r;

    r = open_object(capture, object, err);

    if (r == 0)
        r = load_object(capture, options->probes, err);
    if (r < 0)
        return r;
    r = iol_capture_take_maps(capture);
    if (r == 0)
        r = find_programs(capture);
    if (r < 0)
        return iol_error_set(err, r, "cannot find maps and programs: %s", strerror(-r));
    r = iol_capture_fill_slots(capture);
    if (r < 0)
        return iol_error_set(err, r, "cannot fill the list of free accounts: %s", strerror(-r));
    r = iol_capture_fill_filters(capture, options, err);
    return r == 0 && capture->folder ? iol_capture_pin(capture, err) : r;
}

static int open_capture(struct iol_capture *capture, const struct iol_capture_options *options, struct iol_error *err)
{
    int n_cpus = libbpf_num_possible_cpus();
    struct object object;
    int r;

    if (n_cpus < 0)
        return iol_error_set(err, n_cpus, "cannot tell the number of CPUs: %s", strerror(-n_cpus));
    capture->n_cpus = (size_t)n_cpus;
    capture->n_slots = options->max_accounts;
    capture->preemptible = iol_preempt_functions();
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    raise_memlock();
    object = embedded_object(options->legacy);

    r = copy_roots(capture, options);
    if (r < 0)
        return iol_error_set(err, r, "out of memory");
    r = iol_capture_settings(capture, options, err);
    if (r < 0)
        return r;
    choose_sizes(capture);
    capture->identity = iol_capture_identity(capture, options, object.data, object.size);
    r = options->pin ? iol_capture_take_over(capture, options->pin, err) : 1;
    if (r == 1)
        r = load_anew(capture, options, &object, err);
    drop_object(&object);
    if (r < 0)
        return r;
    return open_loaded(capture, options, err);
}

int iol_capture_open(const struct iol_capture_options *options, struct iol_capture **ret_capture, struct iol_error *err)
{
    struct iol_capture *capture = calloc(1, sizeof(*capture));
    int r;

    if (!capture) {
        if (options->pin)
            close(options->pin->lock);
        return iol_error_set(err, -ENOMEM, "out of memory");
    }
    capture->inner_fd = capture->outer_fd = capture->clock_program_fd = -1;
    capture->hand_back_program_fd = capture->running_program_fd = -1;
    capture->lock = options->pin ? options->pin->lock : -1;
    r = open_capture(capture, options, err);
    if (r < 0) {
        iol_capture_close(capture);
        return r;
    }
    *ret_capture = capture;
    return 0;
}

static void close_all(const struct iol_capture *capture)
{
    const int fds[] = {capture->inner_fd,           capture->outer_fd,
                       capture->clock_program_fd,   capture->hand_back_program_fd,
                       capture->running_program_fd, capture->lock};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(fds); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

void iol_capture_close(struct iol_capture *capture)
{
    if (!capture)
        return;
    if (capture->folder) {
        iol_capture_let_go(capture);
        if (capture->fresh && !capture->whole)
            iol_pin_clear(capture->folder); /* a start that failed half-way */
    } else {
        iol_capture_detach(capture);
    }
    iol_probes_free(capture->probes);
    iol_ring_free(capture->ring);
    iol_capture_drop_maps(capture);
    close_all(capture);
    bpf_object__close(capture->object);
    free(capture->pids);
    free(capture->folder);
    free(capture->books_name);
    free(capture->spool_name);
    free(capture);
}
