#include "client/emctl/exit_status.h"

#include <cstdio>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/emctl/field_options.h"
#include "client/emctl/text.h"
#include "proto/wire/status.h"

namespace emserve::emctl {
namespace {

// Payload that decides over the code: the decimal exit status.
constexpr char kExitPayload[] = "emserve.dev/emctl/exit";
// Payload of an error whose message is in the words of the options already.
constexpr char kWordedPayload[] = "emserve.dev/emctl/worded";

absl::Status WithExit(absl::Status status, int exit) {
  if (!status.ok()) status.SetPayload(kExitPayload, absl::Cord(absl::StrCat(exit)));
  return status;
}

}  // namespace

int ExitStatusOf(const absl::Status& status) {
  if (const auto exit = status.GetPayload(kExitPayload); exit.has_value()) {
    return std::string(*exit)[0] - '0';
  }
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kOutOfRange:
      return kExitUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    default:
      return client::IsBrokenConnection(status) ? kExitUnreachable : kExitFailed;
  }
}

absl::Status DataRefused(absl::Status status) {
  const bool is_of_data = absl::IsFailedPrecondition(status) || absl::IsDataLoss(status);
  return is_of_data ? WithExit(std::move(status), kExitUsage) : status;
}

absl::Status Worded(const absl::Status& status, std::string_view message) {
  absl::Status worded(status.code(), absl::string_view(message.data(), message.size()));
  status.ForEachPayload([&worded](absl::string_view url, const absl::Cord& payload) {
    worded.SetPayload(url, payload);
  });
  worded.SetPayload(kWordedPayload, absl::Cord());
  return worded;
}

absl::Status PredictionRefused(const absl::Status& status, bool has_sequences) {
  const std::string message(status.message());
  const auto reason = status.GetPayload(kReasonPayload);
  // Any other reason of the server passes with time.
  const bool is_message =
      absl::IsResourceExhausted(status) && (!reason.has_value() || *reason == "RESPONSE_TOO_LARGE");
  const bool is_table = absl::IsInvalidArgument(status) &&
                        absl::StartsWith(message, "table: got ") &&
                        absl::StrContains(message, ", must be at most ");
  if (!is_message && !is_table) return DataRefused(status);
  // What the API advises comes after the semicolon.
  const std::string what = is_table ? InOptions(message.substr(0, message.find("; "))) : message;
  return WithExit(
      Worded(status, absl::StrCat(what, has_sequences ? "; a sequence travels in one message" : "",
                                  "; put the data on the server with emctl datasets upload and ",
                                  "predict it there with emctl predict --dataset")),
      kExitUsage);
}

absl::Status JobFailure(const v1::Job& job) {
  const absl::Status error = client::JobError(job);
  if (error.ok() || absl::IsCancelled(error)) return WithExit(error, kExitFailed);
  absl::Status failure(
      error.code(), absl::StrCat(job.name(), " failed: ", InOptions(std::string(error.message()))));
  return WithExit(std::move(failure), kExitFailed);
}

std::string ErrorLine(const absl::Status& status) {
  std::string message(status.message());
  if (message.empty()) {
    message = absl::AsciiStrToLower(absl::StatusCodeToString(status.code()));
  }
  if (!status.GetPayload(kWordedPayload).has_value()) {
    if (const auto field = status.GetPayload(kFieldPayload); field.has_value()) {
      const std::string path(*field);
      if (!absl::StrContains(message, path)) message = absl::StrCat(path, ": ", message);
    }
    message = InOptions(message);
  }
  // Says where to look for a fault of the server.
  if (const auto request = status.GetPayload(kRequestPayload); request.has_value()) {
    absl::StrAppend(&message, " (request ", std::string(*request), ")");
  }
  return Printable(message);
}

Json ErrorDocument(const absl::Status& status) {
  Json error = {{"code", absl::StatusCodeToString(status.code())}, {"message", ErrorLine(status)}};
  std::string field = FieldOf(std::string(status.message()));
  if (const auto payload = status.GetPayload(kFieldPayload); payload.has_value()) {
    field = std::string(*payload);
  }
  if (!field.empty()) error["field"] = field;
  return {{"error", std::move(error)}};
}

void ReportError(const absl::Status& status, bool json) {
  std::fprintf(stderr, "emctl: %s\n", ErrorLine(status).c_str());
  if (!json) return;
  std::printf("%s\n",
              ErrorDocument(status).dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace emserve::emctl
