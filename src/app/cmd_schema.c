// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/options.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "store/schema.h"
#include "store/url.h"

enum { KEY_KIND = 0x200, KEY_SERVER, KEY_CITUS };

struct schema {
    const char *kind;
    const char *server; /* its version */
    bool citus;
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct schema *schema = input;

    (void)err;
    if (key == KEY_CITUS)
        schema->citus = true;
    else if (key == KEY_SERVER)
        schema->server = text;
    else
        schema->kind = text;
    return 0;
}

/* --db of its own: here the bare name of a kind will do too. */
static const struct argp_option own_options[] = {
    {"db", KEY_KIND, "URL", 0,
     "sqlite, postgresql or clickhouse, or the URL of a ledger, which is not opened (default: $IOLEDGER_DB, else "
     "sqlite)",
     0},
    {"citus", KEY_CITUS, NULL, 0, "For PostgreSQL with Citus: tables that are distributed by host", 0},
    {"server", KEY_SERVER, "VERSION", 0,
     "The version of ClickHouse to write for, as 18.16 (default: that of the server in the URL, which is asked for it "
     "alone)",
     0},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "[sqlite|postgresql|clickhouse]",
    .summary = "Prints the SQL that creates a ledger: types, tables, indexes and views, with what each column means. "
               "'ioledger record' does all this by itself; this is for reading, or for creating the tables as "
               "another user.",
    .details = "Examples:\n"
               "  ioledger schema\n"
               "  ioledger schema postgresql | psql mydatabase\n"
               "  ioledger schema postgresql --citus | psql mydatabase\n"
               "  ioledger schema --db 'clickhouse://host/ledger?cluster=both' |\n"
               "    clickhouse-client -n\n\n"
               "Exit status: 0 printed; 1 a failure; 2 bad usage.",
    .max_args = 1,
    .options = own_options,
    .option = take_option,
};

static int find_dialect(const char *kind, enum iol_dialect *ret_dialect, struct iol_error *err)
{
    static const struct {
        const char *name;
        enum iol_dialect dialect;
    } kinds[] = {
        {"sqlite", IOL_DIALECT_SQLITE},
        {"postgresql", IOL_DIALECT_POSTGRESQL},
        {"postgres", IOL_DIALECT_POSTGRESQL},
    };
    size_t length = strcspn(kind, ":");

    for (size_t i = 0; i < IOL_ARRAY_SIZE(kinds); i++) {
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, kind, length) == 0) {
            *ret_dialect = kinds[i].dialect;
            return 0;
        }
    }
    iol_error_set(err, -EINVAL, "'%s' is no kind of database that has a schema", kind);
    iol_error_hint(err, "kinds are sqlite, postgresql and clickhouse");
    return -EINVAL;
}

static int refuse_citus(struct iol_error *err)
{
    iol_error_set(err, -EINVAL, "--citus is for postgresql");
    return iol_options_fail("schema", err);
}

int iol_cmd_schema(int argc, char **argv)
{
    struct schema schema = {0};
    struct iol_options options;
    struct iol_error err = {0};
    enum iol_dialect dialect;
    const char *kind = getenv("IOLEDGER_DB");
    int status;

    if (!iol_options_parse(&usage, argc, argv, &schema, &options, &status))
        return status;
    if (!kind || !*kind)
        kind = "sqlite";
    if (schema.kind)
        kind = schema.kind;
    if (options.n_args > 0)
        kind = options.args[0];
    if (strcmp(kind, "clickhouse") == 0 || iol_url_is_clickhouse(kind)) {
        if (schema.citus)
            return refuse_citus(&err);
        int r = iol_schema_print_clickhouse(stdout, kind, schema.server, &err);
        return r == 0 ? IOL_EXIT_OK : r == -EINVAL ? iol_options_fail("schema", &err) : iol_command_fail(&err);
    }
    if (schema.server) {
        iol_error_set(&err, -EINVAL, "--server is for clickhouse");
        return iol_options_fail("schema", &err);
    }
    if (find_dialect(kind, &dialect, &err) < 0)
        return iol_options_fail("schema", &err);
    if (schema.citus && dialect != IOL_DIALECT_POSTGRESQL)
        return refuse_citus(&err);
    if (schema.citus)
        return iol_schema_print_citus(stdout, true) < 0 ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
    return iol_schema_print(stdout, dialect) < 0 ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
}
