// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The language of --ignore, --every and --sample, which docs/RULES.md describes:
 *
 *   PATTERN [if COND [and COND]...]
 *
 * COND is comm=NAME, exe=/PATH, user=NAME or kind=KIND.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "capture/capture.h"

struct iol_arena;
struct iol_error;

/* Rules in the order in which they were added; moved by plain assignment. */
struct iol_rule_list {
    struct iol_rule rules[IOL_RULES_MAX];
    const char *texts[IOL_RULES_MAX]; /* as they were given, "N:" of a sample included */
    size_t n;
    struct iol_arena *arena; /* holds their texts; NULL as long as there is none */
};

/* Appends a rule: IOL_VERDICT_IGNORE and IOL_VERDICT_EVERY take PATTERN, IOL_VERDICT_SAMPLE N:PATTERN. 0 or -errno with *err. */
int iol_rule_text_add(struct iol_rule_list *list, enum iol_verdict verdict, const char *text, struct iol_error *err);

void iol_rule_text_done(struct iol_rule_list *list); /* empty again, and to be used again */

/* The " if ..." of a rule that has no condition, and so is a part of the name: it may have been meant for one. Else NULL. */
const char *iol_rule_text_doubt(const char *text);

/* "--ignore TEXT --every TEXT ..." with a space after each. */
void iol_rule_text_print(const struct iol_rule_list *list, FILE *out);

/* "N/s": of all processes and of each; "N/s,M/s": of all, of one; 0 and "none" are no limit, and 0 in *ret. */
int iol_rule_text_budget(const char *text, uint32_t *ret_all, uint32_t *ret_process, struct iol_error *err);
