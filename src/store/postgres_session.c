// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/postgres_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/postgres.h"
#include "store/schema_sql.h"

bool iol_pg_is_staged(const struct iol_table *table)
{
    return table->mode != IOL_WRITE_APPEND && table->id != IOL_TABLE_BATCH;
}

static int create_stages(PGconn *conn, bool by_host, struct iol_error *err)
{
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        char sql[128];
        if (!iol_pg_is_staged(table))
            continue;
        snprintf(sql, sizeof(sql), "CREATE TEMP TABLE " IOL_PG_STAGE "%s (LIKE %s) ON COMMIT DELETE ROWS", table->name,
                 table->name);
        int r = iol_pg_execute(conn, sql, "create a temporary table in", err);
        if (r == 0 && by_host && table->id == IOL_TABLE_PROCESS_EXIT)
            r = iol_pg_execute(conn, "ALTER TABLE pg_temp." IOL_PG_STAGE "process_exit DROP COLUMN host_id",
                               "create a temporary table in", err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int ask_whether(PGconn *conn, const char *sql, bool *ret_yes, struct iol_error *err)
{
    _cleanup_free_ char *value = NULL;
    int r = iol_pg_value(conn, sql, "look into", &value, err);

    *ret_yes = value != NULL;
    return r;
}

static int create_or_upgrade(PGconn *conn, enum iol_pg_state state, bool citus, struct iol_error *err)
{
    _cleanup_free_ char *version = NULL, *ddl = NULL;
    int r = 0;

    if (state == IOL_PG_OLD)
        r = iol_pg_value(conn, "SELECT max(version) FROM " IOL_VERSION_TABLE, "read", &version, err);
    if (r < 0)
        return r;
    if (version)
        ddl = iol_schema_upgrade(IOL_DIALECT_POSTGRESQL, atoi(version));
    else
        ddl = citus ? iol_schema_citus_ddl(true) : iol_schema_ddl(IOL_DIALECT_POSTGRESQL);
    if (!ddl)
        return iol_error_set(err, -ENOMEM, "out of memory");
    return iol_pg_execute(conn, ddl, version ? "upgrade the tables of" : "create the tables in", err);
}

static int change_schema(PGconn *conn, struct iol_error *err)
{
    bool citus;
    int found = ask_whether(conn, "SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'citus'", &citus, err);
    if (found < 0)
        return found;
    enum iol_pg_state state;
    int r = iol_pg_execute(conn, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "create the tables in", err);
    if (r == 0)
        r = iol_pg_execute(conn, "SELECT pg_advisory_xact_lock(" IOL_PG_SCHEMA_LOCK ")", "create the tables in", err);
    /* Whoever had the lock before may have done it all. */
    if (r == 0)
        r = iol_pg_check(conn, &state, err);
    if (r == 0 && state != IOL_PG_LEDGER)
        r = create_or_upgrade(conn, state, citus, err);
    if (r == 0)
        r = iol_pg_execute(conn, "COMMIT", "create the tables in", err);
    return r;
}

int iol_pg_prepare(PGconn *conn, bool *ret_by_host, struct iol_error *err)
{
    enum iol_pg_state state;
    int r = iol_pg_check(conn, &state, err);

    if (r == 0 && state != IOL_PG_LEDGER)
        r = change_schema(conn, err);
    if (r == 0)
        r = ask_whether(conn,
                        "SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = 'process_exit'::regclass"
                        " AND attname = 'host_id' AND NOT attisdropped",
                        ret_by_host, err);
    return r == 0 ? create_stages(conn, *ret_by_host, err) : r;
}

/* Parent and name of a process on this machine; 0 when it is not a server's. */
static pid_t server_parent(pid_t pid)
{
    char path[64], stat[512];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t n = fread(stat, 1, sizeof(stat) - 1, file);
    fclose(file);
    stat[n] = '\0';

    int parent = 0;
    const char *name = strchr(stat, '(');
    const char *rest = strrchr(stat, ')');
    if (!name || !rest || rest - name != (ptrdiff_t)strlen("(postgres") || strncmp(name, "(postgres)", 10) != 0 ||
        sscanf(rest + 1, " %*c %d", &parent) != 1)
        return 0;
    return parent;
}

/* A server's child serves us and says by which pid, in its own pid namespace. */
pid_t iol_pg_server(PGconn *conn)
{
    const char *host = PQhost(conn), *address = PQhostaddr(conn);
    bool local = (host && (host[0] == '/' || host[0] == '@')) ||
                 (address && (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0));
    pid_t parent = local ? server_parent(PQbackendPID(conn)) : 0;

    return parent > 1 && server_parent(parent) > 0 ? parent : 0;
}
