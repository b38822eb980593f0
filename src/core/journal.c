// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "core/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define MAGIC UINT64_C(0x4c4e524a4f49) /* "IOJRNL" */

struct header {
    uint64_t magic;
    uint64_t layout; /* IOL_LAYOUT */
    uint64_t n_slots, n_files, n_images;
    struct iol_books books;
};

static_assert(sizeof(struct header) % 8 == 0 && sizeof(struct iol_journal_slot) % 8 == 0, "arrays are aligned");

static void add(struct iol_journal *journal, struct iol_journal_array *array, const void *data, size_t size)
{
    if (!journal->failed)
        journal->failed = iol_array_reserve(&array->data, &array->room, array->n + size, 1);
    if (journal->failed)
        return;
    memcpy((char *)array->data + array->n, data, size);
    array->n += size;
}

void iol_journal_slot(struct iol_journal *journal, uint32_t index, const struct iol_posted *posted)
{
    const struct iol_journal_slot slot = {index, *posted};

    add(journal, &journal->slots, &slot, sizeof(slot));
}

void iol_journal_file(struct iol_journal *journal, uint64_t key, int64_t id)
{
    add(journal, &journal->file_keys, &key, sizeof(key));
    add(journal, &journal->file_ids, &id, sizeof(id));
}

void iol_journal_image(struct iol_journal *journal, uint64_t image, const struct iol_known_image *value)
{
    add(journal, &journal->images, &image, sizeof(image));
    add(journal, &journal->image_values, value, sizeof(*value));
}

static char *append(char *at, const void *data, size_t size)
{
    if (size)
        memcpy(at, data, size);
    return at + size;
}

int iol_journal_take(struct iol_journal *journal, const struct iol_books *books, void **ret_data, size_t *ret_size)
{
    struct iol_journal_array *arrays[] = {&journal->slots, &journal->file_keys, &journal->file_ids, &journal->images,
                                          &journal->image_values};
    const size_t n_arrays = sizeof(arrays) / sizeof(arrays[0]);
    const struct header header = {
        .magic = MAGIC,
        .layout = IOL_LAYOUT,
        .n_slots = journal->slots.n / sizeof(struct iol_journal_slot),
        .n_files = journal->file_keys.n / sizeof(uint64_t),
        .n_images = journal->images.n / sizeof(uint64_t),
        .books = *books,
    };
    size_t size = sizeof(header);
    char *data, *at;

    if (journal->failed)
        return journal->failed;
    for (size_t i = 0; i < n_arrays; i++)
        size += arrays[i]->n;
    data = malloc(size);
    if (!data)
        return -ENOMEM;
    at = append(data, &header, sizeof(header));
    for (size_t i = 0; i < n_arrays; i++) {
        at = append(at, arrays[i]->data, arrays[i]->n);
        arrays[i]->n = 0;
    }
    *ret_data = data;
    *ret_size = size;
    return 0;
}

void iol_journal_done(struct iol_journal *journal)
{
    free(journal->slots.data);
    free(journal->file_keys.data);
    free(journal->file_ids.data);
    free(journal->images.data);
    free(journal->image_values.data);
    memset(journal, 0, sizeof(*journal));
}

int iol_journal_read(const void *data, size_t size, struct iol_journal_view *ret_view)
{
    const struct header *header = data;
    const size_t per_slot = sizeof(struct iol_journal_slot), per_file = 16, per_image = 16;
    const char *at = (const char *)data + sizeof(*header);
    size_t rest;

    if (size < sizeof(*header) || header->magic != MAGIC || header->layout != IOL_LAYOUT)
        return -EBADMSG;
    rest = size - sizeof(*header);
    if (header->n_slots > rest / per_slot || header->n_files > rest / per_file || header->n_images > rest / per_image ||
        header->n_slots * per_slot + header->n_files * per_file + header->n_images * per_image != rest)
        return -EBADMSG;
    ret_view->books = header->books;
    ret_view->n_slots = header->n_slots;
    ret_view->n_files = header->n_files;
    ret_view->n_images = header->n_images;
    ret_view->slots = (const void *)at;
    at += header->n_slots * per_slot;
    ret_view->file_keys = (const void *)at;
    at += header->n_files * sizeof(uint64_t);
    ret_view->file_ids = (const void *)at;
    at += header->n_files * sizeof(int64_t);
    ret_view->images = (const void *)at;
    at += header->n_images * sizeof(uint64_t);
    ret_view->image_values = (const void *)at;
    return 0;
}
