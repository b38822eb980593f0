// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Changes of files: an event each, and what they say about which file a name means.
 *
 * The kernel side gives a directory that it has walked and the string that the program gave below it. The string is put behind
 * the directory by its letters. That is the right path as long as no component but the last can be a symbolic link: so
 * for a single component, and for those directories that the model knows to be directories. Else the row is flagged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/batch.h"
#include "core/model.intern.h"
#include "core/names.h"

/* A descriptor that had been closed by the time it was looked at. */
static const char nothing[] = "(no open file)";

/* One name of a change, followed as far as that can be done. */
struct target {
    struct iol_file_info info; /* bits; inode and kind when it is the file itself, as the kernel saw it */
    char *path;                /* malloc'ed */
    size_t size;
    struct iol_bytes last;           /* the last component, within path; empty: the walked directory, or one above */
    struct iol_name_node *directory; /* that it is in, when that is known to be a directory; else NULL */
    struct iol_name_node *node;      /* itself, when it is known */
    bool walked;                     /* the path so far ends in a directory that the kernel has walked */
    bool exact;                      /* no symbolic link can be in the path, its last component left out */
    bool nowhere;                    /* relative to a directory that could not be seen */
};

static void done_target(struct target *target)
{
    free(target->path);
}

static struct iol_bytes path_of(const struct target *target)
{
    return (struct iol_bytes){target->path, target->size};
}

static bool is_directory(const struct iol_name_node *node)
{
    return iol_names_info(node)->kind == IOL_KIND_DIR;
}

/* What follows is below the path so far: is that a directory, and no link to one? */
static void enter(struct target *target)
{
    if (target->walked)
        return;
    if (!target->exact || !target->node || !is_directory(target->node)) {
        target->exact = false;
        target->node = NULL;
    }
}

static void go_up(struct target *target)
{
    enter(target);
    while (target->size > 0 && target->path[--target->size] != '/')
        ;
    if (target->node)
        target->node = iol_names_parent(target->node);
    target->directory = NULL;
    target->last = (struct iol_bytes){0};
}

static void go_down(struct iol_model *model, struct target *target, const struct iol_bytes *name)
{
    enter(target);
    if (target->size > 0 || !target->nowhere)
        target->path[target->size++] = '/';
    target->last = (struct iol_bytes){target->path + target->size, name->size};
    memcpy(target->path + target->size, name->data, name->size);
    target->size += name->size;
    target->directory = target->node;
    target->node = target->directory ? iol_names_find(model->names, target->directory, name) : NULL;
    target->walked = false;
}

static void follow(struct iol_model *model, struct target *target, const struct iol_bytes *given)
{
    const char *at = given->data, *end = given->data + given->size;

    while (at < end) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        struct iol_bytes name = {at, (size_t)((slash ? slash : end) - at)};

        at = slash ? slash + 1 : end;
        if (name.size == 0 || (name.size == 1 && name.data[0] == '.'))
            continue;
        if (name.size == 2 && name.data[0] == '.' && name.data[1] == '.')
            go_up(target);
        else
            go_down(model, target, &name);
    }
    if (target->size == 0) {
        const char *name = target->nowhere ? nothing : "/";

        target->size = strlen(name);
        memcpy(target->path, name, target->size);
    }
}

/* Where the string starts from: the root, or the directory that the kernel walked. */
static void start(struct iol_model *model, struct target *target, const struct iol_bytes *base, bool absolute)
{
    const uint32_t lost = IOL_FILE_TRUNCATED | IOL_FILE_UNREACHABLE | IOL_FILE_PSEUDO_DENTRY;
    bool known = model->names && !target->info.bits; /* names of another root or mount namespace are not these */

    if (absolute) {
        target->exact = target->walked = true;
        target->node = known ? iol_names_root(model->names) : NULL;
        return;
    }
    memcpy(target->path, base->data, base->size);
    target->size = base->size;
    target->exact = target->walked = base->size > 0 && base->data[0] == '/' && !(target->info.bits & lost);
    if (target->size == 1 && target->path[0] == '/')
        target->size = 0;
    if (known && target->exact)
        target->node = iol_names_learn(model->names, base, NULL);
}

static int resolve(struct iol_model *model, const struct iol_name *name, const struct iol_decoded_name *texts,
                   struct target *target)
{
    const struct iol_bytes *base = &texts->path, *given = &texts->given;
    bool absolute = given->size > 0 && given->data[0] == '/';

    *target = (struct target){.info = name->info};
    target->path = malloc(base->size + given->size + sizeof(nothing)); /* room for "/" too */
    if (!target->path)
        return -ENOMEM;
    if (name->info.inode && given->size == 0) {
        memcpy(target->path, base->data, base->size);
        target->size = base->size;
        target->exact = true;
        return 0;
    }
    target->info.inode = 0;
    target->nowhere = !absolute && base->size == 0;
    start(model, target, base, absolute);
    follow(model, target, given);
    if (name->bits & IOL_NAME_UNREADABLE) {
        target->exact = false;
        target->directory = target->node = NULL;
    }
    return 0;
}

/* Whether the calls of this kind go through a symbolic link that the last component may be. */
static bool follows_links(int64_t kind)
{
    return kind == IOL_EVENT_OPEN_FAILED || kind == IOL_EVENT_TRUNCATE || kind == IOL_EVENT_CHMOD ||
           kind == IOL_EVENT_CHOWN || kind == IOL_EVENT_SETXATTR;
}

static uint32_t usual_kind(int64_t event_kind, const struct target *target)
{
    bool above = target->last.size == 0; /* the name is that of a directory: ".", "..", or nothing */

    switch (event_kind) {
    case IOL_EVENT_MKDIR:
    case IOL_EVENT_RMDIR:
        return IOL_KIND_DIR;
    case IOL_EVENT_SYMLINK:
        return IOL_KIND_LINK;
    case IOL_EVENT_TRUNCATE:
        return IOL_KIND_FILE;
    default:
        return above && target->walked ? IOL_KIND_DIR : IOL_KIND_OTHER;
    }
}

/* The row of the file under the target's path; *known is what else is known of it. Returns its id, 0: no memory. */
static int64_t add_target(struct iol_model *model, const struct target *target, const struct iol_file_info *known,
                          bool exact, struct iol_batch *batch)
{
    const struct iol_bytes path = path_of(target);
    struct iol_file_info info = *known;
    const char *flags = exact ? NULL : "unresolved";

    info.bits = target->info.bits;
    if (info.inode)
        return iol_model_add_file(model, &info, &path, flags, batch);
    info.bits &= ~(uint32_t)IOL_FILE_PSEUDO_DENTRY;
    return iol_model_add_name(model, &info, &path, flags, batch);
}

/* What is known of a target: as the kernel saw it, or as the model remembers it, or as the call is made for. */
static struct iol_file_info know(const struct target *target, int64_t event_kind, bool *exact)
{
    *exact = target->exact;
    if (target->info.inode)
        return target->info;
    if (target->node && target->last.size > 0) {
        struct iol_file_info info = *iol_names_info(target->node);

        if (info.kind != IOL_KIND_LINK || !follows_links(event_kind))
            return info;
        *exact = false; /* a link, and what it leads to is not known */
    }
    return (struct iol_file_info){.kind = usual_kind(event_kind, target)};
}

static int add_rows(struct iol_model *model, const struct iol_decoded_change *change,
                    const struct iol_model_process *process, const struct target *file, const struct target *other,
                    struct iol_batch *batch)
{
    const struct iol_record_change *fixed = &change->fixed;
    bool exact;
    const struct iol_file_info info = know(file, fixed->kind, &exact);
    struct iol_event *event = iol_model_add_event(model, fixed->kind, fixed->head.ts, process, batch);

    if (!event)
        return -ENOMEM;
    event->tid = fixed->tid;
    event->result = fixed->result < 0 ? fixed->result : 0;
    event->file_id = add_target(model, file, &info, exact, batch);
    if (event->file_id && other->path)
        event->other_file_id = add_target(model, other, &info, other->exact, batch);
    return event->file_id && event->other_file_id ? 0 : -ENOMEM;
}

/* The name no longer means what it did. When it is not sure which one that is, none of that spelling does. */
static void forget(struct iol_model *model, const struct target *target)
{
    if (target->directory && target->exact) {
        struct iol_name_node *node = iol_names_find(model->names, target->directory, &target->last);

        if (node)
            iol_names_remove(model->names, node);
    } else if (target->last.size > 0) {
        iol_names_remove_all(model->names, &target->last);
    } else {
        iol_names_clear(model->names);
    }
}

static int rename_name(struct iol_model *model, const struct target *from, const struct target *to, bool exchanged)
{
    bool from_is_sure = from->directory && from->exact, to_is_sure = to->directory && to->exact;

    if (exchanged && from->node && to->node) {
        iol_names_exchange(model->names, from->node, to->node);
        return 0;
    }
    if (exchanged && to->node && from_is_sure)
        return iol_names_move(model->names, to->node, from->directory, &from->last);
    if (from->node && to_is_sure)
        return iol_names_move(model->names, from->node, to->directory, &to->last);
    /* what is sure goes first: the other may take everything of its spelling along */
    if (from->node)
        forget(model, from);
    if (to_is_sure)
        forget(model, to);
    if (!from_is_sure)
        forget(model, from);
    if (!to_is_sure)
        forget(model, to);
    return 0;
}

static int learn_change(struct iol_model *model, const struct iol_decoded_change *change, const struct target *file,
                        const struct target *other)
{
    const struct iol_file_info made = {.kind = usual_kind(change->fixed.kind, file)};
    const struct iol_file_info *known = file->node ? iol_names_info(file->node) : NULL;

    if (file->info.inode)
        known = &file->info;
    switch (change->fixed.kind) {
    case IOL_EVENT_UNLINK:
    case IOL_EVENT_RMDIR:
        forget(model, file);
        return 0;
    case IOL_EVENT_RENAME:
        return rename_name(model, file, other, change->fixed.other.bits & IOL_NAME_EXCHANGED);
    case IOL_EVENT_LINK:
        if (known && other->directory && other->exact) {
            const struct iol_file_info copy = *known; /* the node may go for the new one to come */

            return iol_names_create(model->names, other->directory, &other->last, &copy);
        }
        forget(model, other);
        return 0;
    case IOL_EVENT_SYMLINK:
    case IOL_EVENT_MKDIR:
        if (file->directory && file->exact)
            return iol_names_create(model->names, file->directory, &file->last, &made);
        forget(model, file);
        return 0;
    default:
        if (file->info.inode) {
            const struct iol_bytes path = path_of(file);

            iol_model_learn_name(model, &file->info, &path);
        }
        return 0;
    }
}

static bool is_change(int64_t kind)
{
    return kind >= IOL_EVENT_OPEN && kind <= IOL_EVENT_SETXATTR;
}

int iol_model_post_change(struct iol_model *model, const struct iol_decoded_change *change, struct iol_batch *batch)
{
    const struct iol_record_change *fixed = &change->fixed;
    const struct iol_model_process *process = iol_model_find_process(model, fixed->image);
    _cleanup_(done_target) struct target file = {0}, other = {0};
    bool two = fixed->kind == IOL_EVENT_RENAME || fixed->kind == IOL_EVENT_LINK;
    int r = 0;

    if (!is_change(fixed->kind)) {
        iol_model_forget_names(model);
        return 0;
    }
    if (model->names)
        iol_names_take_in(model->names);
    if (resolve(model, &fixed->file, &change->file, &file) < 0 ||
        (two && resolve(model, &fixed->other, &change->other, &other) < 0))
        return -ENOMEM;
    if (process && process->traced)
        r = add_rows(model, change, process, &file, &other, batch);
    if (r == 0 && model->names && fixed->result >= 0)
        r = learn_change(model, change, &file, &other);
    if (model->names)
        iol_names_trim(model->names);
    return r;
}

void iol_model_forget_names(struct iol_model *model)
{
    if (model->names)
        iol_names_clear(model->names);
}

void iol_model_learn_name(struct iol_model *model, const struct iol_file_info *info, const struct iol_bytes *path)
{
    if (!model->names || info->bits || !info->inode || path->size == 0 || path->data[0] != '/')
        return;
    iol_names_hear(model->names, path, info);
}
