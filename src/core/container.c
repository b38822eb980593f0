// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "core/container.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"

#define ID_LENGTH 64

static bool is_lower_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool has_word(const char *name, size_t length, const char *word)
{
    return memmem(name, length, word, strlen(word)) != NULL;
}

/* A run of 64 digits, no more and no less. Not that of "libpod-conmon-ID.scope": who watches a container is not in it. */
static bool engine_id(const char *name, size_t length, char *ret_id)
{
    size_t run = 0;

    if (has_word(name, length, "-conmon-"))
        return false;
    for (size_t i = 0; i < length; i++) {
        run = is_lower_hex(name[i]) ? run + 1 : 0;
        if (run == ID_LENGTH && (i + 1 == length || !isxdigit((unsigned char)name[i + 1]))) {
            memcpy(ret_id, name + i + 1 - ID_LENGTH, ID_LENGTH);
            ret_id[ID_LENGTH] = '\0';
            return true;
        }
    }
    return false;
}

static int hex_value(char c)
{
    return is_lower_hex(c) ? (c <= '9' ? c - '0' : c - 'a' + 10) : -1;
}

/* "\x2d" to "-", as unit_name_escape() of systemd wrote it. */
static void unescape(const char *text, size_t length, char *ret_name)
{
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        if (length - i >= 4 && text[i] == '\\' && text[i + 1] == 'x' && hex_value(text[i + 2]) >= 0 &&
            hex_value(text[i + 3]) >= 0 && (text[i + 2] != '0' || text[i + 3] != '0')) {
            ret_name[n++] = (char)(hex_value(text[i + 2]) << 4 | hex_value(text[i + 3]));
            i += 3;
        } else {
            ret_name[n++] = text[i];
        }
    }
    ret_name[n] = '\0';
}

static bool machine_name(const char *name, size_t length, char *ret_id)
{
    static const struct {
        const char *before, *behind;
    } units[] = {{"machine-", ".scope"}, {"systemd-nspawn@", ".service"}};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(units); i++) {
        size_t before = strlen(units[i].before), behind = strlen(units[i].behind);

        if (length > before + behind && memcmp(name, units[i].before, before) == 0 &&
            memcmp(name + length - behind, units[i].behind, behind) == 0) {
            unescape(name + before, length - before - behind, ret_id);
            return true;
        }
    }
    return false;
}

bool iol_container_of_name(const char *name, size_t length, char ret_id[IOL_CONTAINER_ID_MAX])
{
    if (length >= IOL_CONTAINER_ID_MAX)
        return false;
    return engine_id(name, length, ret_id) || machine_name(name, length, ret_id);
}

bool iol_container_of_path(const char *path, char ret_id[IOL_CONTAINER_ID_MAX])
{
    size_t end = strlen(path);

    while (end > 0) {
        size_t start = end;

        while (start > 0 && path[start - 1] != '/')
            start--;
        if (iol_container_of_name(path + start, end - start, ret_id))
            return true;
        end = start > 0 ? start - 1 : 0;
    }
    return false;
}
