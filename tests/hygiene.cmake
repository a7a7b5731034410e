# Tests of the tree itself: what the compiler accepts alone, what it must refuse, who includes whom, how others use it.

add_executable(test_layers layers/layers_test.cpp)
target_link_libraries(test_layers PRIVATE kinema_test_main)
target_compile_definitions(test_layers PRIVATE KINEMA_INCLUDE_FOLDER="${PROJECT_SOURCE_DIR}/include")
target_precompile_headers(test_layers PRIVATE support/catch.hpp)
add_test(NAME layers COMMAND test_layers)
set_tests_properties(layers PROPERTIES LABELS hygiene)

# The scripts use the C++ compiler of this build for the base checks, and others where they are installed.
find_program(KINEMA_CLANG NAMES clang++ clang++-19 clang++-16 clang++-14)
find_program(KINEMA_NVCC nvcc HINTS /usr/local/cuda/bin)
mark_as_advanced(KINEMA_CLANG KINEMA_NVCC)

function(kinema_script_test name)
  add_test(NAME ${name} COMMAND bash ${ARGN} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}/tests")
  # Two jobs each: ctest -j then leaves the processors to them.
  set_tests_properties(${name} PROPERTIES LABELS hygiene PROCESSORS 2 TIMEOUT 1200 SKIP_RETURN_CODE 77)
endfunction()

set(switches)
foreach(pair XSIMD:XSIMD EIGEN:EIGEN ONEDNN:ONEDNN JSON:JSON IMAGE:STB VIDEO:FFMPEG TEXT:SENTENCEPIECE)
  string(REPLACE ":" ";" pair "${pair}")
  list(GET pair 0 option)
  list(GET pair 1 macro)
  if(KINEMA_USE_${option})
    list(APPEND switches ${macro})
  endif()
endforeach()

kinema_script_test(headers_cxx headers/check.sh cxx "${CMAKE_CXX_COMPILER}" ${switches})
if(KINEMA_CLANG AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  kinema_script_test(headers_clang headers/check.sh cxx "${KINEMA_CLANG}" ${switches})
endif()
if(KINEMA_NVCC)
  kinema_script_test(headers_nvcc headers/check.sh nvcc "${KINEMA_NVCC}" ${switches})
endif()
kinema_script_test(must_fail must_fail/check.sh "${CMAKE_CXX_COMPILER}")
foreach(way command_line subdirectory fetch_content package apart flags)
  kinema_script_test(consumer_${way} consumers/${way}.sh "${CMAKE_CXX_COMPILER}" "${CMAKE_COMMAND}")
endforeach()
add_test(NAME readme COMMAND bash readme/check.sh WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
set_tests_properties(readme PROPERTIES LABELS hygiene)
