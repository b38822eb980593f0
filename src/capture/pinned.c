// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Recording with maps, programs and links that outlive the recorder: struct iol_capture as pin.h keeps it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.intern.h"
#include "capture/pin.h"

#define MAX_KNOWN_IMAGES 131072U
#define KNOWN_FILES_PER_SLOT 4U /* files are remembered for a while after their accounts are closed */
#define MIN_KNOWN_FILES 262144U

static int add_pinned_map(void *arg, const char *name)
{
    struct iol_capture *capture = arg;

    return iol_capture_add_map(capture, name, iol_pin_open(capture->folder, "maps", name));
}

static int read_settings(struct iol_capture *capture)
{
    struct bpf_map_info info = {0};
    uint32_t size = sizeof(info), zero = 0;
    int fd = iol_capture_map(capture, ".rodata.settings");

    if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
        return -errno;
    if (info.value_size != sizeof(capture->settings))
        return -EPROTO;
    return bpf_map_lookup_elem(fd, &zero, &capture->settings) < 0 ? -errno : 0;
}

static int open_pins(struct iol_capture *capture, const struct iol_about *about)
{
    int r = iol_pin_each(capture->folder, "maps", add_pinned_map, capture);

    if (r == 0)
        r = read_settings(capture);
    if (r < 0)
        return r;
    capture->n_slots = about->n_slots;
    capture->n_spare = about->n_spare;
    capture->n_cpus = about->n_cpus;
    capture->ring_bytes = about->ring_bytes;
    capture->clock_program_fd = iol_pin_open(capture->folder, "programs", "on_clock");
    capture->hand_back_program_fd = iol_pin_open(capture->folder, "programs", "on_hand_back");
    capture->running_program_fd = iol_pin_open(capture->folder, "programs", "on_running");
    return capture->clock_program_fd < 0 || capture->hand_back_program_fd < 0 || capture->running_program_fd < 0
               ? -ENOENT
               : 0;
}

static void find_uncovered(struct iol_capture *capture)
{
    struct btf *btf = btf__load_vmlinux_btf();

    if (btf && iol_capture_uring(btf) == IOL_URING_UNKNOWN)
        capture->uncovered = IOL_UNCOVERED_URING;
    btf__free(btf);
}

static int wrong_books(const char *folder, const struct iol_about *about, const char *books, struct iol_error *err)
{
    iol_error_set(err, -EEXIST, "the counters in %s belong to %s, not to %s", folder, about->books, books);
    iol_error_hint(err, "go on with --db %s, or end them with 'ioledger stop --unpin' first", about->books);
    return -EEXIST;
}

static int other_programs(const struct iol_capture_pin *pin, struct iol_error *err)
{
    return iol_error_set(err, -ESTALE, "the programs in %s are those of another version, or of other options",
                         pin->folder);
}

static int check_about(const struct iol_capture *capture, const struct iol_capture_pin *pin,
                       const struct iol_about *about, struct iol_error *err)
{
    if (strcmp(about->books, pin->books) != 0)
        return wrong_books(pin->folder, about, pin->books, err);
    if (pin->any || (about->identity == capture->identity && about->abi_version == IOL_ABI_VERSION && !about->ending))
        return 0;
    return other_programs(pin, err);
}

int iol_capture_take_over(struct iol_capture *capture, const struct iol_capture_pin *pin, struct iol_error *err)
{
    struct iol_about about;
    int r;

    capture->folder = strdup(pin->folder);
    capture->books_name = strdup(pin->books);
    capture->spool_name = strdup(pin->spool);
    if (!capture->folder || !capture->books_name || !capture->spool_name)
        return iol_error_set(err, -ENOMEM, "out of memory");
    r = iol_pin_read(pin->folder, &about, err);
    if (r == -ENOENT) {
        r = iol_pin_clear(pin->folder); /* what a start that was killed has left */
        if (r < 0)
            return iol_error_set(err, r, "cannot clear %s: %s", pin->folder, strerror(-r));
        capture->fresh = true;
        return pin->any ? iol_error_set(err, -ENOENT, "nothing is pinned in %s", pin->folder) : 1;
    }
    capture->whole = true;
    if (r == 0)
        r = check_about(capture, pin, &about, err);
    if (r < 0)
        return r;
    r = open_pins(capture, &about);
    if (r < 0)
        return iol_error_set(err, r, "cannot take over what is pinned in %s: %s", pin->folder, strerror(-r));
    if (!pin->any && capture->excluded > 0 && !(capture->settings.filter & IOL_FILTER_ANY))
        return other_programs(pin, err); /* which look at no process's verdict */
    find_uncovered(capture);
    capture->resumed = true;
    return 0;
}

static int create_map(struct iol_capture *capture, enum bpf_map_type type, const char *name, uint32_t value_size,
                      uint32_t entries)
{
    LIBBPF_OPTS(bpf_map_create_opts, options);
    bool array = type == BPF_MAP_TYPE_ARRAY;
    int fd;

    options.map_flags = array ? BPF_F_MMAPABLE : BPF_F_NO_PREALLOC;
    fd = bpf_map_create(type, name, array ? sizeof(uint32_t) : sizeof(uint64_t), value_size, entries, &options);
    return fd < 0 ? -errno : iol_capture_add_map(capture, name, fd);
}

static int create_books(struct iol_capture *capture)
{
    uint32_t slots = (uint32_t)capture->n_slots;
    uint32_t files = slots > MIN_KNOWN_FILES / KNOWN_FILES_PER_SLOT ? slots * KNOWN_FILES_PER_SLOT : MIN_KNOWN_FILES;
    int r = create_map(capture, BPF_MAP_TYPE_ARRAY, "books", sizeof(struct iol_books), 1);

    if (r == 0)
        r = create_map(capture, BPF_MAP_TYPE_ARRAY, "posted", sizeof(struct iol_posted), slots);
    if (r == 0)
        r = create_map(capture, BPF_MAP_TYPE_ARRAY, "fold", sizeof(struct iol_fold), 1);
    if (r == 0)
        r = create_map(capture, BPF_MAP_TYPE_HASH, "known_files", sizeof(int64_t), files);
    if (r == 0)
        r = create_map(capture, BPF_MAP_TYPE_HASH, "known_images", sizeof(struct iol_known_image), MAX_KNOWN_IMAGES);
    return r;
}

int iol_capture_pin(struct iol_capture *capture, struct iol_error *err)
{
    int r = create_books(capture);

    for (size_t i = 0; r == 0 && i < capture->n_maps; i++)
        r = iol_pin_add(capture->folder, "maps", capture->maps[i].name, capture->maps[i].fd);
    if (r == 0)
        r = iol_pin_add(capture->folder, "programs", "on_clock", capture->clock_program_fd);
    if (r == 0)
        r = iol_pin_add(capture->folder, "programs", "on_hand_back", capture->hand_back_program_fd);
    if (r == 0)
        r = iol_pin_add(capture->folder, "programs", "on_running", capture->running_program_fd);
    return r < 0 ? iol_error_set(err, r, "cannot pin maps and programs in %s: %s", capture->folder, strerror(-r)) : 0;
}

int iol_capture_complete(struct iol_capture *capture, struct iol_error *err)
{
    struct iol_about about = {
        .size = sizeof(about),
        .layout = IOL_LAYOUT,
        .abi_version = IOL_ABI_VERSION,
        .n_slots = (uint32_t)capture->n_slots,
        .n_spare = capture->n_spare,
        .n_cpus = (uint32_t)capture->n_cpus,
        .ring_bytes = capture->ring_bytes,
        .identity = capture->identity,
        .version = IOL_VERSION,
    };
    int r;

    if (strlen(capture->books_name) >= sizeof(about.books) || strlen(capture->spool_name) >= sizeof(about.spool))
        return iol_error_set(err, -ENAMETOOLONG,
                             "the URL of the database, or the path of the spool, is longer than %zu bytes",
                             sizeof(about.books) - 1);
    memcpy(about.books, capture->books_name, strlen(capture->books_name));
    memcpy(about.spool, capture->spool_name, strlen(capture->spool_name));
    r = iol_pin_complete(capture->folder, &about);
    if (r < 0)
        return iol_error_set(err, r, "cannot pin what describes the others in %s: %s", capture->folder, strerror(-r));
    capture->whole = true;
    /* the links hold the programs from here on, and those only: see iol_pin_remove_links() */
    iol_capture_let_go(capture);
    bpf_object__close(capture->object);
    capture->object = NULL;
    return 0;
}

bool iol_capture_resumed(const struct iol_capture *capture)
{
    return capture->resumed;
}

int iol_capture_unpin(struct iol_capture *capture)
{
    int r = iol_pin_remove(capture->folder);

    capture->whole = false;
    return r;
}

int iol_capture_discard(const char *folder, struct iol_error *err)
{
    _cleanup_close_ int lock = iol_pin_lock(folder, err);
    int r;

    if (lock < 0)
        return lock;
    iol_pin_end(folder);
    r = iol_pin_remove_links(folder);
    if (r == 0)
        r = iol_pin_remove(folder);
    return r < 0 ? iol_error_set(err, r, "cannot clear %s: %s", folder, strerror(-r)) : 0;
}

int iol_capture_lock(const char *folder, struct iol_error *err)
{
    return iol_pin_lock(folder, err);
}

pid_t iol_capture_holder(const char *folder)
{
    return iol_pin_holder(folder);
}

int iol_capture_pinned(const char *folder, struct iol_about *ret_about, struct iol_error *err)
{
    return iol_pin_read(folder, ret_about, err);
}

struct iol_books *iol_capture_books(const struct iol_capture *capture)
{
    return capture->books;
}

struct iol_posted *iol_capture_posted(const struct iol_capture *capture)
{
    return capture->posted;
}

/* Puts the entries into a map, in one call; and those whose value begins with a zero, or whose bits are none, out of it. */
static int put_entries(int fd, const uint64_t *keys, const void *values, size_t value_size, size_t n)
{
    LIBBPF_OPTS(bpf_map_batch_opts, options);

    for (size_t from = 0; from < n;) {
        uint32_t count = (uint32_t)(n - from);

        if (bpf_map_update_batch(fd, keys + from, (const char *)values + from * value_size, &count, &options) == 0)
            return 0;
        if (errno != E2BIG && errno != ENOMEM)
            return -errno;
        from += count + 1; /* no room: a successor will not know this one's row, and write one that says so */
    }
    return 0;
}

int iol_capture_know_files(const struct iol_capture *capture, const uint64_t *keys, const int64_t *ids, size_t n)
{
    int fd = iol_capture_map(capture, "known_files");
    int r = put_entries(fd, keys, ids, sizeof(*ids), n);

    for (size_t i = 0; r == 0 && i < n; i++) {
        int64_t id;

        /* it may have become known again behind this entry */
        if (!ids[i] && bpf_map_lookup_elem(fd, &keys[i], &id) == 0 && !id)
            bpf_map_delete_elem(fd, &keys[i]);
    }
    return r;
}

int iol_capture_know_images(const struct iol_capture *capture, const uint64_t *images,
                            const struct iol_known_image *values, size_t n)
{
    int fd = iol_capture_map(capture, "known_images");
    int r = put_entries(fd, images, values, sizeof(*values), n);

    for (size_t i = 0; r == 0 && i < n; i++) {
        if (!values[i].bits)
            bpf_map_delete_elem(fd, &images[i]);
    }
    return r;
}

/*
 * All entries of a hash map: *ret_keys and *ret_values are malloc'ed. One by one: bpf_map_lookup_batch() passes all the empty buckets of a map
 * with programs left out on its CPU (bpf_disable_instrumentation()), which where that can be preempted is as much as others do in a time slice.
 */
static int read_entries(int fd, size_t value_size, void **ret_keys, void **ret_values, size_t *ret_n)
{
    struct bpf_map_info info = {0};
    uint32_t size = sizeof(info);
    _cleanup_free_ uint64_t *keys = NULL;
    _cleanup_free_ char *values = NULL;
    size_t n = 0;

    if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
        return -errno;
    keys = calloc(info.max_entries, sizeof(*keys));
    values = calloc(info.max_entries, value_size);
    if (!keys || !values)
        return -ENOMEM;
    while (n < info.max_entries && bpf_map_get_next_key(fd, n ? &keys[n - 1] : NULL, &keys[n]) == 0) {
        if (bpf_map_lookup_elem(fd, &keys[n], values + n * value_size) < 0)
            return -errno; /* nobody else takes entries out */
        n++;
    }
    if (n < info.max_entries && errno != ENOENT)
        return -errno;
    *ret_keys = TAKE_PTR(keys);
    *ret_values = TAKE_PTR(values);
    *ret_n = n;
    return 0;
}

int iol_capture_known_files(const struct iol_capture *capture, uint64_t **ret_keys, int64_t **ret_ids, size_t *ret_n)
{
    return read_entries(iol_capture_map(capture, "known_files"), sizeof(**ret_ids), (void **)ret_keys, (void **)ret_ids,
                        ret_n);
}

int iol_capture_known_images(const struct iol_capture *capture, uint64_t **ret_images,
                             struct iol_known_image **ret_values, size_t *ret_n)
{
    return read_entries(iol_capture_map(capture, "known_images"), sizeof(**ret_values), (void **)ret_images,
                        (void **)ret_values, ret_n);
}
