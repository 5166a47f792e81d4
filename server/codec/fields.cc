#include "server/codec/fields.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "proto/wire/status.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr int64_t kMaxDurationSeconds = 315576000000;   // 10000 years, as protobuf defines it
constexpr int64_t kMaxTimestampSeconds = 253402300799;  // the end of the year 9999
constexpr int64_t kMinTimestampSeconds = -62135596800;  // the beginning of the year 1
constexpr int kMaxNanos = 999999999;

}  // namespace

absl::Status UnknownEnum(const std::string& path, const google::protobuf::EnumDescriptor& type,
                         int value) {
  std::string names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() == 0) continue;
    absl::StrAppend(&names, names.empty() ? "" : ", ", type.value(i)->name());
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": got ", value, ", must be one of ", names));
}

absl::StatusOr<absl::Duration> DecodePositiveDuration(const google::protobuf::Duration& duration,
                                                      const std::string& path) {
  const bool valid = duration.seconds() >= 0 && duration.seconds() <= kMaxDurationSeconds &&
                     duration.nanos() >= 0 && duration.nanos() <= kMaxNanos;
  const absl::Duration decoded =
      absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
  if (!valid || decoded <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": got ", duration.seconds(), " s and ", duration.nanos(),
                     " ns, must be positive, with 0 to 999999999 ns"));
  }
  return decoded;
}

absl::StatusOr<absl::Time> DecodeTime(const google::protobuf::Timestamp& time,
                                      const std::string& path) {
  if (time.seconds() < 0 || time.seconds() > kMaxTimestampSeconds || time.nanos() < 0 ||
      time.nanos() > kMaxNanos) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": got ", time.seconds(), " s and ", time.nanos(),
                     " ns, must be a time from 1970 to 9999, with 0 to 999999999 ns"));
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

void EncodeTime(absl::Time time, google::protobuf::Timestamp& out) {
  const int64_t seconds =
      std::clamp(absl::ToUnixSeconds(time), kMinTimestampSeconds, kMaxTimestampSeconds);
  const int64_t nanos = absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds));
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int>(std::clamp<int64_t>(nanos, 0, kMaxNanos)));
}

void EncodeDuration(absl::Duration duration, google::protobuf::Duration& out) {
  const absl::Duration bounded =
      std::clamp(duration, -absl::Seconds(kMaxDurationSeconds), absl::Seconds(kMaxDurationSeconds));
  absl::Duration rest;
  out.set_seconds(absl::IDivDuration(bounded, absl::Seconds(1), &rest));
  out.set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(rest)));
}

absl::Status Under(const std::string& path, const absl::Status& status) {
  const std::string message(status.message());
  if (status.ok() || FieldPath(message).empty()) return status;
  return Reworded(status, absl::StrCat(path, ".", message));
}

}  // namespace emserve::server
