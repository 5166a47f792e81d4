#include "server/rpc/call.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <random>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status.h"
#include "server/errors.h"
#include "spdlog/logger.h"

namespace emserve::server {
namespace {

constexpr absl::Duration kRetryDelay = absl::Milliseconds(500);
constexpr char kPushbackKey[] = "grpc-retry-pushback-ms";

absl::Status Internal(const std::string& request_id) {
  absl::Status status = absl::InternalError(
      absl::StrCat("a bug in the server; its log has the cause under request ", request_id));
  status.SetPayload(kRequestPayload, absl::Cord(request_id));
  return status;
}

}  // namespace

Call::Call(Calls& calls, grpc::CallbackServerContext& context, const char* method)
    : calls_(calls),
      context_(context),
      method_(method),
      start_(std::chrono::steady_clock::now()),
      request_id_(calls.NextRequestId()),
      hold_(calls.memory()),
      kept_(calls.memory()) {}

absl::Status Call::Hold(int64_t bytes) {
  return hold_.Add(bytes) ? absl::OkStatus() : NoRoom(bytes);
}

absl::Status Call::Keep(int64_t bytes) {
  const int64_t more = std::max<int64_t>(bytes - kept_bytes_, 0);
  if (!kept_.Add(more)) return NoRoom(more);
  kept_bytes_ += more;
  return absl::OkStatus();
}

absl::Status Call::NoRoom(int64_t bytes) const {
  return ResourceExhausted(
      "CALL_MEMORY_FULL", "max_call_bytes",
      absl::StrCat("got a call that needs ", bytes, " bytes while ", calls_.memory().used(), " of ",
                   calls_.memory().max_bytes(), " are in use by others; try again later"),
      kRetryDelay);
}

absl::Status Call::Try(absl::FunctionRef<absl::Status()> work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("the server has no memory for this call");
  } catch (const std::exception& error) {
    Note("exception", error.what());
  } catch (...) {
    Note("exception", "of unknown type");
  }
  return Internal(request_id_);
}

void Call::Note(const char* key, const std::string& value) {
  absl::StrAppend(&notes_, " ", key, "=\"", absl::Utf8SafeCEscape(value), "\"");
}

grpc::Status Call::End(const absl::Status& original) {
  absl::Status status = original;
  if (absl::IsInternal(status) && !status.GetPayload(kRequestPayload).has_value()) {
    Note("cause", std::string(status.message()));
    status = Internal(request_id_);
  }
  if (const auto retry = status.GetPayload(kRetryPayload); retry.has_value()) {
    context_.AddTrailingMetadata(kPushbackKey, std::string(*retry));
  }
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_).count();
  const auto level = absl::IsInternal(status) ? spdlog::level::err : spdlog::level::info;
  if (calls_.log().should_log(level)) {
    const std::string message =
        status.ok() ? ""
                    : absl::StrCat(" message=\"", absl::Utf8SafeCEscape(status.message()), "\"");
    calls_.log().log(level, "call {} {} {:.3f}ms peer={} request={}{}{}", method_,
                     absl::StatusCodeToString(status.code()), ms, context_.peer(), request_id_,
                     notes_, message);
  }
  return ToGrpcStatus(status);
}

Calls::Calls(std::shared_ptr<spdlog::logger> log, const Options& options)
    : log_(std::move(log)),
      options_(options),
      memory_(options.max_memory_bytes),
      epoch_(std::random_device()()) {}

std::string Calls::NextRequestId() {
  return absl::StrCat(absl::Hex(epoch_, absl::kZeroPad8), "-",
                      next_id_.fetch_add(1, std::memory_order_relaxed));
}

absl::Status Calls::CheckSize(const google::protobuf::Message& response) const {
  const size_t size = response.ByteSizeLong();
  if (size <= static_cast<size_t>(options_.max_message_bytes)) return absl::OkStatus();
  return ResourceExhausted("RESPONSE_TOO_LARGE", "max_message_bytes",
                           absl::StrCat("the answer has ", size, " bytes, must have at most ",
                                        options_.max_message_bytes, "; ask for less at a time"),
                           absl::ZeroDuration());
}

grpc::ServerUnaryReactor* Calls::Now(grpc::CallbackServerContext* context, const char* method,
                                     google::protobuf::Message& response,
                                     absl::FunctionRef<absl::Status(Call&)> handler) {
  Call call(*this, *context, method);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(call.End(call.Try([&]() -> absl::Status {
    absl::Status status = handler(call);
    return status.ok() ? CheckSize(response) : status;
  })));
  return reactor;
}

grpc::ServerUnaryReactor* Calls::Queue(Executor& executor, grpc::CallbackServerContext* context,
                                       const char* method, const google::protobuf::Message& request,
                                       google::protobuf::Message& response, Handler handler) {
  auto call = std::make_shared<Call>(*this, *context, method);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::Status queued = call->Hold(static_cast<int64_t>(request.SpaceUsedLong()));
  if (queued.ok()) {
    queued = executor.Submit([this, call, reactor, &response, handler = std::move(handler)] {
      reactor->Finish(call->End(call->Try([&]() -> absl::Status {
        if (call->cancelled()) return absl::CancelledError("the caller has gone");
        absl::Status status = handler(*call);
        return status.ok() ? CheckSize(response) : status;
      })));
    });
  }
  if (!queued.ok()) reactor->Finish(call->End(queued));
  return reactor;
}

}  // namespace emserve::server
