// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * uthash for tables that have tens of thousands of entries as a rule. By itself one begins with 32 buckets, doubles them whenever a chain has ten
 * entries, and walks over all entries each time; each entry on a chain is memory that is in no cache. These begin with so many buckets
 * that chains stay short: 128 kB.
 */
#include <uthash.h>

#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS_LOG2 13U
#define HASH_INITIAL_NUM_BUCKETS (1U << HASH_INITIAL_NUM_BUCKETS_LOG2)
