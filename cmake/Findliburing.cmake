# SPDX-License-Identifier: BSL-1.0

# liburing ships no CMake files. Defines liburing::liburing and liburing_FOUND.
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(PC_liburing QUIET liburing)
endif()
find_path(liburing_INCLUDE_DIR liburing.h HINTS ${PC_liburing_INCLUDE_DIRS})
find_library(liburing_LIBRARY uring HINTS ${PC_liburing_LIBRARY_DIRS})
mark_as_advanced(liburing_INCLUDE_DIR liburing_LIBRARY)

# Its own version header is younger than the oldest release that is good enough (2.3), so pkg-config is asked first.
set(liburing_VERSION ${PC_liburing_VERSION})
if(NOT liburing_VERSION AND EXISTS ${liburing_INCLUDE_DIR}/liburing/io_uring_version.h)
  file(STRINGS ${liburing_INCLUDE_DIR}/liburing/io_uring_version.h version_lines REGEX "IO_URING_VERSION_(MAJOR|MINOR) +[0-9]+")
  string(REGEX REPLACE "[^0-9;]" "" version_numbers "${version_lines}")
  list(JOIN version_numbers "." liburing_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(liburing REQUIRED_VARS liburing_LIBRARY liburing_INCLUDE_DIR
                                  VERSION_VAR liburing_VERSION)

if(liburing_FOUND AND NOT TARGET liburing::liburing)
  add_library(liburing::liburing UNKNOWN IMPORTED)
  set_target_properties(liburing::liburing PROPERTIES IMPORTED_LOCATION ${liburing_LIBRARY}
                                                      INTERFACE_INCLUDE_DIRECTORIES ${liburing_INCLUDE_DIR})
endif()
