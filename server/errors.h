// The errors of the server's domain: absl::Status whose details travel as plain text payloads.
//
// The domain knows no protobuf; proto/wire/status.h turns these payloads into google.rpc details.
// Messages have the form "<field path>: got <value>, must be <constraint>[; <remedy>]". Paths are
// relative to the request that the domain sees; whoever calls it puts its own path in front, so the
// path stands in the message alone and not in a payload.
#ifndef EMSERVE_SERVER_ERRORS_H_
#define EMSERVE_SERVER_ERRORS_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace emserve::server {

// Types of resources, as they stand in errors.
inline constexpr char kDatasetType[] = "emserve.dev/Dataset";
inline constexpr char kJobType[] = "emserve.dev/Job";
inline constexpr char kModelType[] = "emserve.dev/Model";
inline constexpr char kModelVersionType[] = "emserve.dev/ModelVersion";

// INVALID_ARGUMENT "<path>: <description>".
absl::Status InvalidArgument(std::string_view path, std::string_view description);

// NOT_FOUND "<name>: not found", with the resource.
absl::Status NotFound(std::string_view resource_type, std::string_view name);

// ALREADY_EXISTS "<name>: exists already", with the resource.
absl::Status AlreadyExists(std::string_view resource_type, std::string_view name);

// FAILED_PRECONDITION with the reason (UPPER_SNAKE) and the resource whose state forbids it.
absl::Status FailedPrecondition(std::string_view reason, std::string_view resource_type,
                                std::string_view name, std::string_view description);

// RESOURCE_EXHAUSTED with the reason, the limit that is full (its flag's name, lower_snake) and
// when to try again; a zero delay means that waiting does not help.
absl::Status ResourceExhausted(std::string_view reason, std::string_view limit,
                               std::string_view description, absl::Duration retry_delay);

// `status` with a detail more. OK stays OK.
absl::Status WithReason(absl::Status status, std::string_view reason);
absl::Status WithResource(absl::Status status, std::string_view resource_type,
                          std::string_view name);
absl::Status WithMetadata(absl::Status status, std::string_view key, std::string_view value);
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);

// `status` with another message; code and details are kept.
absl::Status Reworded(const absl::Status& status, std::string_view message);

// The head "<field path>" of a message "<field path>: ..."; all of one that has none.
std::string_view PathOf(std::string_view message);

// The reason of `status`; empty if it has none.
std::string ReasonOf(const absl::Status& status);
// The value of a metadata key of `status`.
std::optional<std::string> MetadataOf(const absl::Status& status, std::string_view key);
// How long `status` says to wait before trying again.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_ERRORS_H_
