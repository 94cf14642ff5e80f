// SPDX-License-Identifier: BSL-1.0
#pragma once

// Macros of headers that a host engine may have included before ours. None of these names may be used by the library.
// `min` and `max` are missing: libstdc++ itself undefines them, no program on Linux lives with those macros.

#undef major
#undef minor
#undef unix
#undef linux

#define objectcache_poison this_name_is_a_macro_of_a_common_header

// sys/sysmacros.h, the compiler in GNU mode, complex.h, windows.h by way of portability headers
#define major(x) objectcache_poison
#define minor(x) objectcache_poison
#define unix objectcache_poison
#define linux objectcache_poison
#define I objectcache_poison
#define near objectcache_poison
#define far objectcache_poison
#define small objectcache_poison
#define interface objectcache_poison

// X11, glog and absl, doctest and Catch, PyTorch, ggml
#define Bool objectcache_poison
#define Status objectcache_poison
#define None objectcache_poison
#define Success objectcache_poison
#define Always objectcache_poison
#define LOG(x) objectcache_poison
#define CHECK(x) objectcache_poison
#define INFO(x) objectcache_poison
#define WARN(x) objectcache_poison
#define REQUIRE(x) objectcache_poison
#define TEST_CASE(x) objectcache_poison
#define AT_ASSERT(x) objectcache_poison
#define DEBUG objectcache_poison
#define ERROR objectcache_poison
#define OK objectcache_poison
#define MIN(a, b) objectcache_poison
#define MAX(a, b) objectcache_poison
#define UNUSED(x) objectcache_poison

// Linux kernel style and the X-macro habits of C code
#define likely(x) objectcache_poison
#define unlikely(x) objectcache_poison
#define container_of(a, b, c) objectcache_poison
#define ARRAY_SIZE(x) objectcache_poison
#define KB objectcache_poison
#define MB objectcache_poison
#define GB objectcache_poison
