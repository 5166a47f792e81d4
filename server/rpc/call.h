// What stands around every call: one log line, one mapping of errors, one place that catches
// exceptions, the bounds on what requests and answers may take, and the choice of thread.
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
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "grpcpp/support/status.h"
#include "server/executor.h"
#include "server/memory_budget.h"

namespace spdlog {
class logger;
}

namespace emserve::server {

class Calls;

// One call, from its arrival to its status. Not copyable; lives as long as its reactor.
class Call {
 public:
  // `method` is a literal, "JobService.Fit": the call keeps the pointer.
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

  // Counts `bytes` of memory against what all calls may hold, until the call's end.
  // RESOURCE_EXHAUSTED (reason CALL_MEMORY_FULL, with a retry delay) if there is no room.
  absl::Status Hold(int64_t bytes);
  // As Hold, of what a call keeps for as long as it lives, whatever is released: `bytes` in all, of
  // which the most ever asked for stays counted.
  absl::Status Keep(int64_t bytes);
  // Gives back what Hold has counted so far.
  void Release() { hold_.Drop(); }

  // Whether the client has gone or its deadline has passed.
  bool cancelled() const { return context_.IsCancelled(); }

 private:
  absl::Status NoRoom(int64_t bytes) const;

  Calls& calls_;
  grpc::CallbackServerContext& context_;
  const char* method_;
  const std::chrono::steady_clock::time_point start_;
  const std::string request_id_;
  std::string notes_;
  MemoryHold hold_, kept_;
  int64_t kept_bytes_ = 0;
};

// Shared by all services. Thread-safe.
class Calls {
 public:
  using Handler = std::function<absl::Status(Call&)>;

  struct Options {
    Executor* control = nullptr;  // answers calls that look things up and submit work
    Executor* compute = nullptr;  // answers calls that predict and sample
    int64_t max_message_bytes = 0;
    int64_t max_memory_bytes = 0;  // of requests that wait or are worked on, and of what they need
  };
  // The executors outlive it. Calls end at level info, failed health of our own (INTERNAL) at
  // error.
  Calls(std::shared_ptr<spdlog::logger> log, const Options& options);

  // Answers a unary call on gRPC's own thread: for handlers that only look something up.
  grpc::ServerUnaryReactor* Now(grpc::CallbackServerContext* context, const char* method,
                                google::protobuf::Message& response,
                                absl::FunctionRef<absl::Status(Call&)> handler);

  // Answers a unary call from an executor: for handlers that copy, encode or compute much. A call
  // whose client has gone by then is not run. RESOURCE_EXHAUSTED when too many calls wait, or too
  // many bytes of them.
  grpc::ServerUnaryReactor* Queue(Executor& executor, grpc::CallbackServerContext* context,
                                  const char* method, const google::protobuf::Message& request,
                                  google::protobuf::Message& response, Handler handler);

  // OK unless `response` is larger than a message may be (RESOURCE_EXHAUSTED, reason
  // RESPONSE_TOO_LARGE): an answer of more than 2 GiB cannot even be written.
  absl::Status CheckSize(const google::protobuf::Message& response) const;

  Executor& control() { return *options_.control; }
  Executor& compute() { return *options_.compute; }
  MemoryBudget& memory() { return memory_; }
  spdlog::logger& log() { return *log_; }
  std::string NextRequestId();

 private:
  std::shared_ptr<spdlog::logger> log_;
  const Options options_;
  MemoryBudget memory_;
  const uint32_t epoch_;  // tells request ids of different runs apart
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_RPC_CALL_H_
