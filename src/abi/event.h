/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * What the BPF programs and user space share: the layout of the maps and of the records on the ring
 * buffer. Kernel types only; no padding that is not written out; any change raises IOL_ABI_VERSION.
 *
 * Times are nanoseconds of CLOCK_BOOTTIME, except those named jiffies. Enumerations that also stand
 * in the database have the values of core/row.h (asserted in core/decode.c).
 */
#include <linux/types.h>

#define IOL_ABI_VERSION 7

#define IOL_PATH_MAX 4096      /* bytes of a path, its NUL not counted */
#define IOL_ARGV_MAX 16384     /* bytes of argv kept of one process */
#define IOL_CGROUP_MAX 1024    /* bytes of a cgroup path */
#define IOL_COMM_MAX 16        /* TASK_COMM_LEN */
#define IOL_EXE_FILTER_MAX 256 /* bytes of a path given with --exe, NUL padded */
#define IOL_SYSCALLS_MAX 512
#define IOL_AIO_BATCH 1024        /* AIO requests and events looked at in one call */
#define IOL_RULES_MAX 64          /* rules of --ignore, --every and --sample */
#define IOL_RULE_PATH_MAX 254     /* bytes of the path of a rule */
#define IOL_RULE_SUFFIX_MAX 64    /* bytes of what follows the * of a rule */
#define IOL_CGROUP_FILTER_MAX 256 /* cgroups given with --cgroup and --container: on v1 one for each hierarchy */
#define IOL_THREADS 4096          /* places of threads */
#define IOL_OWNED_BITS 64         /* places that a word of iol_control.owned tells of */

/*
 * A cgroup in its filter: the inode number of its folder, which only tells those of one hierarchy apart, and the
 * hierarchy's number (as /proc/PID/cgroup has it; 0 is v2) from this bit on.
 */
#define IOL_CGROUP_HIERARCHY_SHIFT 48

/*
 * Which of the routes of a ledger an operation takes. IOL_ABI_IGNORED counts what rules leave out, IOL_ABI_EXCLUDED
 * the recorder itself and its database server.
 */
enum iol_abi_route {
    IOL_ABI_ROUTE_RW,
    IOL_ABI_ROUTE_SENDFILE,
    IOL_ABI_ROUTE_SPLICE,
    IOL_ABI_ROUTE_COPY_FILE_RANGE,
    IOL_ABI_ROUTE_IO_URING,
    IOL_ABI_ROUTE_MMAP,
    IOL_ABI_IGNORED,
    IOL_ABI_EXCLUDED,
    IOL_ABI_ROUTE_SLOTS, /* array size */
};

enum iol_abi_kind {
    IOL_ABI_KIND_FILE,
    IOL_ABI_KIND_DIR,
    IOL_ABI_KIND_LINK,
    IOL_ABI_KIND_CHR,
    IOL_ABI_KIND_BLK,
    IOL_ABI_KIND_PIPE,
    IOL_ABI_KIND_SOCKET,
    IOL_ABI_KIND_ANON,
    IOL_ABI_KIND_MEMFD,
    IOL_ABI_KIND_OTHER,
    IOL_ABI_KIND_COUNT,
};

/*
 * File keys below IOL_FILE_PSEUDO_END name pseudo files: one account for each process and kind
 * (IOL_FILE_GROUP + kind), for calls on descriptors that are not open, and for what found no slot.
 */
enum iol_file_pseudo {
    IOL_FILE_OTHER = 1,
    IOL_FILE_NOT_OPEN = 2,
    IOL_FILE_GROUP = 16,
    IOL_FILE_PSEUDO_END = 64,
};

/* Verdict bits of a process, kept in struct iol_task. */
enum iol_task_bits {
    IOL_TASK_TRACED = 1,     /* its operations are accounted */
    IOL_TASK_EXCLUDED = 2,   /* the recorder's database server: counted as excluded */
    IOL_TASK_DESCENDANT = 4, /* of a --pid or of CMD; inherited by forks */
    IOL_TASK_AT_EXEC = 8,    /* CMD before its exec: becomes DESCENDANT there */
    IOL_TASK_EXE = 16,       /* its exe is one of --exe */
    IOL_TASK_ANNOUNCED = 32, /* a process record with this image has reached user space */
};

enum iol_filter_bits {
    IOL_FILTER_ANY = 1, /* look the process up before accounting at all */
    IOL_FILTER_DESCENDANT = 2,
    IOL_FILTER_COMM = 4,
    IOL_FILTER_UID = 8,
    IOL_FILTER_EXE = 16,
    IOL_FILTER_CGROUP = 32,
};

/* What is done with the operations of an account; decided when it is opened. */
enum iol_verdict {
    IOL_VERDICT_AGGREGATE, /* counted */
    IOL_VERDICT_EVERY,     /* counted, and each operation is an event too */
    IOL_VERDICT_SAMPLE,    /* counted, and one in N is an event too, with the weight N */
    IOL_VERDICT_IGNORE,    /* left out; how much is known for all of them together */
};

/*
 * Rules, the first that matches wins. A rule has conditions, and matches when all of them do; each map below leads from what
 * is there to the set of rules (a bit each) whose condition of that sort holds, those without such a condition included.
 * Keys carry the generation of the rules, so that old and new ones stand side by side while they are replaced.
 */
struct iol_rules {
    __u32 generation;
    __u32 n;
    __u32 event_budget;         /* events of reads and writes a second, of all processes; 0: any number */
    __u32 event_budget_process; /* of one process */
    __u64 any_path, any_suffix, any_comm, any_uid, any_exe; /* what holds when the map has no entry */
    __u64 kinds[16];                                        /* by enum iol_abi_kind */
    struct {
        __u32 verdict; /* enum iol_verdict */
        __u32 sample;  /* N */
    } rule[IOL_RULES_MAX];
};

/* LPM tries: `bits` counts generation too. A tree ends in '/', an exact path in NUL. A suffix is reversed. */
struct iol_rule_path_key {
    __u32 bits;
    __u8 generation;
    char path[IOL_RULE_PATH_MAX + 1];
};

struct iol_rule_suffix_key {
    __u32 bits;
    __u8 generation;
    char reversed[IOL_RULE_SUFFIX_MAX + 3];
};

struct iol_rule_comm_key {
    __u32 generation;
    char comm[IOL_COMM_MAX];
};

struct iol_rule_uid_key {
    __u32 generation;
    __u32 uid;
};

struct iol_rule_exe_key {
    __u32 generation;
    char exe[IOL_EXE_FILTER_MAX];
};

/* Kinds of events that the kernel side itself tells of: enum iol_event_kind of core/row.h (asserted in core/decode.c). */
enum iol_abi_event {
    IOL_ABI_EVENT_OPEN = 7,
    IOL_ABI_EVENT_OPEN_FAILED,
    IOL_ABI_EVENT_RENAME,
    IOL_ABI_EVENT_UNLINK,
    IOL_ABI_EVENT_TRUNCATE,
    IOL_ABI_EVENT_LINK,
    IOL_ABI_EVENT_SYMLINK,
    IOL_ABI_EVENT_MKDIR,
    IOL_ABI_EVENT_RMDIR,
    IOL_ABI_EVENT_CHMOD,
    IOL_ABI_EVENT_CHOWN,
    IOL_ABI_EVENT_SETXATTR,
};

/* Set once, before the programs are loaded (section .rodata.settings). */
struct iol_settings {
    __u32 abi_version;
    __u32 filter;      /* enum iol_filter_bits */
    __u32 kinds;       /* bit per enum iol_abi_kind: itemised; the others have one account per process */
    __u32 n_cpus;      /* entries of `cpus` */
    __u32 ring_wakeup; /* wake the reader when the ring holds this many bytes */
    __u64 home_mnt_ns; /* inode of the mount namespace of which paths are not marked: see capture/settings.c */
    __u32 events;      /* bit per enum iol_event_kind of core/row.h: changes of files that become events */
    __u32 sent_mask;   /* entries of `sent`, a power of two, less one */
    __u32 set_mask;    /* entries of `account_sets`, likewise */
    __u32 early; /* hooks are at the ends of functions: a thread may be preempted after its hook, and within its call */
    __u32 whole; /* each record of a process says everything, as who reads it may not have read the one before */
};

/* The one variable of section .data.control, which user space maps; it writes all but what the programs count, and self_tgid when it ends. */
struct iol_control {
    __u64 epoch;       /* its lowest bit chooses the set of counters */
    __u64 epoch_start; /* jiffies when it began */
    __u64 changes;   /* IOL_CHANGE more for what may change where a descriptor leads: renames, retired, files deleted */
    __u32 self_tgid; /* the recorder, in the initial pid namespace; 0: there is none */
    __u32 rules;     /* generation of the rules in force */
    __u32 renames;   /* counts what may give open accounts another path or verdict: renames, mounts, new rules */
    __u32 retired;   /* counts how often user space has taken keys of accounts away */
    __u32 halted;    /* the recording ends: reads and writes are not counted any more, but for the quickest ones */
    __u32 tasks_elsewhere; /* processes that are in the map `tasks`, or will be in a moment */
    __u32 ring_high;       /* the ring buffer is so full that its reader is to be woken */
    __u32 ring_full;       /* the last record found no room there */
    /* Bits: places of `threads` that have had an owner; in the others nothing is counted. */
    __u64 owned[IOL_THREADS / IOL_OWNED_BITS];
};

#define IOL_WAS_OWNED(owned, place) ((owned)[(place) / IOL_OWNED_BITS] >> (place) % IOL_OWNED_BITS & 1)

#define IOL_CHANGE 0x165667B19E3779F9ULL /* not 1: programs take `changes` as a hash of itself */

/* The one variable of section .data.clock: what on_clock() read when user space last ran it. */
struct iol_clock {
    __u64 jiffies;
    __u64 boot_ns;
    __u64 tgid; /* of the caller, in the initial pid namespace */
};

/*
 * What on_hand_back() is to do, when user space runs it: with each of these at once, as a call for each would cost many times as much. And
 * in a bpf(2) call that changes a map the kernel has programs left out on that CPU (bpf_disable_instrumentation()), for as long as the
 * caller is preempted in it.
 */
enum iol_hand_back_step {
    IOL_HAND_BACK_KEYS,  /* take the keys of the accounts `slots` out of the map, where they still lead to these */
    IOL_HAND_BACK_SLOTS, /* put `slots` on the stack of free ones, the first one first */
    IOL_HAND_BACK_SPARE, /* the same for those that are kept for pseudo files */
    IOL_HAND_BACK_FILES, /* forget that the records of `files`, by key, have been sent */
    IOL_HAND_BACK_TASKS, /* take the processes `tgids` out of the map: they are no more */
};

#define IOL_HAND_BACK_MAX 256

/* The one variable of section .data.hand_back. */
struct iol_hand_back {
    __u32 step; /* enum iol_hand_back_step */
    __u32 n;
    __u64 done; /* so many */
    union {
        __u32 slots[IOL_HAND_BACK_MAX];
        __u32 tgids[IOL_HAND_BACK_MAX];
        __u64 files[IOL_HAND_BACK_MAX];
    };
};

/*
 * Counters only grow; user space posts differences. first and last are jiffies of the first and the
 * last operation since epoch_start.
 */
struct iol_counters {
    __u64 read_ops;
    __u64 read_bytes;
    __u64 write_ops;
    __u64 write_bytes;
    __u64 read_errors;
    __u64 write_errors;
    __u64 first;
    __u64 last;
};

/* Key of an account: process image, and file and route mixed. Pseudo files have inode 0 and no mix but the route. */
struct iol_account_key {
    __u64 image;
    __u64 inode;  /* address of the struct inode; its other members below tell a reused address apart */
    __u64 number; /* i_ino, or enum iol_file_pseudo */
    __u64 mix;    /* dentry, mount, hash of the name, unhashed or not, generation, route */
};

/* What leads to an account's slot: a place in a set of the map `account_sets`, or a value of the map `accounts`. */
struct iol_account_ref {
    __u32 tag;     /* in a set: 32 bits of a hash of the key, which stands in the slot; 0: the place is free */
    __u32 found;   /* as find_account() returns it: slot and verdict */
    __u32 renames; /* iol_control.renames when path and verdict were last known to be right */
    __u32 rules;   /* iol_control.rules when the verdict was found */
};

/* One slot of the mmapable array `slots`. Three cache lines; the open epoch touches one of them. */
struct iol_account {
    struct iol_counters epoch[2];
    struct iol_account_key key;
    __u64 file; /* file key of the file record, or enum iol_file_pseudo */
    __u64 opened_ns;
    __u8 route;
    __u8 kind;
    __u8 verdict; /* enum iol_verdict; not IOL_VERDICT_IGNORE */
    __u8 reserved;
    __u32 sample;      /* N of IOL_VERDICT_SAMPLE */
    __u32 over_budget; /* events left out, counted up: the budget was used up */
    __u32 ring_full;   /* … no room in the ring buffer */
};

/* Operations of one direction, summed up. */
struct iol_sums {
    __u64 ops;
    __u64 bytes;
    __u64 errors;
};

/*
 * What a thread has done on one account in one epoch, before it is added to the slot: by the program, with atomics, when the
 * thread turns to a third account in the same epoch; else by user space, when the epoch is closed.
 */
struct iol_tab {
    __u64 account; /* epoch << 32 | IOL_TAB_OPEN | as find_account() returns it, index and verdict; 0: none */
    __u64 last;    /* jiffies; of the first operation: in struct iol_side */
    struct iol_sums sums;
    struct iol_sums
        total; /* everything that the thread has moved in the epoch (route rw), whatever the account: counted apart */
};

#define IOL_TAB_OPEN 0x8000000
#define IOL_TAB_SLOT(account) ((__u32)(account)&0xffffff)

enum iol_standing {
    IOL_STANDING_UNTRACED, /* no filter asks for it */
    IOL_STANDING_TRACED,
    IOL_STANDING_EXCLUDED, /* the recorder, or its database server */
};

/*
 * One direction of a thread. An account that it has used, and a hash ^ slot of the file, its name, and what may have changed it, so that an
 * entry torn between two writers fits none. Below it what only the owner of the place writes: tabs by epoch, and what rules left out.
 */
struct iol_side {
    __u64 file_check;
    __u64 slot;              /* as find_account() returns it: index and verdict */
    __u64 first[2];          /* jiffies, of the tabs */
    struct iol_sums ignored; /* errors are not counted */
    __u64 reserved;
    struct iol_tab tab[2]; /* a cache line each */
};

/* An account that a thread has used before: as file_check and slot of a side. */
struct iol_recent {
    __u64 check;
    __u64 slot;
};

#define IOL_RECENT 4

/*
 * Sides of a thread: of reads and of writes, the account that it used last, and from IOL_SIDE_BEFORE on the one before. Everything is counted on the
 * first two; when a thread turns to the account before, the two change places, with what has been done on them in the open epoch.
 */
#define IOL_SIDES 4
#define IOL_SIDE_BEFORE 2

/*
 * What the hot path has to know of a thread, found by the address of its registers at the top of its kernel stack: one place in
 * the array `threads` for many stacks. What is known is of whoever was there last; `check` ties it to that address, and what is in `side` is
 * tied to it and to the task by hashes of its own.
 * Counting is another matter: that may only the owner do, without atomics, as it runs on one CPU at a time. A place without
 * an owner is taken by a thread that needs it; it gets free again, by user space, when it was not used in a whole epoch. The
 * others count with atomics, in the slot and in `cpus`.
 */
struct iol_thread {
    __u64 untraced; /* the address of a thread that no filter asks for, or 0 */
    __u64 owner;    /* the address of the thread that counts here; 0: none; IOL_OWNER_LEAVING */
    __u64 task;     /* struct task_struct */
    /*
     * Of each side a hash ^ slot of the descriptor, when nobody else can change what that leads to: then the file need not be looked at, and the
     * hash by itself tells the account. 0: none.
     */
    __u64 descriptor_check[IOL_SIDES];
    __u64 image; /* up to here: what most operations need, one cache line */
    __u64 standing;
    __u64 check;
    __u64 switches; /* to other threads, when the last operation ended */
    __u64 asleep;   /* notes that threads of this place left when they went to sleep, or more */
    __u64 reserved[4];
    struct iol_side side[IOL_SIDES];
    struct iol_recent recent[IOL_RECENT]; /* accounts used before */
    __u64 unused[8];                      /* to 1024 bytes: no place is in two pages */
};

#define IOL_OWNER_LEAVING 1 /* no address: nobody counts here until the next epoch */

enum iol_lost {
    IOL_LOST_ACCOUNTS_FULL, /* operations counted under (other files): no free slot */
    IOL_LOST_FILE_RECORDS,  /* operations counted under (other files): ring buffer full at first sight */
    IOL_LOST_SCRATCH,       /* operations counted under (other files): path buffers busy */
    IOL_LOST_PROCESS_RECORDS, /* process records that found the ring buffer full (sent again when it next opens an account) */
    IOL_LOST_EVENTS,          /* failed execs and exits that found the ring buffer full */
    IOL_LOST_TASKS_FULL,        /* processes that found no room in the map of processes */
    IOL_LOST_OVER_BUDGET,       /* events of reads and writes: the budget was used up */
    IOL_LOST_RING_EVENTS,       /* events of reads and writes that found the ring buffer full */
    IOL_LOST_URING_BYTES,       /* io_uring operations without completion: bytes unknown */
    IOL_LOST_URING_COMPLETIONS, /* io_uring completions that overflowed, and whose request is not known: not counted */
    IOL_LOST_AIO_BYTES,      /* AIO operations whose completion the program read from the ring itself: bytes unknown */
    IOL_LOST_AIO_OPERATIONS, /* AIO operations beyond the first IOL_AIO_BATCH of one call: not counted */
    IOL_LOST_RENAMED,  /* operations counted under (other files): renamed again and again while the path was read */
    IOL_LOST_LEFT_OUT, /* calls whose hook the kernel left out: counted by it and not here, see capture/preempt.h */
    IOL_LOST_PROCESSES_LEFT_OUT, /* forks, execs and exits, likewise */
    IOL_LOST_TASKS_UNJUDGED, /* as IOL_LOST_TASKS_FULL, but there is a filter, which leaves out whom it does not know */
    IOL_LOST_COUNT,
    IOL_LOST_PLACES = 16, /* array size */
};

/* One entry of the mmapable array `cpus`, one for each possible CPU: totals counted apart from the accounts, but for those in `threads`. */
struct iol_cpu {
    struct iol_counters total[2][IOL_ABI_ROUTE_SLOTS];
    __u64 lost[IOL_LOST_PLACES]; /* enum iol_lost */
};

/* What is known of a process: an element of the map `task_places`, or a value of the map `tasks` (key: tgid). */
struct iol_task {
    __u64 image;
    __u32 bits;     /* enum iol_task_bits */
    __u32 tgid;     /* 0: nobody's place; IOL_TASK_CLAIMED */
    __u64 location; /* hash of working directory and cgroup, as they were told last; 0: not known */
    __u64 traits;   /* hash of its name, users and session, likewise */
};

#define IOL_TASK_PLACES 65536       /* a process's is that of the lower bits of its pid */
#define IOL_TASK_CLAIMED 0xffffffff /* no pid: somebody's in a moment */

/* Records on the ring buffer. size is the whole record's. */
enum iol_record_type {
    IOL_RECORD_PROCESS = 1,
    IOL_RECORD_EXIT,
    IOL_RECORD_EXEC_FAILED,
    IOL_RECORD_FILE,
    IOL_RECORD_EVENT,
    IOL_RECORD_CHANGE,
    IOL_RECORD_FORK, /* a process that is in everything as its parent was told to be */
};

struct iol_record {
    __u32 type;
    __u32 size;
    __u64 ts;
};

enum iol_file_bits {
    IOL_FILE_DELETED = 1,
    IOL_FILE_TRUNCATED = 2,
    IOL_FILE_UNREACHABLE = 4,
    IOL_FILE_CHROOT = 8,
    IOL_FILE_MNTNS = 16,
    IOL_FILE_PSEUDO_DENTRY = 32, /* the path is the bare name of a dentry without a directory */
};

/* A file's identity and how much of its path follows. */
struct iol_file_info {
    __u64 inode;
    __u32 dev; /* the kernel's dev_t: major << 20 | minor */
    __u32 generation;
    __u32 kind;
    __u32 bits; /* enum iol_file_bits */
    __u32 path_len;
    __u32 reserved;
};

enum iol_process_bits {
    IOL_PROCESS_TRACED = 1,
    IOL_PROCESS_ARGV_TRUNCATED = 2,
    IOL_PROCESS_INHERITS = 4,       /* exe and argv are those of the parent image (fork) */
    IOL_PROCESS_NO_ARGV = 8,        /* not readable from where the record was made: look in /proc */
    IOL_PROCESS_KERNEL = 16,        /* a kernel thread */
    IOL_PROCESS_SAME_LOCATION = 32, /* cwd and cgroup, too, are those of the parent image */
    IOL_PROCESS_SAME_TRAITS = 64,   /* so are comm, users and session */
    IOL_PROCESS_PARENT_MOVED = 128, /* cwd and cgroup are the parent image's from here on */
};

/* data: exe path, cwd path, cgroup path, argv (NUL-separated), of the lengths given, in this order. */
struct iol_record_process {
    struct iol_record head;
    __u64 image;
    __u64 parent_image;
    __u64 start_ns;
    __u64 exec_ns; /* 0: none known */
    __u32 pid;
    __u32 ppid;
    __u32 tid;
    __u32 origin; /* 0 fork, 1 exec, 2 running */
    __u32 uid;
    __u32 euid;
    __u32 gid;
    __u32 login_uid;
    __u32 session_id;
    __u32 bits;   /* enum iol_process_bits */
    __u32 ns_pid; /* in its own pid namespace; 0: it has none but the host's */
    __u32 reserved;
    struct iol_file_info exe;
    __u32 cwd_bits; /* enum iol_file_bits */
    __u32 cwd_len;
    __u32 cgroup_len;
    __u32 argv_len;
    char comm[IOL_COMM_MAX];
    char data[];
};

struct iol_record_fork {
    struct iol_record head;
    __u64 image;
    __u64 parent_image;
    __u64 start_ns;
    __u32 pid;
    __u32 ppid;
    __u32 ns_pid; /* as in struct iol_record_process */
    __u32 bits;   /* enum iol_process_bits: TRACED */
};

struct iol_record_exit {
    struct iol_record head;
    __u64 image;
    __u32 pid;
    __u32 tid;
    __u32 status; /* as wait(2) gives it */
    __u32 bits;   /* enum iol_process_bits: TRACED */
};

struct iol_record_exec_failed {
    struct iol_record head;
    __u64 image;
    __u32 pid;
    __u32 tid;
    __s32 error;    /* -errno */
    __u32 path_len; /* of the string that the program gave */
    char data[];
};

struct iol_record_file {
    struct iol_record head;
    __u64 key;
    struct iol_file_info info;
    char data[]; /* path */
};

/* One read or write, under a rule `every` or `sample`. */
struct iol_record_event {
    struct iol_record head;
    __u64 image;
    __u64 file;   /* file key of a file record that went before, or enum iol_file_pseudo */
    __u32 kind;   /* enum iol_event_kind of core/row.h */
    __u32 tid;    /* 0: of no thread of the process */
    __s64 offset; /* in the file, before the operation; -1: none */
    __s64 result; /* bytes, or -errno */
    __u64 weight; /* operations that it stands for */
};

enum iol_name_bits {
    IOL_NAME_UNREADABLE = 1, /* what the program gave could not be read: some file below the directory */
    IOL_NAME_EXCHANGED = 2,  /* of the second name of a rename: the two files have changed places */
};

/* One name in a record of a change: a directory that the kernel walked, and what the program gave below it. */
struct iol_name {
    struct iol_file_info
        info;        /* path_len bytes of a path: of the file itself when inode is not 0, else of the directory */
    __u32 given_len; /* bytes of the string of the program, relative to that directory or absolute; 0: none */
    __u32 bits;      /* enum iol_name_bits */
};

/*
 * A file was created, renamed, removed or changed otherwise, or could not be opened. data: path and given string of
 * `file`, then those of `other`, of the lengths in them.
 */
struct iol_record_change {
    struct iol_record head;
    __u64 image;
    __u32 kind; /* enum iol_event_kind of core/row.h */
    __u32 tid;
    __s64 result; /* 0 or more, or -errno */
    struct iol_name file;
    struct iol_name other; /* the second one of rename and link; path_len and given_len 0: none */
    char data[];
};
