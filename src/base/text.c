// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "base/text.h"

#include <inttypes.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "base/arena.h"
#include "base/cleanup.h"

#define NS_PER_SECOND INT64_C(1000000000)

static bool in_range(unsigned char c, unsigned char first, unsigned char last)
{
    return c >= first && c <= last;
}

/*
 * Length of the character at s (at most `left` bytes), or 0 when no valid one begins there; RFC 3629, section 4: only
 * the second byte's range depends on the first.
 */
static size_t utf8_decode(const char *s, size_t left, uint32_t *ret_code)
{
    const unsigned char *u = (const unsigned char *)s;

    if (left == 0)
        return 0;
    if (u[0] < 0x80) {
        *ret_code = u[0];
        return 1;
    }
    if (!in_range(u[0], 0xC2, 0xF4))
        return 0;

    size_t length = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
    unsigned char low = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;
    if (left < length || !in_range(u[1], low, high))
        return 0;

    uint32_t code = (uint32_t)(u[0] & (0xFF >> (length + 1))) << 6 | (u[1] & 0x3F);
    for (size_t i = 2; i < length; i++) {
        if (!in_range(u[i], 0x80, 0xBF))
            return 0;
        code = code << 6 | (u[i] & 0x3F);
    }
    *ret_code = code;
    return length;
}

static char *put_hex_byte(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";

    *out++ = '\\';
    *out++ = 'x';
    *out++ = digits[byte >> 4];
    *out++ = digits[byte & 0xF];
    return out;
}

/* Size of the escaped form; *ret_valid: nothing has to be escaped. */
static size_t stored_size(const char *data, size_t size, bool *ret_valid)
{
    size_t total = 0;
    bool valid = true;

    for (size_t i = 0, n; i < size; i += n) {
        uint32_t code;
        n = utf8_decode(data + i, size - i, &code);
        if (n == 0) {
            valid = false;
            total += strlen("\\xHH");
            n = 1;
        } else {
            total += data[i] == '\\' ? 2 : n;
        }
    }
    *ret_valid = valid;
    return total;
}

static void write_stored(char *out, const char *data, size_t size)
{
    for (size_t i = 0, n; i < size; i += n) {
        uint32_t code;
        n = utf8_decode(data + i, size - i, &code);
        if (n == 0) {
            out = put_hex_byte(out, (unsigned char)data[i]);
            n = 1;
            continue;
        }
        if (data[i] == '\\')
            *out++ = '\\';
        memcpy(out, data + i, n);
        out += n;
    }
    *out = '\0';
}

char *iol_text_store(struct iol_arena *arena, const char *data, size_t size, bool *ret_escaped)
{
    bool valid;
    size_t total = stored_size(data, size, &valid);
    char *text = valid ? iol_arena_dup(arena, data, size) : iol_arena_alloc(arena, total + 1);
    if (!text)
        return NULL;
    if (ret_escaped)
        *ret_escaped = !valid;
    if (!valid)
        write_stored(text, data, size);
    return text;
}

/* Characters that move, hide, reorder or break text without showing themselves. */
static bool is_unseen(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1F},       /* C0 */
        {0x7F, 0x9F},       /* DEL, C1 */
        {0x061C, 0x061C},   /* Arabic letter mark */
        {0x180E, 0x180E},   /* Mongolian vowel separator */
        {0x200B, 0x200F},   /* zero-width space, joiners, direction marks */
        {0x2028, 0x202E},   /* line and paragraph separators, embeddings and overrides */
        {0x2060, 0x206F},   /* word joiner, invisible operators, isolates, deprecated formatting */
        {0xFEFF, 0xFEFF},   /* zero-width no-break space */
        {0xFFF9, 0xFFFB},   /* interlinear annotation */
        {0xE0000, 0xE007F}, /* tags */
    };

    for (size_t i = 0; i < IOL_ARRAY_SIZE(ranges); i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

/* Writes the visible form of the character or stray byte at s into `piece`; returns how many bytes of s it took. */
static size_t visible_piece(const char *s, size_t left, char piece[static 16])
{
    uint32_t code;
    size_t n = utf8_decode(s, left, &code);

    if (n == 0 || (n == 1 && is_unseen(code) && code != '\n' && code != '\t' && code != '\x1b')) {
        *put_hex_byte(piece, (unsigned char)*s) = '\0';
        return 1;
    }
    if (!is_unseen(code)) {
        memcpy(piece, s, n);
        piece[n] = '\0';
    } else if (n == 1) {
        snprintf(piece, 16, "\\%c", code == '\n' ? 'n' : code == '\t' ? 't' : 'e');
    } else {
        snprintf(piece, 16, "\\u{%04x}", (unsigned)code);
    }
    return n;
}

size_t iol_text_visible(char *buf, size_t size, const char *text)
{
    size_t left = strlen(text), total = 0, written = 0;
    bool full = size == 0;

    for (size_t n; left > 0; text += n, left -= n) {
        char piece[16];
        n = visible_piece(text, left, piece);
        size_t length = strlen(piece);
        total += length;
        /* Once a piece did not fit, a later and shorter one must not either. */
        full = full || written + length >= size;
        if (!full) {
            memcpy(buf + written, piece, length);
            written += length;
        }
    }
    if (size > 0)
        buf[written] = '\0';
    return total;
}

static locale_t utf8_locale;

static void make_utf8_locale(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

size_t iol_text_width(const char *text)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_utf8_locale);
    locale_t before = utf8_locale ? uselocale(utf8_locale) : (locale_t)0;

    size_t left = strlen(text), width = 0;
    for (size_t n; left > 0; text += n, left -= n) {
        uint32_t code;
        n = utf8_decode(text, left, &code);
        int columns = 1; /* a stray byte shows as one replacement character */
        if (n == 0)
            n = 1;
        else if (utf8_locale || code < 0x80)
            columns = wcwidth((wchar_t)code);
        width += columns > 0 ? (size_t)columns : 0;
    }
    if (before)
        uselocale(before);
    return width;
}

/* The character at `text` alone; returns its bytes. A stray byte is a character. */
static size_t one_character(const char *text, char one[static 5])
{
    uint32_t code;
    size_t n = utf8_decode(text, strnlen(text, 4), &code);

    if (n == 0)
        n = 1;
    memcpy(one, text, n);
    one[n] = '\0';
    return n;
}

size_t iol_text_head(const char *text, size_t columns)
{
    size_t bytes = 0, used = 0;

    while (text[bytes]) {
        char one[5];
        size_t length = one_character(text + bytes, one);

        used += iol_text_width(one);
        if (used > columns)
            break;
        bytes += length;
    }
    return bytes;
}

const char *iol_text_tail(const char *text, size_t columns)
{
    size_t width = iol_text_width(text);

    while (width > columns) {
        char one[5];

        text += one_character(text, one);
        width -= iol_text_width(one);
    }
    return text;
}

static char *format_scaled(char *buf, size_t size, uint64_t n, uint64_t base)
{
    static const char units[] = "KMGTPE";

    if (n < base) {
        snprintf(buf, size, "%u", (unsigned)n);
        return buf;
    }
    uint64_t scale = base;
    size_t unit = 0;
    while (units[unit + 1] != '\0' && n / scale >= base) {
        scale *= base;
        unit++;
    }
    /* No overflow: the remainder is below 2^60, ten times that is below 2^64 - 2^59. */
    uint64_t tenths = n / scale * 10 + (n % scale * 10 + scale / 2) / scale;
    if (tenths >= base * 10 && units[unit + 1] != '\0') {
        tenths = 10;
        unit++;
    }
    snprintf(buf, size, "%u.%u%c", (unsigned)(tenths / 10), (unsigned)(tenths % 10), units[unit]);
    return buf;
}

char *iol_text_bytes(char *buf, size_t size, uint64_t n)
{
    return format_scaled(buf, size, n, 1024);
}

char *iol_text_count(char *buf, size_t size, uint64_t n)
{
    return format_scaled(buf, size, n, 1000);
}

char *iol_text_size(char *buf, size_t size, uint64_t n)
{
    char number[16];
    size_t digits;

    iol_text_bytes(number, sizeof(number), n);
    digits = strspn(number, "0123456789.");
    snprintf(buf, size, "%.*s %sB", (int)digits, number, number + digits);
    return buf;
}

const char *iol_text_plural(uint64_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

char *iol_text_span(char *buf, size_t size, int64_t ns)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    int64_t seconds = ns / NS_PER_SECOND;

    if (ns < 10 * NS_PER_SECOND) {
        int64_t tenths = ns > 0 ? ns / (NS_PER_SECOND / 10) : 0;

        snprintf(buf, size, "%" PRId64 ".%" PRId64 " s", tenths / 10, tenths % 10);
        return buf;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        int64_t n = seconds / units[i].seconds;

        if (n == 0)
            continue;
        int64_t rest = units[i].seconds > 1 ? seconds % units[i].seconds / units[i + 1].seconds : 0;

        if (rest == 0)
            snprintf(buf, size, "%" PRId64 " %s", n, units[i].name);
        else
            snprintf(buf, size, "%" PRId64 " %s %" PRId64 " %s", n, units[i].name, rest, units[i + 1].name);
        break;
    }
    return buf;
}

char *iol_text_lasted(char *buf, size_t size, int64_t ns)
{
    if (ns < 0 || ns >= NS_PER_SECOND)
        return iol_text_span(buf, size, ns);
    snprintf(buf, size, "%" PRId64 " ms", ns / (NS_PER_SECOND / 1000));
    return buf;
}

char *iol_text_time(char *buf, size_t size, int64_t ns)
{
    int64_t rest = ns % NS_PER_SECOND;
    time_t seconds = (time_t)(ns / NS_PER_SECOND);
    if (rest < 0) {
        rest += NS_PER_SECOND;
        seconds--;
    }
    struct tm tm;
    gmtime_r(&seconds, &tm);
    snprintf(buf, size, "%04d-%02d-%02d %02d:%02d:%02d.%06d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, (int)(rest / 1000));
    return buf;
}

bool iol_text_parse_time(const char *text, int64_t *ret_ns)
{
    struct tm tm = {0};
    int64_t ns = 0, digit = NS_PER_SECOND / 10;
    int n = 0;

    if (sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &n) != 6)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    for (text += n, text += *text == '.'; *text >= '0' && *text <= '9'; text++, digit /= 10)
        ns += (*text - '0') * digit;
    *ret_ns = (int64_t)timegm(&tm) * NS_PER_SECOND + ns;
    return true;
}
