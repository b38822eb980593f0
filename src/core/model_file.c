// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Files: their rows, and how long they are remembered. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/table.h"
#include "core/batch.h"
#include "core/model.intern.h"

/* The kernel's dev_t (major << 20 | minor, include/linux/kdev_t.h) as stat(2) shows it. */
static int64_t stat_dev(uint32_t dev)
{
    return (int64_t)makedev(dev >> 20, dev & ((1U << 20) - 1));
}

/* Each text is hashed with its NUL, so that no two columns can run together. */
static uint64_t hash_text(uint64_t seed, const char *text)
{
    return text ? XXH64(text, strlen(text) + 1, seed) : XXH64("", 0, seed);
}

static int64_t file_id(const struct iol_file *row)
{
    const int64_t numbers[] = {row->host_id, row->dev, row->inode, row->generation, row->kind};
    uint64_t hash = XXH64(numbers, sizeof(numbers), 0);

    hash = hash_text(hash, row->path);
    hash = hash_text(hash, row->flags);
    return hash ? (int64_t)hash : 1;
}

static struct iol_file *add_row(struct iol_model *model, const char *flags, struct iol_batch *batch)
{
    struct iol_file *row = iol_batch_add(batch, IOL_TABLE_FILE);

    if (!row)
        return NULL;
    row->host_id = model->host_id;
    row->flags = flags[0] ? iol_arena_dup(batch->arena, flags, strlen(flags)) : NULL;
    return row;
}

static int64_t add_file(struct iol_model *model, const struct iol_file_info *info, const struct iol_bytes *path,
                        const char *more_flags, bool identified, struct iol_batch *batch)
{
    char flags[128] = "";
    char *text = iol_model_path_text(batch, info, path, flags, sizeof(flags));
    struct iol_file *row;

    if (more_flags)
        iol_model_add_flag(flags, sizeof(flags), more_flags);
    row = text ? add_row(model, flags, batch) : NULL;
    if (!row)
        return 0;
    row->dev = identified ? stat_dev(info->dev) : IOL_NULL;
    row->inode = identified ? (int64_t)info->inode : IOL_NULL;
    row->generation = identified ? info->generation : IOL_NULL;
    row->kind = info->kind;
    row->path = text;
    row->id = file_id(row);
    return row->id;
}

int64_t iol_model_add_file(struct iol_model *model, const struct iol_file_info *info, const struct iol_bytes *path,
                           const char *more_flags, struct iol_batch *batch)
{
    return add_file(model, info, path, more_flags, true, batch);
}

int64_t iol_model_add_name(struct iol_model *model, const struct iol_file_info *info, const struct iol_bytes *path,
                           const char *more_flags, struct iol_batch *batch)
{
    return add_file(model, info, path, more_flags, false, batch);
}

/* Pseudo files: names in parentheses, one for each kind. */
static const char *const group_names[IOL_KIND_COUNT] = {
    [IOL_KIND_FILE] = "(files)",     [IOL_KIND_DIR] = "(directories)",   [IOL_KIND_LINK] = "(links)",
    [IOL_KIND_CHR] = "(devices)",    [IOL_KIND_BLK] = "(block devices)", [IOL_KIND_PIPE] = "(pipes)",
    [IOL_KIND_SOCKET] = "(sockets)", [IOL_KIND_ANON] = "(anonymous)",    [IOL_KIND_MEMFD] = "(memfds)",
    [IOL_KIND_OTHER] = "(others)",
};

static int64_t add_pseudo(struct iol_model *model, uint64_t key, struct iol_batch *batch)
{
    struct iol_file *row = add_row(model, "", batch);

    if (!row)
        return 0;
    row->kind = IOL_KIND_OTHER;
    if (key >= IOL_FILE_GROUP && key < IOL_FILE_GROUP + IOL_KIND_COUNT) {
        row->kind = (int64_t)(key - IOL_FILE_GROUP);
        row->path = group_names[row->kind];
    } else if (key == IOL_FILE_NOT_OPEN) {
        row->path = "(no open file)";
    } else if (key == IOL_FILE_OTHER) {
        row->path = "(other files)";
    } else {
        row->path = "(unknown file)"; /* an account whose file record never came: none is known to do this */
    }
    row->id = file_id(row);
    return row->id;
}

/* Beside the one that was found last: where several CPUs open accounts and send records, neighbours change places. */
static struct iol_model_file *find_beside(const struct iol_model *model, uint64_t key)
{
    struct iol_model_file *found = model->found, *next = found ? found->hh.next : NULL;
    struct iol_model_file *const beside[] = {next, next ? next->hh.next : NULL, found ? found->hh.prev : NULL};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(beside); i++) {
        if (beside[i] && beside[i]->key == key)
            return beside[i];
    }
    return NULL;
}

/* NULL: not known. */
static struct iol_model_file *find_file(struct iol_model *model, uint64_t key)
{
    struct iol_model_file *file = find_beside(model, key);

    if (!file)
        HASH_FIND(hh, model->files, &key, sizeof(key), file);
    if (file)
        model->found = file;
    return file;
}

/* The kernel may know it again: it has to be made to forget it anew before it goes. */
static void unforget(struct iol_model *model, struct iol_model_file *file)
{
    if (file->forgotten)
        model->n_forgotten_files--;
    file->forgotten = 0;
}

/* What a later recorder has to know of the file: that it has its row. `id` 0: it is forgotten. */
static void note_file(const struct iol_model *model, uint64_t key, int64_t id)
{
    if (model->journal)
        iol_journal_file(model->journal, key, id);
}

static struct iol_model_file *remember_file(struct iol_model *model, uint64_t key, int64_t id)
{
    struct iol_model_file *file = NULL;
    unsigned int hash;

    HASH_VALUE(&key, sizeof(key), hash);
    HASH_FIND_BYHASHVALUE(hh, model->files, &key, sizeof(key), hash, file);
    if (!file) {
        file = calloc(1, sizeof(*file));
        if (!file)
            return NULL;
        file->key = key;
        HASH_ADD_BYHASHVALUE(hh, model->files, key, sizeof(file->key), hash, file);
        model->n_idle_files++;
        model->stats.files += key >= IOL_FILE_PSEUDO_END;
    }
    if (file->id != id)
        note_file(model, key, id);
    file->id = id;
    file->idle_ns = model->now_ns;
    unforget(model, file);
    return file;
}

int iol_model_recall_file(struct iol_model *model, uint64_t key, int64_t id)
{
    struct iol_model_file *file = find_file(model, key);

    if (file)
        return 0;
    file = calloc(1, sizeof(*file));
    if (!file)
        return -ENOMEM;
    file->key = key;
    file->id = id;
    file->idle_ns = model->now_ns;
    HASH_ADD(hh, model->files, key, sizeof(file->key), file);
    model->n_idle_files++;
    return 0;
}

int iol_model_post_file(struct iol_model *model, const struct iol_decoded_file *record, struct iol_batch *batch)
{
    int64_t id = iol_model_add_file(model, &record->fixed.info, &record->path, NULL, batch);

    iol_model_learn_name(model, &record->fixed.info, &record->path);
    return id && remember_file(model, record->fixed.key, id) ? 0 : -ENOMEM;
}

struct iol_model_file *iol_model_get_file(struct iol_model *model, uint64_t key, struct iol_batch *batch)
{
    struct iol_model_file *file = find_file(model, key);

    if (!file) {
        int64_t id = add_pseudo(model, key, batch);

        file = id ? remember_file(model, key, id) : NULL;
    }
    if (!file)
        return NULL;
    if (file->refs++ == 0)
        model->n_idle_files--;
    unforget(model, file);
    return file;
}

void iol_model_put_file(struct iol_model *model, struct iol_model_file *file)
{
    if (!file)
        return;
    file->idle_ns = model->now_ns;
    if (--file->refs == 0)
        model->n_idle_files++;
}

int64_t iol_model_file_id(const struct iol_model_file *file)
{
    return file->id;
}

void iol_model_each_file(const struct iol_model *model, iol_model_id_fn *one, void *arg)
{
    const struct iol_model_file *file, *next;

    HASH_ITER(hh, model->files, file, next)
        one(arg, file->id);
}

/* Once in a while: all files are looked at. */
static bool is_time_to_age(struct iol_model *model)
{
    if (model->now_ns - model->aged_ns < IOL_MODEL_IDLE_NS / 32)
        return false;
    model->aged_ns = model->now_ns;
    return true;
}

void iol_model_trim(struct iol_model *model, uint64_t epoch, uint64_t now_ns, iol_model_forget_fn *forget, void *arg)
{
    bool crowded = model->n_idle_files > model->max_idle_files, aging;
    struct iol_model_file *file, *next;
    uint64_t keys[256];
    size_t n = 0;

    model->epoch = epoch;
    model->now_ns = now_ns;
    aging = is_time_to_age(model);
    iol_model_trim_processes(model);
    if (!crowded && !aging && !model->n_forgotten_files)
        return;
    HASH_ITER(hh, model->files, file, next) {
        if (file->refs || file->key < IOL_FILE_PSEUDO_END)
            continue;
        if (!file->forgotten && (crowded || (aging && now_ns - file->idle_ns >= IOL_MODEL_IDLE_NS))) {
            keys[n++] = file->key;
            if (n == IOL_ARRAY_SIZE(keys)) {
                forget(arg, keys, n);
                n = 0;
            }
            file->forgotten = epoch;
            model->n_forgotten_files++;
        } else if (file->forgotten && file->forgotten + 2 <= epoch) {
            HASH_DEL(model->files, file);
            if (model->found == file)
                model->found = NULL;
            note_file(model, file->key, 0);
            free(file);
            model->n_idle_files--;
            model->n_forgotten_files--;
        }
    }
    if (n > 0)
        forget(arg, keys, n);
}
