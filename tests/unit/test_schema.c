// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "core/batch.h"
#include "store/schema.h"
#include "store/schema_sql.h"
#include "store/time_text.h"

/* A row struct is its columns and nothing else: each member is 8 bytes, in the order of the columns. */
static void test_columns_cover_the_rows(void **state)
{
    (void)state;
    for (int t = 0; t < IOL_TABLE_COUNT; t++) {
        const struct iol_table *table = &iol_schema_tables[t];
        assert_int_equal(table->id, t);
        assert_int_equal(table->n_columns * sizeof(int64_t), iol_batch_row_size(t));
        assert_true(table->n_columns <= 24); /* buffers of the drivers */
        for (size_t i = 0; i < table->n_columns; i++) {
            const struct iol_column *column = &table->columns[i];
            assert_int_equal(column->offset, i * sizeof(int64_t));
            assert_int_equal(column->type == IOL_TYPE_ENUM, column->words != NULL);
            assert_true(strlen(column->doc) > 0);
        }
    }
}

static const struct iol_column *find_column(const struct iol_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return &table->columns[i];
    return NULL;
}

static void test_keys(void **state)
{
    (void)state;
    for (int t = 0; t < IOL_TABLE_COUNT; t++) {
        const struct iol_table *table = &iol_schema_tables[t];
        assert_int_equal(table->key == NULL, table->mode == IOL_WRITE_APPEND);
        for (const char *const *key = table->key; key && *key; key++) {
            assert_non_null(find_column(table, *key));
            assert_true(find_column(table, *key)->not_null);
        }
    }
}

/* The names that other programs rely on. */
static void test_contract(void **state)
{
    static const char *const columns[IOL_TABLE_COUNT] = {
        [IOL_TABLE_HOST] = "id, name, machine_id, boot_id, kernel, seen",
        [IOL_TABLE_PROCESS] = "id, host_id, pid, start_time, exec_time, parent_id, ppid, origin, comm, exe, argv, cwd, "
                              "uid, euid, gid, login_uid, session_id, cgroup, container_id, ns_pid, flags",
        [IOL_TABLE_PROCESS_EXIT] = "process_id, ts, exit_code, signal",
        [IOL_TABLE_FILE] = "id, host_id, dev, inode, generation, kind, path, flags",
        [IOL_TABLE_IO] = "ts, interval_ms, host_id, process_id, file_id, route, read_ops, read_bytes, write_ops, "
                         "write_bytes, read_errors, write_errors, first_ts, last_ts",
        [IOL_TABLE_EVENT] = "ts, host_id, process_id, tid, kind, file_id, other_file_id, offset_bytes, bytes, result, "
                            "weight",
        [IOL_TABLE_TOTAL] = "ts, interval_ms, host_id, route, read_ops, read_bytes, write_ops, write_bytes, "
                            "read_errors, write_errors",
        [IOL_TABLE_LOSS] = "ts_from, ts_to, host_id, reason, lost",
        [IOL_TABLE_BATCH] = "host_id, boot_id, seq, ts",
    };

    (void)state;
    for (int t = 0; t < IOL_TABLE_COUNT; t++) {
        if (!columns[t])
            continue;
        char *list = iol_schema_column_list(&iol_schema_tables[t]);
        assert_string_equal(list, columns[t]);
        free(list);
    }
}

static void test_words(void **state)
{
    static const struct iol_enum *const enums[] = {&iol_enum_route, &iol_enum_kind, &iol_enum_origin,
                                                   &iol_enum_event_kind};

    (void)state;
    for (size_t i = 0; i < sizeof(enums) / sizeof(enums[0]); i++) {
        for (size_t j = 0; j < enums[i]->count; j++) {
            assert_non_null(enums[i]->words[j]);
            assert_ptr_equal(iol_schema_word(enums[i], (int64_t)j), enums[i]->words[j]);
            for (size_t k = 0; k < j; k++)
                assert_string_not_equal(enums[i]->words[j], enums[i]->words[k]);
        }
        assert_null(iol_schema_word(enums[i], (int64_t)enums[i]->count));
        assert_null(iol_schema_word(enums[i], -1));
        assert_null(iol_schema_word(enums[i], IOL_NULL));
    }
    assert_string_equal(iol_schema_word(&iol_enum_route, IOL_ROUTE_COPY_FILE_RANGE), "copy_file_range");
    assert_string_equal(iol_schema_word(&iol_enum_kind, IOL_KIND_OTHER), "other");
}

static void test_insert(void **state)
{
    char *host = iol_schema_insert(&iol_schema_tables[IOL_TABLE_HOST], 1);
    char *login = iol_schema_insert(&iol_schema_tables[IOL_TABLE_LOGIN], 2);
    char *loss = iol_schema_insert(&iol_schema_tables[IOL_TABLE_LOSS], 1);

    (void)state;
    assert_string_equal(host, "INSERT OR ROLLBACK INTO host (id, name, machine_id, boot_id, kernel, seen) "
                              "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET name = excluded.name, "
                              "machine_id = excluded.machine_id, boot_id = excluded.boot_id, "
                              "kernel = excluded.kernel, seen = excluded.seen");
    assert_string_equal(login, "INSERT OR ROLLBACK INTO login (host_id, uid, name) VALUES ($1, $2, $3), ($4, $5, $6) "
                               "ON CONFLICT (host_id, uid) DO NOTHING");
    assert_string_equal(loss, "INSERT OR ROLLBACK INTO loss (ts_from, ts_to, host_id, reason, lost) "
                              "VALUES ($1, $2, $3, $4, $5)");
    free(host);
    free(login);
    free(loss);
}

/* The cached form is the plain one, whatever comes before it. */
static void test_time_text(void **state)
{
    static const int64_t times[] = {0,
                                    1,
                                    -1,
                                    999,
                                    1000,
                                    -1000,
                                    999999999,
                                    1000000000,
                                    INT64_MAX,
                                    INT64_MIN + 1,
                                    123456789,
                                    123456789,
                                    -1000000000,
                                    1795421886123456789,
                                    1795421886999999999};
    struct iol_time_text cache = {0};
    char plain[40], cached[32];

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        iol_text_time(plain, sizeof(plain), times[i]);
        assert_string_equal(iol_time_text(&cache, cached, times[i], ' '), plain);
        plain[10] = 'T';
        assert_string_equal(iol_time_text(&cache, cached, times[i], 'T'), plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_cover_the_rows),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_insert),
        cmocka_unit_test(test_time_text),
    };

    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
