#include "core/emission/gaussian.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/scratch.h"
#include "core/emission/covariance.h"

namespace emserve {
namespace {

// A component is empty when less than this share of an average row belongs to it: sums of
// posteriors that small no longer say where it is.
constexpr double kEmptyRows = 1e-10;

// A row of which a component has less than this share of an average row changes no digit of the
// component's sums (those of a component with fewer than kEmptyRows are not used). With clusters
// apart that is most rows: when at most one in kSparse is left, they are gathered first. Gathering
// costs a load per cell, so narrow tables do not gain.
constexpr double kNegligibleRow = 1e-24;
constexpr int kSparse = 4;
constexpr int kSparseColumns = 8;

// Standard deviations must be so that squares and their inverses are ordinary numbers.
constexpr double kSmallestVariance = 1e-280;
constexpr double kLargestVariance = 1e280;

// Parameters of one model: 16 GiB of doubles. Beyond it sizes are surely a mistake.
constexpr double kMaxParameters = 2147483648.0;

// A column counts as constant when its standard deviation is rounding of its values, relative to
// the largest.
constexpr double kConstantRelative = 1e-15;

class GaussianPrepared final : public Emission::Prepared {
 public:
  std::unique_ptr<Covariances::Prepared> covariances;
};

class GaussianWorkspace final : public Emission::Workspace {
 public:
  GaussianWorkspace(int64_t scratch_per_row, int max_rows, int num_columns)
      : scratch(scratch_per_row * PaddedRows(max_rows)),
        gathered_stride(PaddedRows(max_rows / kSparse)),
        gathered(static_cast<int64_t>(num_columns + 1) * gathered_stride),
        rows(max_rows) {}

  const Scratch scratch;
  const int64_t gathered_stride;
  const Scratch gathered;  // [D + 1 x stride] some rows of a block and their responsibilities
  std::vector<int> rows;   // which
};

const Covariances::Prepared& Cast(const Emission::Prepared& prepared) {
  return *static_cast<const GaussianPrepared&>(prepared).covariances;
}

class Gaussian final : public Emission {
 public:
  Gaussian(int num_components, const Summary& summary, std::unique_ptr<Covariances> covariances)
      : num_components_(num_components),
        num_columns_(static_cast<int>(summary.mean.size())),
        empty_occupancy_(kEmptyRows * summary.mean_weight()),
        negligible_(kNegligibleRow * summary.mean_weight()),
        covariances_(std::move(covariances)) {
    parameters_.Add("means", {num_components_, num_columns_});
    covariances_->AddParameters(parameters_);
    statistics_.Add("first", {num_components_, num_columns_});
    covariances_->AddStatistics(statistics_);
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return num_components_; }
  int num_columns() const override { return num_columns_; }
  int64_t scratch_per_row() const override {
    return covariances_->scratch_per_row() + (num_columns_ + 1) / kSparse;
  }
  int64_t degrees_of_freedom() const override {
    return num_means() + covariances_->degrees_of_freedom();
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    auto prepared = std::make_unique<GaussianPrepared>();
    prepared->covariances = covariances_->NewPrepared();
    return prepared;
  }

  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<GaussianWorkspace>(covariances_->scratch_per_row(), max_rows,
                                               num_columns_);
  }

  absl::Status Validate(std::span<const double> params) const override {
    for (int64_t i = 0; i < num_means(); ++i) {
      if (!std::isfinite(params[i])) {
        return absl::InvalidArgumentError(absl::StrCat("means[", i / num_columns_, ", ",
                                                       i % num_columns_, "]: got ", params[i],
                                                       ", must be finite"));
      }
    }
    return covariances_->Validate(OfCovariances(params));
  }

  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    return covariances_->Prepare(Means(params), OfCovariances(params),
                                 *static_cast<GaussianPrepared&>(prepared).covariances);
  }

  void LogDensity(const Emission::Prepared& prepared, const Block& block, Workspace& workspace,
                  std::span<double> log_density) const override {
    double* const scratch = static_cast<GaussianWorkspace&>(workspace).scratch.data();
    for (int k = 0; k < num_components_; ++k) {
      covariances_->LogDensity(Cast(prepared), k, block, scratch,
                               log_density.data() + Row(k, block));
    }
  }

  void Accumulate(const Emission::Prepared& prepared, const Block& block,
                  std::span<const double> resp, Workspace& workspace,
                  std::span<double> stats) const override {
    auto& work = static_cast<GaussianWorkspace&>(workspace);
    for (int k = 0; k < num_components_; ++k) {
      const double* const of_component = resp.data() + Row(k, block);
      double* const first = stats.data() + static_cast<int64_t>(k) * num_columns_;
      if (num_columns_ < kSparseColumns ||
          CountRelevant(of_component, block) > block.num_rows / kSparse) {
        covariances_->Accumulate(Cast(prepared), k, block, of_component, work.scratch.data(), first,
                                 OfCovariances(stats));
      } else {
        const Block gathered = Gather(of_component, block, work);
        covariances_->Accumulate(Cast(prepared), k, gathered, gathered.weights, work.scratch.data(),
                                 first, OfCovariances(stats));
      }
    }
  }

  // With n_k the occupancy and first_k = sum_i r_ik (x_i - mean_k): the new mean is mean_k +
  // first_k / n_k, and the covariances follow from the scatter about it.
  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    std::vector<double> effective(occupancy.begin(), occupancy.end());
    std::vector<double> shift(num_means());
    for (int k = 0; k < num_components_; ++k) {
      if (!(effective[k] > empty_occupancy_)) {
        context.repairs.push_back(
            {.reason = kComponentEmpty, .component = k, .amount = effective[k]});
        effective[k] = 0;
      }
      for (int64_t j = static_cast<int64_t>(k) * num_columns_; j < (k + 1LL) * num_columns_; ++j) {
        if (effective[k] > 0) shift[j] = stats[j] / effective[k];
        next[j] = params[j] + shift[j];
      }
    }
    return covariances_->Maximize({effective, shift, OfCovariances(stats)}, OfCovariances(params),
                                  OfCovariances(next), context);
  }

  double LogPrior(std::span<const double>) const override { return 0; }

  void Reference(const Summary& summary, std::span<double> params) const override {
    for (int k = 0; k < num_components_; ++k) {
      std::copy(summary.mean.begin(), summary.mean.end(),
                params.begin() + static_cast<int64_t>(k) * num_columns_);
    }
    covariances_->Reference(summary.variance, OfCovariances(params));
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    for (double& value : row) value = random.Normal();
    covariances_->Sample(Cast(prepared), component, row);
  }

 private:
  int CountRelevant(const double* responsibility, const Block& block) const {
    int count = 0;
    for (int i = 0; i < block.num_rows; ++i) count += responsibility[i] > negligible_;
    return count;
  }

  // The relevant rows of `block`, of which there are at most num_rows / kSparse, with their
  // responsibilities in the place of weights.
  Block Gather(const double* responsibility, const Block& block, GaussianWorkspace& work) const {
    int count = 0;
    for (int i = 0; i < block.num_rows; ++i) {
      work.rows[count] = i;
      count += responsibility[i] > negligible_;
    }
    const int stride = PaddedRows(count);
    const auto gather = [&](const double* from, double* to) {
      for (int j = 0; j < count; ++j) to[j] = from[work.rows[j]];
      std::fill(to + count, to + stride, 0.0);
    };
    double* const values = work.gathered.data();
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

  int64_t num_means() const { return static_cast<int64_t>(num_components_) * num_columns_; }
  static int64_t Row(int k, const Block& block) { return static_cast<int64_t>(k) * block.stride; }
  std::span<const double> Means(std::span<const double> params) const {
    return params.first(num_means());
  }
  std::span<double> OfCovariances(std::span<double> buffer) const {
    return buffer.subspan(num_means());
  }
  std::span<const double> OfCovariances(std::span<const double> buffer) const {
    return buffer.subspan(num_means());
  }

  const int num_components_;
  const int num_columns_;
  const double empty_occupancy_;
  const double negligible_;
  const std::unique_ptr<Covariances> covariances_;
  Layout parameters_;
  Layout statistics_;
};

// "<what was got>, must <constraint>; <remedy>" of a column without spread; empty if it has one.
std::string WhyConstant(const Summary& summary, size_t column) {
  const double low = summary.minimum[column];
  const double high = summary.maximum[column];
  const double variance = summary.variance[column];
  if (!(low < high)) return absl::StrCat(low, " in every row, must vary; leave the column out");
  const double size = std::max(std::abs(low), std::abs(high));
  const double rounding = kConstantRelative * size;
  // The squares of smaller values underflow and say nothing about the spread.
  if (size * size >= kSmallestVariance && !(std::sqrt(variance) > rounding)) {
    return absl::StrCat("values of about ", summary.mean[column],
                        " that vary by no more than their rounding (about ", rounding,
                        "), must vary by more; subtract a constant from the column");
  }
  if (!(variance >= kSmallestVariance)) {
    return absl::StrCat("a variance of ", variance, ", must be at least ", kSmallestVariance,
                        "; rescale the column");
  }
  return "";
}

// Spherical covariances live with constant columns as long as one column varies.
absl::Status CheckColumns(bool spherical, const Summary& summary,
                          const std::vector<std::string>& names) {
  const size_t num_columns = summary.mean.size();
  size_t constant = 0;
  for (size_t c = 0; c < num_columns; ++c) {
    if (const std::string why = WhyConstant(summary, c); !why.empty()) {
      ++constant;
      if (spherical && constant < num_columns) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("columns[", names[c], "]: got ", why,
                       num_columns > 1 && !spherical ? " or use a spherical covariance" : ""));
    }
    if (const double variance = summary.variance[c]; !(variance <= kLargestVariance)) {
      return absl::FailedPreconditionError(
          absl::StrCat("columns[", names[c], "]: got a variance of ", variance,
                       ", must be at most ", kLargestVariance, "; rescale the column"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeGaussian(const GaussianOptions& options,
                                                       int num_components, const Summary& summary,
                                                       const std::vector<std::string>& names) {
  if (!(options.ridge >= 0 && options.ridge < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("ridge: got ", options.ridge, ", must be in [0, 1)"));
  }
  const bool spherical = options.covariance == Covariance::kSpherical ||
                         options.covariance == Covariance::kTiedSpherical;
  if (absl::Status status = CheckColumns(spherical, summary, names); !status.ok()) return status;
  const int num_columns = static_cast<int>(summary.mean.size());
  std::unique_ptr<Covariances> covariances = MakeCovariances(
      options.covariance, num_components, num_columns, {options.ridge, summary.variance});
  if (covariances == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("covariance: got ",
                                                   static_cast<int>(options.covariance),
                                                   ", must be one of the covariance structures"));
  }
  const double size =
      static_cast<double>(num_components) * num_columns + covariances->num_parameters();
  if (!(size <= kMaxParameters)) {
    return absl::InvalidArgumentError(
        absl::StrCat("covariance: got one that has ", size, " parameters with ", num_components,
                     " components and ", num_columns, " columns, must have at most ",
                     kMaxParameters, "; use fewer components or a simpler covariance"));
  }
  return std::make_unique<Gaussian>(num_components, summary, std::move(covariances));
}

}  // namespace emserve
