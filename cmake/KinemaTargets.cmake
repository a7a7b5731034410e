# KinemaTargets.cmake - the targets of kinema, made from what this machine has. The source tree and the installed package
# include this same file, so a consumer gets exactly what the tests ran with.
#
#   kinema::kinema    headers, C++20, OpenMP, and the header-only libraries that are present (xsimd, Eigen, json)
#   kinema::onednn    oneDNN                    kinema::image   stb
#   kinema::video     FFmpeg's libraries        kinema::text    sentencepiece
#   kinema::all       all of the above that are present
#   kinema::kernels   the CPU kernels compiled once (kernels-apart mode); made by kinema_add_kernels()
#   kinema::cuda      the same and the CUDA kernels; made by kinema_add_cuda()
#
# A switch KINEMA_<NAME> is AUTO (use what is there), ON (an error if it is not) or OFF.
# No target carries an instruction set: say -march for your own targets. It is part of the name of everything in kinema,
# so files that disagree do not link.

include_guard(GLOBAL)

# In the source tree the headers are beside this folder, in a package three folders up from lib/cmake/kinema.
if(EXISTS "${CMAKE_CURRENT_LIST_DIR}/../include/kinema/version.hpp")
  get_filename_component(_kinema_include "${CMAKE_CURRENT_LIST_DIR}/../include" ABSOLUTE)
else()
  get_filename_component(_kinema_include "${CMAKE_CURRENT_LIST_DIR}/../../../include" ABSOLUTE)
endif()
set(KINEMA_INCLUDE_DIR "${_kinema_include}" CACHE INTERNAL "Folder of kinema's headers")  # functions called from anywhere need it

# What is found here must be visible wherever a target of ours is linked, not only in this folder.
set(_kinema_targets_global "${CMAKE_FIND_PACKAGE_TARGETS_GLOBAL}")
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)

foreach(name OPENMP XSIMD EIGEN JSON ONEDNN IMAGE VIDEO TEXT)
  set(KINEMA_${name} AUTO CACHE STRING "Use ${name}: AUTO, ON or OFF")
  set_property(CACHE KINEMA_${name} PROPERTY STRINGS AUTO ON OFF)
endforeach()

# _kinema_use(NAME variable…): whether to use it, that is if all variables are true; an error if it was demanded and is missing.
macro(_kinema_use name)
  set(KINEMA_USE_${name} OFF)
  if(NOT KINEMA_${name} STREQUAL "OFF")
    set(_kinema_found ON)
    foreach(_kinema_variable ${ARGN})
      if(NOT ${_kinema_variable})
        set(_kinema_found OFF)
      endif()
    endforeach()
    if(_kinema_found)
      set(KINEMA_USE_${name} ON)
    elseif(KINEMA_${name} STREQUAL "ON")
      message(FATAL_ERROR "kinema: KINEMA_${name}=ON, but it was not found")
    endif()
  endif()
endmacro()

add_library(kinema_headers INTERFACE)
add_library(kinema::kinema ALIAS kinema_headers)
target_include_directories(kinema_headers INTERFACE "${KINEMA_INCLUDE_DIR}")
target_compile_features(kinema_headers INTERFACE cxx_std_20)

find_package(OpenMP QUIET COMPONENTS CXX)
_kinema_use(OPENMP OpenMP_CXX_FOUND)
if(KINEMA_USE_OPENMP)
  target_link_libraries(kinema_headers INTERFACE OpenMP::OpenMP_CXX)
endif()

find_package(xsimd QUIET CONFIG)
_kinema_use(XSIMD xsimd_FOUND)
if(KINEMA_USE_XSIMD)
  # Not its target: Debian's names a library xtl that is not there. The folder is all that there is to it.
  get_target_property(_kinema_xsimd xsimd INTERFACE_INCLUDE_DIRECTORIES)
  target_include_directories(kinema_headers SYSTEM INTERFACE "${_kinema_xsimd}")
  target_compile_definitions(kinema_headers INTERFACE KINEMA_WITH_XSIMD=1)
endif()

find_package(Eigen3 QUIET CONFIG)
_kinema_use(EIGEN Eigen3_FOUND)
if(KINEMA_USE_EIGEN)
  target_link_libraries(kinema_headers INTERFACE Eigen3::Eigen)
  target_compile_definitions(kinema_headers INTERFACE KINEMA_WITH_EIGEN=1)
endif()

find_package(nlohmann_json QUIET CONFIG)
_kinema_use(JSON nlohmann_json_FOUND)
if(KINEMA_USE_JSON)
  target_link_libraries(kinema_headers INTERFACE nlohmann_json::nlohmann_json)
  target_compile_definitions(kinema_headers INTERFACE KINEMA_WITH_JSON=1)
endif()

add_library(kinema_all INTERFACE)
add_library(kinema::all ALIAS kinema_all)
target_link_libraries(kinema_all INTERFACE kinema_headers)

# component(name macro include-directories libraries): kinema::<name>, which sets KINEMA_WITH_<macro>.
function(_kinema_component name macro includes libraries)
  add_library(kinema_${name} INTERFACE)
  add_library(kinema::${name} ALIAS kinema_${name})
  target_compile_definitions(kinema_${name} INTERFACE KINEMA_WITH_${macro}=1)
  target_include_directories(kinema_${name} SYSTEM INTERFACE ${includes})
  target_link_libraries(kinema_${name} INTERFACE kinema_headers ${libraries})
  target_link_libraries(kinema_all INTERFACE kinema_${name})
endfunction()

mark_as_advanced(KINEMA_DNNL_INCLUDE KINEMA_DNNL_LIBRARY KINEMA_STB_INCLUDE)
find_path(KINEMA_DNNL_INCLUDE oneapi/dnnl/dnnl.hpp)
find_library(KINEMA_DNNL_LIBRARY dnnl)
_kinema_use(ONEDNN KINEMA_DNNL_INCLUDE KINEMA_DNNL_LIBRARY)
if(KINEMA_USE_ONEDNN)
  _kinema_component(onednn ONEDNN "${KINEMA_DNNL_INCLUDE}" "${KINEMA_DNNL_LIBRARY}")
endif()

find_path(KINEMA_STB_INCLUDE NAMES stb_image.h stb/stb_image.h)
_kinema_use(IMAGE KINEMA_STB_INCLUDE)
if(KINEMA_USE_IMAGE)
  _kinema_component(image STB "${KINEMA_STB_INCLUDE}" "")
endif()

find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(KINEMA_FFMPEG QUIET IMPORTED_TARGET GLOBAL libavformat libavcodec libavutil libswscale)
  pkg_check_modules(KINEMA_SENTENCEPIECE QUIET IMPORTED_TARGET GLOBAL sentencepiece)
endif()
_kinema_use(VIDEO KINEMA_FFMPEG_FOUND)
if(KINEMA_USE_VIDEO)
  _kinema_component(video FFMPEG "" PkgConfig::KINEMA_FFMPEG)
endif()
_kinema_use(TEXT KINEMA_SENTENCEPIECE_FOUND)
if(KINEMA_USE_TEXT)
  _kinema_component(text SENTENCEPIECE "" PkgConfig::KINEMA_SENTENCEPIECE)
endif()

set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL "${_kinema_targets_global}")
include("${CMAKE_CURRENT_LIST_DIR}/KinemaKernels.cmake")
