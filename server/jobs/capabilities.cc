#include "server/jobs/capabilities.h"

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/families.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

// A choice in a request, what a family needs for it, and what to say to a family without.
struct Demand {
  bool (*is_made)(const FitRequest& request, const FitData& data);
  const char* capability;
  const char* field;
  const char* choice;
  const char* instead;
};

template <Algorithm algorithm>
bool Climbs(const FitRequest& request, const FitData&) {
  return request.options.algorithm == algorithm;
}
template <StartMethod start>
bool Starts(const FitRequest& request, const FitData&) {
  return request.options.start == start;
}
template <CollapsePolicy policy>
bool Collapses(const FitRequest& request, const FitData&) {
  return request.options.collapse == policy;
}

constexpr char kOtherStarts[] = "AUTO, RANDOM_ROWS, RANDOM_RESPONSIBILITIES or SHORT_RUNS";
constexpr Demand kDemands[] = {
    {Climbs<Algorithm::kClassificationEm>, "classification_em", "variant.algorithm",
     "CLASSIFICATION_EM", "EM"},
    {Climbs<Algorithm::kStochasticEm>, "stochastic_em", "variant.algorithm", "STOCHASTIC_EM", "EM"},
    {Climbs<Algorithm::kAnnealedEm>, "annealed_em", "variant.algorithm", "ANNEALED_EM", "EM"},
    {Climbs<Algorithm::kStepwiseEm>, "stepwise_em", "variant.algorithm", "STEPWISE_EM", "EM"},
    {Collapses<CollapsePolicy::kFail>, "collapse_policy", "collapse", "FAIL", "RIDGE"},
    {Collapses<CollapsePolicy::kRespawn>, "collapse_policy", "collapse", "RESPAWN", "RIDGE"},
    {Collapses<CollapsePolicy::kDrop>, "collapse_policy", "collapse", "DROP", "RIDGE"},
    {Starts<StartMethod::kKMeansPlusPlus>, "distance_starts", "start.method", "KMEANS_PLUS_PLUS",
     kOtherStarts},
    {Starts<StartMethod::kKMeans>, "distance_starts", "start.method", "KMEANS", kOtherStarts},
    {Starts<StartMethod::kKMeansParallel>, "distance_starts", "start.method", "KMEANS_PARALLEL",
     kOtherStarts},
    {Starts<StartMethod::kAgglomerative>, "distance_starts", "start.method", "AGGLOMERATIVE",
     kOtherStarts},
    {Starts<StartMethod::kGiven>, "warm_start", "start", "a given start", "a method"},
    {Starts<StartMethod::kResponsibilities>, "warm_start", "start", "a given start", "a method"},
    {[](const FitRequest& r, const FitData&) { return r.update.has_value(); }, "update", "update",
     "one", "absent"},
    {[](const FitRequest& r, const FitData&) {
       return r.options.acceleration != Acceleration::kNone;
     },
     "acceleration", "acceleration", "one", "NONE"},
    {[](const FitRequest& r, const FitData&) { return r.storage == Storage::kFloat32; },
     "float32_storage", "storage", "FLOAT32", "FLOAT64"},
    {[](const FitRequest&, const FitData& data) { return data.layout.weight_column.has_value(); },
     "row_weights", "weight_column", "one", "absent"},
    {[](const FitRequest&, const FitData& data) { return data.layout.label_column.has_value(); },
     "labels", "label_column", "one", "absent"},
    {[](const FitRequest&, const FitData& data) {
       return !data.layout.plausibility_columns.empty();
     },
     "labels", "plausibility_columns", "some", "absent"},
    {[](const FitRequest&, const FitData& data) { return data.layout.sequences != nullptr; },
     "sequences", "sequences", "some", "absent"},
};

}  // namespace

absl::Status CheckCapabilities(const FitRequest& request, const FitData& data, const Model& model) {
  const std::string_view family = FamilyName(request.model);
  for (const Demand& demand : kDemands) {
    if (!demand.is_made(request, data)) continue;
    const std::string_view capability = demand.capability;
    // A product has distances if all its parts have.
    const bool has = HasCapability(family, capability) &&
                     (capability != "distance_starts" || model.has_distances());
    if (has) continue;
    return InvalidArgument(
        demand.field,
        absl::StrCat("got ", demand.choice, " with ", std::string(family), ", which has no ",
                     demand.capability, "; must be ", demand.instead));
  }
  return absl::OkStatus();
}

}  // namespace emserve::server
