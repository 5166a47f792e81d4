#include "core/emission/noise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/conditional_cells.h"
#include "core/em/scratch.h"

namespace emserve {
namespace {

// Whether a uniform density on [minimum, maximum] has ordinary numbers.
bool IsInterval(double minimum, double maximum) {
  return minimum < maximum && std::isfinite(maximum - minimum) &&
         std::isfinite(1 / (maximum - minimum));
}

class NoisePrepared final : public Emission::Prepared {
 public:
  NoisePrepared(const Emission& of, int num_columns)
      : inner(of.NewPrepared()),
        minimum(num_columns),
        maximum(num_columns),
        log_width(num_columns) {}

  const std::unique_ptr<Emission::Prepared> inner;
  std::vector<double> minimum;    // [D]
  std::vector<double> maximum;    // [D]
  std::vector<double> log_width;  // [D]
};

class NoiseWorkspace final : public Emission::Workspace {
 public:
  NoiseWorkspace(const Emission& of, int max_rows)
      : inner(of.NewWorkspace(max_rows)), max_rows_(max_rows) {}

  // What conditionals need, made when first asked for.
  struct Cells {
    Cells(const Emission& of, int max_rows)
        : mean(static_cast<int64_t>(of.num_columns()) * PaddedRows(max_rows)),
          variance(mean.size()),
          posterior(static_cast<int64_t>(of.num_components()) * PaddedRows(max_rows)),
          total(PaddedRows(max_rows)) {}
    Scratch mean;       // [D x stride]
    Scratch variance;   // [D x stride]
    Scratch posterior;  // [K x stride] given that the row is no noise
    Scratch total;      // [stride] posterior of that
  };
  Cells& ForCells(const Emission& of) {
    if (cells_ == nullptr) cells_ = std::make_unique<Cells>(of, max_rows_);
    return *cells_;
  }

  const std::unique_ptr<Emission::Workspace> inner;

 private:
  const int max_rows_;
  std::unique_ptr<Cells> cells_;
};

const NoisePrepared& Cast(const Emission::Prepared& prepared) {
  return static_cast<const NoisePrepared&>(prepared);
}
NoiseWorkspace& Cast(Emission::Workspace& workspace) {
  return static_cast<NoiseWorkspace&>(workspace);
}

class Noise final : public Emission {
 public:
  explicit Noise(std::unique_ptr<Emission> inner)
      : inner_(std::move(inner)),
        num_inner_(inner_->num_components()),
        num_columns_(inner_->num_columns()),
        num_inner_parameters_(inner_->parameters().size()) {
    parameters_.Append("", inner_->parameters());
    parameters_.Add("noise_minimum", {num_columns_}, false);
    parameters_.Add("noise_maximum", {num_columns_}, false);
    statistics_.Append("", inner_->statistics());
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return num_inner_ + 1; }
  int num_columns() const override { return num_columns_; }
  int64_t scratch_per_row() const override { return inner_->scratch_per_row(); }
  int num_seeds() const override { return inner_->num_seeds(); }
  bool starts_hard() const override { return inner_->starts_hard(); }
  bool has_distances() const override { return inner_->has_distances(); }
  // The box is not estimated.
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    return inner_->degrees_of_freedom({active.begin(), active.begin() + num_inner_});
  }

  absl::Status Constrain(Constraints constraints) override {
    if (!constraints.Slice(num_inner_parameters_, 2LL * num_columns_).empty()) {
      return absl::InvalidArgumentError(
          "constraints: got some on noise_minimum or noise_maximum, must be none: they are not "
          "estimated; start from given parameters to set them");
    }
    return inner_->Constrain(constraints.Slice(0, num_inner_parameters_));
  }

  bool checks_rows() const override { return inner_->checks_rows(); }
  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    return inner_->CheckRows(block, names);
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    return std::make_unique<NoisePrepared>(*inner_, num_columns_);
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<NoiseWorkspace>(*inner_, max_rows);
  }

  absl::Status Validate(std::span<const double> params) const override {
    if (absl::Status status = inner_->Validate(Inner(params)); !status.ok()) return status;
    for (int d = 0; d < num_columns_; ++d) {
      const double minimum = params[num_inner_parameters_ + d];
      const double maximum = params[num_inner_parameters_ + num_columns_ + d];
      if (IsInterval(minimum, maximum)) continue;
      return absl::InvalidArgumentError(absl::StrCat("noise_minimum[", d, "]: got ", minimum,
                                                     ", must be finite and less than ",
                                                     "noise_maximum[", d, "] = ", maximum));
    }
    return absl::OkStatus();
  }

  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    auto& mine = static_cast<NoisePrepared&>(prepared);
    for (int d = 0; d < num_columns_; ++d) {
      mine.minimum[d] = params[num_inner_parameters_ + d];
      mine.maximum[d] = params[num_inner_parameters_ + num_columns_ + d];
      if (!IsInterval(mine.minimum[d], mine.maximum[d])) {
        return absl::FailedPreconditionError(
            absl::StrCat("noise_minimum[", d, "]: got ", mine.minimum[d],
                         ", must be finite and less than noise_maximum[", d, "]"));
      }
      mine.log_width[d] = std::log(mine.maximum[d] - mine.minimum[d]);
    }
    return inner_->Prepare(Inner(params), *mine.inner);
  }

  void LogDensity(const Emission::Prepared& prepared, const Block& block, Workspace& workspace,
                  std::span<double> log_density) const override {
    const NoisePrepared& mine = Cast(prepared);
    inner_->LogDensity(*mine.inner, block, *Cast(workspace).inner, OfInner(log_density, block));
    double* const of_noise = log_density.data() + OfInner(log_density, block).size();
    std::fill_n(of_noise, block.stride, 0.0);
    for (int d = 0; d < num_columns_; ++d) {
      const double* const x = block.column(d);
      const double minimum = mine.minimum[d];
      const double maximum = mine.maximum[d];
      for (int i = 0; i < block.num_rows; ++i) {
        if (x[i] >= minimum && x[i] <= maximum) {
          of_noise[i] -= mine.log_width[d];
        } else if (!std::isnan(x[i])) {
          of_noise[i] = -std::numeric_limits<double>::infinity();
        }
      }
    }
  }

  void Accumulate(const Emission::Prepared& prepared, const Block& block,
                  std::span<const double> resp, Workspace& workspace,
                  std::span<double> stats) const override {
    inner_->Accumulate(*Cast(prepared).inner, block, OfInner(resp, block), *Cast(workspace).inner,
                       stats);
  }

  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    std::copy(params.begin() + num_inner_parameters_, params.end(),
              next.begin() + num_inner_parameters_);
    return inner_->Maximize(Inner(params), occupancy.first(num_inner_), stats, Inner(next),
                            context);
  }

  void Recenter(std::span<const double> params, std::span<const double> centre,
                std::span<const double> occupancy, std::span<double> stats) const override {
    inner_->Recenter(Inner(params), Inner(centre), occupancy.first(num_inner_), stats);
  }
  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const override {
    inner_->ExpectedStatistics(Inner(params), occupancy.first(num_inner_), stats);
  }
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> occupancy,
                            std::span<const double> stats,
                            std::span<const double> params) const override {
    return inner_->ExpectedLogDensity(Inner(centre), occupancy.first(num_inner_), stats,
                                      Inner(params));
  }
  double LogPrior(std::span<const double> params) const override {
    return inner_->LogPrior(Inner(params));
  }
  void Reference(const Summary& summary, std::span<double> params) const override {
    inner_->Reference(summary, Inner(params));
    std::copy(summary.minimum.begin(), summary.minimum.end(),
              params.begin() + num_inner_parameters_);
    std::copy(summary.maximum.begin(), summary.maximum.end(),
              params.begin() + num_inner_parameters_ + num_columns_);
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    const NoisePrepared& mine = Cast(prepared);
    if (component < num_inner_) {
      inner_->Sample(*mine.inner, component, random, row);
      return;
    }
    for (int d = 0; d < num_columns_; ++d) {
      row[d] = mine.minimum[d] + random.Uniform() * (mine.maximum[d] - mine.minimum[d]);
    }
  }

  void Conditional(const Emission::Prepared& prepared, const Block& block,
                   std::span<const double> posterior, Workspace& workspace, double* mean,
                   double* variance) const override {
    const NoisePrepared& mine = Cast(prepared);
    NoiseWorkspace& work = Cast(workspace);
    NoiseWorkspace::Cells& cells = work.ForCells(*inner_);
    std::fill_n(cells.total.data(), block.stride, 0.0);
    for (int k = 0; k < num_inner_; ++k) {
      for (int i = 0; i < block.stride; ++i) cells.total[i] += posterior[Row(k, block) + i];
    }
    for (int k = 0; k < num_inner_; ++k) {
      for (int i = 0; i < block.stride; ++i) {
        const double p = posterior[Row(k, block) + i];
        cells.posterior[Row(k, block) + i] = cells.total[i] > 0 ? p / cells.total[i] : 0;
      }
    }
    inner_->Conditional(
        *mine.inner, block,
        std::span<const double>(cells.posterior.data(), OfInner(posterior, block).size()),
        *work.inner, cells.mean.data(), cells.variance.data());
    ConditionalCells result(block, mean, variance);
    result.Add(cells.total.data(), cells.mean.data(), cells.variance.data());
    for (int d = 0; d < num_columns_; ++d) {
      const double width = mine.maximum[d] - mine.minimum[d];
      std::fill_n(cells.mean.data() + Row(d, block), block.stride, mine.minimum[d] + 0.5 * width);
      std::fill_n(cells.variance.data() + Row(d, block), block.stride, width * width / 12);
    }
    result.Add(posterior.data() + Row(num_inner_, block), cells.mean.data(), cells.variance.data());
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    inner_->ToUnconstrained(Inner(params), Inner(coordinates));
    std::fill(coordinates.begin() + num_inner_parameters_, coordinates.end(), 0.0);
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> params) const override {
    inner_->FromUnconstrained(Inner(coordinates), Inner(reference), Inner(params));
    std::copy(reference.begin() + num_inner_parameters_, reference.end(),
              params.begin() + num_inner_parameters_);
  }

 private:
  static int64_t Row(int k, const Block& block) { return static_cast<int64_t>(k) * block.stride; }
  std::span<double> Inner(std::span<double> params) const {
    return params.first(num_inner_parameters_);
  }
  std::span<const double> Inner(std::span<const double> params) const {
    return params.first(num_inner_parameters_);
  }
  // Of [components x stride] the inner components' part.
  std::span<double> OfInner(std::span<double> by_component, const Block& block) const {
    return by_component.first(Row(num_inner_, block));
  }
  std::span<const double> OfInner(std::span<const double> by_component, const Block& block) const {
    return by_component.first(Row(num_inner_, block));
  }

  const std::unique_ptr<Emission> inner_;
  const int num_inner_;
  const int num_columns_;
  const int64_t num_inner_parameters_;
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> WithNoise(std::unique_ptr<Emission> inner,
                                                    const Summary& summary,
                                                    const std::vector<std::string>& names) {
  if (!inner->has_distances()) {
    return absl::InvalidArgumentError(
        "noise: got an emission of cells that have no distances, must be one of numbers that have "
        "a density");
  }
  for (int d = 0; d < inner->num_columns(); ++d) {
    const double low = summary.minimum[d];
    const double high = summary.maximum[d];
    if (IsInterval(low, high)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "columns[", names[d], "]: got ",
        low <= high ? absl::StrCat("values from ", low, " to ", high) : std::string("no value"),
        ", must vary, by a width whose inverse is an ordinary number, where noise is uniform on "
        "the "
        "box of the data; leave the column out"));
  }
  return std::make_unique<Noise>(std::move(inner));
}

}  // namespace emserve
