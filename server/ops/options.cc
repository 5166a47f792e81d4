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
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  const auto share = [memory](int64_t& bytes, int64_t parts) {
    if (bytes == 0) bytes = memory / parts;
  };
  share(options.max_dataset_bytes, 2);
  share(options.max_working_bytes, 4);
  share(options.max_held_bytes, 8);
  share(options.max_call_bytes, 8);
  return options;
}

}  // namespace emserve::server
