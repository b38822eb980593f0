// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What the programs are told before they are loaded. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.intern.h"

/*
 * The mount namespace of which paths are not marked. That of the recorder, unless it is a service of process 1: the sandbox of
 * a service has a mount namespace of its own, a new one at each start, in which nobody else sees files.
 */
static int home_mount_namespace(uint64_t *ret_inode, struct iol_error *err)
{
    struct stat mnt_ns;

    if ((getppid() != 1 || stat("/proc/1/ns/mnt", &mnt_ns) < 0) && stat("/proc/self/ns/mnt", &mnt_ns) < 0)
        return iol_error_set(err, -errno, "cannot read /proc/self/ns/mnt: %m");
    *ret_inode = mnt_ns.st_ino;
    return 0;
}

int iol_capture_settings(struct iol_capture *capture, const struct iol_capture_options *options, struct iol_error *err)
{
    struct iol_settings *settings = &capture->settings;
    uint64_t mnt_ns = 0;
    int r = home_mount_namespace(&mnt_ns, err);

    if (r < 0)
        return r;
    settings->abi_version = IOL_ABI_VERSION;
    settings->kinds = options->kinds;
    settings->events = options->events;
    settings->n_cpus = (uint32_t)capture->n_cpus;
    settings->home_mnt_ns = mnt_ns;
    settings->whole = options->pin != NULL; /* a successor has not read what the recorder before it has */

    if (options->excluded)
        settings->filter |= IOL_FILTER_ANY;
    if (options->n_pids || options->command)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_DESCENDANT;
    if (options->n_comms)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_COMM;
    if (options->n_uids)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_UID;
    if (options->n_exes)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_EXE;
    if (options->n_cgroups)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_CGROUP;
    return 0;
}

bool iol_capture_filters(const struct iol_capture *capture)
{
    return capture->settings.filter & ~(uint32_t)IOL_FILTER_ANY;
}

uint32_t iol_capture_events(const struct iol_capture *capture)
{
    return capture->settings.events;
}

static int filter_fd(const struct iol_capture *capture, const char *name)
{
    return iol_capture_map(capture, name);
}

int iol_capture_fill_filters(struct iol_capture *capture, const struct iol_capture_options *options,
                             struct iol_error *err)
{
    const uint8_t one = 1;

    for (size_t i = 0; i < options->n_comms; i++) {
        char comm[IOL_COMM_MAX] = {0};

        /* the kernel keeps 15 bytes of a name; so does the filter */
        strncpy(comm, options->comms[i], sizeof(comm) - 1);
        if (bpf_map_update_elem(filter_fd(capture, "comm_filter"), comm, &one, BPF_ANY))
            return iol_error_set(err, -errno, "too many --comm filters (at most 64)");
    }
    for (size_t i = 0; i < options->n_uids; i++) {
        if (bpf_map_update_elem(filter_fd(capture, "uid_filter"), &options->uids[i], &one, BPF_ANY))
            return iol_error_set(err, -errno, "too many --uid filters (at most 64)");
    }
    for (size_t i = 0; i < options->n_exes; i++) {
        char exe[IOL_EXE_FILTER_MAX] = {0};

        if (strlen(options->exes[i]) >= sizeof(exe))
            return iol_error_set(err, -ENAMETOOLONG, "--exe path is longer than %d bytes: %s", IOL_EXE_FILTER_MAX - 1,
                                 options->exes[i]);
        memcpy(exe, options->exes[i], strlen(options->exes[i]));
        if (bpf_map_update_elem(filter_fd(capture, "exe_filter"), exe, &one, BPF_ANY))
            return iol_error_set(err, -errno, "too many --exe filters (at most 64)");
    }
    for (size_t i = 0; i < options->n_cgroups; i++) {
        if (bpf_map_update_elem(filter_fd(capture, "cgroup_filter"), &options->cgroups[i], &one, BPF_ANY))
            return iol_error_set(err, -errno, "too many --cgroup filters (at most %d)", IOL_CGROUP_FILTER_MAX);
    }
    return 0;
}

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    return XXH64(data, size, hash);
}

static uint64_t mix_texts(uint64_t hash, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = mix(hash, texts[i], strlen(texts[i]) + 1);
    return hash;
}

uint64_t iol_capture_identity(const struct iol_capture *capture, const struct iol_capture_options *options,
                              const void *object, size_t object_size)
{
    const uint64_t counts[] = {capture->n_slots, options->n_pids,    options->n_comms, options->n_uids,
                               options->n_exes,  options->n_cgroups, options->probes};
    struct iol_settings settings = capture->settings;
    uint64_t hash = mix(IOL_LAYOUT, object, object_size);

    settings.filter &= ~(uint32_t)IOL_FILTER_ANY; /* a database server may be there one time and away another */
    hash = mix(hash, &settings, sizeof(settings));
    hash = mix(hash, counts, sizeof(counts));
    hash = mix(hash, options->pids, options->n_pids * sizeof(*options->pids));
    hash = mix(hash, options->uids, options->n_uids * sizeof(*options->uids));
    hash = mix(hash, options->cgroups, options->n_cgroups * sizeof(*options->cgroups));
    hash = mix_texts(hash, options->comms, options->n_comms);
    return mix_texts(hash, options->exes, options->n_exes);
}
