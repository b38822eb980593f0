// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The kernel side as user space sees it: loading and attaching the BPF programs, the records they
 * send, and the accounts they keep. The only folder that knows libbpf.
 *
 * Order of calls: open, attach, then poll and flip as long as the recording lasts, detach, one more
 * poll and two more flips (one for each set of counters), close. One thread at a time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/books.h"

struct iol_capture;
struct iol_error;

/* One rule: what is done with the operations that meet all of its conditions. */
struct iol_rule {
    enum iol_verdict verdict;
    uint32_t sample; /* N of IOL_VERDICT_SAMPLE, 1 to IOL_CAPTURE_MAX_SAMPLE */
    const char *
        path; /* absolute, without a '/' at its end, at most IOL_RULE_PATH_MAX - 1 bytes; "" with tree is the root; NULL: any */
    bool tree;          /* path and everything below it */
    const char *suffix; /* what the path ends in, at most IOL_RULE_SUFFIX_MAX bytes without '/'; NULL: anything */
    uint32_t kinds;     /* bit per enum iol_abi_kind; 0: any */
    const char *comm;   /* name of the process; NULL: any */
    const char *exe;    /* absolute path of its program, less than IOL_EXE_FILTER_MAX bytes; NULL: any */
    bool has_uid;
    uint32_t uid; /* real user id */
};

/* Rules in their order: the first that matches wins; what none matches is aggregated. */
struct iol_rule_set {
    const struct iol_rule *rules;
    size_t n;                      /* at most IOL_RULES_MAX */
    uint32_t event_budget;         /* events of reads and writes a second, of all processes; 0: any number */
    uint32_t event_budget_process; /* of one process */
};

/* What outlives the recorder: see capture/pin.h and abi/books.h. */
struct iol_capture_pin {
    const char *folder; /* absolute, in a bpf file system */
    const char *books;  /* the database that the counters belong to, as struct iol_about keeps it */
    const char *spool;  /* the folder with the journals, likewise; needed when there is nothing to be taken over */
    int lock;           /* from iol_capture_lock(), taken over by iol_capture_open(), also when that fails */
    bool any;           /* take over whatever is there, only to post and end it: the other options do not matter */
};

#define IOL_CAPTURE_MAX_SAMPLE 1000000U

enum iol_probe_set {
    IOL_PROBES_AUTO,
    IOL_PROBES_TRACEPOINT, /* the end of every system call */
    IOL_PROBES_FEXIT,      /* the ends of those that matter */
};

struct iol_capture_options {
    uint32_t max_accounts; /* slots; at least IOL_CAPTURE_MIN_ACCOUNTS */
    uint32_t kinds;        /* bit per enum iol_abi_kind: itemised */
    bool legacy;           /* use the programs for kernels before 6.2 even here */
    enum iol_probe_set probes;

    /* Filters: a process has to meet each kind that is given, by one of its values. */
    const pid_t *pids; /* with their descendants */
    size_t n_pids;
    const char *const *comms;
    size_t n_comms;
    const uint32_t *uids;
    size_t n_uids;
    const char *const *exes; /* absolute paths of less than IOL_EXE_FILTER_MAX bytes */
    size_t n_exes;
    const uint64_t *cgroups; /* hierarchy << IOL_CGROUP_HIERARCHY_SHIFT | inode of the folder; with those below them */
    size_t n_cgroups;        /* at most IOL_CGROUP_FILTER_MAX */
    struct iol_rule_set rules;
    uint32_t events; /* bit per enum iol_event_kind of core/row.h: changes of files that become events */
    pid_t command;   /* CMD, stopped before its exec: traced, with its descendants, from there on; or 0 */
    pid_t
        excluded; /* the database server: left out, with its descendants; or 0; -1: iol_capture_exclude() may tell later */
    const struct iol_capture_pin *pin; /* NULL: everything goes with the process */
};

#define IOL_CAPTURE_MIN_ACCOUNTS 64
#define IOL_CAPTURE_MAX_ACCOUNTS (1U << 24)

/* Whether libbpf's and the kernel's own messages go to stderr: call it first of all. */
void iol_capture_set_verbose(bool verbose);

/* Whether this user on this kernel may record at all, told before anything is created. 0 or -errno with *err. */
int iol_capture_allowed(struct iol_error *err);

/*
 * Loads the programs and creates the maps, or takes over those that are pinned. On failure *err says what this kernel or this
 * user lacks. -ESTALE: what is pinned was made by another version or with other options: end it first, see `any`. -ENOENT with
 * `any`: nothing is pinned (any more).
 */
int iol_capture_open(const struct iol_capture_options *options, struct iol_capture **ret_capture,
                     struct iol_error *err);
void iol_capture_close(struct iol_capture *capture); /* accepts NULL; detaches too, unless it is pinned */

/* One record from the kernel, as it came: not yet checked (core/decode.h does that). */
typedef void iol_capture_record_fn(void *arg, const void *data, size_t size);

/*
 * Attaches everything: first the hooks of processes, then the processes that run already are handed
 * to `record` (and judged by the filters), then the hook that counts. Nothing is counted before.
 */
int iol_capture_attach(struct iol_capture *capture, iol_capture_record_fn *record, void *arg, struct iol_error *err);

/*
 * Whether it goes on with the counters of an earlier recorder: nothing is attached then and `record` not called, and the first
 * epoch began when the last one ended that was posted.
 */
bool iol_capture_resumed(const struct iol_capture *capture);

/*
 * Hands a record of every process that runs to `record`, whatever has been sent of it before: what to do when records
 * were lost. Also forgets the processes that have gone without the kernel side having noticed. 0 or -errno with *err.
 */
int iol_capture_running(struct iol_capture *capture, iol_capture_record_fn *record, void *arg, struct iol_error *err);

/*
 * From now on leaves out this process and its descendants; only if there was one to be left out from the beginning, or could be. Hands
 * over records as iol_capture_running() does. What a thread does before it is looked at anew is still counted.
 */
int iol_capture_exclude(struct iol_capture *capture, pid_t pid, iol_capture_record_fn *record, void *arg,
                        struct iol_error *err);

/*
 * Whether the kernel side still has this image in its map of processes: each is put there at fork, exec or the
 * start, and taken out by the last of its threads. The iterator leaves out processes whose first thread has ended.
 */
bool iol_capture_lives(const struct iol_capture *capture, uint32_t pid, uint64_t image);

/* What the programs were loaded with: whether there is a filter of processes, and the bits of the events. */
bool iol_capture_filters(const struct iol_capture *capture);
uint32_t iol_capture_events(const struct iol_capture *capture);

/* The probe set in use, and why it is that one, as a clause; empty when it was asked for and there is nothing to say. */
enum iol_probe_set iol_capture_probes(const struct iol_capture *capture, const char **ret_why);

/* The i-th route or call that this kernel does not tell of, so that its operations are not in the books; NULL after the last. */
const char *iol_capture_uncovered(const struct iol_capture *capture, size_t i);

/* How often the kernel has left out hooks since they were loaded: see preempt.h. */
struct iol_left_out {
    uint64_t calls; /* that are not in the books, at most: a hook for all system calls may have been left out for any */
    uint64_t processes; /* forks, execs and exits */
};
void iol_capture_left_out(const struct iol_capture *capture, struct iol_left_out *ret_left_out);

/* Replaces the rules, all at once, while it records: open accounts are judged anew at their next operation. */
int iol_capture_set_rules(struct iol_capture *capture, const struct iol_rule_set *rules, struct iol_error *err);

/* Stops all counting, pinned or not; when it returns no program runs any more. */
void iol_capture_detach(struct iol_capture *capture);

/* After it was detached, and everything it counted is safe: takes all that is pinned out of the kernel. 0 or -errno. */
int iol_capture_unpin(struct iol_capture *capture);

/* Takes all that is pinned in the folder out of the kernel, whatever it is, and drops what was counted. 0 or -errno with *err. */
int iol_capture_discard(const char *folder, struct iol_error *err);

/*
 * Makes the folder if it is not there, and keeps others out as long as the descriptor lives that it returns. -EBUSY: another recorder
 * works with it; or another -errno; with *err.
 */
int iol_capture_lock(const char *folder, struct iol_error *err);

/* Who holds that lock; 0: nobody, or it cannot be told. */
pid_t iol_capture_holder(const char *folder);

/* What is pinned in the folder. 0; -ENOENT, without *err: nothing; or -errno with *err. */
int iol_capture_pinned(const char *folder, struct iol_about *ret_about, struct iol_error *err);

/* Waits until the ring buffer has filled to its mark, or for timeout_ms (0: not at all), then hands over all records. */
int iol_capture_poll(struct iol_capture *capture, int timeout_ms, iol_capture_record_fn *record, void *arg);

/*
 * The same for all records that there are now, those included that a program is still writing, and those behind them: it may be
 * interrupted in the middle, and is waited for, a second at most.
 */
void iol_capture_poll_all(struct iol_capture *capture, iol_capture_record_fn *record, void *arg);

/* A file descriptor that polls readable when the ring buffer has filled to its mark. */
int iol_capture_fd(const struct iol_capture *capture);

/*
 * With pins a record's room is not given back when it was handed over, but by iol_capture_release_records(), with a position that
 * iol_capture_position() told when all that was made of the records before it was in a batch, and that batch is safe.
 */
uint64_t iol_capture_position(const struct iol_capture *capture);
void iol_capture_release_records(struct iol_capture *capture, uint64_t position);
size_t iol_capture_ring_bytes(const struct iol_capture *capture);

/* The moment at which an epoch ended, on the two clocks of the kernel side. */
struct iol_clock_pair {
    uint64_t jiffies;
    uint64_t boot_ns;
};

/*
 * Ends the epoch: operations from now on go to the other set of counters, and when it returns (after
 * an RCU grace period, some milliseconds) nobody adds to the closed one any more. *ret_closed is its
 * index, *ret_from and *ret_to when it began and ended.
 */
int iol_capture_flip(struct iol_capture *capture, unsigned int *ret_closed, struct iol_clock_pair *ret_from,
                     struct iol_clock_pair *ret_to);

/* When the epoch began that is open; and makes it begin earlier, when that is known better. */
struct iol_clock_pair iol_capture_epoch_start(const struct iol_capture *capture);
void iol_capture_set_epoch_start(struct iol_capture *capture, const struct iol_clock_pair *start);

/*
 * The accounts and the CPUs' totals: mapped memory that the kernel writes; read the closed epoch only.
 * The slots from *ret_first_spare on are kept for pseudo files.
 */
const struct iol_account *iol_capture_slots(const struct iol_capture *capture, size_t *ret_n, size_t *ret_first_spare);
const struct iol_cpu *iol_capture_cpus(const struct iol_capture *capture, size_t *ret_n);

/* What the hot path has counted by threads, in places that IOL_WAS_OWNED(). Of the set that the last flip closed, nothing moves any more. */
const struct iol_thread *iol_capture_threads(const struct iol_capture *capture, size_t *ret_n, const __u64 **ret_owned);

/*
 * Takes the keys of the accounts in `slots` away, but for those that lead to a younger slot by now: after the next flip but one
 * nobody counts there any more.
 */
void iol_capture_remove_accounts(struct iol_capture *capture, const uint32_t *slots, size_t n);

/* Hands slots back to the kernel, two flips after their keys were removed; the last one is used first. 0, or -E2BIG: not all. */
int iol_capture_free_slots(struct iol_capture *capture, const uint32_t *slots, size_t n);

/* Lets the kernel send the records of these files again when it next opens accounts of them. */
void iol_capture_forget_files(struct iol_capture *capture, const uint64_t *keys, size_t n);

/* Bytes of kernel memory in all maps, as the kernel tells. */
uint64_t iol_capture_memory(const struct iol_capture *capture);

/*
 * With pins, what is in the books already: memory of the kernel that only this side writes, struct iol_posted of each slot. NULL
 * without pins.
 */
struct iol_books *iol_capture_books(const struct iol_capture *capture);
struct iol_posted *iol_capture_posted(const struct iol_capture *capture);

/* The maps beside them, of the rows that are in the books: of files (an id of 0 takes one away), and of images (bits 0). 0 or -errno. */
int iol_capture_know_files(const struct iol_capture *capture, const uint64_t *keys, const int64_t *ids, size_t n);
int iol_capture_know_images(const struct iol_capture *capture, const uint64_t *images,
                            const struct iol_known_image *values, size_t n);

/* All that is in them: malloc'ed arrays of *ret_n entries. 0 or -errno. */
int iol_capture_known_files(const struct iol_capture *capture, uint64_t **ret_keys, int64_t **ret_ids, size_t *ret_n);
int iol_capture_known_images(const struct iol_capture *capture, uint64_t **ret_images,
                             struct iol_known_image **ret_values, size_t *ret_n);
