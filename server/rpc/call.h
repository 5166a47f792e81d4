// What stands around every call: one log line, one mapping of errors, one place that catches
// exceptions, and the choice between answering at once and answering from the executor.
#ifndef EMSERVE_SERVER_RPC_CALL_H_
#define EMSERVE_SERVER_RPC_CALL_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "grpcpp/support/status.h"
#include "server/executor.h"

namespace spdlog {
class logger;
}

namespace emserve::server {

class Calls;

// One call, from its arrival to its status. Not copyable; lives as long as its reactor.
class Call {
 public:
  // `method` is a literal, "JobService.Fit".
  Call(Calls& calls, grpc::CallbackServerContext& context, const char* method);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Runs `work` and returns its status; an exception becomes INTERNAL, with the request id that is
  // in the log, or RESOURCE_EXHAUSTED when memory ran out.
  absl::Status Try(absl::FunctionRef<absl::Status()> work);

  // Ends the call: writes its log line and returns what the reactor finishes with; trailing
  // metadata (grpc-retry-pushback-ms) is set. Call once, before the reactor's Finish.
  grpc::Status End(const absl::Status& status);

  // Adds to the call's log line: " key=value". Not after End.
  void Note(const char* key, const std::string& value);

  // Whether the client has gone or its deadline has passed.
  bool cancelled() const { return context_.IsCancelled(); }

 private:
  Calls& calls_;
  grpc::CallbackServerContext& context_;
  const char* method_;
  const std::chrono::steady_clock::time_point start_;
  const std::string request_id_;
  std::string notes_;
};

// Shared by all services. Thread-safe.
class Calls {
 public:
  // Both outlive it. Calls end at level info, failed health of our own (INTERNAL) at error.
  Calls(std::shared_ptr<spdlog::logger> log, Executor& executor);

  // Answers a unary call on gRPC's own thread: for handlers that only look something up.
  grpc::ServerUnaryReactor* Now(grpc::CallbackServerContext* context, const char* method,
                                absl::FunctionRef<absl::Status(Call&)> handler);

  // Answers a unary call from the executor: for handlers that compute, copy or encode much. A call
  // whose client has gone by then is not run. RESOURCE_EXHAUSTED when the executor's queue is full.
  grpc::ServerUnaryReactor* Queue(grpc::CallbackServerContext* context, const char* method,
                                  std::function<absl::Status(Call&)> handler);

  Executor& executor() { return executor_; }
  spdlog::logger& log() { return *log_; }
  std::string NextRequestId();

 private:
  std::shared_ptr<spdlog::logger> log_;
  Executor& executor_;
  const uint32_t epoch_;  // tells request ids of different runs apart
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_RPC_CALL_H_
