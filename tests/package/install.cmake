# SPDX-License-Identifier: BSL-1.0
file(REMOVE_RECURSE ${PREFIX} ${PREFIX}-before-move)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --config ${CONFIG} --prefix ${PREFIX}-before-move
                COMMAND_ERROR_IS_FATAL ANY)
file(RENAME ${PREFIX}-before-move ${PREFIX})

# Nothing installed may point into the build or the source tree.
file(GLOB_RECURSE files ${PREFIX}/share/*)
foreach(file ${files})
  file(READ ${file} text)
  foreach(place ${BUILD} ${PREFIX}-before-move)
    string(FIND "${text}" "${place}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} mentions ${place}")
    endif()
  endforeach()
endforeach()
