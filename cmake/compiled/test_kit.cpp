// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/src.hpp>
