// SPDX-License-Identifier: BSL-1.0
#include "outside.hpp"

#include "poison.hpp"

#include "reverse.hpp"

int second()
{
    return 0;
}
