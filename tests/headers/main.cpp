// SPDX-License-Identifier: BSL-1.0
#include "forward.hpp"

int second();

int main()
{
    return second();
}
