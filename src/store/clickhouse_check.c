// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Whether a ClickHouse database is a ledger, and the server's process. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/clickhouse.h"
#include "store/schema_clickhouse.h"
#include "store/schema_sql.h"

/* NULL: no memory. */
static char *probe_sql(const struct iol_table *table, int version)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fputs("SELECT ", out);
    iol_schema_ch_print_columns_of(out, table, version);
    fprintf(out, " FROM %s LIMIT 0", table->name);
    return iol_stream_text(&stream);
}

static int exists(struct iol_ch *ch, const char *table, bool *ret_exists, struct iol_error *err)
{
    char sql[128];
    long long number = 0;

    snprintf(sql, sizeof(sql), "EXISTS TABLE %s", table);
    int r = iol_ch_number(ch, sql, "read", &number, err);
    *ret_exists = number != 0;
    return r;
}

/* Every table that is there has every column of the version: it is one of ours, from a schema whose making was broken off perhaps. */
static int check_shape(struct iol_ch *ch, bool all, int version, struct iol_error *err)
{
    const char *database = iol_ch_layout(ch)->database;

    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        _cleanup_free_ char *sql = probe_sql(&iol_schema_tables[i], version), *none = NULL;
        bool there = true;
        if (!sql)
            return iol_error_set(err, -ENOMEM, "out of memory");
        int r = all ? 0 : exists(ch, iol_schema_tables[i].name, &there, err);
        if (r == 0 && there)
            r = iol_ch_value(ch, sql, "read", &none, err);
        if (r == -EAGAIN || r == -EACCES)
            return r;
        if (r < 0) {
            struct iol_error why = *err;
            iol_error_set(err, -EEXIST, "the ClickHouse database %s has a '%s' that is not that of a ledger: %s",
                          database, iol_schema_tables[i].name, why.text);
            iol_error_hint(err,
                           "give the ledger a database of its own: clickhouse-client --query 'CREATE DATABASE ledger'");
            return -EEXIST;
        }
    }
    return 0;
}

static int check_version(struct iol_ch *ch, bool shape, int *ret_version, struct iol_error *err)
{
    const char *database = iol_ch_layout(ch)->database;
    long long version = 0;
    int r = iol_ch_number(ch, "SELECT version FROM " IOL_VERSION_TABLE, "read", &version, err);

    if (r == 0 && version >= IOL_CH_SCHEMA_OLDEST && version <= IOL_CH_SCHEMA_VERSION) {
        *ret_version = (int)version;
        return shape ? check_shape(ch, true, (int)version, err) : 0;
    }
    if (r < 0)
        return r;
    iol_error_set(err, -EPROTONOSUPPORT,
                  "the ClickHouse database %s has version %lld of the schema, this ioledger knows version %d", database,
                  version, IOL_CH_SCHEMA_VERSION);
    iol_error_hint(err, version > IOL_CH_SCHEMA_VERSION
                            ? "use the ioledger that wrote it or a newer one, or another database"
                            : "record into another database, and ask the old one with the ioledger that wrote it");
    return -EPROTONOSUPPORT;
}

int iol_ch_check(struct iol_ch *ch, bool shape, int *ret_version, struct iol_error *err)
{
    bool there = false;
    int version = 0, r = exists(ch, IOL_VERSION_TABLE, &there, err);

    if (r == 0)
        r = there ? check_version(ch, shape, &version, err) : check_shape(ch, false, IOL_CH_SCHEMA_VERSION, err);
    if (r == 0)
        *ret_version = version;
    return r;
}

/* The inode of the socket that listens on the port; 0: none does. */
static unsigned long listener(const char *path, unsigned int port)
{
    FILE *file = fopen(path, "re");
    unsigned long inode, found = 0;
    unsigned int its_port, state;
    char line[512];

    while (file && !found && fgets(line, sizeof(line), file)) {
        /* sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode (proc_pid_net(5)); 0A is TCP_LISTEN */
        if (sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*d %lu", &its_port, &state,
                   &inode) == 3 &&
            its_port == port && state == 0x0A)
            found = inode;
    }
    if (file)
        fclose(file);
    return found;
}

static bool holds(const char *pid, const char *socket)
{
    char path[300], target[64];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        char link[600];
        snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
        ssize_t n = readlink(link, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        found = strcmp(target, socket) == 0;
    }
    if (dir)
        closedir(dir);
    return found;
}

pid_t iol_ch_server_pid(const struct iol_ch *ch)
{
    const char *host = iol_ch_host(ch), *colon = strrchr(host, ':');
    bool local =
        strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 || strncmp(host, "localhost:", 10) == 0;
    unsigned int port = colon ? (unsigned int)strtoul(colon + 1, NULL, 10) : 0;
    unsigned long inode = local ? listener("/proc/net/tcp", port) : 0;
    char socket[64];
    pid_t found = 0;

    if (local && !inode)
        inode = listener("/proc/net/tcp6", port);
    DIR *dir = inode ? opendir("/proc") : NULL;
    snprintf(socket, sizeof(socket), "socket:[%lu]", inode);
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        if (isdigit((unsigned char)entry->d_name[0]) && holds(entry->d_name, socket))
            found = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    if (dir)
        closedir(dir);
    return found;
}
