// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* A moment as a person writes it. */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "app/options.h"
#include "base/cleanup.h"
#include "base/error.h"

#define NS_PER_S INT64_C(1000000000)
#define DAY_S INT64_C(86400)
#define DIGITS_MAX 12

/* What has been read of the text so far. */
struct moment {
    const char *at;
    int64_t now_ns;
    struct tm tm;  /* date and time of day, as written */
    int64_t ns;    /* of the second */
    bool dated;    /* the date was written */
    int days_back; /* else: before the day that it is now, where the clock is that was meant */
    bool local;
    int64_t zone_s; /* east of UTC */
};

static void skip_blanks(struct moment *m)
{
    while (isspace((unsigned char)*m->at))
        m->at++;
}

/* The word is next, as a whole word: steps behind it. */
static bool take_word(struct moment *m, const char *word)
{
    size_t length = strlen(word);

    if (strncasecmp(m->at, word, length) != 0 || isalpha((unsigned char)m->at[length]))
        return false;
    m->at += length;
    return true;
}

/* Between `least` and `most` digits. */
static bool take_number(struct moment *m, int least, int most, int64_t *ret_number)
{
    int64_t number = 0;
    int n = 0;

    while (n < most && isdigit((unsigned char)m->at[n]))
        number = number * 10 + (m->at[n++] - '0');
    if (n < least)
        return false;
    m->at += n;
    *ret_number = number;
    return true;
}

static bool take_int(struct moment *m, int digits, int *ret_number)
{
    int64_t number;

    if (!take_number(m, digits, digits, &number))
        return false;
    *ret_number = (int)number;
    return true;
}

/* ".25", as nanoseconds of a second; nothing is zero. */
static int64_t take_fraction(struct moment *m)
{
    int64_t ns = 0, digit = NS_PER_S / 10;

    if (m->at[0] != '.' || !isdigit((unsigned char)m->at[1]))
        return 0;
    for (m->at++; isdigit((unsigned char)*m->at); m->at++, digit /= 10)
        ns += (*m->at - '0') * digit;
    return ns;
}

/* "10 min", "1.5h": adds it up. */
static bool take_duration(struct moment *m, int64_t *sum)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000000},
        {"s", NS_PER_S},
        {"sec", NS_PER_S},
        {"secs", NS_PER_S},
        {"second", NS_PER_S},
        {"seconds", NS_PER_S},
        {"m", 60 * NS_PER_S},
        {"min", 60 * NS_PER_S},
        {"mins", 60 * NS_PER_S},
        {"minute", 60 * NS_PER_S},
        {"minutes", 60 * NS_PER_S},
        {"h", 3600 * NS_PER_S},
        {"hr", 3600 * NS_PER_S},
        {"hrs", 3600 * NS_PER_S},
        {"hour", 3600 * NS_PER_S},
        {"hours", 3600 * NS_PER_S},
        {"d", DAY_S * NS_PER_S},
        {"day", DAY_S * NS_PER_S},
        {"days", DAY_S * NS_PER_S},
        {"w", 7 * DAY_S * NS_PER_S},
        {"week", 7 * DAY_S * NS_PER_S},
        {"weeks", 7 * DAY_S * NS_PER_S},
    };
    int64_t whole, fraction, ns;

    if (!take_number(m, 1, DIGITS_MAX, &whole))
        return false;
    fraction = take_fraction(m);
    skip_blanks(m);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(units); i++) {
        if (!take_word(m, units[i].name))
            continue;
        skip_blanks(m);
        return !__builtin_mul_overflow(whole, units[i].ns, &ns) &&
               !__builtin_add_overflow(ns, (int64_t)((__int128)fraction * units[i].ns / NS_PER_S), &ns) &&
               !__builtin_add_overflow(*sum, ns, sum);
    }
    return false;
}

/* "10 min ago", "2h 5m", "-1h": so long before now. */
static bool take_ago(struct moment *m, int64_t *ret_ns)
{
    int64_t sum = 0;

    if (*m->at == '-')
        m->at++;
    if (!isdigit((unsigned char)*m->at))
        return false;
    while (*m->at && !take_word(m, "ago")) {
        if (!take_duration(m, &sum))
            return false;
    }
    skip_blanks(m);
    return *m->at == '\0' && !__builtin_sub_overflow(m->now_ns, sum, ret_ns);
}

/* "@1763886000.5" */
static bool take_epoch(struct moment *m, int64_t *ret_ns)
{
    int64_t seconds, ns;

    m->at++;
    if (!take_number(m, 1, DIGITS_MAX, &seconds))
        return false;
    ns = take_fraction(m);
    skip_blanks(m);
    return *m->at == '\0' && !__builtin_mul_overflow(seconds, NS_PER_S, ret_ns) &&
           !__builtin_add_overflow(*ret_ns, ns, ret_ns);
}

/* True when there was a day, as a date or as one that is told from today. */
static bool take_day(struct moment *m)
{
    const char *start = m->at;

    if (take_word(m, "today"))
        return true;
    if (take_word(m, "yesterday")) {
        m->days_back = 1;
        return true;
    }
    if (take_int(m, 4, &m->tm.tm_year) && *m->at == '-' && m->at++ && take_int(m, 2, &m->tm.tm_mon) && *m->at == '-' &&
        m->at++ && take_int(m, 2, &m->tm.tm_mday)) {
        m->tm.tm_year -= 1900;
        m->tm.tm_mon -= 1;
        m->dated = true;
        return true;
    }
    m->at = start;
    return false;
}

static bool take_time_of_day(struct moment *m)
{
    int64_t hour;

    if (!take_number(m, 1, 2, &hour) || *m->at != ':' || !m->at++ || !take_int(m, 2, &m->tm.tm_min))
        return false;
    m->tm.tm_hour = (int)hour;
    if (*m->at != ':')
        return true;
    m->at++;
    if (!take_int(m, 2, &m->tm.tm_sec))
        return false;
    m->ns = take_fraction(m);
    return true;
}

static bool take_zone(struct moment *m)
{
    int sign = *m->at == '-' ? -1 : 1;
    int hours, minutes = 0;

    if (*m->at == '\0' || take_word(m, "Z") || take_word(m, "UTC"))
        return true;
    if (take_word(m, "local")) {
        m->local = true;
        return true;
    }
    if ((*m->at != '+' && *m->at != '-') || !m->at++ || !take_int(m, 2, &hours))
        return false;
    if (*m->at == ':')
        m->at++;
    if (*m->at && !take_int(m, 2, &minutes))
        return false;
    m->zone_s = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

/* A 30th of February is no day: what comes out must be what was written. */
static bool is_real(const struct moment *m)
{
    struct tm tm = m->tm;

    if (m->tm.tm_hour > 23 || m->tm.tm_min > 59 || m->tm.tm_sec > 60 || m->tm.tm_year < 70 || m->tm.tm_year > 300)
        return false;
    tm.tm_sec = 0; /* of a leap second's day too */
    timegm(&tm);
    return tm.tm_year == m->tm.tm_year && tm.tm_mon == m->tm.tm_mon && tm.tm_mday == m->tm.tm_mday;
}

/* The date of a day that was told from today: known when the zone is. */
static void find_date(struct moment *m)
{
    time_t now = (time_t)(m->now_ns / NS_PER_S + m->zone_s);
    struct tm day;

    if (m->local)
        localtime_r(&now, &day);
    else
        gmtime_r(&now, &day);
    day = (struct tm){.tm_year = day.tm_year, .tm_mon = day.tm_mon, .tm_mday = day.tm_mday - m->days_back};
    timegm(&day); /* the 0th of a month is a day of the month before */
    m->tm.tm_year = day.tm_year;
    m->tm.tm_mon = day.tm_mon;
    m->tm.tm_mday = day.tm_mday;
}

static int64_t seconds_of(const struct moment *m)
{
    struct tm tm = m->tm;

    tm.tm_isdst = -1;
    return m->local ? (int64_t)mktime(&tm) : (int64_t)timegm(&tm) - m->zone_s;
}

/* "2026-11-25T14:00:00.5+02:00", "yesterday 14:00", "14:00" */
static bool take_calendar(struct moment *m, int64_t *ret_ns)
{
    bool has_day = take_day(m);
    int64_t seconds;

    if (has_day && (*m->at == 'T' || *m->at == 't') && isdigit((unsigned char)m->at[1]))
        m->at++;
    skip_blanks(m);
    if (isdigit((unsigned char)*m->at) ? !take_time_of_day(m) : !has_day)
        return false;
    skip_blanks(m);
    if (!take_zone(m))
        return false;
    skip_blanks(m);
    if (!m->dated)
        find_date(m);
    if (*m->at || !is_real(m))
        return false;
    seconds = seconds_of(m);
    if (!has_day && seconds > m->now_ns / NS_PER_S) { /* the last time that it was so late */
        m->days_back = 1;
        find_date(m);
        seconds = seconds_of(m);
    }
    *ret_ns = seconds * NS_PER_S + m->ns;
    return true;
}

int iol_option_time(const char *text, int64_t now_ns, int64_t *ret_ns, struct iol_error *err)
{
    struct moment start = {.at = text, .now_ns = now_ns}, m;

    skip_blanks(&start);
    m = start;
    if (take_word(&m, "now")) {
        skip_blanks(&m);
        if (*m.at == '\0') {
            *ret_ns = now_ns;
            return 0;
        }
    }
    m = start;
    if (*m.at == '@' && take_epoch(&m, ret_ns))
        return 0;
    m = start;
    if (*m.at && take_ago(&m, ret_ns))
        return 0;
    m = start;
    if (take_calendar(&m, ret_ns))
        return 0;
    iol_error_set(err, -EINVAL, "'%s' is not a time", text);
    iol_error_hint(err, "times are written like '10 min ago', 'yesterday 14:00', '2026-11-25 14:00:05' (UTC), "
                        "2026-11-25T14:00:05+02:00, 14:00 or now");
    return -EINVAL;
}
