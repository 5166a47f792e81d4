// Resource names: "datasets/{dataset}", "jobs/{job}", "models/{model}" and what hangs below them.
#ifndef EMSERVE_SERVER_NAMES_H_
#define EMSERVE_SERVER_NAMES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace emserve::server {

// InvalidArgument under `path` unless `id` is 1 to 63 of [a-z0-9-_.] and begins with a letter or
// digit.
absl::Status CheckId(std::string_view path, std::string_view id);
// Likewise, but it begins with a letter, so that an alias is never taken for a version.
absl::Status CheckAlias(std::string_view path, std::string_view alias);
// InvalidArgument under "request_id" for one of more than 128 bytes.
absl::Status CheckRequestId(std::string_view request_id);

// `text` for an error, in quotes: cut short and without bytes that could disturb a terminal or a
// log.
std::string Shown(std::string_view text);

// A fresh id "<prefix>-<12 random letters and digits>". Thread-safe.
std::string NewId(std::string_view prefix);

std::string DatasetName(std::string_view id);
std::string JobName(std::string_view id);
std::string ModelName(std::string_view id);
std::string ModelVersionName(std::string_view model, int64_t version);

// The id in "datasets/{dataset}" or "jobs/{job}"; InvalidArgument under `path` for anything else.
absl::StatusOr<std::string> ParseDatasetName(std::string_view path, std::string_view name);
absl::StatusOr<std::string> ParseJobName(std::string_view path, std::string_view name);
// The id in "models/{model}", nothing behind it.
absl::StatusOr<std::string> ParseModelName(std::string_view path, std::string_view name);

// "models/{model}", "models/{model}/versions/{version}" or "models/{model}@{alias}".
struct ModelReference {
  std::string model;
  std::optional<int64_t> version;  // >= 1
  std::string alias;               // empty: none
};
absl::StatusOr<ModelReference> ParseModelReference(std::string_view path, std::string_view name);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_NAMES_H_
