// SPDX-License-Identifier: BSL-1.0
#pragma once

/** The one place that holds the library's version; CMake reads it from here. */
#define OBJECTCACHE_VERSION_MAJOR 0
#define OBJECTCACHE_VERSION_MINOR 1
#define OBJECTCACHE_VERSION_PATCH 0
#define OBJECTCACHE_VERSION_STRING "0.1.0"
