// Counts heap allocations of the whole program, for tests of code that must make none.
#ifndef EMSERVE_TESTS_CORE_ALLOCATIONS_H_
#define EMSERVE_TESTS_CORE_ALLOCATIONS_H_

#include <cstdint>

namespace emserve::testing {

// Calls of any operator new since the program began. Programs that link allocations.cc only.
int64_t NumAllocations();

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_ALLOCATIONS_H_
