// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/command.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

/* Longer words are not compared: no command or option has so many letters. */
#define SUGGEST_MAX 40

int iol_command_fail(const struct iol_error *err)
{
    iol_log_error("%s", err->text[0] ? err->text : "it failed without saying why");
    if (err->hint[0])
        iol_log_error("%s", err->hint);
    return IOL_EXIT_FAILURE;
}

/* Edit distance with neighbouring letters exchanged counted as one edit. */
static size_t word_distance(const char *a, const char *b)
{
    size_t rows[3][SUGGEST_MAX + 1], n = strlen(a), m = strlen(b);

    if (n > SUGGEST_MAX || m > SUGGEST_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *iol_command_suggest(const char *typed, const char *(*next)(const void *from, unsigned index),
                                const void *from)
{
    size_t best = strlen(typed) <= 3 ? 2 : 3; /* at most one edit in a short word, two in a longer one */
    const char *found = NULL, *word;

    for (unsigned i = 0; (word = next(from, i)); i++) {
        size_t distance =
            strlen(typed) >= 2 && strncmp(word, typed, strlen(typed)) == 0 ? 0 : word_distance(typed, word);

        if (distance < best && distance < strlen(typed)) {
            best = distance;
            found = word;
        }
    }
    return found;
}
