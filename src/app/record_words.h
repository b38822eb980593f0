// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The options of `record` whose value is a word, or a list of words with commas between: one table of words for each, from which
 * they are taken, printed and completed.
 */
#include <stdint.h>
#include <stdio.h>

struct iol_error;

enum iol_record_words {
    IOL_RECORD_KINDS,      /* list; a bit for each enum iol_abi_kind */
    IOL_RECORD_EVENTS,     /* list; a bit for each enum iol_event_kind */
    IOL_RECORD_PROBES,     /* enum iol_probe_set, with IOL_RECORD_LEGACY_PROBES or without */
    IOL_RECORD_SPOOL_SYNC, /* enum iol_spool_sync */
    IOL_RECORD_WORDS_COUNT,
};

#define IOL_RECORD_LEGACY_PROBES 0x100 /* how tests reach the programs for older kernels on a new one */

/* Takes such a value: 0, or -EINVAL with *err. */
int iol_record_words_take(enum iol_record_words which, const char *text, uint32_t *ret_value, struct iol_error *err);

/* Prints the value as it is taken. */
void iol_record_words_print(enum iol_record_words which, uint32_t value, FILE *to);

/* The words that can be given, one by one; NULL: there are no more. */
const char *iol_record_words_nth(enum iol_record_words which, unsigned int index);
