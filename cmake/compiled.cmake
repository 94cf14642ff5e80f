# SPDX-License-Identifier: BSL-1.0

# What our own programs link: the library, the test kit, Asio and Beast compiled once for all of them, see
# objectcache/core/config.hpp. It takes the larger part of the time off our builds (a unit with the test kit: 7 s instead of
# 42 s). That everything works as headers alone is what tests/headers and tests/package are for.
function(oc_add_compiled name)
  set(sources library.cpp test_kit.cpp boost.cpp)
  list(TRANSFORM sources PREPEND ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/compiled/)
  add_library(${name} STATIC EXCLUDE_FROM_ALL ${sources})
  target_compile_definitions(${name} PUBLIC OBJECTCACHE_SEPARATE_COMPILATION BOOST_ASIO_SEPARATE_COMPILATION
                             BOOST_BEAST_SEPARATE_COMPILATION)
  target_link_libraries(${name} PUBLIC objectcache::objectcache ${ARGN} PRIVATE objectcache_warnings)
endfunction()

oc_add_compiled(objectcache_compiled)
if(TARGET objectcache::uring)
  oc_add_compiled(objectcache_compiled_uring objectcache::uring)
endif()
