#include "server/ops/options.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

namespace emserve::server {

ServerOptions Resolve(ServerOptions options) {
  const int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  if (options.threads == 0) options.threads = cores;
  if (options.call_threads == 0) options.call_threads = std::max<int64_t>(2, cores);
  if (options.max_running_jobs == 0) {
    options.max_running_jobs = std::max<int64_t>(4, 2 * options.threads);
  }
  if (options.max_dataset_bytes == 0) {
    options.max_dataset_bytes = int64_t{sysconf(_SC_PHYS_PAGES)} / 2 * sysconf(_SC_PAGESIZE);
  }
  return options;
}

}  // namespace emserve::server
