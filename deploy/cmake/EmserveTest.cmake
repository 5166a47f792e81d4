# emserve_add_test(NAME SOURCES <files> LIBS <targets>): one GoogleTest binary, one ctest entry. Tests find their data
# through the macro EMSERVE_TEST_DATA, the absolute path of tests/data.
find_package(GTest CONFIG REQUIRED)

function(emserve_add_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE emserve_options ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  # What is tested is optimised; tests only have to compile soon, which EXPECT under UndefinedBehaviorSanitizer does not.
  if(EMSERVE_SANITIZE)
    target_compile_options(${name} PRIVATE -O0 -fno-sanitize=undefined)
  else()
    target_compile_options(${name} PRIVATE -O1)
  endif()
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE EMSERVE_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
endfunction()
