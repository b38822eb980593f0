-- SPDX-License-Identifier: BSD-2-Clause
-- SPDX-FileCopyrightText: The ioledger authors
-- The tables of ioledger, version 3 of the schema, for ClickHouse 18.16.

-- A machine: id is a hash of machine_id and name; boot_id, kernel and seen are those of the latest recording
CREATE TABLE IF NOT EXISTS host
(
    id Int64 COMMENT 'hash of machine_id and name',
    name Nullable(String) COMMENT 'host name',
    machine_id Nullable(String) COMMENT '/etc/machine-id',
    boot_id Nullable(String) COMMENT 'kernel boot id of the latest recording',
    kernel Nullable(String) COMMENT 'kernel release of the latest recording',
    seen_us Nullable(Int64) COMMENT 'when the latest recording was last heard of',
    seen ALIAS toDateTime(intDiv(seen_us, 1000000), 'UTC'),
    row_version UInt64 COMMENT 'of rows with one key the highest counts'
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (id);

-- One run of the recorder
CREATE TABLE IF NOT EXISTS recording
(
    id Int64 COMMENT 'hash of host, boot and start',
    host_id Int64 COMMENT 'host.id',
    boot_id Nullable(String) COMMENT 'kernel boot id',
    started_us Int64 COMMENT 'when it began to count',
    started ALIAS toDateTime(intDiv(started_us, 1000000), 'UTC'),
    ended_us Nullable(Int64) COMMENT 'when it ended; NULL while it runs, or when it was killed',
    ended ALIAS toDateTime(intDiv(ended_us, 1000000), 'UTC'),
    version Nullable(String) COMMENT 'version of ioledger',
    probes Nullable(String) COMMENT 'tracepoint or fexit',
    scope Nullable(String) COMMENT 'filters and rules as given',
    excluded_ops Nullable(Int64) COMMENT 'operations left out: of the recorder, of its database server, by --ignore',
    excluded_bytes Nullable(Int64) COMMENT 'bytes left out: of the recorder, of its database server, by --ignore',
    row_version UInt64 COMMENT 'of rows with one key the highest counts'
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (host_id, id);

-- The name of a user id on a host when it was first seen
CREATE TABLE IF NOT EXISTS login
(
    host_id Int64 COMMENT 'host.id',
    uid Int64 COMMENT 'user id',
    name Nullable(String) COMMENT 'login name',
    row_version UInt64 COMMENT 'of rows with one key the highest counts'
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (host_id, uid);

-- One process image: a process between two execs
CREATE TABLE IF NOT EXISTS process
(
    id Int64 COMMENT 'hash of host, boot, pid, start time and image',
    host_id Int64 COMMENT 'host.id',
    pid Int64 COMMENT 'process id in the initial pid namespace',
    start_time_us Nullable(Int64) COMMENT 'when the process was forked',
    start_time ALIAS toDateTime(intDiv(start_time_us, 1000000), 'UTC'),
    exec_time_us Nullable(Int64) COMMENT 'when this image was executed; NULL for a fork that has not called exec',
    exec_time ALIAS toDateTime(intDiv(exec_time_us, 1000000), 'UTC'),
    parent_id Nullable(Int64) COMMENT 'process.id of the image that forked or executed this one; NULL when unknown',
    ppid Nullable(Int64) COMMENT 'process id of the parent',
    origin Enum8('fork' = 0, 'exec' = 1, 'running' = 2) COMMENT 'how the image came to be',
    comm Nullable(String) COMMENT 'command name, as the kernel has it',
    exe Nullable(String) COMMENT 'path of the executable',
    argv Nullable(String) COMMENT 'arguments, joined by one space',
    cwd Nullable(String) COMMENT 'working directory',
    uid Nullable(Int64) COMMENT 'real user id',
    euid Nullable(Int64) COMMENT 'effective user id',
    gid Nullable(Int64) COMMENT 'real group id',
    login_uid Nullable(Int64) COMMENT 'audit login uid; NULL when unset',
    session_id Nullable(Int64) COMMENT 'audit session id; NULL when unset',
    cgroup Nullable(String) COMMENT 'path in the cgroup hierarchy',
    container_id Nullable(String) COMMENT 'container id taken from the cgroup',
    flags Nullable(String) COMMENT 'words joined by commas: escaped, argv_truncated, exe_deleted, ...',
    row_version UInt64 COMMENT 'of rows with one key the highest counts'
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (id);

-- How a process ended
CREATE TABLE IF NOT EXISTS process_exit
(
    process_id Int64 COMMENT 'process.id of its last image',
    ts_us Int64 COMMENT 'when it ended',
    ts ALIAS toDateTime(intDiv(ts_us, 1000000), 'UTC'),
    exit_code Nullable(Int64) COMMENT 'NULL when killed by a signal',
    signal Nullable(Int64) COMMENT 'NULL when it ended by itself',
    row_version UInt64 COMMENT 'of rows with one key the highest counts'
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (process_id);

-- A file under one name; renamed, it gets a second row with the same dev, inode and generation
CREATE TABLE IF NOT EXISTS file
(
    id Int64 COMMENT 'hash of host, device, inode, generation and path',
    host_id Int64 COMMENT 'host.id',
    dev Nullable(Int64) COMMENT 'st_dev of stat(2)',
    inode Nullable(Int64) COMMENT 'inode number',
    generation Nullable(Int64) COMMENT 'tells apart files that had the same inode number one after the other',
    kind Enum8('file' = 0, 'dir' = 1, 'link' = 2, 'chr' = 3, 'blk' = 4, 'pipe' = 5, 'socket' = 6, 'anon' = 7, 'memfd' = 8, 'other' = 9) COMMENT 'kind of file',
    path String COMMENT 'as the process saw it; pseudo files stand in parentheses: (pipes), (other files)',
    flags Nullable(String) COMMENT 'words joined by commas: deleted, truncated, unreachable, escaped, ...',
    row_version UInt64 COMMENT 'of rows with one key the highest counts'
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (path, host_id, id);

-- What one process did to one file by one route within one interval
CREATE TABLE IF NOT EXISTS io
(
    ts_us Int64 COMMENT 'end of the interval',
    ts ALIAS toDateTime(intDiv(ts_us, 1000000), 'UTC'),
    interval_ms Nullable(Int64) COMMENT 'length of the interval',
    host_id Int64 COMMENT 'host.id',
    process_id Int64 COMMENT 'process.id',
    file_id Int64 COMMENT 'file.id',
    route Enum8('rw' = 0, 'sendfile' = 1, 'splice' = 2, 'copy_file_range' = 3, 'io_uring' = 4, 'mmap' = 5) COMMENT 'system calls that it went by',
    read_ops Nullable(Int64) COMMENT 'reads that succeeded',
    read_bytes Nullable(Int64) COMMENT 'bytes they returned; NULL: unknown',
    write_ops Nullable(Int64) COMMENT 'writes that succeeded',
    write_bytes Nullable(Int64) COMMENT 'bytes they wrote; NULL: unknown',
    read_errors Nullable(Int64) COMMENT 'reads that failed',
    write_errors Nullable(Int64) COMMENT 'writes that failed',
    first_ts_us Nullable(Int64) COMMENT 'first operation seen in the interval',
    first_ts ALIAS toDateTime(intDiv(first_ts_us, 1000000), 'UTC'),
    last_ts_us Nullable(Int64) COMMENT 'last operation seen in the interval',
    last_ts ALIAS toDateTime(intDiv(last_ts_us, 1000000), 'UTC'),
    batch_seq Int64 COMMENT 'batch.seq of the batch that brought the row'
)
ENGINE = MergeTree
PARTITION BY intDiv(ts_us, toInt64(86400000000))
ORDER BY (intDiv(ts_us, toInt64(86400000000)), host_id, process_id, file_id, ts_us)
SETTINGS index_granularity = 1024;

-- One thing that happened
CREATE TABLE IF NOT EXISTS event
(
    ts_us Int64 COMMENT 'when',
    ts ALIAS toDateTime(intDiv(ts_us, 1000000), 'UTC'),
    host_id Int64 COMMENT 'host.id',
    process_id Nullable(Int64) COMMENT 'process.id; of a fork, the child',
    tid Nullable(Int64) COMMENT 'thread id',
    kind Enum8('exec' = 0, 'exec_failed' = 1, 'fork' = 2, 'exit' = 3, 'read' = 4, 'write' = 5, 'mmap' = 6, 'open' = 7, 'open_failed' = 8, 'rename' = 9, 'unlink' = 10, 'truncate' = 11, 'link' = 12, 'symlink' = 13, 'mkdir' = 14, 'rmdir' = 15, 'chmod' = 16, 'chown' = 17, 'setxattr' = 18) COMMENT 'what happened',
    file_id Nullable(Int64) COMMENT 'file.id',
    other_file_id Nullable(Int64) COMMENT 'file.id of the second file, of a rename for example',
    offset_bytes Nullable(Int64) COMMENT 'offset in the file',
    bytes Nullable(Int64) COMMENT 'bytes returned',
    result Nullable(Int64) COMMENT '0 or more: success; negative: -errno; exit: the exit code, or minus the signal',
    weight Nullable(Int64) COMMENT 'operations that this event stands for',
    batch_seq Int64 COMMENT 'batch.seq of the batch that brought the row'
)
ENGINE = MergeTree
PARTITION BY intDiv(ts_us, toInt64(86400000000))
ORDER BY (host_id, ts_us);

-- The totals of the kernel for one interval, counted apart from the accounts
CREATE TABLE IF NOT EXISTS total
(
    ts_us Int64 COMMENT 'end of the interval',
    ts ALIAS toDateTime(intDiv(ts_us, 1000000), 'UTC'),
    interval_ms Nullable(Int64) COMMENT 'length of the interval',
    host_id Int64 COMMENT 'host.id',
    route Enum8('rw' = 0, 'sendfile' = 1, 'splice' = 2, 'copy_file_range' = 3, 'io_uring' = 4, 'mmap' = 5) COMMENT 'system calls',
    read_ops Nullable(Int64) COMMENT 'reads that succeeded',
    read_bytes Nullable(Int64) COMMENT 'bytes they returned',
    write_ops Nullable(Int64) COMMENT 'writes that succeeded',
    write_bytes Nullable(Int64) COMMENT 'bytes they wrote',
    read_errors Nullable(Int64) COMMENT 'reads that failed',
    write_errors Nullable(Int64) COMMENT 'writes that failed',
    batch_seq Int64 COMMENT 'batch.seq of the batch that brought the row'
)
ENGINE = MergeTree
PARTITION BY intDiv(ts_us, toInt64(86400000000))
ORDER BY (host_id, ts_us, route);

-- Detail that was lost; bytes and operations never are
CREATE TABLE IF NOT EXISTS loss
(
    ts_from_us Nullable(Int64) COMMENT 'from',
    ts_from ALIAS toDateTime(intDiv(ts_from_us, 1000000), 'UTC'),
    ts_to_us Nullable(Int64) COMMENT 'to',
    ts_to ALIAS toDateTime(intDiv(ts_to_us, 1000000), 'UTC'),
    host_id Int64 COMMENT 'host.id',
    reason String COMMENT 'what ran out',
    lost Int64 COMMENT 'how many',
    batch_seq Int64 COMMENT 'batch.seq of the batch that brought the row'
)
ENGINE = MergeTree
ORDER BY (host_id);

-- One transaction of the recorder: stored again, it changes nothing
CREATE TABLE IF NOT EXISTS batch
(
    host_id Int64 COMMENT 'host.id',
    boot_id String COMMENT 'kernel boot id',
    seq Int64 COMMENT 'number of the batch, unique within the boot',
    ts_us Int64 COMMENT 'when it was closed',
    ts ALIAS toDateTime(intDiv(ts_us, 1000000), 'UTC'),
    row_version UInt64 COMMENT 'of rows with one key the highest counts'
)
ENGINE = ReplacingMergeTree(row_version)
ORDER BY (host_id, boot_id, seq);

-- Which processes have rows of io with a file on a day, in the order of files
CREATE TABLE IF NOT EXISTS touched
(
    day_us Int64 COMMENT 'begin of the day, in microseconds',
    host_id Int64 COMMENT 'host.id',
    file_id Int64 COMMENT 'file.id',
    process_id Int64 COMMENT 'process.id'
)
ENGINE = ReplacingMergeTree
PARTITION BY intDiv(day_us, toInt64(86400000000))
ORDER BY (file_id, process_id)
SETTINGS index_granularity = 1024;

-- io with the names in plain sight
CREATE VIEW IF NOT EXISTS io_named AS
SELECT ts_us, ts, interval_ms, host_id, process_id, file_id, route, read_ops, read_bytes, write_ops, write_bytes,
    read_errors, write_errors, first_ts_us, first_ts, last_ts_us, last_ts, pid, comm, exe, uid, path, kind, flags
FROM
(
    SELECT * FROM (SELECT *, ts, first_ts, last_ts FROM io) GLOBAL ANY LEFT JOIN
    (SELECT id AS process_id, pid, comm, exe, uid FROM process) USING (process_id)
) GLOBAL ANY LEFT JOIN
(SELECT id AS file_id, path, kind, flags FROM file) USING (file_id);

-- The ledger as one table; type: 1 exec, 2 fork, 3 read, 4 write
CREATE VIEW IF NOT EXISTS audit_log AS
SELECT pid, toUInt8(1) AS type, comm, exe AS path, exec_time AS timestamp FROM process WHERE origin = 'exec'
UNION ALL
SELECT pid, toUInt8(2), comm, exe, start_time FROM process WHERE origin = 'fork'
UNION ALL
SELECT pid, toUInt8(3), comm, CAST(path AS Nullable(String)), last_ts FROM io_named WHERE read_ops > 0
UNION ALL
SELECT pid, toUInt8(4), comm, CAST(path AS Nullable(String)), last_ts FROM io_named WHERE write_ops > 0;

-- The version of all this; made last
CREATE VIEW IF NOT EXISTS ioledger_schema AS SELECT toInt32(3) AS version;

