# SPDX-License-Identifier: BSL-1.0

# Configures, builds and runs PROJECT from nothing (the program is told the expected BACKEND of Asio); or, with
# EXPECT_FAILURE, checks why it refuses to configure.
set(build ${WORK}/${NAME})
file(REMOVE_RECURSE ${build})
string(REPLACE "|" ";" ARGUMENTS "${ARGUMENTS}")
set(ENV{PKG_CONFIG_PATH} ${PREFIX}/share/pkgconfig)

set(configure ${CMAKE_COMMAND} -S ${PROJECT} -B ${build} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${CXX}
              -DCMAKE_PREFIX_PATH=${PREFIX} ${ARGUMENTS})
if(EXPECT_FAILURE)
  execute_process(COMMAND ${configure} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}") # CMake wraps its messages
  if(code EQUAL 0)
    message(FATAL_ERROR "configured, but was expected to fail")
  elseif(NOT output MATCHES "${EXPECT_FAILURE}")
    message(FATAL_ERROR "failed without saying: ${EXPECT_FAILURE}\n${output}")
  endif()
  return()
endif()
execute_process(COMMAND ${configure} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${build} COMMAND_ERROR_IS_FATAL ANY)
if(NOT BUILD_ONLY)
  execute_process(COMMAND ${build}/consumer ${BACKEND} COMMAND_ERROR_IS_FATAL ANY)
endif()
