#include "core/families.h"

#include <array>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/latent/mixture.h"

namespace emserve {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::array kMixtureCapabilities = {"row_weights"sv, "restarts"sv,       "warm_start"sv,
                                             "time_budget"sv, "variance_floor"sv, "criteria"sv,
                                             "sampling"sv};
constexpr std::array kMixtureOutputs = {"labels"sv, "posteriors"sv, "log_densities"sv};

// The list. Order is that of EmissionOptions within MixtureOptions.
constexpr std::array kFamilies = {
    FamilyInfo{
        "gaussian_mixture",
        "Mixture of multivariate normals with full, tied, diagonal or spherical covariances.",
        kMixtureCapabilities, kMixtureOutputs},
};
static_assert(kFamilies.size() == std::variant_size_v<EmissionOptions>);

absl::Status WithPath(std::string_view path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(std::string(path), std::string(status.message())));
}

struct EmissionMaker {
  int num_components;
  const Summary& summary;
  const std::vector<std::string>& names;

  absl::StatusOr<std::unique_ptr<Emission>> operator()(const GaussianOptions& options) const {
    return MakeGaussian(options, num_components, summary, names);
  }
};

bool SameParts(const GaussianOptions& a, const GaussianOptions& b) {
  return a.covariance == b.covariance;
}

bool SameEmission(const EmissionOptions& a, const EmissionOptions& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&b](const auto& mine) { return SameParts(mine, std::get<std::decay_t<decltype(mine)>>(b)); },
      a);
}

absl::StatusOr<std::unique_ptr<Model>> MakeMixtureModel(const MixtureOptions& options,
                                                        const Summary& summary,
                                                        const std::vector<std::string>& names) {
  const int num_components = options.num_components;
  if (!(num_components >= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_components: got ", num_components, ", must be at least 1"));
  }
  if (num_components > summary.num_weighted_rows) {
    return absl::FailedPreconditionError(absl::StrCat(
        "num_components: got ", num_components, ", must be at most ", summary.num_weighted_rows,
        ", the number of rows with positive weight; use fewer components or more rows"));
  }
  absl::StatusOr<std::unique_ptr<Emission>> emission =
      std::visit(EmissionMaker{num_components, summary, names}, options.emission);
  if (!emission.ok()) {
    // Options are fields of the emission; columns are fields of the fit.
    const bool of_options = absl::IsInvalidArgument(emission.status());
    return WithPath(of_options ? "emission." : "", emission.status());
  }
  return MakeMixture(*std::move(emission));
}

}  // namespace

std::span<const FamilyInfo> Families() { return kFamilies; }

std::string_view FamilyName(const ModelOptions& options) {
  return kFamilies[std::get<MixtureOptions>(options).emission.index()].name;
}

bool SameStructure(const ModelOptions& a, const ModelOptions& b) {
  return SameEmission(std::get<MixtureOptions>(a).emission, std::get<MixtureOptions>(b).emission);
}

absl::StatusOr<std::unique_ptr<Model>> MakeModel(const ModelOptions& options,
                                                 const Summary& summary,
                                                 const std::vector<std::string>& names) {
  return MakeMixtureModel(std::get<MixtureOptions>(options), summary, names);
}

}  // namespace emserve
