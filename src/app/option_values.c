// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "abi/event.h"
#include "app/options.h"
#include "base/cleanup.h"
#include "base/error.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* Digits from *text on, as a number; false when there are none or it is too large for int64_t. */
static bool take_digits(const char **text, int64_t *ret_number)
{
    const char *at = *text;
    int64_t number = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *at - '0', &number))
            return false;
    }
    if (at == *text)
        return false;
    *text = at;
    *ret_number = number;
    return true;
}

static const struct unit *find_unit(const struct unit *units, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(units[i].name, name) == 0)
            return &units[i];
    }
    return NULL;
}

/* ".25" of a unit, exactly as far as the unit can be divided; moves *text behind it. */
static int64_t take_fraction(const char **text, int64_t *ret_scale)
{
    int64_t fraction = 0, scale = 1;

    for (; **text >= '0' && **text <= '9'; (*text)++) {
        if (scale < 1000000000) {
            fraction = fraction * 10 + (**text - '0');
            scale *= 10;
        }
    }
    *ret_scale = scale;
    return fraction;
}

int iol_option_duration(const char *text, int64_t *ret_ns, struct iol_error *err)
{
    static const struct unit units[] = {
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000000},
        {"", 1000000000},
        {"s", 1000000000},
        {"m", 60000000000LL},
        {"h", 3600000000000LL},
        {"d", 86400000000000LL},
        {"w", 604800000000000LL},
    };
    const char *at = text;
    int64_t whole, fraction = 0, scale = 1, ns;
    const struct unit *unit = NULL;

    if (take_digits(&at, &whole)) {
        if (at[0] == '.' && at[1] >= '0' && at[1] <= '9') {
            at++;
            fraction = take_fraction(&at, &scale);
        }
        unit = find_unit(units, IOL_ARRAY_SIZE(units), at);
    }
    if (!unit) {
        iol_error_set(err, -EINVAL, "'%s' is not a duration", text);
        iol_error_hint(err, "durations are written like 500ms, 0.1s, 1s, 2m, 1h or 7d");
        return -EINVAL;
    }
    /* 10^9 * a week in ns is more than an int64_t holds. */
    fraction = (int64_t)((__int128)fraction * unit->factor / scale);
    if (__builtin_mul_overflow(whole, unit->factor, &ns) || __builtin_add_overflow(ns, fraction, &ns))
        return iol_error_set(err, -EINVAL, "'%s' is longer than 292 years", text);
    *ret_ns = ns;
    return 0;
}

int iol_option_count(const char *text, int64_t *ret_count, struct iol_error *err)
{
    static const struct unit units[] = {
        {"", 1}, {"k", 1024}, {"K", 1024}, {"m", 1048576}, {"M", 1048576}, {"g", 1073741824}, {"G", 1073741824},
    };
    const char *at = text;
    const struct unit *unit = NULL;
    int64_t count;

    if (take_digits(&at, &count))
        unit = find_unit(units, IOL_ARRAY_SIZE(units), at);
    if (!unit || __builtin_mul_overflow(count, unit->factor, &count)) {
        iol_error_set(err, -EINVAL, "'%s' is not a number", text);
        iol_error_hint(err, "numbers are written like 65536, 64k or 1M");
        return -EINVAL;
    }
    *ret_count = count;
    return 0;
}

int iol_option_text(const char *text, const char **ret_text, struct iol_error *err)
{
    if (!*text)
        return iol_error_set(err, -EINVAL, "the value is empty");
    *ret_text = text;
    return 0;
}

int iol_option_pid(const char *text, int64_t *ret_pid, struct iol_error *err)
{
    const char *at = text;
    int64_t pid;

    if (!take_digits(&at, &pid) || *at || pid < 1 || pid > INT32_MAX) {
        iol_error_set(err, -EINVAL, "'%s' is not a process id", text);
        iol_error_hint(err, "process ids are numbers from 1 on");
        return -EINVAL;
    }
    *ret_pid = pid;
    return 0;
}

int iol_option_user(const char *text, uint32_t *ret_uid, struct iol_error *err)
{
    const struct passwd *user = *text ? getpwnam(text) : NULL;
    const char *at = text;
    int64_t uid;

    if (user)
        uid = user->pw_uid;
    else if (!take_digits(&at, &uid) || *at || uid > UINT32_MAX)
        return iol_error_set(err, -EINVAL, "there is no user '%s'", text);
    *ret_uid = (uint32_t)uid;
    return 0;
}

int iol_option_exe(const char *text, char **ret_path, struct iol_error *err)
{
    _cleanup_free_ char *path = realpath(text, NULL); /* a symbolic link is not what runs */

    if (!path && text[0] != '/')
        return iol_error_set(err, -EINVAL, "there is no program '%s' (give its path)", text);
    if (!path)
        path = strdup(text);
    if (!path)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (strlen(path) >= IOL_EXE_FILTER_MAX)
        return iol_error_set(err, -ENAMETOOLONG, "the path is longer than %d bytes", IOL_EXE_FILTER_MAX - 1);
    *ret_path = TAKE_PTR(path);
    return 0;
}
