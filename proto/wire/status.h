// The one mapping between absl::Status and status on the wire.
//
// An error travels as absl::Status with payloads under the type URLs below, which code without
// protobuf can write and read as plain text. Here they become the standard google.rpc details, and
// back.
#ifndef EMSERVE_PROTO_WIRE_STATUS_H_
#define EMSERVE_PROTO_WIRE_STATUS_H_

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace emserve {

// Payloads of an absl::Status, all UTF-8 text.
inline constexpr char kReasonPayload[] = "emserve.dev/reason";      // UPPER_SNAKE
inline constexpr char kFieldPayload[] = "emserve.dev/field";        // field path
inline constexpr char kResourcePayload[] = "emserve.dev/resource";  // "<type>\n<name>"
inline constexpr char kRetryPayload[] = "emserve.dev/retry_ms";     // decimal milliseconds
inline constexpr char kQuotaPayload[] = "emserve.dev/quota";        // subject of the quota
inline constexpr char kMetadataPayload[] = "emserve.dev/metadata";  // lines of "key=value"
inline constexpr char kRequestPayload[] = "emserve.dev/request";    // request id that is in the log

// Domain of every ErrorInfo.
inline constexpr char kErrorDomain[] = "emserve.dev";

// The head of a message of the form "<field path>: ...", e.g. "a.b[0].c"; empty if it has none.
// Inside brackets anything may stand, names of columns for instance.
std::string_view FieldPath(std::string_view message);

// A message or field path is cut to this many bytes: gRPC clients drop errors whose details exceed
// a few KiB.
inline constexpr size_t kMaxMessageBytes = 1024;

// The status with its details: always ErrorInfo (reason, by default the code's name), with
// BadRequest, PreconditionFailure, ResourceInfo, QuotaFailure, RetryInfo or RequestInfo where the
// payloads say more. The field path of an InvalidArgument or OutOfRange without payload is taken
// from a message of the form "<field path>: ...".
google::rpc::Status ToProto(const absl::Status& status);

// The inverse: the payloads are restored from the details, unknown details are dropped.
absl::Status FromProto(const google::rpc::Status& status);

// As ToProto, in the form gRPC sends (details in grpc-status-details-bin).
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace emserve

#endif  // EMSERVE_PROTO_WIRE_STATUS_H_
