// SPDX-License-Identifier: BSL-1.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <liburing.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

// Containers often forbid io_uring, old kernels lack it. That is no failure of the library, and must not look like a
// passed test either.
int main(int argc, char** argv)
{
    io_uring ring;
    const int error = -io_uring_queue_init(2, &ring, 0);
    if (error == ENOSYS || error == EPERM || error == EACCES) {
        std::printf("skipped: io_uring_setup: %s\n", std::strerror(error));
        return 77;
    }
    if (error == 0)
        io_uring_queue_exit(&ring);
    return doctest::Context(argc, argv).run();
}
