// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define CONFIG_MAX (1U << 20) /* bytes: something else was meant when it is more */
#define BLANKS " \t\r\v\f"

/* The whole file, and a NUL. */
static int read_text(const char *path, char **ret_text, size_t *ret_size, struct iol_error *err)
{
    _cleanup_free_ char *text = malloc(CONFIG_MAX + 1);
    FILE *file = text ? fopen(path, "re") : NULL;
    size_t size;
    int error;

    if (!text)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (!file)
        return iol_error_set(err, -errno, "cannot read %s: %m", path);
    errno = 0;
    size = fread(text, 1, CONFIG_MAX + 1, file);
    error = ferror(file) ? errno : 0;
    fclose(file);
    if (error)
        return iol_error_set(err, -error, "cannot read %s: %s", path, strerror(error));
    if (size > CONFIG_MAX)
        return iol_error_set(err, -EFBIG, "%s is longer than %u bytes: no configuration file", path, CONFIG_MAX);
    text[size] = '\0';
    *ret_text = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

static char *trim(char *text)
{
    size_t length;

    text += strspn(text, BLANKS);
    length = strlen(text);
    while (length > 0 && strchr(BLANKS, text[length - 1]))
        text[--length] = '\0';
    return text;
}

static int take_line(struct iol_config *config, char *line, unsigned int number, struct iol_error *err)
{
    struct iol_config_entry *entry = &config->entries[config->n];
    char *text = trim(line), *equals = strchr(text, '=');

    if (!*text || *text == '#')
        return 0;
    if (!equals || equals == text)
        return iol_error_set(err, -EINVAL, "%s:%u: '%s' is not of the form 'name = value'", config->path, number, text);
    *equals = '\0';
    entry->name = trim(text);
    entry->value = trim(equals + 1);
    entry->line = number;
    if (!*entry->value)
        return iol_error_set(err, -EINVAL, "%s:%u: %s: there is nothing after the '='", config->path, number,
                             entry->name);
    config->n++;
    return 0;
}

static int take_lines(struct iol_config *config, size_t size, struct iol_error *err)
{
    unsigned int number = 1;
    size_t lines = 1;

    if (strlen(config->text) != size)
        return iol_error_set(err, -EINVAL, "%s has a NUL byte in it: no configuration file", config->path);
    for (size_t i = 0; i < size; i++)
        lines += config->text[i] == '\n';
    config->entries = calloc(lines, sizeof(*config->entries));
    if (!config->entries)
        return iol_error_set(err, -ENOMEM, "out of memory");
    for (char *line = config->text, *next; line; line = next, number++) {
        int r;

        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        r = take_line(config, line, number, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int iol_config_read(const char *path, struct iol_config **ret_config, struct iol_error *err)
{
    struct iol_config *config = calloc(1, sizeof(*config));
    size_t size = 0;
    int r;

    if (config)
        config->path = strdup(path);
    if (!config || !config->path) {
        iol_config_free(config);
        return iol_error_set(err, -ENOMEM, "out of memory");
    }
    r = read_text(path, &config->text, &size, err);
    if (r == 0)
        r = take_lines(config, size, err);
    if (r < 0) {
        iol_config_free(config);
        return r;
    }
    *ret_config = config;
    return 0;
}

void iol_config_free(struct iol_config *config)
{
    if (!config)
        return;
    free(config->entries);
    free(config->text);
    free(config->path);
    free(config);
}

int iol_config_blame(const struct iol_config *config, const struct iol_config_entry *entry, int code,
                     struct iol_error *err)
{
    char hint[IOL_ERROR_TEXT_MAX];

    if (!err)
        return code;
    memcpy(hint, err->hint, sizeof(hint));
    iol_error_set(err, code, "%s:%u: %s: %s", config->path, entry->line, entry->name, err->text);
    if (hint[0])
        iol_error_hint(err, "%s", hint);
    return code;
}

/* The next entry of that name from *at on; NULL: there is none. */
static const struct iol_config_entry *next_of(const struct iol_config *config, const char *name, size_t *at)
{
    while (*at < config->n) {
        const struct iol_config_entry *entry = &config->entries[(*at)++];

        if (strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

bool iol_config_same(const struct iol_config *a, const struct iol_config *b, const char *name)
{
    size_t i = 0, j = 0;

    for (;;) {
        const struct iol_config_entry *one = next_of(a, name, &i), *other = next_of(b, name, &j);

        if (!one || !other)
            return one == other;
        if (strcmp(one->value, other->value) != 0)
            return false;
    }
}
