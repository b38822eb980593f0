// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_arena;

/*
 * The form in which bytes from the kernel (path, comm, argv) are stored: valid UTF-8 (RFC 3629: no
 * overlong forms, no surrogates, at most U+10FFFF) as it is, control characters included; anything
 * else with every invalid byte as \xHH (lower-case hex) and every backslash doubled. `ret_escaped` says which
 * (may be NULL). `data` holds no NUL. Returns NULL when there is no memory.
 */
char *iol_text_store(struct iol_arena *arena, const char *data, size_t size, bool *ret_escaped);

/*
 * The form in which stored text may reach a terminal or a log: control characters (C0, DEL, C1 and
 * the bidirectional and zero-width formatting characters) as \n, \t, \e, \xHH or \u{HHHH}; the rest as it is.
 * Writes at most `size` bytes with the NUL, never half a character; returns the length that the whole would have needed.
 */
size_t iol_text_visible(char *buf, size_t size, const char *text);

/* The word for so many: `one` for 1, else `many`. */
const char *iol_text_plural(uint64_t n, const char *one, const char *many);

/* Columns that `text` takes on a terminal (wcwidth of UTF-8, independent of the locale). */
size_t iol_text_width(const char *text);

/* Bytes of the longest beginning of `text` that takes at most so many columns. */
size_t iol_text_head(const char *text, size_t columns);

/* Where the longest ending of `text` begins that takes at most so many columns. */
const char *iol_text_tail(const char *text, size_t columns);

/* "0", "999", "1.0K", "12.3M", ... powers of 1024 (bytes) or of 1000 (counts); returns buf. 16 bytes suffice. */
char *iol_text_bytes(char *buf, size_t size, uint64_t n);
char *iol_text_count(char *buf, size_t size, uint64_t n);

/* The same bytes as a person writes them: "999 B", "1.0 KB", "12.3 MB". 16 bytes suffice. */
char *iol_text_size(char *buf, size_t size, uint64_t n);

/* Nanoseconds as "0.4 s", "59 s", "3 min 5 s", "2 h 7 min", "9 d 3 h"; negative ones as "0.0 s". 32 bytes suffice. */
char *iol_text_span(char *buf, size_t size, int64_t ns);

/* The same, with less than a second as "7 ms". */
char *iol_text_lasted(char *buf, size_t size, int64_t ns);

/* Nanoseconds since the epoch as "2026-11-23 08:18:06.123456" (UTC, microseconds); 32 bytes suffice; returns buf. */
char *iol_text_time(char *buf, size_t size, int64_t ns);

/* The other way; the fraction may be missing. False when it is no such text. */
bool iol_text_parse_time(const char *text, int64_t *ret_ns);
