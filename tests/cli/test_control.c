// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/control.h"
#include "app/control_client.h"
#include "app/control_server.h"
#include "base/clock.h"
#include "base/error.h"

/* The longest that one call may take of the recording's time: it never waits for a peer. */
#define SERVE_MAX_NS 1000000000ULL
#define PATIENCE_NS 20000000000ULL

/* A server in this process, which the test itself drives, and clients as they come. */
struct fixture {
    char folder[64], path[96];
    struct iol_control *control;
    int asked, stops;
    size_t padding; /* bytes that make the answer big */
};

static json_t *give_status(void *arg)
{
    struct fixture *fixture = arg;
    char *text = calloc(1, fixture->padding + 1);
    json_t *status;

    fixture->asked++;
    memset(text, 'x', fixture->padding);
    status = json_pack("{s:i, s:s}", "pid", getpid(), "padding", text);
    free(text);
    return status;
}

static void note_stop(void *arg)
{
    ((struct fixture *)arg)->stops++;
}

static const struct iol_control_ops ops = {.status = give_status, .stop = note_stop};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct iol_error err = {0};

    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/ioledger-control.XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/s.sock", fixture->folder);
    assert_int_equal(iol_control_open(fixture->path, &ops, fixture, &fixture->control, &err), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    iol_control_close(fixture->control);
    unlink(fixture->path);
    assert_int_equal(rmdir(fixture->folder), 0); /* nothing is left behind */
    free(fixture);
    return 0;
}

static void serve(struct fixture *fixture)
{
    uint64_t before = iol_boot_ns();

    iol_control_serve(fixture->control);
    assert_true(iol_boot_ns() - before < SERVE_MAX_NS);
}

static int connected(struct fixture *fixture)
{
    int fd = iol_control_connect(fixture->path, 0);

    assert_true(fd >= 0);
    return fd;
}

/* Serves until the peer has been answered and hung up on; what it got, cut to the buffer. */
static ssize_t read_all(struct fixture *fixture, int fd, char *buf, size_t size)
{
    uint64_t until = iol_boot_ns() + PATIENCE_NS;
    size_t got = 0;

    for (;;) {
        char piece[4096];
        ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        for (ssize_t i = 0; i < n && got + 1 < size; i++)
            buf[got++] = piece[i];
        assert_true(iol_boot_ns() < until);
        if (n < 0) {
            serve(fixture);
            poll(&(struct pollfd){.fd = iol_control_fd(fixture->control), .events = POLLIN}, 1, 5);
        }
    }
    buf[got] = '\0';
    return (ssize_t)got;
}

static json_t *ask_raw(struct fixture *fixture, const void *request, size_t size)
{
    static char answer[1 << 21];
    int fd = connected(fixture);
    json_t *object;

    assert_int_equal(send(fd, request, size, MSG_NOSIGNAL), size);
    read_all(fixture, fd, answer, sizeof(answer));
    close(fd);
    object = json_loads(answer, 0, NULL);
    if (object) {
        assert_int_equal(json_integer_value(json_object_get(object, "version")), 1);
        assert_ptr_equal(strchr(answer, '\n'), answer + strlen(answer) - 1); /* one line */
    }
    return object;
}

static json_t *ask(struct fixture *fixture, const char *request)
{
    return ask_raw(fixture, request, strlen(request));
}

static const char status_request[] = "{\"version\": 1, \"command\": \"status\"}\n";
static const char stop_request[] = "{\"version\": 1, \"command\": \"stop\"}\n";

static void the_socket_is_for_its_user_only(void **state)
{
    struct fixture *fixture = *state;
    struct stat found;

    assert_int_equal(lstat(fixture->path, &found), 0);
    assert_true(S_ISSOCK(found.st_mode));
    assert_int_equal(found.st_mode & 07777, 0600);
    assert_int_equal(found.st_uid, geteuid());
}

static void status_is_answered_in_one_line(void **state)
{
    static const char *const requests[] = {
        "{\"version\": 1, \"command\": \"status\"}\n",
        "{\"command\":\"status\",\"version\":1,\"later\":[1,{\"a\":null}]}\r\n",
        "{\"version\": 1, \"command\": \"status\"}\nand what follows is nobody's\n",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        json_t *answer = ask(fixture, requests[i]);

        assert_int_equal(json_integer_value(json_object_get(json_object_get(answer, "status"), "pid")), getpid());
        json_decref(answer);
        assert_int_equal(fixture->asked, i + 1);
    }
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct fixture *fixture = *state;
    char answer[256];
    int fd = connected(fixture);

    for (const char *at = status_request; *at; at++) {
        assert_int_equal(send(fd, at, 1, MSG_NOSIGNAL), 1);
        serve(fixture);
    }
    assert_true(read_all(fixture, fd, answer, sizeof(answer)) > 0);
    assert_non_null(strstr(answer, "\"status\""));
    close(fd);
}

static void hostile_requests_are_refused(void **state)
{
    static const struct {
        const char *text;
        size_t size; /* 0: up to the NUL */
    } requests[] = {
        {"\n", 0},
        {"status\n", 0},
        {"{}\n", 0},
        {"[]\n", 0},
        {"null\n", 0},
        {"{\"version\": 1}\n", 0},
        {"{\"command\": \"status\"}\n", 0},
        {"{\"version\": 2, \"command\": \"stop\"}\n", 0},
        {"{\"version\": \"1\", \"command\": \"stop\"}\n", 0},
        {"{\"version\": 1e0, \"command\": \"stop\"}\n", 0},
        {"{\"version\": 99999999999999999999, \"command\": \"stop\"}\n", 0},
        {"{\"version\": 1, \"command\": \"stop \"}\n", 0},
        {"{\"version\": 1, \"command\": \"STOP\"}\n", 0},
        {"{\"version\": 1, \"command\": [\"stop\"]}\n", 0},
        {"{\"version\": 1, \"command\": \"stop\", \"command\": \"stop\"}\n", 0},
        {"{\"version\": 1, \"command\": \"stop\"\n", 0},
        {"{\"version\": 1, \"command\": \"stop\"} x\n", 0},
        {"{\"version\": 1, \"command\": \"st\xff\xfeop\"}\n", 0},
        {"{\"version\": 1, \"command\": \"stop\\u0000\"}\n", 0},
        {"\0{\"version\": 1, \"command\": \"stop\"}\n", sizeof("\0{\"version\": 1, \"command\": \"stop\"}\n") - 1},
        {"{\"version\": 1, \"command\": \"stop\0\"}\n", sizeof("{\"version\": 1, \"command\": \"stop\0\"}\n") - 1},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        size_t size = requests[i].size ? requests[i].size : strlen(requests[i].text);
        json_t *answer = ask_raw(fixture, requests[i].text, size);

        if (!json_is_string(json_object_get(answer, "error")))
            fail_msg("request %zu was not refused: %s", i, requests[i].text);
        json_decref(answer);
    }
    assert_int_equal(fixture->stops, 0);
    assert_int_equal(fixture->asked, 0);
}

static void deep_and_long_requests_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char request[4 * IOL_CONTROL_REQUEST_MAX];
    json_t *answer;

    memset(request, '[', IOL_CONTROL_REQUEST_MAX - 1);
    request[IOL_CONTROL_REQUEST_MAX - 1] = '\n';
    answer = ask_raw(fixture, request, IOL_CONTROL_REQUEST_MAX);
    assert_true(json_is_string(json_object_get(answer, "error")));
    json_decref(answer);

    /* the longest that is taken, by blanks */
    memset(request, ' ', sizeof(request));
    memcpy(request, status_request, strlen(status_request) - 1);
    request[IOL_CONTROL_REQUEST_MAX - 1] = '\n';
    answer = ask_raw(fixture, request, IOL_CONTROL_REQUEST_MAX);
    assert_non_null(json_object_get(answer, "status"));
    json_decref(answer);

    request[IOL_CONTROL_REQUEST_MAX - 1] = ' ';
    request[IOL_CONTROL_REQUEST_MAX] = '\n';
    answer = ask_raw(fixture, request, IOL_CONTROL_REQUEST_MAX + 1);
    assert_string_equal(json_string_value(json_object_get(answer, "error")), "the request is too long");
    json_decref(answer);

    memset(request, 'a', sizeof(request));
    answer = ask_raw(fixture, request, sizeof(request));
    assert_string_equal(json_string_value(json_object_get(answer, "error")), "the request is too long");
    json_decref(answer);
    assert_int_equal(fixture->asked, 1);
}

static void random_bytes_do_no_harm(void **state)
{
    struct fixture *fixture = *state;
    unsigned int seed = 4711;

    for (int i = 0; i < 500; i++) {
        char request[256];
        size_t size = 1 + (size_t)rand_r(&seed) % (sizeof(request) - 1);

        memcpy(request, status_request, sizeof(status_request) - 1);
        for (size_t at = i % 2 ? (size_t)rand_r(&seed) % 30 : 0; at < size; at++)
            request[at] = (char)rand_r(&seed);
        request[size - 1] = '\n';
        json_decref(ask_raw(fixture, request, size));
    }
    assert_int_equal(fixture->stops, 0);
}

/* More than there are places for: those who hang lose theirs, and who asks is answered. */
static void who_hangs_does_not_keep_others_out(void **state)
{
    struct fixture *fixture = *state;
    int hanging[16];
    json_t *answer;

    for (size_t i = 0; i < 16; i++) {
        hanging[i] = connected(fixture);
        assert_int_equal(send(hanging[i], "{", 1, MSG_NOSIGNAL), 1);
        serve(fixture);
        while (poll(&(struct pollfd){.fd = iol_control_fd(fixture->control), .events = POLLIN}, 1, 30) > 0)
            serve(fixture);
    }
    answer = ask(fixture, status_request);
    assert_non_null(json_object_get(answer, "status"));
    json_decref(answer);
    for (size_t i = 0; i < 16; i++)
        close(hanging[i]);
}

/* A peer that does not take its answer costs nothing but its own place, and that not for long. */
static void who_does_not_read_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    static char answer[1 << 21];
    uint64_t until = iol_boot_ns() + PATIENCE_NS;
    int fd = connected(fixture), other;
    ssize_t n;

    fixture->padding = 900000; /* more than a socket holds */
    assert_true(send(fd, status_request, strlen(status_request), MSG_NOSIGNAL) > 0);
    while (fixture->asked == 0)
        serve(fixture);
    fixture->padding = 0;
    other = connected(fixture);
    assert_true(send(other, status_request, strlen(status_request), MSG_NOSIGNAL) > 0);
    assert_true(read_all(fixture, other, answer, sizeof(answer)) > 0);
    close(other);
    /* POLLHUP: the server has hung up, though the answer was never read */
    struct pollfd hung = {.fd = fd};
    while (poll(&hung, 1, 50) == 0) {
        serve(fixture);
        assert_true(iol_boot_ns() < until);
    }
    n = read_all(fixture, fd, answer, sizeof(answer));
    assert_true(n > 0 && n < 900000);
    close(fd);
}

static void a_big_answer_arrives_whole(void **state)
{
    struct fixture *fixture = *state;
    json_t *answer;

    fixture->padding = 900000;
    answer = ask(fixture, status_request);
    assert_int_equal(json_string_length(json_object_get(json_object_get(answer, "status"), "padding")), 900000);
    json_decref(answer);
}

/* Hundreds that connect, ask and go without listening: each turn stays short, and who listens is answered. */
static void a_flood_is_taken_in_portions(void **state)
{
    struct fixture *fixture = *state;
    int done = 0;
    json_t *answer;

    while (done < 500) {
        int fd = iol_control_connect(fixture->path, 0);

        if (fd >= 0) {
            send(fd, done % 2 ? status_request : "x", done % 2 ? strlen(status_request) : 1, MSG_NOSIGNAL);
            close(fd);
            done++;
        } else {
            assert_int_equal(fd, -EAGAIN); /* the queue is bounded */
        }
        serve(fixture);
    }
    answer = ask(fixture, status_request);
    assert_non_null(json_object_get(answer, "status"));
    json_decref(answer);
}

static void who_asks_for_the_end_is_told_when_it_is_there(void **state)
{
    struct fixture *fixture = *state;
    char text[256];
    int fds[10], told = 0;

    for (size_t i = 0; i < 10; i++) {
        fds[i] = connected(fixture);
        assert_true(send(fds[i], stop_request, strlen(stop_request), MSG_NOSIGNAL) > 0);
        while (fixture->stops == (int)i)
            serve(fixture);
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(recv(fds[i], text, sizeof(text), MSG_DONTWAIT), -1); /* nothing before the end */
    json_decref(ask(fixture, status_request));                                /* others are served meanwhile */
    assert_int_equal(fixture->asked, 1);
    close(fds[0]); /* one does not wait for it */
    iol_control_end(fixture->control, json_pack("{s:b}", "ended", 1));
    for (size_t i = 1; i < 10; i++) {
        ssize_t n = recv(fds[i], text, sizeof(text) - 1, MSG_DONTWAIT);

        assert_true(n > 0);
        text[n] = '\0';
        told += strstr(text, "\"ended\":true") != NULL;
        if (i >= 8)
            assert_non_null(strstr(text, "\"error\"")); /* too many: but the end is asked for */
        close(fds[i]);
    }
    assert_int_equal(told, 7);
}

static void a_dead_recorders_socket_makes_room(void **state)
{
    struct fixture *fixture = *state;
    struct iol_control *second = NULL;
    struct iol_error err = {0};
    char kept[128];

    assert_int_equal(iol_control_open(fixture->path, &ops, fixture, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, fixture->path));
    snprintf(kept, sizeof(kept), "%s.kept", fixture->path);
    assert_int_equal(rename(fixture->path, kept), 0);
    iol_control_close(fixture->control); /* does not find its name, and leaves the other one alone */
    fixture->control = NULL;
    assert_int_equal(rename(kept, fixture->path), 0);
    assert_int_equal(iol_control_connect(fixture->path, 0), -ECONNREFUSED);
    assert_int_equal(iol_control_open(fixture->path, &ops, fixture, &fixture->control, &err), 0);
    json_decref(ask(fixture, status_request));
    assert_int_equal(fixture->asked, 1);
}

static void a_path_that_will_not_do_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct iol_control *second = NULL;
    struct iol_error err = {0};
    char path[IOL_CONTROL_PATH_MAX + 2];

    snprintf(path, sizeof(path), "%s/file", fixture->folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(iol_control_open(path, &ops, fixture, &second, &err), -EEXIST);
    assert_non_null(strstr(err.text, "is no socket"));
    assert_int_equal(access(path, F_OK), 0); /* it is still there */
    unlink(path);
    assert_int_equal(iol_control_open("/no/such/folder/s", &ops, fixture, &second, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/folder/s"));
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(iol_control_open(path, &ops, fixture, &second, &err), -ENAMETOOLONG);
    assert_null(second);
}

/* What listens may be anything: the client understands it, or says that it does not. */
static void the_client_understands_or_says_so(void **state)
{
    static const struct {
        const char *answer;
        int want; /* of iol_recorder_receive_status() */
    } cases[] = {
        {"{\"version\": 1, \"status\": {\"pid\": 1}}\n", 0},
        {"", -EPIPE},
        {"{\"version\": 1, \"status\": {}}", -EPIPE}, /* no end */
        {"hello\n", -EPROTO},
        {"[]\n", -EPROTO},
        {"{\"version\": 2, \"status\": {}}\n", -EPROTO},
        {"{\"version\": 1}\n", -EPROTO},
        {"{\"version\": 1, \"status\": 5}\n", -EPROTO},
        {"{\"version\": 1, \"error\": \"\x1b[31mno\"}\n", -EPROTO}, /* a raw control character is no JSON */
        {"{\"version\": 1, \"error\": \"no\"}\n", -EACCES},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct iol_recorder recorder = {.fd = -1, .pid = 1};
        struct iol_error err = {0};
        json_t *status = NULL;
        int pair[2], r;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        recorder.fd = pair[0];
        assert_int_equal(send(pair[1], cases[i].answer, strlen(cases[i].answer), MSG_NOSIGNAL),
                         strlen(cases[i].answer));
        shutdown(pair[1], SHUT_WR);
        r = iol_recorder_receive_status(&recorder, 10000, &status, &err);
        if (r != cases[i].want)
            fail_msg("%s: %d, not %d", cases[i].answer, r, cases[i].want);
        assert_true((r == 0) == (err.text[0] == '\0'));
        json_decref(status);
        close(pair[0]);
        close(pair[1]);
    }
}

static void the_client_waits_no_longer_than_it_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct iol_recorders recorders;
    struct iol_error err = {0};
    json_t *status = NULL;

    /* the server is there, but nobody drives it */
    assert_int_equal(iol_recorders_find(fixture->path, 0, &recorders, &err), 0);
    assert_int_equal(recorders.n, 1);
    assert_int_equal(recorders.items[0].pid, getpid());
    assert_int_equal(iol_recorder_receive_status(&recorders.items[0], 50, &status, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "does not answer"));
    iol_recorders_done(&recorders);
    assert_int_equal(iol_recorders_find(fixture->path, 1, &recorders, &err), -ENOENT);
    assert_int_equal(iol_recorders_find("/no/such/socket", 0, &recorders, &err), -ENOENT);
}

static void an_endless_answer_has_an_end(void **state)
{
    static char piece[65536];
    struct iol_recorder recorder = {.fd = -1, .pid = 1};
    struct iol_error err = {0};
    json_t *status = NULL;
    int pair[2];
    pid_t child;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    child = fork();
    if (child == 0) {
        close(pair[0]);
        memset(piece, ' ', sizeof(piece));
        while (send(pair[1], piece, sizeof(piece), MSG_NOSIGNAL) > 0)
            ;
        _exit(0);
    }
    close(pair[1]);
    recorder.fd = pair[0];
    assert_int_equal(iol_recorder_receive_status(&recorder, 60000, &status, &err), -ENOMEM);
    assert_non_null(strstr(err.text, "too much"));
    close(pair[0]);
    waitpid(child, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_socket_is_for_its_user_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(status_is_answered_in_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_may_come_byte_by_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_requests_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deep_and_long_requests_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_bytes_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_hangs_does_not_keep_others_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_read_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_big_answer_arrives_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_is_taken_in_portions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_asks_for_the_end_is_told_when_it_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_recorders_socket_makes_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_path_that_will_not_do_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_client_waits_no_longer_than_it_is_told, set_up, tear_down),
        cmocka_unit_test(the_client_understands_or_says_so),
        cmocka_unit_test(an_endless_answer_has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
