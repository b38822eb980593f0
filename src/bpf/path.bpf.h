/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * The path of a dentry and mount, as the process that uses it sees it: walked upwards to the process's
 * root, from mount to mount, and written backwards to the end of scratch->path. bpf_d_path() would do
 * it but is not allowed in tracepoints.
 */
#include "bpf/scratch.bpf.h"

/* Odd constants of splitmix64 and xxh64: multiplication spreads the bits, the shift folds the high ones down. */
#define MIX_A 0x9E3779B97F4A7C15ULL
#define MIX_B 0xC2B2AE3D27D4EB4FULL
#define MIX_C 0x165667B19E3779F9ULL

/* A path of IOL_PATH_MAX bytes has at most half as many components; mounts count as steps too. */
#define STEPS_PER_CALL 16
#define WALK_CALLS (IOL_PATH_MAX / 2 / STEPS_PER_CALL + 4)

/* Root of the recorder, or of the service manager that has it in a sandbox, found by the task iterator: a different one means chroot. */
struct dentry *home_root_dentry;
struct vfsmount *home_root_mnt;

static __always_inline bool dentry_is_unhashed(__u64 dentry)
{
    return !LOAD(AS(dentry, dentry), d_hash.pprev) && LOAD_ADDRESS(dentry, dentry, d_parent) != dentry;
}

/* One name in front of the path; false when it does not fit. */
static __always_inline bool prepend_name(struct scratch *scratch, const unsigned char *name, __u32 len, bool slash)
{
    __u32 need = len + (slash ? 1 : 0);
    __u32 offset = scratch->offset;

    if (len >= NAME_SLACK)
        len = NAME_SLACK - 1;
    if (need > offset) {
        scratch->bits |= IOL_FILE_TRUNCATED;
        return false;
    }
    offset -= need;
    if (slash)
        scratch->path[offset & (IOL_PATH_MAX - 1)] = '/';
    bpf_probe_read_kernel(&scratch->path[(offset + (slash ? 1 : 0)) & (IOL_PATH_MAX - 1)], masked(len, NAME_SLACK - 1),
                          name);
    scratch->offset = offset;
    return true;
}

/* At the top of a mount: false when the walk ends here. */
static __always_inline bool cross_mount(struct scratch *scratch, __u64 dentry, __u64 mnt, __u64 top)
{
    __u64 mount = mnt - bpf_core_field_offset(struct mount, mnt);
    __u64 parent = LOAD_ADDRESS(mount, mount, mnt_parent);

    if (dentry != top) {
        /* a dentry that hangs on no directory: memfd, pipe, socket, or a file handle not yet connected */
        scratch->bits |= IOL_FILE_PSEUDO_DENTRY;
        return false;
    }
    if (!parent || parent == mount) {
        scratch->bits |= IOL_FILE_UNREACHABLE;
        return false;
    }
    scratch->dentry = LOAD_ADDRESS(mount, mount, mnt_mountpoint);
    scratch->mnt = parent + bpf_core_field_offset(struct mount, mnt);
    return true;
}

static __always_inline __u32 sequence_of(__u64 dentry)
{
    __u32 sequence = LOAD(AS(dentry, dentry), d_seq.seqcount.sequence);

    barrier(); /* whatever is read before stays before, and what is read after it after */
    return sequence;
}

/*
 * How often a component is read again that is being renamed, in all that one look at a path takes. Who renames it may be kept off its CPU
 * in the middle of that: by an interrupt, or when the CPU is a virtual one, for as long as a time slice of its host's.
 */
#define READ_AGAIN 512

static __always_inline bool is_torn(const struct scratch *scratch)
{
    return scratch->torn >= READ_AGAIN;
}

/* What was read of the dentry since its `sequence` belongs together. If not, then the same once more, unless that has been tried often enough. */
static __always_inline bool is_whole(struct scratch *scratch, __u64 dentry, __u32 sequence)
{
    barrier();
    if (!(sequence & 1) && sequence_of(dentry) == sequence)
        return true;
    scratch->torn++;
    return false;
}

/* A dentry and its name into the hash of what a walk passes. */
static __always_inline __u64 mix_dentry(__u64 h, __u64 dentry, __u64 hash_len)
{
    h = (h ^ h >> 31 ^ dentry) * MIX_A;
    return (h ^ h >> 31 ^ hash_len) * MIX_B;
}

enum step { STEP_LAST, STEP_ON, STEP_FROM_FILE };

/* A component has been passed; the first one may be the file itself. */
static __always_inline enum step pass(struct scratch *scratch, __u64 dentry, __u64 parent, __u64 hash_len)
{
    scratch->mixed = mix_dentry(scratch->mixed, dentry, hash_len);
    scratch->dentry = parent;
    if (!scratch->at_file)
        return STEP_ON;
    scratch->at_file = 0;
    scratch->own = scratch->mixed;
    scratch->mixed = 0;
    return STEP_FROM_FILE;
}

/* One component or one mount. What it reads goes into scratch: there are many frames above this one. */
static __always_inline enum step walk_step(struct scratch *scratch)
{
    __u64 dentry = scratch->dentry, mnt = scratch->mnt, top;
    __u32 before;

    if (dentry == scratch->root_dentry && mnt == scratch->root_mnt)
        return STEP_LAST;

    scratch->sequence = sequence_of(dentry);
    scratch->parent = LOAD_ADDRESS(dentry, dentry, d_parent);
    top = LOAD_ADDRESS(vfsmount, mnt, mnt_root);
    if (dentry == top || dentry == scratch->parent || !scratch->parent)
        return cross_mount(scratch, dentry, mnt, top) ? STEP_ON : STEP_LAST;

    scratch->hash_len = LOAD(AS(dentry, dentry), d_name.hash_len);
    before = scratch->offset;
    if (!prepend_name(scratch, LOAD(AS(dentry, dentry), d_name.name), LOAD(AS(dentry, dentry), d_name.len), true))
        return STEP_LAST;
    if (!is_whole(scratch, dentry, scratch->sequence)) {
        scratch->offset = before;
        return is_torn(scratch) ? STEP_LAST : STEP_ON;
    }
    return pass(scratch, dentry, scratch->parent, scratch->hash_len);
}

/*
 * Up to sixteen steps, until there is another STEP than STEP_ON. A global function, so that the verifier looks at it once however often it is
 * called: the same on every kernel, where bpf_loop() exists from 5.17 on only.
 */
__noinline int walk_steps(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    enum step step;
    int i;

    if (!scratch)
        return STEP_LAST;
    for (i = 0; i < STEPS_PER_CALL; i++) {
        ADDRESSES_ANEW(scratch);
        step = walk_step(scratch);
        if (step != STEP_ON)
            return step;
    }
    return STEP_ON;
}

/* As walk_steps(), but only mixes into scratch->mixed what it passes: dentries and their names. */
__noinline int mix_steps(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    enum step step;
    int i;

    if (!scratch)
        return STEP_LAST;
    for (i = 0; i < STEPS_PER_CALL; i++) {
        __u64 dentry = scratch->dentry, mnt = scratch->mnt, parent, top, hash_len;
        __u32 sequence;

        if (dentry == scratch->root_dentry && mnt == scratch->root_mnt)
            return STEP_LAST;
        sequence = sequence_of(dentry);
        parent = LOAD_ADDRESS(dentry, dentry, d_parent);
        top = LOAD_ADDRESS(vfsmount, mnt, mnt_root);
        if (dentry == top || dentry == parent || !parent) {
            if (!cross_mount(scratch, dentry, mnt, top))
                return STEP_LAST;
            continue;
        }
        hash_len = LOAD(AS(dentry, dentry), d_name.hash_len);
        if (!is_whole(scratch, dentry, sequence)) {
            if (is_torn(scratch))
                return STEP_LAST;
            continue;
        }
        step = pass(scratch, dentry, parent, hash_len);
        if (step != STEP_ON)
            return step;
    }
    return STEP_ON;
}

/* All that is to be walked, or as far as to the file that the walk began at: STEP_FROM_FILE. Not STEP_LAST: there was more than a path can have. */
static __always_inline int walk_on(__u32 index)
{
    int step = STEP_ON, i;

    for (i = 0; i < WALK_CALLS && step == STEP_ON; i++)
        step = walk_steps(index);
    return step;
}

/* The same with mix_steps(). */
static __always_inline int mix_on(__u32 index)
{
    int step = STEP_ON, i;

    for (i = 0; i < WALK_CALLS && step == STEP_ON; i++)
        step = mix_steps(index);
    return step;
}

static __noinline void set_walk(struct scratch *scratch, struct path *where, struct path *root)
{
    scratch->dentry = LOAD_ADDRESS(path, (__u64)where, dentry);
    scratch->mnt = LOAD_ADDRESS(path, (__u64)where, mnt);
    scratch->root_dentry = LOAD_ADDRESS(path, (__u64)root, dentry);
    scratch->root_mnt = LOAD_ADDRESS(path, (__u64)root, mnt);
    scratch->at_file = 0;
}

/*
 * Sixty-four bits that stand for the walk that set_walk() has prepared, or the rest of it: the dentry with its name, parent and inode, as an address may be another
 * dentry's by now, the mount and what that hangs on, and where it ends. Of the names above, a change is counted.
 */
static __always_inline __u64 name_walk(const struct scratch *scratch)
{
    __u64 dentry = scratch->dentry, mount = scratch->mnt - bpf_core_field_offset(struct mount, mnt);
    __u64 inode = LOAD_ADDRESS(dentry, dentry, d_inode), h = dentry * MIX_A;

    h = (h ^ h >> 31 ^ LOAD(AS(dentry, dentry), d_name.hash_len)) * MIX_B;
    h = (h ^ h >> 31 ^ LOAD_ADDRESS(dentry, dentry, d_parent) ^ dentry_is_unhashed(dentry)) * MIX_C;
    h = (h ^ h >> 31 ^ LOAD(AS(inode, inode), i_ino)) * MIX_A;
    h = (h ^ h >> 31 ^ (__u64)LOAD(AS(inode, inode), i_generation) << 32 ^ *(volatile __u32 *)&control.renames) * MIX_B;
    h = (h ^ h >> 31 ^ mount) * MIX_C;
    h = (h ^ h >> 31 ^ LOAD_ADDRESS(mount, mount, mnt_parent)) * MIX_A;
    h = (h ^ h >> 31 ^ LOAD_ADDRESS(mount, mount, mnt_mountpoint)) * MIX_B;
    h = (h ^ h >> 31 ^ scratch->root_dentry) * MIX_C;
    h = (h ^ h >> 31 ^ scratch->root_mnt) * MIX_A;
    return h ^ h >> 31;
}

static __always_inline struct known_directory *place_of_directory(struct scratch *scratch)
{
    return &scratch->known_directories[masked(scratch->directory, KNOWN_DIRECTORIES - 1)];
}

/* The walk has passed its file. What is left of it, the way from the file's directory up, may have been walked before: then scratch->mixed is what it came to. */
static __always_inline bool recall_directory(struct scratch *scratch)
{
    const struct known_directory *known;

    scratch->directory_dentry = scratch->dentry;
    scratch->directory_mnt = scratch->mnt;
    scratch->directory = name_walk(scratch);
    known = place_of_directory(scratch);
    if (known->name != scratch->directory)
        return false;
    scratch->mixed = known->mixed;
    return true;
}

/* The same while the path is written, after recall_directory(): its text too, if it fits. */
static __always_inline bool prepend_directory(struct scratch *scratch)
{
    const struct known_directory *known = place_of_directory(scratch);
    __u32 len = known->len, offset = scratch->offset;

    scratch->from = offset;
    if (!scratch->directory || known->name != scratch->directory || scratch->dentry != scratch->directory_dentry ||
        scratch->mnt != scratch->directory_mnt || len > offset)
        return false;
    offset -= len;
    bpf_probe_read_kernel(&scratch->path[offset & (IOL_PATH_MAX - 1)], masked(len, KNOWN_PATH_MAX - 1), known->text);
    scratch->offset = offset;
    scratch->bits |= known->bits;
    scratch->mixed = known->mixed;
    return true;
}

/* The path that was written holds: the way up to its file's directory, which was walked, need not be walked again. */
__noinline int keep_directory(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct known_directory *known;
    __u32 len;

    if (!scratch)
        return 0;
    known = place_of_directory(scratch);
    len = scratch->from - scratch->offset;
    if (!scratch->directory || known->name == scratch->directory || scratch->at_file || len > KNOWN_PATH_MAX - 1 ||
        scratch->bits & IOL_FILE_PSEUDO_DENTRY)
        return 0;
    known->name = scratch->directory;
    known->mixed = scratch->mixed;
    known->bits = scratch->bits & ~IOL_FILE_DELETED;
    known->len = len;
    bpf_probe_read_kernel(known->text, masked(len, KNOWN_PATH_MAX - 1),
                          &scratch->path[scratch->offset & (IOL_PATH_MAX - 1)]);
    return 0;
}

/* After set_walk(): the path from root down, into scratch->path from scratch->offset on; what it is goes into scratch->bits. */
__noinline int walk_path(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    int step;

    if (!scratch)
        return 0;
    scratch->offset = IOL_PATH_MAX;
    scratch->text = 0;
    scratch->bits = 0;
    scratch->torn = 0;
    if (!scratch->dentry || !scratch->mnt)
        return 0;
    if (dentry_is_unhashed(scratch->dentry))
        scratch->bits |= IOL_FILE_DELETED;

    step = walk_on(index);
    if (step == STEP_FROM_FILE)
        step = prepend_directory(scratch) ? STEP_LAST : walk_on(index);
    if (step != STEP_LAST || is_torn(scratch))
        scratch->bits |= IOL_FILE_TRUNCATED;
    if (scratch->bits & IOL_FILE_PSEUDO_DENTRY) {
        const struct dentry *dentry = AS(dentry, scratch->dentry);

        scratch->bits &= ~IOL_FILE_DELETED;
        prepend_name(scratch, LOAD(dentry, d_name.name), LOAD(dentry, d_name.len), scratch->offset != IOL_PATH_MAX);
    } else if (scratch->offset == IOL_PATH_MAX) {
        prepend_name(scratch, NULL, 0, true);
    }
    return 0;
}

/* Is scratch->name the one whose path was kept in this place? Then that is the path. */
static __always_inline bool take_known_path(struct scratch *scratch, __u32 place)
{
    const struct known_path *known = &scratch->known_paths[place];
    __u32 len = known->len;

    if (known->name != scratch->name || len == 0 || len > KNOWN_PATH_MAX - 1)
        return false;
    scratch->offset = IOL_PATH_MAX - len;
    scratch->text = (__u32) __builtin_offsetof(struct scratch, known_paths) + place * sizeof(*known) +
                    (__u32) __builtin_offsetof(struct known_path, text);
    scratch->bits = known->bits;
    return true;
}

static __always_inline void keep_known_path(struct scratch *scratch, __u32 place)
{
    struct known_path *known = &scratch->known_paths[place];
    __u32 len = IOL_PATH_MAX - scratch->offset;

    if (len == 0 || len > KNOWN_PATH_MAX - 1 || scratch->bits & (IOL_FILE_TRUNCATED | IOL_FILE_PSEUDO_DENTRY))
        return;
    known->name = scratch->name;
    known->bits = scratch->bits;
    known->len = len;
    bpf_probe_read_kernel(known->text, masked(len, KNOWN_PATH_MAX - 1),
                          &scratch->path[scratch->offset & (IOL_PATH_MAX - 1)]);
}

/* After set_walk(), in place of walk_path(): 0 when the path is not known. Then it is to be walked, and kept with keep_path(). */
__noinline int recall_path(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);

    if (!scratch || !scratch->dentry || !scratch->mnt)
        return 0;
    scratch->name = name_walk(scratch);
    return take_known_path(scratch, masked(scratch->name, KNOWN_PATHS - 1));
}

__noinline int keep_path(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);

    if (scratch && scratch->dentry)
        keep_known_path(scratch, masked(scratch->name, KNOWN_PATHS - 1));
    return 0;
}

/* Marks for a process that sees another tree than the recorder does. */
static __always_inline __u32 root_bits(const struct task_struct *task, struct path *root)
{
    __u64 spaces = address_of(LOAD(task, nsproxy));

    if (LOAD(AS(mnt_namespace, LOAD_ADDRESS(nsproxy, spaces, mnt_ns)), ns.inum) != (__u32)settings.home_mnt_ns)
        return IOL_FILE_MNTNS;
    if (LOAD_ADDRESS(path, (__u64)root, dentry) != (__u64)home_root_dentry ||
        LOAD_ADDRESS(path, (__u64)root, mnt) != (__u64)home_root_mnt)
        return IOL_FILE_CHROOT;
    return 0;
}

static __always_inline __u32 path_length(const struct scratch *scratch)
{
    __u32 len = IOL_PATH_MAX - scratch->offset;

    return len > IOL_PATH_MAX ? 0 : len;
}

/* The path that was walked, or is known. */
static __always_inline const char *path_text(const struct scratch *scratch)
{
    __u32 at = scratch->text ? scratch->text : (__u32) __builtin_offsetof(struct scratch, path) + scratch->offset;

    return (const char *)scratch + masked(at, 2 * IOL_PATH_MAX - 1);
}

_Static_assert(__builtin_offsetof(struct scratch, path) + IOL_PATH_MAX < 2 * IOL_PATH_MAX &&
                   sizeof(struct scratch) > 4 * IOL_PATH_MAX,
               "the mask of path_text(), and a path from there");

/* Copies the path to the record at `at`; returns the offset behind it. */
static __always_inline __u32 copy_path(struct scratch *scratch, __u32 at)
{
    __u32 len = path_length(scratch);

    bpf_probe_read_kernel(&scratch->record[at & RECORD_OFFSET_MASK], masked(len, 2 * IOL_PATH_MAX - 1),
                          path_text(scratch));
    return at + len;
}

/* Kind by mode, and by filesystem where the mode does not tell. */
static __always_inline __u32 file_kind(__u64 inode, __u64 dentry)
{
    __u16 mode = LOAD(AS(inode, inode), i_mode);
    __u64 magic = LOAD(AS(super_block, LOAD_ADDRESS(inode, inode, i_sb)), s_magic);

    if (magic == ANON_INODE_FS_MAGIC)
        return IOL_ABI_KIND_ANON;
    switch (mode & S_IFMT) {
    case S_IFREG:
        if ((magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC) && LOAD_ADDRESS(dentry, dentry, d_parent) == dentry)
            return IOL_ABI_KIND_MEMFD;
        return IOL_ABI_KIND_FILE;
    case S_IFDIR:
        return IOL_ABI_KIND_DIR;
    case S_IFLNK:
        return IOL_ABI_KIND_LINK;
    case S_IFCHR:
        return IOL_ABI_KIND_CHR;
    case S_IFBLK:
        return IOL_ABI_KIND_BLK;
    case S_IFIFO:
        return IOL_ABI_KIND_PIPE;
    case S_IFSOCK:
        return IOL_ABI_KIND_SOCKET;
    default:
        return IOL_ABI_KIND_OTHER;
    }
}

static __always_inline void fill_info(struct iol_file_info *info, __u64 inode, __u64 dentry)
{
    info->inode = LOAD(AS(inode, inode), i_ino);
    info->dev = LOAD(AS(super_block, LOAD_ADDRESS(inode, inode, i_sb)), s_dev);
    info->generation = LOAD(AS(inode, inode), i_generation);
    info->kind = file_kind(inode, dentry);
    info->reserved = 0;
}

static __always_inline void fill_file_info(struct iol_file_info *info, struct file *file)
{
    fill_info(info, LOAD_ADDRESS(file, (__u64)file, f_inode), LOAD_ADDRESS(file, (__u64)file, f_path.dentry));
}
