// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Any bytes as records of the kernel: decoded and taken in by a model, they must neither touch memory
 * that is not theirs (for the sanitizers to see) nor make a row that the store could not write.
 *
 * With libFuzzer: clang -g -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Isrc tests/fuzz/fuzz_decode.c
 *     src/core/{batch,decode,model,model_file,model_text}.c src/base/{arena,text}.c -lxxhash
 */
#include "fuzz_decode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/model.h"

static struct fuzz_counts counts;

struct fuzz_counts fuzz_counts(void)
{
    return counts;
}

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_bytes(const struct iol_bytes *bytes, const char *data, size_t size)
{
    if (!bytes->data)
        return;
    require(bytes->data >= data && bytes->data <= data + size);
    require(bytes->size <= (size_t)(data + size - bytes->data));
}

static void check_decoded(const struct iol_decoded *decoded, const char *data, size_t size)
{
    switch (decoded->type) {
    case IOL_RECORD_PROCESS:
        check_bytes(&decoded->process.exe, data, size);
        check_bytes(&decoded->process.cwd, data, size);
        check_bytes(&decoded->process.cgroup, data, size);
        check_bytes(&decoded->process.argv, data, size);
        require(memchr(decoded->process.fixed.comm, '\0', IOL_COMM_MAX) != NULL);
        return;
    case IOL_RECORD_EXIT:
        return;
    case IOL_RECORD_EXEC_FAILED:
        check_bytes(&decoded->exec_failed.path, data, size);
        return;
    case IOL_RECORD_FILE:
        check_bytes(&decoded->file.path, data, size);
        return;
    case IOL_RECORD_EVENT:
        return;
    case IOL_RECORD_CHANGE:
        check_bytes(&decoded->change.file.path, data, size);
        check_bytes(&decoded->change.file.given, data, size);
        check_bytes(&decoded->change.other.path, data, size);
        check_bytes(&decoded->change.other.given, data, size);
        return;
    case IOL_RECORD_FORK: /* decoded as a process */
        break;
    }
    abort();
}

/* What is stored is valid UTF-8: to store it once more changes nothing. */
static void check_text(struct iol_arena *arena, const char *text)
{
    bool escaped = true;

    if (!text)
        return;
    require(iol_text_store(arena, text, strlen(text), &escaped) != NULL);
    require(!escaped);
}

static void check_processes(struct iol_batch *batch, struct iol_arena *arena)
{
    const struct iol_process *rows = batch->rows[IOL_TABLE_PROCESS].data;

    for (size_t i = 0; i < batch->rows[IOL_TABLE_PROCESS].count; i++) {
        const char *texts[] = {rows[i].comm,   rows[i].exe,          rows[i].argv, rows[i].cwd,
                               rows[i].cgroup, rows[i].container_id, rows[i].flags};

        for (size_t text = 0; text < IOL_ARRAY_SIZE(texts); text++)
            check_text(arena, texts[text]);
        require(rows[i].id != 0 && rows[i].comm);
        require(rows[i].origin >= 0 && rows[i].origin < IOL_ORIGIN_COUNT);
    }
}

static void check_files(struct iol_batch *batch, struct iol_arena *arena)
{
    const struct iol_file *rows = batch->rows[IOL_TABLE_FILE].data;

    for (size_t i = 0; i < batch->rows[IOL_TABLE_FILE].count; i++) {
        check_text(arena, rows[i].path);
        check_text(arena, rows[i].flags);
        require(rows[i].id != 0 && rows[i].path);
        require(rows[i].kind >= 0 && rows[i].kind < IOL_KIND_COUNT);
    }
}

static void check_events(struct iol_batch *batch)
{
    const struct iol_event *rows = batch->rows[IOL_TABLE_EVENT].data;

    for (size_t i = 0; i < batch->rows[IOL_TABLE_EVENT].count; i++)
        require(rows[i].kind >= 0 && rows[i].kind < IOL_EVENT_KIND_COUNT && rows[i].process_id != 0);
}

static void forget_files(void *arg, const uint64_t *keys, size_t n)
{
    (void)arg;
    (void)keys;
    (void)n;
}

/* As an account of the image, or of the file, would use it. */
static void use(struct iol_model *model, const struct iol_decoded *decoded, struct iol_batch *batch)
{
    bool is_file = decoded->type == IOL_RECORD_FILE;
    uint64_t image = decoded->type == IOL_RECORD_PROCESS ? decoded->process.fixed.image : 0;
    struct iol_model_process *process = iol_model_get_process(model, image, batch);
    struct iol_model_file *file =
        iol_model_get_file(model, is_file ? decoded->file.fixed.key : IOL_FILE_NOT_OPEN, batch);

    require(process && file);
    require(iol_model_process_id(process) != 0 && iol_model_file_id(file) != 0);
    iol_model_put_process(model, process);
    iol_model_put_file(model, file);
}

/* In memory of exactly its size, where a sanitizer sees the first byte too many. */
static void feed(struct iol_model *model, const uint8_t *data, size_t size, struct iol_batch *batch)
{
    char *copy = malloc(size);
    struct iol_decoded decoded;

    require(copy || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    if (iol_decode_record(copy, size, &decoded) < 0) {
        counts.refused++;
    } else {
        counts.taken++;
        check_decoded(&decoded, copy, size);
        require(iol_model_post(model, &decoded, batch) == 0);
        if (decoded.type != IOL_RECORD_EXIT)
            use(model, &decoded, batch);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct iol_model_options options = {
        .host_id = 1,
        .boot_id = "fuzz",
        .all = size > 0 && data[0] & 1,
        .max_idle_files = 1,
        .max_names = size > 0 && data[0] & 2 ? 8 : 0,
    };
    struct iol_model *model = iol_model_new(&options);
    struct iol_batch *batch = iol_batch_new();
    struct iol_arena *arena = iol_arena_new();
    uint64_t epoch = 0;

    require(model && batch && arena);
    for (size_t at = 1; at + 2 <= size;) {
        size_t length = data[at] | (size_t)data[at + 1] << 8;

        at += 2;
        if (length > size - at)
            length = size - at;
        feed(model, data + at, length, batch);
        iol_model_trim(model, ++epoch, 0, forget_files, NULL);
        at += length;
    }
    check_processes(batch, arena);
    check_files(batch, arena);
    check_events(batch);
    iol_arena_free(arena);
    iol_batch_free(batch);
    iol_model_free(model);
    return 0;
}
