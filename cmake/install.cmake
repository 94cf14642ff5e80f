# SPDX-License-Identifier: BSL-1.0

# Headers, the CMake package and the pkg-config files. Nothing depends on the architecture, so it all goes under share/.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/objectcache)

# One export set per component: a consumer that asks for the host side is never asked for CUDA.
foreach(component ${components})
  get_target_property(target objectcache::${component} ALIASED_TARGET)
  set(header_set "")
  if(component STREQUAL core)
    set(header_set FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  endif()
  install(TARGETS ${target} EXPORT objectcache-${component} ${header_set})
  install(EXPORT objectcache-${component} NAMESPACE objectcache:: DESTINATION ${package_dir}
          FILE objectcache-${component}-targets.cmake)
endforeach()

# While the major version is 0, a minor release may change the interface.
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
else()
  set(compatibility SameMajorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/objectcache-config-version.cmake
                                 COMPATIBILITY ${compatibility} ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/objectcache-config-version.cmake
              cmake/objectcache-config.cmake
              cmake/objectcache-dependencies.cmake
              cmake/FindxxHash.cmake
              cmake/Findliburing.cmake
        DESTINATION ${package_dir})

# The prefix is found from where the .pc file lies, so the installed tree may be moved.
set(pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
file(RELATIVE_PATH pc_to_prefix /prefix/${pkgconfig_dir} /prefix)
set(pc_files objectcache)
if(uring IN_LIST components)
  list(APPEND pc_files objectcache-uring)
endif()
foreach(name ${pc_files})
  configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${pkgconfig_dir})
endforeach()
