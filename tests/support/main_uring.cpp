// SPDX-License-Identifier: BSL-1.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <liburing.h>

#include <cstdio>
#include <cstring>

// Containers often forbid io_uring. That is no failure of the library, and must not look like a passed test either.
int main(int argc, char** argv)
{
    io_uring ring;
    if (const int error = io_uring_queue_init(2, &ring, 0); error < 0) {
        std::printf("skipped: io_uring_setup: %s\n", std::strerror(-error));
        return 77;
    }
    io_uring_queue_exit(&ring);
    return doctest::Context(argc, argv).run();
}
