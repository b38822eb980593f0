/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * The members of kernel structures that the programs touch, and no others: CO-RE finds their real
 * offsets in the BTF of the kernel that loads the object, so that building needs no vmlinux.h.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
    unsigned long di, si, dx, r10, r8, r9;
    unsigned long bx, cx, bp;
    unsigned long orig_ax, ax, ip;
};

struct thread_info {
    __u32 status;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
    __u64 regs[31];
    __u64 orig_x0;
    __s32 syscallno;
    __u64 pstate;
};

struct thread_info {
    unsigned long flags;
};
#endif

struct qstr {
    union {
        struct {
            __u32 hash;
            __u32 len;
        };
        __u64 hash_len;
    };
    const unsigned char *name;
};

struct seqcount {
    unsigned int sequence;
};

struct seqcount_spinlock {
    struct seqcount seqcount;
};

struct hlist_bl_node {
    struct hlist_bl_node *next, **pprev;
};

struct dentry {
    struct seqcount_spinlock d_seq;
    struct hlist_bl_node d_hash;
    struct dentry *d_parent;
    struct qstr d_name;
    struct inode *d_inode;
};

struct super_block {
    __u32 s_dev;
    unsigned long s_magic;
};

struct inode {
    unsigned short i_mode;
    struct super_block *i_sb;
    unsigned long i_ino;
    __u32 i_generation;
};

struct vfsmount {
    struct dentry *mnt_root;
};

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};

struct file {
    unsigned int f_mode;
    struct inode *f_inode;
    struct path f_path;
    long long f_pos;
};

struct timespec64 {
    long long tv_sec;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

typedef struct {
    int counter;
} atomic_t;

struct files_struct {
    atomic_t count;
    struct fdtable *fdt;
};

struct fs_struct {
    struct path root;
    struct path pwd;
};

struct mm_struct {
    unsigned long arg_start, arg_end;
    struct file *exe_file;
};

struct signal_struct {
    atomic_t live;
    int group_exit_code;
    unsigned int flags;
};

typedef struct {
    unsigned int val;
} kuid_t;

typedef struct {
    unsigned int val;
} kgid_t;

struct cred {
    kuid_t uid, euid;
    kgid_t gid;
};

struct ns_common {
    unsigned int inum;
};

struct mnt_namespace {
    struct ns_common ns;
};

struct nsproxy {
    struct mnt_namespace *mnt_ns;
};

struct kernfs_node {
    struct kernfs_node *parent; /* __parent from 6.15 on: see compat.bpf.h */
    const char *name;
    __u64 id;
};

struct cgroup_root {
    int hierarchy_id;
};

struct cgroup {
    int level;
    struct kernfs_node *kn;
    struct cgroup_root *root;
};

struct cgroup_subsys_state {
    struct cgroup *cgroup;
};

enum cgroup_subsys_id {
    memory_cgrp_id = 1,
    pids_cgrp_id = 2,
    cpu_cgrp_id = 3,
};

struct list_head {
    struct list_head *next, *prev;
};

struct css_set {
    struct cgroup_subsys_state *subsys[16];
    struct cgroup *dfl_cgrp;
    struct list_head cgrp_links;
};

/* kernel/cgroup/cgroup-internal.h: one for each hierarchy, of v1 and of v2, in the list css_set.cgrp_links */
struct cgrp_cset_link {
    struct cgroup *cgrp;
    struct list_head cgrp_link;
};

/* include/linux/pid.h: numbers has one entry for each level of pid namespaces, the host's first */
struct upid {
    int nr;
};

struct pid {
    unsigned int level;
    struct upid numbers[1];
};

struct task_struct {
    struct thread_info thread_info;
    unsigned int flags;
    void *stack;
    struct mm_struct *mm;
    int exit_code;
    int pid;
    int tgid;
    unsigned long nvcsw, nivcsw;
    struct task_struct *real_parent;
    struct task_struct *group_leader;
    struct pid *thread_pid;
    __u64 start_boottime;
    const struct cred *real_cred;
    char comm[16];
    struct fs_struct *fs;
    struct files_struct *files;
    struct nsproxy *nsproxy;
    struct signal_struct *signal;
    kuid_t loginuid;
    unsigned int sessionid;
    __u64 self_exec_id;
    struct css_set *cgroups;
    unsigned int __state;
    unsigned int in_execve : 1;
};

/* Before 2f064a59a11f "sched: Change task_struct::state", 5.14. */
struct task_struct___5_13 {
    long state;
};

#define TASK_NEW 0x800 /* include/linux/sched.h */

struct io_uring_task {
    struct task_struct *task;
};

struct io_cqe {
    __u64 user_data;
    int fd;
};

struct io_ring_ctx;

struct io_kiocb {
    struct file *file;
    __u8 opcode;
    __u64 flags; /* 32 bits before 6.9: read as what it is */
    struct io_cqe cqe;
    struct io_ring_ctx *ctx;
    struct io_uring_task *tctx;
};

struct io_kiocb___6_12 {
    struct task_struct *task;
};

struct io_file_table___6_12 {
    __u64 *files; /* struct io_fixed_file, up to 6.12 */
};

struct io_ring_ctx___6_12 {
    struct io_file_table___6_12 file_table;
    unsigned int nr_user_files;
};

struct io_uring_cqe {
    __u64 user_data;
    __s32 res;
};

struct io_rsrc_node {
    unsigned long file_ptr;
};

struct io_splice {
    int splice_fd_in;
    unsigned int flags;
    struct io_rsrc_node *rsrc_node; /* from 6.13 on */
};

struct seq_file;

struct bpf_iter_meta {
    struct seq_file *seq;
    __u64 session_id;
    __u64 seq_num;
};

struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};

#pragma clang attribute pop

#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000

#define ANON_INODE_FS_MAGIC 0x09041934
#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6

#define EPERM 1
#define ENOENT 2
#define ENOSYS 38
#define EACCES 13
#define EEXIST 17

/* include/linux/fs.h, the same from 5.10 to 6.18 */
#define FMODE_PATH 0x4000
#define FMODE_CREATED 0x100000

/* include/uapi: the same on x86 and arm64 */
#define O_CREAT 0100
#define O_TRUNC 01000
#define AT_FDCWD (-100)
#define AT_REMOVEDIR 0x200
#define RENAME_EXCHANGE 2
