// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/schema_sql.h"
#include "store/url.h"

/* SP-GiST with prefix search, and whatever else is used, is there from this version on. */
#define OLDEST_SERVER 110000

#define CONNECT_AGAIN_MS 10000

static void free_result(PGresult **result)
{
    PQclear(*result);
}

#define _cleanup_result_ _cleanup_(free_result)

/* A message of libpq as one line; what libpq adds on indented lines is advice, and ours is in the hint. */
static void one_line(char *buf, size_t size, const char *message)
{
    size_t used = 0;

    for (const char *line = message; *line && used + 3 < size;) {
        size_t length = strcspn(line, "\n");
        if (length > 0 && *line != '\t') {
            int n = snprintf(buf + used, size - used, "%s%.*s", used ? "; " : "", (int)length, line);
            used = (size_t)n < size - used ? used + (size_t)n : size - 1;
        }
        line += length + (line[length] == '\n');
    }
    buf[used] = '\0';
}

static bool in_class(const char *state, const char *class)
{
    return strncmp(state, class, 2) == 0;
}

/* By https://www.postgresql.org/docs/current/errcodes-appendix.html */
static int errno_of(const char *state)
{
    if (strcmp(state, "53100") == 0) /* disk_full */
        return -ENOSPC;
    if (in_class(state, "08") || in_class(state, "40") || in_class(state, "53") || in_class(state, "55") ||
        in_class(state, "57") || in_class(state, "58") || strcmp(state, "25006") == 0) /* read_only_sql_transaction */
        return -EAGAIN;
    if (in_class(state, "28") || strcmp(state, "42501") == 0) /* insufficient_privilege */
        return -EACCES;
    return in_class(state, "XX") ? -EIO : -EINVAL;
}

int iol_pg_error(PGconn *conn, const PGresult *result, const char *doing, struct iol_error *err)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *database = PQdb(conn) ? PQdb(conn) : "";
    int code = state ? errno_of(state) : -EAGAIN;
    char line[512];

    one_line(line, sizeof(line), primary ? primary : PQerrorMessage(conn));
    if (code == -ENOSPC)
        iol_error_set(err, code, "no space left for the PostgreSQL database %s: %s", database, line);
    else
        iol_error_set(err, code, "cannot %s the PostgreSQL database %s: %s", doing, database,
                      line[0] ? line : "the connection was lost");
    if (code == -ENOSPC)
        iol_error_hint(err, "free some space on the disk of the server");
    else if (code == -EACCES)
        iol_error_hint(err, "grant the user %s the rights it needs, or connect as another one", PQuser(conn));
    return code;
}

int iol_pg_execute(PGconn *conn, const char *sql, const char *doing, struct iol_error *err)
{
    _cleanup_result_ PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : iol_pg_error(conn, result, doing, err);
}

int iol_pg_value(PGconn *conn, const char *sql, const char *doing, char **ret_value, struct iol_error *err)
{
    _cleanup_result_ PGresult *result = PQexec(conn, sql);
    char *value = NULL;

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return iol_pg_error(conn, result, doing, err);
    if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0)) {
        value = strdup(PQgetvalue(result, 0, 0));
        if (!value)
            return iol_error_set(err, -ENOMEM, "out of memory");
    }
    *ret_value = value;
    return 0;
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

/* An @ or / of the password that is not escaped makes libpq take part of it for a host or a database, and print it. */
static bool is_torn(const PQconninfoOption *options)
{
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if ((strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "port") == 0 || strcmp(o->keyword, "dbname") == 0) &&
            o->val && o->val[0] != '@' && strchr(o->val, '@'))
            return true;
    return false;
}

/* Complains about a URL in our own words: libpq's quote the part that it does not like, which may be the password. */
static int check_url(const char *url, struct iol_error *err)
{
    PQconninfoOption *options = strstr(url, "://") ? PQconninfoParse(url, NULL) : NULL;
    bool good = options && !is_torn(options);
    char shown[256];

    PQconninfoFree(options);
    if (good)
        return 0;
    iol_error_set(err, -EINVAL, "'%s' is no PostgreSQL URL", iol_url_redact(shown, sizeof(shown), url));
    iol_error_hint(err, "write postgresql://USER@HOST:PORT/DATABASE?OPTION=VALUE, with special characters as %%40 (@), "
                        "%%2F (/), %%25 (%%); the password may also stand in PGPASSWORD or ~/.pgpass");
    return -EINVAL;
}

static bool url_has(const char *url, const char *option)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    bool found = false;

    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        found = found || (strcmp(o->keyword, option) == 0 && o->val);
    PQconninfoFree(options);
    return found;
}

#define MAX_PARAMETERS 8

struct parameters {
    const char *keys[MAX_PARAMETERS];
    const char *values[MAX_PARAMETERS];
    size_t count;
};

static void add(struct parameters *parameters, const char *key, const char *value)
{
    parameters->keys[parameters->count] = key;
    parameters->values[parameters->count++] = value;
}

/* What stands before the URL (as dbname) is a default that the URL overrides; what stands behind overrides the URL. */
static void set_parameters(struct parameters *parameters, const char *url)
{
    *parameters = (struct parameters){0};
    add(parameters, "fallback_application_name", "ioledger");
    if (!getenv("PGCONNECT_TIMEOUT") && !getenv("PGSERVICE") && !url_has(url, "service"))
        add(parameters, "connect_timeout", "10");
    /* A peer that is gone without a word is noticed within half a minute, even in the middle of a write. */
    add(parameters, "tcp_user_timeout", "30000");
    add(parameters, "dbname", url);
    add(parameters, "client_encoding", "UTF8");
}

/* Waits for the end of a connection that was begun, one way or the other. */
static void finish_connecting(PGconn *conn)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status != PGRES_POLLING_FAILED && status != PGRES_POLLING_OK) {
        struct pollfd fd = {.fd = PQsocket(conn), .events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (poll(&fd, 1, CONNECT_AGAIN_MS) <= 0)
            return;
        status = PQconnectPoll(conn);
    }
}

/*
 * Whether the server is there and has no room for one more, or is about to go. libpq tells the SQLSTATE of a refused connection in
 * the message only, and only to who has asked for it before: so once more, with that.
 */
static bool refused_for_now(const struct parameters *parameters)
{
    PGconn *conn = PQconnectStartParams(parameters->keys, parameters->values, 1);
    const char *message, *state;

    if (!conn)
        return false;
    PQsetErrorVerbosity(conn, PQERRORS_SQLSTATE);
    if (PQstatus(conn) != CONNECTION_BAD)
        finish_connecting(conn);
    bool there = PQstatus(conn) == CONNECTION_OK; /* now there is room */
    message = PQerrorMessage(conn);
    state = strrchr(message, ' ');
    there = there || (state && (in_class(state + 1, "53") || in_class(state + 1, "57")));
    PQfinish(conn);
    return there;
}

/* The connection broke while it was made: libpq says so itself, where a server that refuses says why. */
static bool was_cut(PGconn *conn)
{
    static const char *const words[] = {"server closed the connection unexpectedly",
                                        "could not receive data from server",
                                        "could not send data to server",
                                        "could not send startup packet",
                                        "Connection reset by peer",
                                        "Broken pipe"};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(words); i++) {
        if (strstr(PQerrorMessage(conn), words[i]))
            return true;
    }
    return false;
}

static int connect_error(PGconn *conn, const struct parameters *parameters, struct iol_error *err)
{
    bool cut = was_cut(conn);
    PGPing ping = PQpingParams(parameters->keys, parameters->values, 1);
    bool unreachable = cut || ping == PQPING_NO_RESPONSE || ping == PQPING_REJECT || refused_for_now(parameters);
    int code = unreachable ? -EAGAIN : -EACCES;
    char line[600];

    one_line(line, sizeof(line), PQerrorMessage(conn));
    iol_error_set(err, code, "cannot connect to PostgreSQL: %s", line);
    if (unreachable)
        iol_error_hint(err, "is the server running there, and does it accept connections?");
    else
        iol_error_hint(err, "check user, password (PGPASSWORD, ~/.pgpass) and database in the URL");
    return code;
}

static int check_server(PGconn *conn, struct iol_error *err)
{
    const char *encoding = PQparameterStatus(conn, "server_encoding");

    if (PQserverVersion(conn) < OLDEST_SERVER) {
        iol_error_set(err, -EPROTONOSUPPORT, "the PostgreSQL server is too old: %s",
                      PQparameterStatus(conn, "server_version"));
        iol_error_hint(err, "version %d or later is needed", OLDEST_SERVER / 10000);
        return -EPROTONOSUPPORT;
    }
    /* In any other encoding there are paths that the database would refuse. */
    if (encoding && strcmp(encoding, "UTF8") != 0 && strcmp(encoding, "SQL_ASCII") != 0) {
        iol_error_set(err, -EINVAL, "the database %s has the encoding %s, which cannot hold every path", PQdb(conn),
                      encoding);
        iol_error_hint(err, "create one that can: createdb --encoding=UTF8 --template=template0 NAME");
        return -EINVAL;
    }
    return 0;
}

int iol_pg_connect(const char *url, bool verbose, PGconn **ret_conn, struct iol_error *err)
{
    static const char session[] = "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET statement_timeout = 0;"
                                  "SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;"
                                  "SET standard_conforming_strings = on";
    struct parameters parameters;
    int r = check_url(url, err);

    if (r < 0)
        return r;
    set_parameters(&parameters, url);
    PGconn *conn = PQconnectdbParams(parameters.keys, parameters.values, 1);
    if (!conn)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (PQstatus(conn) != CONNECTION_OK)
        r = connect_error(conn, &parameters, err);
    if (r == 0 && !verbose)
        PQsetNoticeReceiver(conn, ignore_notice, NULL);
    if (r == 0)
        r = check_server(conn, err);
    if (r == 0)
        r = iol_pg_execute(conn, session, "set up the session with", err);
    if (r < 0) {
        PQfinish(conn);
        return r;
    }
    *ret_conn = conn;
    return 0;
}

static int foreign(PGconn *conn, const char *name, struct iol_error *err)
{
    iol_error_set(err, -EEXIST, "the database %s has a '%s' that belongs to another program", PQdb(conn), name);
    iol_error_hint(err, "give the ledger a database of its own (createdb ledger), or a schema of its own: "
                        "CREATE SCHEMA ledger, then ?options=-csearch_path%%3Dledger at the end of the URL");
    return -EEXIST;
}

/* The name of anything in the current schema that our DDL would collide with. */
static char *names_sql(void)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fputs("SELECT name FROM (SELECT relname::text AS name FROM pg_class "
          "WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) "
          "UNION ALL SELECT typname::text FROM pg_type WHERE typtype <> 'c' "
          "AND typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())) AS names "
          "WHERE name IN (",
          out);
    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        fprintf(out, "'%s', ", iol_schema_tables[i].name);
    for (const char *const *view = iol_schema_views; *view; view++)
        fprintf(out, "'%s', ", *view);
    fprintf(out, "'" IOL_PG_IO_TABLE "', '" IOL_CANDIDATE_TABLE "', '%s', '%s', '%s', '%s') ORDER BY name LIMIT 1",
            iol_enum_route.name, iol_enum_kind.name, iol_enum_origin.name, iol_enum_event_kind.name);
    return iol_stream_text(&stream);
}

/* Room for our tables: nothing in the schema has one of their names. *ret_name: what does, to be freed. */
static int check_free(PGconn *conn, char **ret_name, struct iol_error *err)
{
    _cleanup_free_ char *schema = NULL, *sql = names_sql();

    if (!sql)
        return iol_error_set(err, -ENOMEM, "out of memory");
    int r = iol_pg_value(conn, "SELECT current_schema()", "read", &schema, err);
    if (r < 0)
        return r;
    if (!schema) {
        iol_error_set(err, -ENOENT, "the search_path of the database %s names no schema that exists", PQdb(conn));
        iol_error_hint(err, "create that schema, or connect with another search_path");
        return -ENOENT;
    }
    return iol_pg_value(conn, sql, "read", ret_name, err);
}

/* Every table with every column, or some other program or person has changed them. */
static int check_shape(PGconn *conn, int version, struct iol_error *err)
{
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        _cleanup_free_ char *sql = iol_schema_probe(&iol_schema_tables[i], version);
        if (!sql)
            return iol_error_set(err, -ENOMEM, "out of memory");
        _cleanup_result_ PGresult *result = PQexec(conn, sql);
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            continue;
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (!state || (strcmp(state, "42P01") != 0 && strcmp(state, "42703") != 0))
            return iol_pg_error(conn, result, "read", err);
        iol_error_set(err, -EBADMSG, "the tables of the database %s are not those of a ledger: %s", PQdb(conn),
                      PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
        iol_error_hint(err, "give the ledger a database of its own");
        return -EBADMSG;
    }
    return 0;
}

static int find_version_table(PGconn *conn, char **ret_found, struct iol_error *err)
{
    return iol_pg_value(conn, "SELECT to_regclass('" IOL_VERSION_TABLE "')", "read", ret_found, err);
}

static int check_version(PGconn *conn, enum iol_pg_state *ret_state, struct iol_error *err)
{
    _cleanup_free_ char *version = NULL;
    int r = iol_pg_value(conn, "SELECT max(version) FROM " IOL_VERSION_TABLE, "read", &version, err);

    if (r < 0 && r != -EINVAL)
        return r;
    if (r < 0 || !version || atoi(version) < 1)
        return foreign(conn, IOL_VERSION_TABLE, err);
    if (atoi(version) > IOL_SCHEMA_VERSION) {
        iol_error_set(err, -EPROTONOSUPPORT,
                      "the database %s has version %s of the schema, this ioledger knows up to version %d", PQdb(conn),
                      version, IOL_SCHEMA_VERSION);
        iol_error_hint(err, "use the ioledger that wrote it or a newer one, or another database");
        return -EPROTONOSUPPORT;
    }
    if (atoi(version) < IOL_SCHEMA_OLDEST) {
        iol_error_set(err, -EPROTONOSUPPORT,
                      "the database %s has version %s of the schema, this ioledger writes version %d", PQdb(conn),
                      version, IOL_SCHEMA_VERSION);
        iol_error_hint(err,
                       "record into another database (or another schema: ?options=-csearch_path%%3DNAME), and ask the "
                       "old one with the ioledger that wrote it");
        return -EPROTONOSUPPORT;
    }
    *ret_state = atoi(version) < IOL_SCHEMA_VERSION ? IOL_PG_OLD : IOL_PG_LEDGER;
    return check_shape(conn, atoi(version), err);
}

int iol_pg_check(PGconn *conn, enum iol_pg_state *ret_state, struct iol_error *err)
{
    _cleanup_free_ char *found = NULL, *name = NULL;
    enum iol_pg_state state = IOL_PG_EMPTY;
    int r = find_version_table(conn, &found, err);

    if (r == 0 && !found)
        r = check_free(conn, &name, err);
    /* Another recorder may have created everything between the two questions. */
    if (r == 0 && name)
        r = find_version_table(conn, &found, err);
    if (r == 0 && name && !found)
        r = foreign(conn, name, err);
    if (r == 0 && found)
        r = check_version(conn, &state, err);
    if (r == 0)
        *ret_state = state;
    return r;
}
