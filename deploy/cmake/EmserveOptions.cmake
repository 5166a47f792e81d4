# What every target is compiled with: C++20, any x86-64-v2 machine, warnings as errors, ccache and a fast linker where
# installed, sanitizers on request.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(EMSERVE_CCACHE ccache)
if(EMSERVE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths relative to the checkout, so that a clean clone elsewhere hits the same cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${EMSERVE_CCACHE})
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-march=x86-64-v2)
endif()
find_program(EMSERVE_LLD ld.lld)
if(EMSERVE_LLD)
  add_link_options(-fuse-ld=lld)
endif()
if(EMSERVE_SANITIZE)
  add_compile_options(-fsanitize=${EMSERVE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${EMSERVE_SANITIZE})
  if(EMSERVE_SANITIZE MATCHES undefined)
    # Null pointers and accesses beyond objects end in AddressSanitizer's reports anyway; calls through objects of
    # another type are given up. Together they are a quarter to a third of the time that compiling takes.
    add_compile_options(-fno-sanitize=null,object-size,vptr)
  endif()
  add_compile_options(-O1 -g1)  # sooner compiled than -O2; lines are all of the debug information that reports need
  add_compile_options(-Wno-maybe-uninitialized)  # GCC's instrumentation raises false alarms
endif()

# Flags for our own code; generated code does not link this.
add_library(emserve_options INTERFACE)
target_compile_options(emserve_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms of GCC 12 on inlined std::string concatenation (GCC bug 105651).
  target_compile_options(emserve_options INTERFACE -Wno-restrict)
endif()
