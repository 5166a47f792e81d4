#include "server/jobs/warm_start.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/families.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

absl::Status OfOther(const ModelVersion& version, const std::string& what) {
  return InvalidArgument("start.model", absl::StrCat("got ", version.name(), ", ", what));
}

// Codes of categories mean what the levels of their column say; between numbers and counts there is
// no difference to a model.
absl::Status CheckColumns(const ModelVersion& version, const FitData& data) {
  if (version.column_names() != data.layout.names) {
    return OfOther(version,
                   "a model of other columns, must be one of the same columns in the same order");
  }
  for (size_t c = 0; c < data.columns.size(); ++c) {
    const ColumnSchema& theirs = version.columns[c];
    const ColumnSchema& ours = data.columns[c];
    const bool categories = ours.kind == ColumnKind::kCategorical;
    if (categories != (theirs.kind == ColumnKind::kCategorical)) {
      return OfOther(
          version,
          absl::StrCat("to which column \"", ours.name, "\" is ",
                       categories ? "numbers" : "categories", ", must be one to which it is ",
                       categories ? "categories" : "numbers", ", as in the data"));
    }
    if (ours.levels == theirs.levels) continue;
    return OfOther(version, absl::StrCat("to which column \"", ours.name,
                                         "\" has other levels than in the data, must be one with "
                                         "the same levels in the same order"));
  }
  return absl::OkStatus();
}

absl::Status CheckFamily(const ModelVersion& version, const FitRequest& request) {
  if (FamilyName(version.options) == FamilyName(request.model)) return absl::OkStatus();
  return OfOther(version, absl::StrCat("a ", std::string(FamilyName(version.options)),
                                       ", must be a ", std::string(FamilyName(request.model))));
}

// "transitions [3, 3]".
std::string Shaped(const ArraySpec& array) {
  return absl::StrCat(array.name, " [", absl::StrJoin(array.shape, ", "), "]");
}

// Whether `version` has parameters of `model`.
absl::Status CheckParameters(const ModelVersion& version, const Model& model,
                             const FitRequest& request) {
  const auto same = [](const ArraySpec& a, const ArraySpec& b) {
    return a.name == b.name && a.shape == b.shape;
  };
  const std::vector<ArraySpec>& theirs = version.predictor->model().parameters().arrays();
  const std::vector<ArraySpec>& ours = model.parameters().arrays();
  const auto [their, our] =
      std::mismatch(theirs.begin(), theirs.end(), ours.begin(), ours.end(), same);
  if (their != theirs.end() || our != ours.end()) {
    return OfOther(version,
                   absl::StrCat("a model with other parameters: ",
                                their == theirs.end() ? "no more arrays" : Shaped(*their),
                                ", must be ", our == ours.end() ? "no more arrays" : Shaped(*our),
                                ", as of the model to fit"));
  }
  if (SameStructure(version.options, request.model)) return absl::OkStatus();
  return OfOther(version,
                 "a model whose parameters mean something else, must have the same structure, "
                 "levels and shared parts as the model to fit");
}

// What `version` counts for in an update: as many observations as it was fitted to, its own past
// included, or as many as the update says, in sequences as long as those were. An imported one may
// say anything.
absl::StatusOr<Past> PastOf(const ModelVersion& version, const UpdateRequest& update) {
  const FitReport& report = *version.report;
  const double observations = report.criteria.num_observations + report.past.num_observations;
  const double sequences = report.criteria.num_sequences + report.past.num_sequences;
  const bool counts = observations > 0 && std::isfinite(observations);
  if (!counts && !update.weight.has_value()) {
    return InvalidArgument(
        "update.weight", absl::StrCat("got none, and ", version.name(), " counts for ",
                                      observations, " observations, must be positive and finite"));
  }
  Past past{.num_observations = update.weight.value_or(observations)};
  const double scaled = sequences * (past.num_observations / observations);
  if (counts && scaled > 0 && std::isfinite(scaled)) past.num_sequences = scaled;
  return past;
}

}  // namespace

absl::StatusOr<WarmStart> FindWarmStart(const FitRequest& request, const Model& model,
                                        const FitData& data, const ModelRegistry& registry) {
  WarmStart start;
  if (request.start_parameters != nullptr) {
    absl::StatusOr<std::vector<double>> given = request.start_parameters(model.parameters());
    if (!given.ok()) return given.status();
    start.theta = *std::move(given);
    const absl::Status status = model.Validate(start.theta);
    if (status.ok()) return start;
    return Reworded(status, absl::StrCat("start.parameters.", std::string(status.message())));
  }
  const absl::StatusOr<ResolvedVersion> resolved =
      registry.Resolve("start.model", request.start_model);
  if (!resolved.ok()) return resolved.status();
  const ModelVersion& version = *resolved->version;
  absl::Status status = CheckFamily(version, request);
  if (status.ok()) status = CheckColumns(version, data);
  if (status.ok()) status = CheckParameters(version, model, request);
  if (!status.ok()) return status;
  if (status = model.Validate(version.theta); !status.ok()) {
    return Reworded(status, absl::StrCat("start.model: ", std::string(status.message())));
  }
  start.theta = version.theta;
  start.version = version.name();
  start.model_id = version.model;
  if (!request.update.has_value()) return start;
  const absl::StatusOr<Past> past = PastOf(version, *request.update);
  if (!past.ok()) return past.status();
  start.past = *past;
  return start;
}

}  // namespace emserve::server
