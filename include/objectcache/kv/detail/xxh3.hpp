// SPDX-License-Identifier: BSL-1.0
#pragma once

// xxHash compiled into the including program: the library stays header-only, and XXH3 uses the vector instructions that
// the program is compiled for. Harmless beside a linked libxxhash: the inlined functions have names of their own.
#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#include <xxhash.h>
#undef XXH_INLINE_ALL
#else
#include <xxhash.h>
#endif
