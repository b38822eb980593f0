// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/record_words.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "abi/event.h"
#include "app/record_options.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "store/schema.h"

#define KIND_BIT(kind) (1U << (kind))
#define LEGACY_WORD "tracepoint-legacy"

struct word {
    const char *name;
    uint32_t value;
};

static const struct word kinds[] = {
    {"file", KIND_BIT(IOL_ABI_KIND_FILE) | KIND_BIT(IOL_ABI_KIND_LINK) | KIND_BIT(IOL_ABI_KIND_OTHER)},
    {"dir", KIND_BIT(IOL_ABI_KIND_DIR)},
    {"dev", KIND_BIT(IOL_ABI_KIND_CHR) | KIND_BIT(IOL_ABI_KIND_BLK)},
    {"pipe", KIND_BIT(IOL_ABI_KIND_PIPE)},
    {"socket", KIND_BIT(IOL_ABI_KIND_SOCKET)},
    {"anon", KIND_BIT(IOL_ABI_KIND_ANON) | KIND_BIT(IOL_ABI_KIND_MEMFD)},
};
/* Behind these come the kinds of events themselves. */
static const struct word event_groups[] = {
    {"none", 0}, {"all", IOL_RECORD_ALL_EVENTS}, {"tree", IOL_RECORD_DEFAULT_EVENTS}};
static const struct word probes[] = {
    {"auto", IOL_PROBES_AUTO},
    {"tracepoint", IOL_PROBES_TRACEPOINT},
    {"fexit", IOL_PROBES_FEXIT},
};
static const struct word syncs[] = {
    {"always", IOL_SPOOL_SYNC_ALWAYS}, {"everysec", IOL_SPOOL_SYNC_EVERYSEC}, {"never", IOL_SPOOL_SYNC_NEVER}};

static const struct {
    const struct word *words;
    size_t n;
    bool list;
    const char *complaint; /* behind the word in quotes */
} sets[IOL_RECORD_WORDS_COUNT] = {
    [IOL_RECORD_KINDS] = {kinds, IOL_ARRAY_SIZE(kinds), true, "is no kind; kinds are file,dir,dev,pipe,socket,anon"},
    [IOL_RECORD_EVENTS] = {event_groups, IOL_ARRAY_SIZE(event_groups), true,
                           "is no event; events are none, all, tree, or of open,open_failed,truncate,"
                           "rename,unlink,link,symlink,mkdir,rmdir,chmod,chown,setxattr,mmap"},
    [IOL_RECORD_PROBES] = {probes, IOL_ARRAY_SIZE(probes), false,
                           "is no probe set; sets are auto, tracepoint and fexit"},
    [IOL_RECORD_SPOOL_SYNC] = {syncs, IOL_ARRAY_SIZE(syncs), false, "is not one of always, everysec, never"},
};

/* The index-th kind of event that --events chooses. */
static bool nth_event(unsigned int index, struct word *ret_word)
{
    for (uint32_t kind = 0; kind < IOL_EVENT_KIND_COUNT; kind++) {
        if (IOL_RECORD_ALL_EVENTS & IOL_MODEL_EVENT_BIT(kind) && index-- == 0) {
            *ret_word = (struct word){iol_schema_word(&iol_enum_event_kind, kind), IOL_MODEL_EVENT_BIT(kind)};
            return true;
        }
    }
    return false;
}

static bool nth(enum iol_record_words which, unsigned int index, struct word *ret_word)
{
    if (index < sets[which].n) {
        *ret_word = sets[which].words[index];
        return true;
    }
    return which == IOL_RECORD_EVENTS && nth_event(index - (unsigned int)sets[which].n, ret_word);
}

const char *iol_record_words_nth(enum iol_record_words which, unsigned int index)
{
    struct word word;

    return nth(which, index, &word) ? word.name : NULL;
}

static bool find(enum iol_record_words which, const char *text, size_t length, uint32_t *ret_value)
{
    struct word word;

    for (unsigned int i = 0; nth(which, i, &word); i++) {
        if (strlen(word.name) == length && strncmp(word.name, text, length) == 0) {
            *ret_value = word.value;
            return true;
        }
    }
    return false;
}

int iol_record_words_take(enum iol_record_words which, const char *text, uint32_t *ret_value, struct iol_error *err)
{
    uint32_t value = 0, found;

    if (!*text)
        return iol_error_set(err, -EINVAL, "the value is empty");
    if (which == IOL_RECORD_PROBES && strcmp(text, LEGACY_WORD) == 0) {
        *ret_value = IOL_PROBES_TRACEPOINT | IOL_RECORD_LEGACY_PROBES;
        return 0;
    }
    for (const char *at = text; at;) {
        size_t length = sets[which].list ? strcspn(at, ",") : strlen(at);

        if (!find(which, at, length, &found))
            return iol_error_set(err, -EINVAL, "'%.*s' %s", (int)length, at, sets[which].complaint);
        value |= found;
        at = at[length] ? at + length + 1 : NULL;
    }
    *ret_value = value;
    return 0;
}

/* A single word, when there is one that says it all. */
static bool print_whole(enum iol_record_words which, uint32_t value, FILE *to)
{
    struct word word;

    for (unsigned int i = 0; nth(which, i, &word); i++) {
        if (word.value == value) {
            fputs(word.name, to);
            return true;
        }
    }
    return false;
}

void iol_record_words_print(enum iol_record_words which, uint32_t value, FILE *to)
{
    const char *before = "";
    struct word word;

    if (which == IOL_RECORD_PROBES && value & IOL_RECORD_LEGACY_PROBES)
        fputs(LEGACY_WORD, to);
    else if (!print_whole(which, value, to)) {
        for (unsigned int i = 0; nth(which, i, &word); i++) {
            /* of a group only what is in it all; groups are taken apart */
            if (word.value && (word.value & value) == word.value &&
                !(which == IOL_RECORD_EVENTS && i < sets[which].n)) {
                fprintf(to, "%s%s", before, word.name);
                before = ",";
            }
        }
    }
}
