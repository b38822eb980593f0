-- SPDX-License-Identifier: BSD-2-Clause
-- SPDX-FileCopyrightText: The ioledger authors
-- The tables of ioledger, version 2 of the schema.

CREATE TYPE io_route AS ENUM ('rw', 'sendfile', 'splice', 'copy_file_range', 'io_uring', 'mmap');
CREATE TYPE file_kind AS ENUM ('file', 'dir', 'link', 'chr', 'blk', 'pipe', 'socket', 'anon', 'memfd', 'other');
CREATE TYPE process_origin AS ENUM ('fork', 'exec', 'running');
CREATE TYPE event_kind AS ENUM ('exec', 'exec_failed', 'fork', 'exit', 'read', 'write', 'mmap', 'open', 'open_failed', 'rename', 'unlink', 'truncate', 'link', 'symlink', 'mkdir', 'rmdir', 'chmod', 'chown', 'setxattr');

-- A machine: id is a hash of machine_id and name; boot_id, kernel and seen are those of the latest recording
CREATE TABLE host (
    id bigint NOT NULL PRIMARY KEY,
    name text COLLATE "C",
    machine_id text COLLATE "C",
    boot_id text COLLATE "C",
    kernel text COLLATE "C",
    seen timestamptz
);

-- One run of the recorder
CREATE TABLE recording (
    id bigint NOT NULL PRIMARY KEY,
    host_id bigint NOT NULL,
    boot_id text COLLATE "C",
    started timestamptz NOT NULL,
    ended timestamptz,
    version text COLLATE "C",
    probes text COLLATE "C",
    scope text COLLATE "C",
    excluded_ops bigint,
    excluded_bytes bigint
);

-- The name of a user id on a host when it was first seen
CREATE TABLE login (
    host_id bigint NOT NULL,
    uid bigint NOT NULL,
    name text COLLATE "C",
    PRIMARY KEY (host_id, uid)
);

-- One process image: a process between two execs
CREATE TABLE process (
    id bigint NOT NULL PRIMARY KEY,
    host_id bigint NOT NULL,
    pid bigint NOT NULL,
    start_time timestamptz,
    exec_time timestamptz,
    parent_id bigint,
    ppid bigint,
    origin process_origin NOT NULL,
    comm text COLLATE "C",
    exe text COLLATE "C",
    argv text COLLATE "C",
    cwd text COLLATE "C",
    uid bigint,
    euid bigint,
    gid bigint,
    login_uid bigint,
    session_id bigint,
    cgroup text COLLATE "C",
    container_id text COLLATE "C",
    flags text COLLATE "C"
);

-- How a process ended
CREATE TABLE process_exit (
    process_id bigint NOT NULL PRIMARY KEY,
    ts timestamptz NOT NULL,
    exit_code bigint,
    signal bigint
);

-- A file under one name; renamed, it gets a second row with the same dev, inode and generation
CREATE TABLE file (
    id bigint NOT NULL PRIMARY KEY,
    host_id bigint NOT NULL,
    dev bigint,
    inode bigint,
    generation bigint,
    kind file_kind NOT NULL,
    path text COLLATE "C" NOT NULL,
    flags text COLLATE "C"
);

-- What one process did to one file by one route within one interval
CREATE TABLE io (
    ts timestamptz NOT NULL,
    interval_ms bigint,
    host_id bigint NOT NULL,
    process_id bigint NOT NULL,
    file_id bigint NOT NULL,
    route io_route NOT NULL,
    read_ops bigint,
    read_bytes bigint,
    write_ops bigint,
    write_bytes bigint,
    read_errors bigint,
    write_errors bigint,
    first_ts timestamptz,
    last_ts timestamptz
) PARTITION BY RANGE (ts);

-- One thing that happened
CREATE TABLE event (
    ts timestamptz NOT NULL,
    host_id bigint NOT NULL,
    process_id bigint,
    tid bigint,
    kind event_kind NOT NULL,
    file_id bigint,
    other_file_id bigint,
    offset_bytes bigint,
    bytes bigint,
    result bigint,
    weight bigint
) PARTITION BY RANGE (ts);

-- The totals of the kernel for one interval, counted apart from the accounts
CREATE TABLE total (
    ts timestamptz NOT NULL,
    interval_ms bigint,
    host_id bigint NOT NULL,
    route io_route NOT NULL,
    read_ops bigint,
    read_bytes bigint,
    write_ops bigint,
    write_bytes bigint,
    read_errors bigint,
    write_errors bigint
);

-- Detail that was lost; bytes and operations never are
CREATE TABLE loss (
    ts_from timestamptz,
    ts_to timestamptz,
    host_id bigint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    lost bigint NOT NULL
);

-- One transaction of the recorder: stored again, it changes nothing
CREATE TABLE batch (
    host_id bigint NOT NULL,
    boot_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    ts timestamptz NOT NULL,
    PRIMARY KEY (host_id, boot_id, seq)
);

-- For prune: files of deleted facts, until it has looked whether others refer to them
CREATE TABLE pruned_file (id bigint PRIMARY KEY);

CREATE INDEX process_pid ON process USING btree (pid);
CREATE INDEX process_comm ON process USING btree (comm);
CREATE INDEX process_parent_id ON process USING btree (parent_id);
CREATE INDEX file_path ON file USING spgist (path);
CREATE INDEX file_inode ON file USING btree (inode);
CREATE INDEX io_file_id ON io USING btree (file_id);
CREATE INDEX io_process_id ON io USING btree (process_id);
CREATE INDEX io_ts ON io USING brin (ts);
CREATE INDEX event_file_id ON event USING btree (file_id) WHERE file_id IS NOT NULL;
CREATE INDEX event_other_file_id ON event USING btree (other_file_id) WHERE other_file_id IS NOT NULL;
CREATE INDEX event_ts ON event USING brin (ts);
CREATE INDEX total_ts ON total USING btree (ts);

-- Partitions for so many days from that one on. Recorders call it for each day that they write, and the day after.
CREATE FUNCTION ioledger_add_days(first date, days integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    day date;
    parent text;
    child text;
BEGIN
    PERFORM pg_advisory_xact_lock(1869442404);
    FOR day IN SELECT first + i FROM generate_series(0, days - 1) i LOOP
        FOREACH parent IN ARRAY ARRAY['io', 'event'] LOOP
            child := parent || to_char(day, '_YYYYMMDD');
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS)', child, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,
                           day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
END $$;

-- io with the names in plain sight
CREATE VIEW io_named AS
SELECT io.ts, io.interval_ms, io.host_id, io.process_id, io.file_id, io.route,
       io.read_ops, io.read_bytes, io.write_ops, io.write_bytes, io.read_errors, io.write_errors,
       io.first_ts, io.last_ts,
       process.pid, process.comm, process.exe,
       coalesce(login.name, CAST(process.uid AS text)) AS "user",
       file.path, file.kind, file.flags
FROM io
LEFT JOIN process ON process.id = io.process_id
LEFT JOIN file ON file.id = io.file_id
LEFT JOIN login ON login.host_id = process.host_id AND login.uid = process.uid;

-- The ledger as one table; type: 1 exec, 2 fork, 3 read, 4 write
CREATE VIEW audit_log (pid, type, comm, path, timestamp) AS
SELECT pid, 1, comm, exe, exec_time FROM process WHERE origin = 'exec'
UNION ALL
SELECT pid, 2, comm, exe, start_time FROM process WHERE origin = 'fork'
UNION ALL
SELECT process.pid, 3, process.comm, file.path, io.last_ts FROM io
LEFT JOIN process ON process.id = io.process_id LEFT JOIN file ON file.id = io.file_id WHERE io.read_ops > 0
UNION ALL
SELECT process.pid, 4, process.comm, file.path, io.last_ts FROM io
LEFT JOIN process ON process.id = io.process_id LEFT JOIN file ON file.id = io.file_id WHERE io.write_ops > 0;

CREATE TABLE ioledger_schema (version integer NOT NULL);
INSERT INTO ioledger_schema (version) VALUES (2);
