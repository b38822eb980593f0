// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/resume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.h"
#include "core/account.h"
#include "core/batch.h"
#include "core/journal.h"
#include "core/model.h"
#include "store/spool.h"

#define BATCH_PART 8 /* of the ring buffer: half of what wakes its reader (capture/load.c) */

struct iol_resume {
    struct iol_capture *capture;
    struct iol_journal journal;
    struct iol_books books; /* as they will be when the batch that is being made is safe */
    void *sealed;           /* journal of the batch that is on its way into the spool */
    size_t sealed_size;
};

/* Slots that nobody uses any more go back to the kernel, now that the books say so. */
static void push_released(struct iol_capture *capture, size_t index)
{
    if (iol_capture_posted(capture)[index].state == IOL_POSTED_RELEASED)
        iol_capture_free_slots(capture, &(uint32_t){(uint32_t)index}, 1);
}

/* Absolute values into the books of the kernel, in any order; `seq` last, so that whoever is interrupted does it again. */
static int apply(struct iol_capture *capture, const struct iol_journal_view *view)
{
    struct iol_books *books = iol_capture_books(capture), now = view->books;
    struct iol_posted *posted = iol_capture_posted(capture);
    size_t n_slots, first_spare;
    int r;

    iol_capture_slots(capture, &n_slots, &first_spare);
    for (size_t i = 0; i < view->n_slots; i++) {
        if (view->slots[i].index >= n_slots)
            return -EBADMSG;
        posted[view->slots[i].index] = view->slots[i].posted;
    }
    r = iol_capture_know_files(capture, view->file_keys, view->file_ids, view->n_files);
    if (r == 0)
        r = iol_capture_know_images(capture, view->images, view->image_values, view->n_images);
    if (r < 0)
        return r;
    now.seq = books->seq;
    *books = now;
    __atomic_store_n(&books->seq, view->books.seq, __ATOMIC_RELEASE);
    iol_capture_release_records(capture, now.ring);
    return 0;
}

/* The batch is in the spool, and these books do not know it: their recorder ended between the two. */
static bool is_ahead(const struct iol_books *books, const struct iol_spool_last *last, int64_t host_id,
                     const char *boot_id, struct iol_journal_view *ret_view)
{
    if (!last || !last->journal || last->host_id != host_id || strcmp(last->boot_id, boot_id) != 0 ||
        (uint64_t)last->seq <= books->seq)
        return false;
    return iol_journal_read(last->journal, last->journal_size, ret_view) == 0 && ret_view->books.set == books->set;
}

int iol_resume_new(struct iol_capture *capture, const struct iol_spool_last *last, int64_t host_id, const char *boot_id,
                   struct iol_resume **ret_resume, struct iol_error *err)
{
    struct iol_books *books = iol_capture_books(capture);
    struct iol_journal_view view;
    struct iol_resume *resume;
    int r = 0;

    if (is_ahead(books, last, host_id, boot_id, &view))
        r = apply(capture, &view);
    if (r < 0)
        return iol_error_set(err, r, "cannot bring the pinned books up to the spool: %s", strerror(-r));
    resume = calloc(1, sizeof(*resume));
    if (!resume)
        return iol_error_set(err, -ENOMEM, "out of memory");
    resume->capture = capture;
    resume->books = *books;
    *ret_resume = resume;
    return 0;
}

void iol_resume_free(struct iol_resume *resume)
{
    if (!resume)
        return;
    iol_journal_done(&resume->journal);
    free(resume->sealed);
    free(resume);
}

struct iol_journal *iol_resume_journal(struct iol_resume *resume)
{
    return &resume->journal;
}

static int recall_files(struct iol_resume *resume, struct iol_model *model)
{
    _cleanup_free_ uint64_t *keys = NULL;
    _cleanup_free_ int64_t *ids = NULL;
    size_t n = 0;
    int r = iol_capture_known_files(resume->capture, &keys, &ids, &n);

    for (size_t i = 0; r == 0 && i < n; i++) {
        if (ids[i])
            r = iol_model_recall_file(model, keys[i], ids[i]);
    }
    return r;
}

static int recall_processes(struct iol_resume *resume, struct iol_model *model)
{
    _cleanup_free_ uint64_t *images = NULL;
    _cleanup_free_ struct iol_known_image *known = NULL;
    size_t n = 0;
    int r = iol_capture_known_images(resume->capture, &images, &known, &n);

    for (size_t i = 0; r == 0 && i < n; i++) {
        if (known[i].bits)
            r = iol_model_recall_process(model, images[i], &known[i]);
    }
    return r;
}

int iol_resume_restore(struct iol_resume *resume, struct iol_model *model, struct iol_accounts *accounts,
                       struct iol_batch *batch)
{
    size_t n_slots, first_spare;
    int r = recall_files(resume, model);

    iol_capture_slots(resume->capture, &n_slots, &first_spare);
    for (size_t i = 0; i < n_slots; i++)
        push_released(resume->capture, i);
    if (r == 0)
        r = recall_processes(resume, model);
    if (r == 0)
        r = iol_accounts_restore(accounts, iol_capture_posted(resume->capture), &resume->books, model, batch);
    return r;
}

void iol_resume_begin(struct iol_resume *resume, const struct iol_clock_pair *start)
{
    resume->books.from_jiffies = start->jiffies;
    resume->books.from_ns = start->boot_ns;
}

uint64_t iol_resume_epoch(const struct iol_resume *resume, uint64_t *ret_end_ns)
{
    *ret_end_ns = resume->books.from_ns;
    return resume->books.epoch;
}

uint64_t iol_resume_next_seq(const struct iol_resume *resume, uint64_t seq)
{
    return resume->books.seq >= seq ? resume->books.seq + 1 : seq;
}

void iol_resume_posted(struct iol_resume *resume, const struct iol_epoch *epoch)
{
    resume->books.epoch = epoch->number;
    resume->books.from_jiffies = epoch->to_jiffies;
    resume->books.from_ns = epoch->to_ns;
}

static int seal(struct iol_resume *resume, struct iol_accounts *accounts)
{
    iol_accounts_journal(accounts, &resume->journal, &resume->books);
    resume->books.ring = iol_capture_position(resume->capture);
    resume->books.recorder = (uint64_t)getpid();
    return iol_journal_take(&resume->journal, &resume->books, &resume->sealed, &resume->sealed_size);
}

int iol_resume_seal(struct iol_resume *resume, struct iol_accounts *accounts, struct iol_batch *batch, uint64_t seq)
{
    int r;

    resume->books.seq = seq;
    r = seal(resume, accounts);
    if (r < 0)
        return r;
    batch->journal = malloc(resume->sealed_size);
    if (!batch->journal)
        return -ENOMEM;
    memcpy(batch->journal, resume->sealed, resume->sealed_size);
    batch->journal_size = resume->sealed_size;
    return 0;
}

bool iol_resume_is_sealed(const struct iol_resume *resume)
{
    return resume->sealed != NULL;
}

bool iol_resume_wants_batch(const struct iol_resume *resume)
{
    return iol_capture_position(resume->capture) - resume->books.ring >=
           iol_capture_ring_bytes(resume->capture) / BATCH_PART;
}

int iol_resume_commit(struct iol_resume *resume)
{
    _cleanup_free_ void *sealed = TAKE_PTR(resume->sealed);
    struct iol_journal_view view;
    int r = iol_journal_read(sealed, resume->sealed_size, &view);

    if (r == 0)
        r = apply(resume->capture, &view);
    for (size_t i = 0; r == 0 && i < view.n_slots; i++)
        push_released(resume->capture, view.slots[i].index);
    return r;
}

int iol_resume_commit_nothing(struct iol_resume *resume, struct iol_accounts *accounts)
{
    /* no row: no counter has changed, and each thing that has is one word, so that an interruption leaves nothing half done */
    int r = seal(resume, accounts);

    return r < 0 ? r : iol_resume_commit(resume);
}
