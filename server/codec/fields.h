// Small fields that many messages share: enums, durations and times, with their field paths in
// errors.
#ifndef EMSERVE_SERVER_CODEC_FIELDS_H_
#define EMSERVE_SERVER_CODEC_FIELDS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/generated_enum_reflection.h"
#include "google/protobuf/timestamp.pb.h"

namespace emserve::server {

// InvalidArgument "<path>: got <value>, must be one of <the enum's values but unspecified>".
absl::Status UnknownEnum(const std::string& path, const google::protobuf::EnumDescriptor& type,
                         int value);

// What a field of an enum means, by a table of pairs of values on the wire and in core; 0, the
// unspecified value, leaves `out` as it is. InvalidArgument as UnknownEnum.
template <typename Table, typename Wire, typename Core>
absl::Status DecodeEnum(const Table& table, Wire value, const std::string& path, Core& out) {
  if (static_cast<int>(value) == 0) return absl::OkStatus();
  for (const auto& [wire, core] : table) {
    if (wire != value) continue;
    out = core;
    return absl::OkStatus();
  }
  return UnknownEnum(path, *google::protobuf::GetEnumDescriptor<Wire>(), value);
}

// The inverse; the unspecified value for what the table does not have.
template <typename Table, typename Core>
auto EncodeEnum(const Table& table, Core value) {
  for (const auto& [wire, core] : table) {
    if (core == value) return wire;
  }
  return static_cast<decltype(table[0].first)>(0);
}

// A positive duration; InvalidArgument for one that is zero, negative or malformed.
absl::StatusOr<absl::Duration> DecodePositiveDuration(const google::protobuf::Duration& duration,
                                                      const std::string& path);

// A time after 1970; InvalidArgument for one that is malformed.
absl::StatusOr<absl::Time> DecodeTime(const google::protobuf::Timestamp& time,
                                      const std::string& path);

// `time` in whole nanoseconds; times outside the years 1 to 9999 are clamped to them.
void EncodeTime(absl::Time time, google::protobuf::Timestamp& out);
void EncodeDuration(absl::Duration duration, google::protobuf::Duration& out);

// `status` with `path` and a dot put before the field path that its message begins with; a status
// without such a path is returned as it is. Payloads are kept.
absl::Status Under(const std::string& path, const absl::Status& status);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_FIELDS_H_
