// SPDX-License-Identifier: BSL-1.0
#include <boost/json/src.hpp> // Boost.JSON header-only: its one definition in this program
