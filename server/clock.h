// Time as the server's domain sees it: injected, so that tests decide what time it is.
#ifndef EMSERVE_SERVER_CLOCK_H_
#define EMSERVE_SERVER_CLOCK_H_

#include <functional>

#include "absl/time/time.h"

namespace emserve::server {

// Returns now. Thread-safe; absl::Now in the server.
using Clock = std::function<absl::Time()>;

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CLOCK_H_
