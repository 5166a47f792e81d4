// The one list of families: latent structures, emissions, their options and what each can do.
//
// Adding a family is one line here. The dispatch, the law tests, the benchmarks and the service's
// description of itself all follow from this list; no code past MakeModel knows which family it
// handles.
#ifndef EMSERVE_CORE_FAMILIES_H_
#define EMSERVE_CORE_FAMILIES_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/em/model.h"
#include "core/emission/gaussian.h"

namespace emserve {

using EmissionOptions = std::variant<GaussianOptions>;

struct MixtureOptions {
  int num_components = 1;  // >= 1 and at most the number of rows with positive weight
  EmissionOptions emission;
};

using ModelOptions = std::variant<MixtureOptions>;

// A row of the list, for people and for clients that adapt.
struct FamilyInfo {
  std::string_view name;                           // lower_snake, e.g. "gaussian_mixture"
  std::string_view summary;                        // one sentence
  std::span<const std::string_view> capabilities;  // lower_snake, e.g. "row_weights", "warm_start"
  std::span<const std::string_view> outputs;       // what prediction can return, e.g. "labels"
};

// All families this library was built with.
std::span<const FamilyInfo> Families();

// Name of the family that `options` describe, an entry of Families().
std::string_view FamilyName(const ModelOptions& options);

// Whether parameters of a model of `a` are parameters of a model of `b` too when their layouts
// agree: the same structure and emission with the same shape of its parts, whatever tunes the fit.
// Layouts alone do not tell: variances [2] may be of two components or of two columns.
bool SameStructure(const ModelOptions& a, const ModelOptions& b);

// Checks `options` against the data and builds the model. InvalidArgument or FailedPrecondition
// with the field path, relative to the options ("num_components: got 0, must be ...",
// "emission.ridge: ..."). `names` are the modelled columns' names, for messages.
absl::StatusOr<std::unique_ptr<Model>> MakeModel(const ModelOptions& options,
                                                 const Summary& summary,
                                                 const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_FAMILIES_H_
