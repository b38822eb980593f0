// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/text.h"

static void bytes_are_scaled_by_1024(void **state)
{
    (void)state;
    char buf[16];
    assert_string_equal(iol_text_bytes(buf, sizeof(buf), 0), "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_are_scaled_by_1024)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
