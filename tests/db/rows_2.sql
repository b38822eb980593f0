-- SPDX-License-Identifier: BSD-2-Clause
-- SPDX-FileCopyrightText: The ioledger authors
-- Rows of a ledger of version 2, for both databases.
SELECT ioledger_add_days('2026-01-01', 2);
INSERT INTO io (ts, interval_ms, host_id, process_id, file_id, route, read_ops, read_bytes, write_ops, write_bytes, read_errors, write_errors, first_ts, last_ts) VALUES
    ('2026-01-01 00:00:00.000000', 1000, 1, 1, 1, 'rw', 0, 0, 0, 0, 0, 0, NULL, NULL),
    ('2026-01-01 12:00:00.123456', 1000, 1, 2, 1, 'mmap', 7, NULL, NULL, 2147483647, 2147483648, -1, '2026-01-01 12:00:00.000001', '2026-01-01 12:00:00.123456'),
    ('2026-01-01 23:59:59.999999', NULL, 1, 3, 2, 'splice', 9223372036854775807, -2147483648, -2147483649, 5, 6, 7, '2025-11-01 00:00:00.000000', '2026-01-01 23:00:00.000000'),
    ('2026-01-02 00:00:00.000000', 99999999999, 1, 4, 2, 'io_uring', 1, 2, 3, 4, 5, 6, '2026-01-02 00:00:00.000001', '2026-01-02 00:40:00.000000');
