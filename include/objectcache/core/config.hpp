// SPDX-License-Identifier: BSL-1.0
#pragma once

/** @file
    How the library is compiled: as headers, which is the default, or once per program.

    Every translation unit that includes a header compiles the bodies of its functions, and coroutines are dear to
    compile. A program of many units can define `OBJECTCACHE_SEPARATE_COMPILATION` for all of them, and in exactly one
    `#include <objectcache/src.hpp>`; all its units must agree. Templates stay in the headers either way. */
#ifdef OBJECTCACHE_SEPARATE_COMPILATION
#define OBJECTCACHE_DECL
#else
#define OBJECTCACHE_DECL inline
#endif
