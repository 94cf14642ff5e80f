# SPDX-License-Identifier: BSL-1.0

# Writes OUTPUT: an include of every header of others (the standard's, Boost's ...) that a header in INCLUDE_DIR includes.
file(GLOB_RECURSE headers ${INCLUDE_DIR}/objectcache/*.hpp ${INCLUDE_DIR}/objectcache/*.ipp)
set(outside "")
foreach(header ${headers})
  file(STRINGS ${header} lines REGEX "^ *# *include <")
  list(APPEND outside ${lines})
endforeach()
list(TRANSFORM outside REPLACE ".*<(.*)>.*" "\\1")
list(FILTER outside EXCLUDE REGEX "^(objectcache/|cuda|nvrtc)")
list(REMOVE_DUPLICATES outside)
list(SORT outside)
list(TRANSFORM outside REPLACE "(.+)" "#if __has_include(<\\1>)\n#include <\\1>\n#endif\n")
list(JOIN outside "" text)
file(WRITE ${OUTPUT} "${text}")
