#include "core/distribution/elliptical.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/components.h"

namespace emserve {
namespace {

// A row of which a component has less than this share of an average row changes no digit of the
// component's sums (those of a component with fewer than kEmptyRows are not used). With clusters
// apart that is most rows: when at most one in kSparse is left, they are gathered first. Gathering
// costs a load per cell, so narrow tables do not gain.
constexpr double kNegligibleRow = 1e-24;
constexpr int kSparse = 4;
constexpr int kSparseColumns = 8;

int64_t SizeAdded(void (Covariances::*add)(Layout&) const, const Covariances& covariances) {
  Layout layout;
  (covariances.*add)(layout);
  return layout.size();
}

}  // namespace

EllipticalWorkspace::EllipticalWorkspace(const Covariances& covariances, int num_columns,
                                         int max_rows)
    : scratch(covariances.scratch_per_row() * PaddedRows(max_rows)),
      gathered((num_columns + 1LL) * PaddedRows(max_rows / kSparse)),
      rows(max_rows) {}

EllipticalWorkspace::Missing::Missing(const Covariances& covariances, int num_columns, int max_rows)
    : completed(static_cast<int64_t>(num_columns) * PaddedRows(max_rows)),
      variance(completed.size()),
      log_determinants(PaddedRows(max_rows)),
      num_observed(PaddedRows(max_rows)),
      of_covariances(covariances.NewMissingWorkspace(max_rows)) {}

EllipticalWorkspace::Missing& EllipticalWorkspace::ForMissing(const Covariances& covariances,
                                                              const Block& block) {
  if (missing_ == nullptr) {
    missing_ =
        std::make_unique<Missing>(covariances, block.num_columns, static_cast<int>(rows.size()));
  }
  missing_->patterns.Find(block);
  std::fill_n(missing_->num_observed.data(), block.stride, 0.0);
  for (int p = 0; p < missing_->patterns.size(); ++p) {
    for (const int i : missing_->patterns.rows(p)) {
      missing_->num_observed[i] = static_cast<double>(missing_->patterns.observed(p).size());
    }
  }
  return *missing_;
}

absl::StatusOr<EllipticalComponents> EllipticalComponents::Make(
    const EllipticalOptions& options, int num_components, const Summary& summary,
    const std::vector<std::string>& names) {
  if (absl::Status status = CheckRidge(options.ridge); !status.ok()) return status;
  absl::StatusOr<std::vector<double>> spread = CheckSpread(
      IsSpherical(options.covariance), options.prior ? &*options.prior : nullptr, summary, names);
  if (!spread.ok()) return spread.status();
  const int num_columns = static_cast<int>(summary.mean.size());
  std::unique_ptr<Covariances> covariances =
      MakeCovariances(options.covariance, num_components, num_columns, {options.ridge, *spread});
  if (covariances == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("covariance: got ",
                                                   static_cast<int>(options.covariance),
                                                   ", must be one of the covariance structures"));
  }
  const double size = static_cast<double>(num_components) * num_columns +
                      covariances->num_parameters() + options.other_parameters;
  if (!(size <= kMaxParameters)) {
    return absl::InvalidArgumentError(
        absl::StrCat("covariance: got one that has ", size, " parameters with ", num_components,
                     " components and ", num_columns, " columns, must have at most ",
                     kMaxParameters, "; use fewer components or a simpler covariance"));
  }
  std::optional<EllipticalPrior> prior;
  if (options.prior) {
    absl::StatusOr<EllipticalPrior> resolved =
        ResolvePrior(*options.prior, num_components, summary);
    if (!resolved.ok()) return resolved.status();
    prior = *std::move(resolved);
  }
  return EllipticalComponents(num_components, summary, *std::move(spread), std::move(covariances),
                              std::move(prior));
}

EllipticalComponents::EllipticalComponents(int num_components, const Summary& summary,
                                           std::vector<double> spread,
                                           std::unique_ptr<Covariances> covariances,
                                           std::optional<EllipticalPrior> prior)
    : num_components_(num_components),
      num_columns_(static_cast<int>(summary.mean.size())),
      mean_weight_(summary.mean_weight()),
      spread_(std::move(spread)),
      covariances_(std::move(covariances)),
      prior_(std::move(prior)),
      num_parameters_(num_means() + SizeAdded(&Covariances::AddParameters, *covariances_)),
      num_statistics_(num_means() + SizeAdded(&Covariances::AddStatistics, *covariances_)) {}

int64_t EllipticalComponents::scratch_per_row() const {
  return covariances_->scratch_per_row() + (num_columns_ + 1) / kSparse;
}

int64_t EllipticalComponents::degrees_of_freedom(const std::vector<bool>& active) const {
  return NumFree(constraints_, num_columns_, active) + covariances_->degrees_of_freedom(active);
}

void EllipticalComponents::AddParameters(Layout& parameters) const {
  parameters.Add("means", {num_components_, num_columns_});
  covariances_->AddParameters(parameters);
}

void EllipticalComponents::AddStatistics(Layout& statistics) const {
  statistics.Add("first", {num_components_, num_columns_});
  covariances_->AddStatistics(statistics);
}

absl::Status EllipticalComponents::Constrain(const Constraints& constraints) {
  constraints_ = constraints.Slice(0, num_means());
  return covariances_->Constrain(constraints.Slice(num_means(), num_parameters_ - num_means()));
}

absl::Status EllipticalComponents::Validate(std::span<const double> params) const {
  for (int64_t i = 0; i < num_means(); ++i) {
    if (!std::isfinite(params[i])) {
      return absl::InvalidArgumentError(absl::StrCat("means[", i / num_columns_, ", ",
                                                     i % num_columns_, "]: got ", params[i],
                                                     ", must be finite"));
    }
  }
  return covariances_->Validate(OfCovariances(params));
}

absl::Status EllipticalComponents::Prepare(std::span<const double> params,
                                           Covariances::Prepared& prepared) const {
  return covariances_->Prepare(Means(params), OfCovariances(params), prepared);
}

void EllipticalComponents::Reference(const Summary& summary, std::span<double> params) const {
  for (int k = 0; k < num_components_; ++k) {
    std::copy(summary.mean.begin(), summary.mean.end(),
              params.begin() + static_cast<int64_t>(k) * num_columns_);
  }
  constraints_.Apply(params);
  covariances_->Reference(spread_, OfCovariances(params));
}

double EllipticalComponents::LogPrior(std::span<const double> params) const {
  return prior_ ? LogPriorOf(*prior_, *covariances_, params.first(num_parameters_), num_components_)
                : 0;
}

void EllipticalComponents::ToUnconstrained(std::span<const double> params,
                                           std::span<double> coordinates) const {
  std::copy_n(params.begin(), num_means(), coordinates.begin());
  covariances_->ToUnconstrained(OfCovariances(params), OfCovariances(coordinates));
}

void EllipticalComponents::FromUnconstrained(std::span<const double> coordinates,
                                             std::span<const double> reference,
                                             std::span<double> params) const {
  std::copy_n(coordinates.begin(), num_means(), params.begin());
  constraints_.Apply(params);
  covariances_->FromUnconstrained(OfCovariances(coordinates), OfCovariances(reference),
                                  OfCovariances(params));
}

std::vector<double> EllipticalComponents::Effective(std::span<const double> occupancy,
                                                    const MaximizeContext& context) const {
  std::vector<double> effective(occupancy.begin(), occupancy.end());
  const std::vector<char> empty = FindEmpty(occupancy, kEmptyRows * mean_weight_, context.repairs);
  for (int k = 0; k < num_components_; ++k) {
    if (empty[k]) effective[k] = 0;
  }
  return effective;
}

absl::Status EllipticalComponents::Maximize(std::span<const double> effective,
                                            std::span<const double> weights,
                                            std::span<const double> params,
                                            std::span<const double> stats, std::span<double> next,
                                            const MaximizeContext& context) const {
  return MaximizeElliptical(*covariances_,
                            {.exponents = effective,
                             .weights = weights,
                             .first = stats.first(num_means()),
                             .scatter = Scatter(stats)},
                            prior_ ? &*prior_ : nullptr, constraints_,
                            params.first(num_parameters_), next.first(num_parameters_), context);
}

void EllipticalComponents::Recenter(std::span<const double> params, std::span<const double> centre,
                                    std::span<const double> weights,
                                    std::span<double> stats) const {
  RecenterElliptical(*covariances_, Means(params), Means(centre), weights, stats.first(num_means()),
                     Scatter(stats));
}

void EllipticalComponents::ExpectedStatistics(std::span<const double> params,
                                              std::span<const double> occupancy,
                                              std::span<double> stats) const {
  std::fill_n(stats.begin(), num_statistics_, 0.0);
  covariances_->AddCovariances(OfCovariances(params), occupancy, Scatter(stats));
}

double EllipticalComponents::ExpectedLogDensity(std::span<const double> centre,
                                                std::span<const double> occupancy,
                                                std::span<const double> weights,
                                                std::span<const double> stats,
                                                std::span<const double> params) const {
  std::vector<double> recentred(stats.begin(), stats.begin() + num_statistics_);
  Recenter(centre, params, weights, recentred);
  return covariances_->ExpectedLogDensity(occupancy, Scatter(std::span<const double>(recentred)),
                                          OfCovariances(params));
}

bool EllipticalComponents::IsSparse(const double* responsibility, const Block& block) const {
  if (num_columns_ < kSparseColumns) return false;
  const double negligible = kNegligibleRow * mean_weight_;
  int count = 0;
  for (int i = 0; i < block.num_rows; ++i) count += responsibility[i] > negligible;
  return count <= block.num_rows / kSparse;
}

Block EllipticalComponents::Gather(const double* responsibility, const Block& block,
                                   EllipticalWorkspace& workspace) const {
  const double negligible = kNegligibleRow * mean_weight_;
  std::vector<int>& rows = workspace.rows;
  int count = 0;
  for (int i = 0; i < block.num_rows; ++i) {
    rows[count] = i;
    count += responsibility[i] > negligible;
  }
  const int stride = PaddedRows(count);
  const auto gather = [&](const double* from, double* to) {
    for (int j = 0; j < count; ++j) to[j] = from[rows[j]];
    std::fill(to + count, to + stride, 0.0);
  };
  double* const values = workspace.gathered.data();
  double* const weights = values + static_cast<int64_t>(num_columns_) * stride;
  for (int c = 0; c < num_columns_; ++c) {
    gather(block.column(c), values + static_cast<int64_t>(c) * stride);
  }
  gather(responsibility, weights);
  return {.first_row = block.first_row,
          .num_rows = count,
          .stride = stride,
          .num_columns = num_columns_,
          .values = values,
          .weights = weights};
}

}  // namespace emserve
