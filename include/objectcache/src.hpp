// SPDX-License-Identifier: BSL-1.0
#pragma once

// The bodies of a program that is compiled separately; see core/config.hpp. For exactly one of its translation units.
#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#error "define OBJECTCACHE_SEPARATE_COMPILATION for the whole program, see objectcache/core/config.hpp"
#endif

#include <objectcache/core/impl/error.ipp>
#include <objectcache/io/impl/byte_budget.ipp>
#include <objectcache/io/impl/clock.ipp>
#include <objectcache/io/impl/fair_queue.ipp>
#include <objectcache/kv/impl/format.ipp>
#include <objectcache/kv/impl/geometry.ipp>
#include <objectcache/kv/impl/hash_chain.ipp>
#include <objectcache/kv/impl/object_check.ipp>
#include <objectcache/kv/impl/object_key.ipp>
#include <objectcache/kv/impl/object_name.ipp>
#include <objectcache/kv/impl/pages.ipp>
#include <objectcache/kv/impl/scope.ipp>
#include <objectcache/kv/impl/segment.ipp>
#include <objectcache/plan/impl/admission.ipp>
#include <objectcache/plan/impl/garbage.ipp>
#include <objectcache/plan/impl/layout_policy.ipp>
#include <objectcache/plan/impl/load_plan.ipp>
#include <objectcache/plan/impl/prefix_search.ipp>
#include <objectcache/plan/impl/presence_search.ipp>
#include <objectcache/plan/impl/store_plan.ipp>
#include <objectcache/plan/impl/ttft_model.ipp>
#include <objectcache/s3/impl/cached_credentials.ipp>
#include <objectcache/s3/impl/checksum.ipp>
#include <objectcache/s3/impl/chunked_upload.ipp>
#include <objectcache/s3/impl/circuit.ipp>
#include <objectcache/s3/impl/client.ipp>
#include <objectcache/s3/impl/client_engine.ipp>
#include <objectcache/s3/impl/client_options.ipp>
#include <objectcache/s3/impl/connection.ipp>
#include <objectcache/s3/impl/connection_control.ipp>
#include <objectcache/s3/impl/connection_pool.ipp>
#include <objectcache/s3/impl/credentials.ipp>
#include <objectcache/s3/impl/credentials_sources.ipp>
#include <objectcache/s3/impl/default_credentials_provider.ipp>
#include <objectcache/s3/impl/endpoint.ipp>
#include <objectcache/s3/impl/hedge.ipp>
#include <objectcache/s3/impl/http_fetch.ipp>
#include <objectcache/s3/impl/large_object.ipp>
#include <objectcache/s3/impl/listing.ipp>
#include <objectcache/s3/impl/presign.ipp>
#include <objectcache/s3/impl/process.ipp>
#include <objectcache/s3/impl/profile.ipp>
#include <objectcache/s3/impl/request.ipp>
#include <objectcache/s3/impl/retry.ipp>
#include <objectcache/s3/impl/sigv4.ipp>
#include <objectcache/s3/impl/throttle.ipp>
#include <objectcache/s3/impl/tls_context.ipp>
#include <objectcache/s3/impl/tls_stream.ipp>
#include <objectcache/s3/impl/transfer.ipp>
#include <objectcache/s3/impl/xml.ipp>
#include <objectcache/s3/impl/xml_multipart.ipp>
#include <objectcache/store/impl/collector.ipp>
#include <objectcache/store/impl/memory_tier.ipp>
#include <objectcache/store/impl/s3_tier.ipp>
