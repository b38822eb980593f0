// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The page around a report's data, made of page.html, page.css and page.js by embed.py. */
#include <stddef.h>

extern const char iol_report_page_head[], iol_report_page_tail[];
extern const size_t iol_report_page_head_size, iol_report_page_tail_size;
