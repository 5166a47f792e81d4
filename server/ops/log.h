// The log: one line per event on standard error.
#ifndef EMSERVE_SERVER_OPS_LOG_H_
#define EMSERVE_SERVER_OPS_LOG_H_

#include <memory>
#include <string>

namespace spdlog {
class logger;
}

namespace emserve::server {

// A logger that writes lines "<UTC time> <level> <text>" to standard error. `level` is one of
// ServerOptions::log_level. Thread-safe.
std::shared_ptr<spdlog::logger> MakeLogger(const std::string& level);

// Lets what gRPC and protobuf say for themselves appear as lines of `log` instead of raw on
// standard error. For the whole process: the last call counts.
void RouteLibraryLogs(std::shared_ptr<spdlog::logger> log);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_OPS_LOG_H_
