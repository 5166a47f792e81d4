#include "server/errors.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace emserve::server {
namespace {

// Payload type URLs; proto/wire/status.h documents what stands under each.
constexpr char kReason[] = "emserve.dev/reason";
constexpr char kResource[] = "emserve.dev/resource";
constexpr char kRetry[] = "emserve.dev/retry_ms";
constexpr char kQuota[] = "emserve.dev/quota";
constexpr char kMetadata[] = "emserve.dev/metadata";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string PayloadText(const absl::Status& status, const char* url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : "";
}

absl::Status WithText(absl::Status status, const char* url, std::string_view text) {
  if (!status.ok()) status.SetPayload(url, absl::Cord(View(text)));
  return status;
}

}  // namespace

absl::Status InvalidArgument(std::string_view path, std::string_view description) {
  return absl::InvalidArgumentError(absl::StrCat(View(path), ": ", View(description)));
}

absl::Status NotFound(std::string_view resource_type, std::string_view name) {
  return WithResource(absl::NotFoundError(absl::StrCat(View(name), ": not found")), resource_type,
                      name);
}

absl::Status AlreadyExists(std::string_view resource_type, std::string_view name) {
  return WithResource(absl::AlreadyExistsError(absl::StrCat(View(name), ": exists already")),
                      resource_type, name);
}

absl::Status FailedPrecondition(std::string_view reason, std::string_view resource_type,
                                std::string_view name, std::string_view description) {
  return WithResource(
      WithReason(absl::FailedPreconditionError(absl::StrCat(View(name), ": ", View(description))),
                 reason),
      resource_type, name);
}

absl::Status ResourceExhausted(std::string_view reason, std::string_view limit,
                               std::string_view description, absl::Duration retry_delay) {
  absl::Status status = WithReason(absl::ResourceExhaustedError(View(description)), reason);
  status = WithText(std::move(status), kQuota, limit);
  return retry_delay > absl::ZeroDuration() ? WithRetryDelay(std::move(status), retry_delay)
                                            : status;
}

absl::Status WithReason(absl::Status status, std::string_view reason) {
  return WithText(std::move(status), kReason, reason);
}

absl::Status WithResource(absl::Status status, std::string_view resource_type,
                          std::string_view name) {
  return WithText(std::move(status), kResource,
                  absl::StrCat(View(resource_type), "\n", View(name)));
}

absl::Status WithMetadata(absl::Status status, std::string_view key, std::string_view value) {
  const std::string lines = PayloadText(status, kMetadata);
  return WithText(std::move(status), kMetadata,
                  absl::StrCat(lines, View(key), "=", View(value), "\n"));
}

absl::Status WithRetryDelay(absl::Status status, absl::Duration delay) {
  return WithText(std::move(status), kRetry, absl::StrCat(absl::ToInt64Milliseconds(delay)));
}

absl::Status Reworded(const absl::Status& status, std::string_view message) {
  absl::Status out(status.code(), View(message));
  status.ForEachPayload(
      [&out](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

std::string ReasonOf(const absl::Status& status) { return PayloadText(status, kReason); }

std::optional<std::string> MetadataOf(const absl::Status& status, std::string_view key) {
  const std::string lines = PayloadText(status, kMetadata);
  for (const absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> entry = absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (entry.first == key) return entry.second;
  }
  return std::nullopt;
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  int64_t milliseconds = 0;
  if (!absl::SimpleAtoi(PayloadText(status, kRetry), &milliseconds)) return std::nullopt;
  return absl::Milliseconds(milliseconds);
}

std::string_view PathOf(std::string_view message) {
  return message.substr(0, std::min(message.find(": "), message.size()));
}

}  // namespace emserve::server
