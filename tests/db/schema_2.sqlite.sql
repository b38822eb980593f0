-- SPDX-License-Identifier: BSD-2-Clause
-- SPDX-FileCopyrightText: The ioledger authors
-- The tables of ioledger, version 2 of the schema.

PRAGMA auto_vacuum = INCREMENTAL; -- so that prune can give space back; before there is any table
PRAGMA application_id = 1768909924; -- what file(1) and ioledger know a ledger by

-- A machine: id is a hash of machine_id and name; boot_id, kernel and seen are those of the latest recording
CREATE TABLE host (
    id INTEGER NOT NULL PRIMARY KEY, -- hash of machine_id and name
    name TEXT, -- host name
    machine_id TEXT, -- /etc/machine-id
    boot_id TEXT, -- kernel boot id of the latest recording
    kernel TEXT, -- kernel release of the latest recording
    seen TEXT -- when the latest recording was last heard of
);

-- One run of the recorder
CREATE TABLE recording (
    id INTEGER NOT NULL PRIMARY KEY, -- hash of host, boot and start
    host_id INTEGER NOT NULL, -- host.id
    boot_id TEXT, -- kernel boot id
    started TEXT NOT NULL, -- when it began to count
    ended TEXT, -- when it ended; NULL while it runs, or when it was killed
    version TEXT, -- version of ioledger
    probes TEXT, -- tracepoint or fexit
    scope TEXT, -- filters and rules as given
    excluded_ops INTEGER, -- operations left out: of the recorder, of its database server, by --ignore
    excluded_bytes INTEGER -- bytes left out: of the recorder, of its database server, by --ignore
);

-- The name of a user id on a host when it was first seen
CREATE TABLE login (
    host_id INTEGER NOT NULL, -- host.id
    uid INTEGER NOT NULL, -- user id
    name TEXT, -- login name
    PRIMARY KEY (host_id, uid)
) WITHOUT ROWID;

-- One process image: a process between two execs
CREATE TABLE process (
    id INTEGER NOT NULL PRIMARY KEY, -- hash of host, boot, pid, start time and image
    host_id INTEGER NOT NULL, -- host.id
    pid INTEGER NOT NULL, -- process id in the initial pid namespace
    start_time TEXT, -- when the process was forked
    exec_time TEXT, -- when this image was executed; NULL for a fork that has not called exec
    parent_id INTEGER, -- process.id of the image that forked or executed this one; NULL when unknown
    ppid INTEGER, -- process id of the parent
    origin TEXT NOT NULL CHECK (origin IN ('fork', 'exec', 'running')), -- how the image came to be
    comm TEXT, -- command name, as the kernel has it
    exe TEXT, -- path of the executable
    argv TEXT, -- arguments, joined by one space
    cwd TEXT, -- working directory
    uid INTEGER, -- real user id
    euid INTEGER, -- effective user id
    gid INTEGER, -- real group id
    login_uid INTEGER, -- audit login uid; NULL when unset
    session_id INTEGER, -- audit session id; NULL when unset
    cgroup TEXT, -- path in the cgroup hierarchy
    container_id TEXT, -- container id taken from the cgroup
    flags TEXT -- words joined by commas: escaped, argv_truncated, exe_deleted, ...
);

-- How a process ended
CREATE TABLE process_exit (
    process_id INTEGER NOT NULL PRIMARY KEY, -- process.id of its last image
    ts TEXT NOT NULL, -- when it ended
    exit_code INTEGER, -- NULL when killed by a signal
    signal INTEGER -- NULL when it ended by itself
);

-- A file under one name; renamed, it gets a second row with the same dev, inode and generation
CREATE TABLE file (
    id INTEGER NOT NULL PRIMARY KEY, -- hash of host, device, inode, generation and path
    host_id INTEGER NOT NULL, -- host.id
    dev INTEGER, -- st_dev of stat(2)
    inode INTEGER, -- inode number
    generation INTEGER, -- tells apart files that had the same inode number one after the other
    kind TEXT NOT NULL CHECK (kind IN ('file', 'dir', 'link', 'chr', 'blk', 'pipe', 'socket', 'anon', 'memfd', 'other')), -- kind of file
    path TEXT NOT NULL, -- as the process saw it; pseudo files stand in parentheses: (pipes), (other files)
    flags TEXT -- words joined by commas: deleted, truncated, unreachable, escaped, ...
);

-- The intervals of io_row: what its rows have in common
CREATE TABLE io_interval (
    id INTEGER PRIMARY KEY,
    ts TEXT NOT NULL, -- end of the interval
    ts_us INTEGER NOT NULL, -- the same in microseconds since 1970
    interval_ms INTEGER, -- length of the interval
    host_id INTEGER NOT NULL -- host.id
);

-- The rows of io
CREATE TABLE io_row (
    id INTEGER PRIMARY KEY, -- io_interval.id << 20 | number within the interval
    process_id INTEGER NOT NULL,
    file_id INTEGER NOT NULL,
    route INTEGER NOT NULL, -- as in the view io, counted from 0
    read_ops INTEGER,
    read_bytes INTEGER,
    write_ops INTEGER,
    write_bytes INTEGER,
    read_errors INTEGER,
    write_errors INTEGER,
    first_us INTEGER, -- microseconds from the first operation to the end of the interval
    last_us INTEGER -- and from the last one
);

-- What one process did to one file by one route within one interval
CREATE VIEW io AS
SELECT i.ts, -- end of the interval
    i.interval_ms, -- length of the interval
    i.host_id, r.process_id, r.file_id,
    CASE r.route WHEN 0 THEN 'rw' WHEN 1 THEN 'sendfile' WHEN 2 THEN 'splice' WHEN 3 THEN 'copy_file_range' WHEN 4 THEN 'io_uring' WHEN 5 THEN 'mmap' END AS route, -- system calls that it went by
    r.read_ops, r.read_bytes, r.write_ops, r.write_bytes, r.read_errors, r.write_errors,
    strftime('%Y-%m-%d %H:%M:%S', (i.ts_us - r.first_us - ((i.ts_us - r.first_us) % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch') || printf('.%06d', ((i.ts_us - r.first_us) % 1000000 + 1000000) % 1000000) AS first_ts,
    strftime('%Y-%m-%d %H:%M:%S', (i.ts_us - r.last_us - ((i.ts_us - r.last_us) % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch') || printf('.%06d', ((i.ts_us - r.last_us) % 1000000 + 1000000) % 1000000) AS last_ts
FROM io_row r JOIN io_interval i ON i.id = r.id >> 20
    AND likelihood(r.id >= i.id << 20, 0.001) AND likelihood(r.id < (i.id + 1) << 20, 0.001);

CREATE TRIGGER io_insert INSTEAD OF INSERT ON io BEGIN
    INSERT INTO io_interval (ts, ts_us, interval_ms, host_id)
        SELECT NEW.ts, (strftime('%s', substr(NEW.ts, 1, 19)) * 1000000 + substr(NEW.ts || '000000', 21, 6)), NEW.interval_ms, NEW.host_id WHERE NOT EXISTS (SELECT 1 FROM io_interval
            WHERE ts = NEW.ts AND interval_ms IS NEW.interval_ms AND host_id = NEW.host_id);
    INSERT INTO io_row SELECT coalesce((SELECT max(id) + 1 FROM io_row WHERE id >= i.id << 20 AND id < (i.id + 1) << 20), i.id << 20),
        NEW.process_id, NEW.file_id, CASE NEW.route WHEN 'rw' THEN 0 WHEN 'sendfile' THEN 1 WHEN 'splice' THEN 2 WHEN 'copy_file_range' THEN 3 WHEN 'io_uring' THEN 4 WHEN 'mmap' THEN 5 END, NEW.read_ops, NEW.read_bytes, NEW.write_ops, NEW.write_bytes, NEW.read_errors, NEW.write_errors,
        i.ts_us - (strftime('%s', substr(NEW.first_ts, 1, 19)) * 1000000 + substr(NEW.first_ts || '000000', 21, 6)), i.ts_us - (strftime('%s', substr(NEW.last_ts, 1, 19)) * 1000000 + substr(NEW.last_ts || '000000', 21, 6))
        FROM io_interval i WHERE i.ts = NEW.ts AND i.interval_ms IS NEW.interval_ms AND i.host_id = NEW.host_id
        ORDER BY i.id DESC LIMIT 1;
END;

CREATE TRIGGER io_update INSTEAD OF UPDATE ON io BEGIN
    SELECT RAISE(ABORT, 'of a row of io, process, file, route and counts can be changed, times and host cannot')
        WHERE (NEW.ts, NEW.interval_ms, NEW.host_id, NEW.first_ts, NEW.last_ts)
        IS NOT (OLD.ts, OLD.interval_ms, OLD.host_id, OLD.first_ts, OLD.last_ts);
    UPDATE io_row SET process_id = NEW.process_id, file_id = NEW.file_id, route = CASE NEW.route WHEN 'rw' THEN 0 WHEN 'sendfile' THEN 1 WHEN 'splice' THEN 2 WHEN 'copy_file_range' THEN 3 WHEN 'io_uring' THEN 4 WHEN 'mmap' THEN 5 END,
        (read_ops, read_bytes, write_ops, write_bytes, read_errors, write_errors) = (NEW.read_ops, NEW.read_bytes, NEW.write_ops, NEW.write_bytes, NEW.read_errors, NEW.write_errors)
        WHERE id IN (
        SELECT r.id FROM io_interval i JOIN io_row r ON r.id >= i.id << 20 AND r.id < (i.id + 1) << 20
        WHERE i.ts = OLD.ts AND i.interval_ms IS OLD.interval_ms AND i.host_id = OLD.host_id
        AND r.process_id = OLD.process_id AND r.file_id = OLD.file_id AND r.route = CASE OLD.route WHEN 'rw' THEN 0 WHEN 'sendfile' THEN 1 WHEN 'splice' THEN 2 WHEN 'copy_file_range' THEN 3 WHEN 'io_uring' THEN 4 WHEN 'mmap' THEN 5 END
        AND (r.read_ops, r.read_bytes, r.write_ops, r.write_bytes, r.read_errors, r.write_errors) IS (OLD.read_ops, OLD.read_bytes, OLD.write_ops, OLD.write_bytes, OLD.read_errors, OLD.write_errors)
        AND r.first_us IS i.ts_us - (strftime('%s', substr(OLD.first_ts, 1, 19)) * 1000000 + substr(OLD.first_ts || '000000', 21, 6)) AND r.last_us IS i.ts_us - (strftime('%s', substr(OLD.last_ts, 1, 19)) * 1000000 + substr(OLD.last_ts || '000000', 21, 6)));
END;

CREATE TRIGGER io_delete INSTEAD OF DELETE ON io BEGIN
    DELETE FROM io_row WHERE id IN (
        SELECT r.id FROM io_interval i JOIN io_row r ON r.id >= i.id << 20 AND r.id < (i.id + 1) << 20
        WHERE i.ts = OLD.ts AND i.interval_ms IS OLD.interval_ms AND i.host_id = OLD.host_id
        AND r.process_id = OLD.process_id AND r.file_id = OLD.file_id AND r.route = CASE OLD.route WHEN 'rw' THEN 0 WHEN 'sendfile' THEN 1 WHEN 'splice' THEN 2 WHEN 'copy_file_range' THEN 3 WHEN 'io_uring' THEN 4 WHEN 'mmap' THEN 5 END
        AND (r.read_ops, r.read_bytes, r.write_ops, r.write_bytes, r.read_errors, r.write_errors) IS (OLD.read_ops, OLD.read_bytes, OLD.write_ops, OLD.write_bytes, OLD.read_errors, OLD.write_errors)
        AND r.first_us IS i.ts_us - (strftime('%s', substr(OLD.first_ts, 1, 19)) * 1000000 + substr(OLD.first_ts || '000000', 21, 6)) AND r.last_us IS i.ts_us - (strftime('%s', substr(OLD.last_ts, 1, 19)) * 1000000 + substr(OLD.last_ts || '000000', 21, 6)));
END;

-- One thing that happened
CREATE TABLE event (
    ts TEXT NOT NULL, -- when
    host_id INTEGER NOT NULL, -- host.id
    process_id INTEGER, -- process.id; of a fork, the child
    tid INTEGER, -- thread id
    kind TEXT NOT NULL CHECK (kind IN ('exec', 'exec_failed', 'fork', 'exit', 'read', 'write', 'mmap', 'open', 'open_failed', 'rename', 'unlink', 'truncate', 'link', 'symlink', 'mkdir', 'rmdir', 'chmod', 'chown', 'setxattr')), -- what happened
    file_id INTEGER, -- file.id
    other_file_id INTEGER, -- file.id of the second file, of a rename for example
    offset_bytes INTEGER, -- offset in the file
    bytes INTEGER, -- bytes returned
    result INTEGER, -- 0 or more: success; negative: -errno; exit: the exit code, or minus the signal
    weight INTEGER -- operations that this event stands for
);

-- The totals of the kernel for one interval, counted apart from the accounts
CREATE TABLE total (
    ts TEXT NOT NULL, -- end of the interval
    interval_ms INTEGER, -- length of the interval
    host_id INTEGER NOT NULL, -- host.id
    route TEXT NOT NULL CHECK (route IN ('rw', 'sendfile', 'splice', 'copy_file_range', 'io_uring', 'mmap')), -- system calls
    read_ops INTEGER, -- reads that succeeded
    read_bytes INTEGER, -- bytes they returned
    write_ops INTEGER, -- writes that succeeded
    write_bytes INTEGER, -- bytes they wrote
    read_errors INTEGER, -- reads that failed
    write_errors INTEGER -- writes that failed
);

-- Detail that was lost; bytes and operations never are
CREATE TABLE loss (
    ts_from TEXT, -- from
    ts_to TEXT, -- to
    host_id INTEGER NOT NULL, -- host.id
    reason TEXT NOT NULL, -- what ran out
    lost INTEGER NOT NULL -- how many
);

-- One transaction of the recorder: stored again, it changes nothing
CREATE TABLE batch (
    host_id INTEGER NOT NULL, -- host.id
    boot_id TEXT NOT NULL, -- kernel boot id
    seq INTEGER NOT NULL, -- number of the batch, unique within the boot
    ts TEXT NOT NULL, -- when it was closed
    PRIMARY KEY (host_id, boot_id, seq)
) WITHOUT ROWID;

-- For prune: files of deleted facts, until it has looked whether others refer to them
CREATE TABLE pruned_file (id INTEGER PRIMARY KEY);

CREATE INDEX process_pid ON process (pid);
CREATE INDEX process_comm ON process (comm);
CREATE INDEX process_parent_id ON process (parent_id);
CREATE INDEX file_path ON file (path);
CREATE INDEX file_inode ON file (inode);
CREATE INDEX io_row_file_id ON io_row (file_id);
CREATE INDEX io_row_process_id ON io_row (process_id);
CREATE INDEX event_file_id ON event (file_id) WHERE file_id IS NOT NULL;
CREATE INDEX event_other_file_id ON event (other_file_id) WHERE other_file_id IS NOT NULL;
CREATE INDEX total_ts ON total (ts);

CREATE INDEX io_interval_ts ON io_interval (ts);

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
