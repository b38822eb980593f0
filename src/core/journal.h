// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * What a batch changes of the books that outlive the recorder (abi/books.h), as bytes that go with the batch into the spool. All
 * values are absolute, so that a journal may be read again and again: whoever finds a batch in the spool that the books do not know
 * yet puts its journal into them.
 */
#include <stddef.h>
#include <stdint.h>

#include "abi/books.h"

/* Gathers; each call but the first changes nothing any more when there was no memory. Zeroed at first. */
struct iol_journal {
    struct iol_journal_array {
        void *data;
        size_t n, room; /* bytes */
    } slots, file_keys, file_ids, images, image_values;
    int failed; /* -ENOMEM */
};

void iol_journal_slot(struct iol_journal *journal, uint32_t index, const struct iol_posted *posted);
void iol_journal_file(struct iol_journal *journal, uint64_t key, int64_t id); /* 0: it is known no more */
void iol_journal_image(struct iol_journal *journal, uint64_t image,
                       const struct iol_known_image *value); /* bits 0: … */

/* Everything gathered since the last time, and the books: malloc'ed bytes. 0, or -ENOMEM. */
int iol_journal_take(struct iol_journal *journal, const struct iol_books *books, void **ret_data, size_t *ret_size);
void iol_journal_done(struct iol_journal *journal);

struct iol_journal_slot {
    uint64_t index;
    struct iol_posted posted;
};

/* A journal as it is read; the arrays are in its bytes. */
struct iol_journal_view {
    struct iol_books books;
    const struct iol_journal_slot *slots;
    size_t n_slots;
    const uint64_t *file_keys;
    const int64_t *file_ids;
    size_t n_files;
    const uint64_t *images;
    const struct iol_known_image *image_values;
    size_t n_images;
};

/* `data` is aligned as malloc() does it. -EBADMSG: it is no journal of this layout. */
int iol_journal_read(const void *data, size_t size, struct iol_journal_view *ret_view);
