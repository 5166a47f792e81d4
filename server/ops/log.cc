#include "server/ops/log.h"

#include <mutex>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/support/log.h"
#include "spdlog/logger.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace emserve::server {
namespace {

std::mutex library_mutex;
std::shared_ptr<spdlog::logger> library_log;

void LogOfLibrary(const char* library, spdlog::level::level_enum level, std::string_view text) {
  const std::lock_guard lock(library_mutex);
  if (library_log != nullptr) {
    library_log->log(level, "{} \"{}\"", library,
                     absl::Utf8SafeCEscape({text.data(), text.size()}));
  }
}

}  // namespace

std::shared_ptr<spdlog::logger> MakeLogger(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("emserved",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(level));
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      "%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
  logger->flush_on(spdlog::level::trace);
  return logger;
}

void RouteLibraryLogs(std::shared_ptr<spdlog::logger> log) {
  {
    const std::lock_guard lock(library_mutex);
    library_log = std::move(log);
  }
  gpr_set_log_function([](gpr_log_func_args* line) {
    LogOfLibrary(
        "grpc",
        line->severity == GPR_LOG_SEVERITY_ERROR ? spdlog::level::warn : spdlog::level::debug,
        line->message);
  });
  // What protobuf has to say is about messages from outside: their sender hears of it.
  google::protobuf::SetLogHandler(
      [](google::protobuf::LogLevel, const char*, int, const std::string& message) {
        LogOfLibrary("protobuf", spdlog::level::debug, message);
      });
}

}  // namespace emserve::server
