// SPDX-License-Identifier: BSL-1.0
#pragma once

// As <objectcache/src.hpp>, for the test kit.

#include <objectcache/testing/impl/certificate.ipp>
#include <objectcache/testing/impl/s3_server.ipp>
