// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* From the kernel's bytes to the texts of rows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "core/batch.h"
#include "core/container.h"
#include "core/model.intern.h"

void iol_model_add_flag(char *flags, size_t size, const char *word)
{
    size_t used = strlen(flags);

    snprintf(flags + used, size - used, "%s%s", used ? "," : "", word);
}

/* Names that the kernel makes up for what hangs on no directory: the d_dname functions of pipefs, sockfs, anon_inodefs and d_path() for memfd. */
static void pseudo_path(char *buf, size_t size, const struct iol_file_info *info, const struct iol_bytes *name)
{
    int length = (int)name->size;

    switch (info->kind) {
    case IOL_KIND_PIPE:
        snprintf(buf, size, "pipe:[%llu]", (unsigned long long)info->inode);
        break;
    case IOL_KIND_SOCKET:
        snprintf(buf, size, "socket:[%llu]", (unsigned long long)info->inode);
        break;
    case IOL_KIND_ANON:
        snprintf(buf, size, "anon_inode:%.*s", length, name->data);
        break;
    default:
        snprintf(buf, size, "/%.*s", length, name->data);
        break;
    }
}

static void add_path_flags(const struct iol_file_info *info, char *flags, size_t size)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } words[] = {
        {IOL_FILE_DELETED, "deleted"}, {IOL_FILE_TRUNCATED, "truncated"}, {IOL_FILE_UNREACHABLE, "unreachable"},
        {IOL_FILE_CHROOT, "chroot"},   {IOL_FILE_MNTNS, "mntns"},
    };
    uint32_t bits = info->bits;

    /* a pipe or an anonymous inode has no place in any tree: where it was seen from says nothing */
    if (bits & IOL_FILE_PSEUDO_DENTRY)
        bits &= ~(uint32_t)(IOL_FILE_CHROOT | IOL_FILE_MNTNS);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(words); i++) {
        if (bits & words[i].bit)
            iol_model_add_flag(flags, size, words[i].word);
    }
    /* a file opened by handle whose directories the kernel does not know */
    if (bits & IOL_FILE_PSEUDO_DENTRY && info->kind <= IOL_KIND_LINK)
        iol_model_add_flag(flags, size, "unreachable");
}

char *iol_model_path_text(struct iol_batch *batch, const struct iol_file_info *info, const struct iol_bytes *path,
                          char *flags, size_t flags_size)
{
    char made_up[IOL_PATH_MAX + 64];
    bool escaped = false;
    char *text;

    if (info->bits & IOL_FILE_PSEUDO_DENTRY) {
        pseudo_path(made_up, sizeof(made_up), info, path);
        text = iol_text_store(batch->arena, made_up, strlen(made_up), &escaped);
    } else {
        text = iol_text_store(batch->arena, path->data, path->size, &escaped);
    }
    add_path_flags(info, flags, flags_size);
    if (escaped)
        iol_model_add_flag(flags, flags_size, "escaped");
    return text;
}

char *iol_model_argv_text(struct iol_batch *batch, const struct iol_bytes *argv, bool *ret_escaped)
{
    size_t size = argv->size;
    _cleanup_free_ char *joined = malloc(size + 1);

    if (!joined)
        return NULL;
    memcpy(joined, argv->data, size);
    while (size > 0 && joined[size - 1] == '\0')
        size--;
    for (size_t i = 0; i < size; i++) {
        if (joined[i] == '\0')
            joined[i] = ' ';
    }
    return iol_text_store(batch->arena, joined, size, ret_escaped);
}

void iol_model_set_cgroup(struct iol_model_process *process, const struct iol_bytes *cgroup, struct iol_batch *batch,
                          bool *ret_escaped)
{
    char id[IOL_CONTAINER_ID_MAX];
    const char *text;

    if (cgroup->size == 0)
        return;
    text = iol_text_store(batch->arena, cgroup->data, cgroup->size, ret_escaped);
    free((void *)(uintptr_t)process->row.cgroup);
    free((void *)(uintptr_t)process->row.container_id);
    process->row.cgroup = text ? strdup(text) : NULL;
    process->row.container_id = text && iol_container_of_path(text, id) ? strdup(id) : NULL;
}

char *iol_model_read_cmdline(int64_t pid, size_t *ret_size)
{
    char path[64];
    char *buf;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%" PRId64 "/cmdline", pid);
    file = fopen(path, "re");
    if (!file)
        return NULL;
    buf = malloc(IOL_ARGV_MAX);
    if (buf)
        *ret_size = fread(buf, 1, IOL_ARGV_MAX, file);
    fclose(file);
    return buf;
}
