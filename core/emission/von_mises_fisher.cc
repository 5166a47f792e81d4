#include "core/emission/von_mises_fisher.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/components.h"
#include "core/distribution/conditional_cells.h"
#include "core/distribution/whole_rows.h"
#include "core/em/scratch.h"
#include "core/emission/concentration.h"
#include "core/emission/directions.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

// Up to this concentration A(kappa) / kappa is 1 / D to more digits than 1 - (1 - A(kappa)) has.
constexpr double kNearlyUniform = 1e-6;

class VonMisesFisherPrepared final : public Emission::Prepared {
 public:
  VonMisesFisherPrepared(int num_components, int num_columns)
      : directions(static_cast<size_t>(num_components) * num_columns),
        concentrations(num_components),
        log_peaks(num_components),
        ones(num_columns, 1.0) {}

  std::vector<double> directions;      // [K, D], of length 1 but for rounding
  std::vector<double> concentrations;  // [K]
  std::vector<double> log_peaks;       // [K] log density at the mean direction
  std::vector<double> ones;            // [D], the scale of squared distances
};

class VonMisesFisherWorkspace final : public Emission::Workspace {
 public:
  VonMisesFisherWorkspace(int max_rows, int num_columns)
      : inverse_length(PaddedRows(max_rows)),
        excess(inverse_length.size()),
        scaled(inverse_length.size()),
        rows(max_rows),
        unused(num_columns) {}

  const Scratch inverse_length;  // [stride] 1 / |x|; 0 for a row without direction
  const Scratch excess;          // [stride] |x| - 1
  const Scratch scaled;          // [stride] responsibilities divided by |x|
  WholeRows rows;
  std::vector<double> unused;  // [D]
};

const VonMisesFisherPrepared& Cast(const Emission::Prepared& prepared) {
  return static_cast<const VonMisesFisherPrepared&>(prepared);
}

class VonMisesFisher final : public Emission {
 public:
  VonMisesFisher(VonMisesFisherOptions options, int num_components, const Summary& summary)
      : num_components_(num_components),
        num_columns_(static_cast<int>(summary.mean.size())),
        num_concentrations_(options.shared_concentration ? 1 : num_components),
        empty_occupancy_(kEmptyRows * summary.mean_weight()),
        prior_mean_(std::move(options.prior_mean)),
        prior_strength_(options.prior_strength) {
    parameters_.Add("mean_directions", {num_components_, num_columns_});
    parameters_.Add("concentrations", {num_concentrations_}, !options.shared_concentration);
    statistics_.Add("first", {num_components_, num_columns_});
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return num_components_; }
  int num_columns() const override { return num_columns_; }
  int64_t scratch_per_row() const override { return 3; }

  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    int64_t count = 0;
    for (int k = 0; k < num_components_; ++k) {  // fixed as wholes, never tied
      if (active[k] && !constraints_.IsFixed(Cell(k, 0))) count += num_columns_ - 1;
    }
    const Constraints of_concentrations = constraints_.Slice(num_cells(), num_concentrations_);
    return count + (num_concentrations_ < num_components_ ? of_concentrations.NumFree()
                                                          : NumFree(of_concentrations, 1, active));
  }

  absl::Status Constrain(Constraints constraints) override {
    absl::Status status =
        CheckDirectionConstraints(constraints.Slice(0, num_cells()), num_columns_);
    if (!status.ok()) return status;
    for (int j = 0; j < num_concentrations_; ++j) {
      if (!constraints.IsFixed(num_cells() + j)) continue;
      const double value = constraints.value(num_cells() + j);
      if (value >= 0 && value <= kMaxConcentration) continue;
      return absl::InvalidArgumentError(absl::StrCat("constraints: got concentrations[", j,
                                                     "] fixed at ", value, ", must be in [0, ",
                                                     kMaxConcentration, "]"));
    }
    constraints_ = std::move(constraints);
    return absl::OkStatus();
  }

  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    for (int i = 0; i < block.num_rows; ++i) {
      if (!(block.weights[i] > 0)) continue;  // says nothing, whatever is in it
      if (IsAbsent(block, i)) {
        if (absl::Status status = CheckWholeRow(block, i, names); !status.ok()) return status;
        continue;
      }
      double squares = 0;
      for (int d = 0; d < num_columns_; ++d) squares += block.column(d)[i] * block.column(d)[i];
      if (const double length = std::sqrt(squares); !(std::abs(length - 1) <= kLengthTolerance)) {
        return absl::InvalidArgumentError(
            absl::StrCat("[", block.first_row + i, "]: got a length of ", length,
                         ", must be 1; divide the row by its length"));
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    return std::make_unique<VonMisesFisherPrepared>(num_components_, num_columns_);
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<VonMisesFisherWorkspace>(max_rows, num_columns_);
  }

  absl::Status Validate(std::span<const double> params) const override {
    for (int k = 0; k < num_components_; ++k) {
      const double length = Length(Direction(params, k));
      if (std::abs(length - 1) <= kLengthTolerance) continue;
      return absl::InvalidArgumentError(absl::StrCat("mean_directions[", k, "]: got a length of ",
                                                     length, ", must be 1 within ",
                                                     kLengthTolerance));
    }
    for (int j = 0; j < num_concentrations_; ++j) {
      const double value = params[num_cells() + j];
      if (value >= 0 && value <= kMaxConcentration) continue;
      return absl::InvalidArgumentError(absl::StrCat("concentrations[", j, "]: got ", value,
                                                     ", must be in [0, ", kMaxConcentration, "]"));
    }
    return absl::OkStatus();
  }

  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    auto& mine = static_cast<VonMisesFisherPrepared&>(prepared);
    for (int k = 0; k < num_components_; ++k) {
      if (!Normalize(Direction(params, k), Direction(std::span(mine.directions), k))) {
        return absl::FailedPreconditionError(
            absl::StrCat("mean_directions[", k, "]: got a length of ", Length(Direction(params, k)),
                         ", must be 1"));
      }
      mine.concentrations[k] = Concentration(params, k);
      mine.log_peaks[k] = LogDirectionalPeak(num_columns_, mine.concentrations[k]);
    }
    return absl::OkStatus();
  }

  // By m . x / |x| - 1 = ((|x| - 1)^2 - |x - m|^2) / (2 |x|), in which nothing cancels.
  void LogDensity(const Emission::Prepared& prepared, const Block& given, Workspace& workspace,
                  std::span<double> log_density) const override {
    const VonMisesFisherPrepared& mine = Cast(prepared);
    auto& work = static_cast<VonMisesFisherWorkspace&>(workspace);
    const Block block = work.rows.Fill(given);
    FindLengths(block, work);
    for (int k = 0; k < num_components_; ++k) {
      double* const value = log_density.data() + static_cast<int64_t>(k) * block.stride;
      DiagonalSquares(block.values, block.stride, num_columns_, mine.directions.data() + Cell(k, 0),
                      mine.ones.data(), value);
      const double half = 0.5 * mine.concentrations[k];
      for (int i = 0; i < block.stride; ++i) {
        const double excess = work.excess[i];
        value[i] = mine.log_peaks[k] + half * work.inverse_length[i] * (excess * excess - value[i]);
      }
      for (int i = 0; !given.complete && i < given.num_rows; ++i) {
        if (IsAbsent(given, i)) value[i] = 0;
      }
    }
  }

  // By x / |x| - m = (x - m) / |x| - m (|x| - 1) / |x|, of which the mean is -(1 - A(kappa)) m
  // where a row has no cell.
  void Accumulate(const Emission::Prepared& prepared, const Block& given,
                  std::span<const double> resp, Workspace& workspace,
                  std::span<double> stats) const override {
    const VonMisesFisherPrepared& mine = Cast(prepared);
    auto& work = static_cast<VonMisesFisherWorkspace&>(workspace);
    const Block block = work.rows.Fill(given);
    FindLengths(block, work);
    for (int k = 0; k < num_components_; ++k) {
      const double* const of_component = resp.data() + static_cast<int64_t>(k) * block.stride;
      double excess = 0;
      for (int i = 0; i < block.stride; ++i) {
        work.scaled[i] = of_component[i] * work.inverse_length[i];
        excess += work.scaled[i] * work.excess[i];
      }
      double absent = 0;
      for (int i = 0; !given.complete && i < given.num_rows; ++i) {
        if (IsAbsent(given, i)) absent += of_component[i];
      }
      if (absent > 0) excess += absent * MeanCosineDeficit(num_columns_, mine.concentrations[k]);
      const double* const direction = mine.directions.data() + Cell(k, 0);
      const std::span<double> first = Direction(stats, k);
      AddDiagonalMoments(block.values, block.stride, num_columns_, direction, work.scaled.data(),
                         first.data(), work.unused.data());
      for (int d = 0; d < num_columns_; ++d) first[d] -= excess * direction[d];
    }
  }

  // With S = sum_i r_i x_i, prior included, the mean direction is S / |S| and the concentration
  // solves A(kappa) = (m . S) / n: the mean cosine, over all components that share it.
  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    std::vector<Resultant> pooled(num_concentrations_);
    std::vector<char> moves(num_concentrations_);
    const std::vector<char> is_empty = FindEmpty(occupancy, empty_occupancy_, context.repairs);
    for (int k = 0; k < num_components_; ++k) {
      const bool empty = is_empty[k];
      const int64_t j = Leader(Slot(k));
      const bool stays = empty || constraints_.IsFixed(Cell(k, 0));
      const Resultant resultant = MoveDirection(
          Direction(params, k), {.weight = empty ? 0 : occupancy[k], .first = Direction(stats, k)},
          {.weight = prior_strength_, .mean = prior_mean_}, stays, Direction(next, k));
      pooled[j].weight += resultant.weight;
      pooled[j].cosines += resultant.cosines;
      pooled[j].deficit += resultant.deficit;
      moves[j] = moves[j] || !empty;
    }
    for (int j = 0; j < num_concentrations_; ++j) {
      double& concentration = next[num_cells() + j];
      if (const int64_t leader = Leader(j); leader != j) {
        concentration = next[num_cells() + leader];
        continue;
      }
      concentration = params[num_cells() + j];
      if (!moves[j] || constraints_.IsFixed(num_cells() + j)) continue;
      concentration =
          MaximizeConcentration(num_columns_, pooled[j], kMaxConcentration,
                                num_concentrations_ < num_components_ ? -1 : j, context.repairs);
    }
    constraints_.Apply(next);
    return absl::OkStatus();
  }

  // Only the sums' centre moves: sum_i r_i (x_i - c) = sum_i r_i (x_i - m) + n (m - c).
  void Recenter(std::span<const double> params, std::span<const double> centre,
                std::span<const double> occupancy, std::span<double> stats) const override {
    std::vector<double> from(num_columns_);
    std::vector<double> to(num_columns_);
    for (int k = 0; k < num_components_; ++k) {
      Normalize(Direction(params, k), from);
      Normalize(Direction(centre, k), to);
      for (int d = 0; d < num_columns_; ++d) stats[Cell(k, d)] += occupancy[k] * (from[d] - to[d]);
    }
  }

  // E(x) = A(kappa) m.
  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const override {
    for (int k = 0; k < num_components_; ++k) {
      const double less = MeanCosineDeficit(num_columns_, Concentration(params, k));
      Normalize(Direction(params, k), Direction(stats, k));
      for (double& value : Direction(stats, k)) value *= -occupancy[k] * less;
    }
  }

  // sum_k n_k log C(kappa_k) + kappa_k m_k . S_k, with n (m . c - 1) = -n |m - c|^2 / 2.
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> occupancy,
                            std::span<const double> stats,
                            std::span<const double> params) const override {
    double sum = 0;
    std::vector<double> from(num_columns_);
    std::vector<double> to(num_columns_);
    for (int k = 0; k < num_components_; ++k) {
      Normalize(Direction(centre, k), from);
      Normalize(Direction(params, k), to);
      double cosines = Dot(to, Direction(stats, k));
      for (int d = 0; d < num_columns_; ++d) {
        cosines -= 0.5 * occupancy[k] * (to[d] - from[d]) * (to[d] - from[d]);
      }
      const double concentration = Concentration(params, k);
      sum +=
          occupancy[k] * LogDirectionalPeak(num_columns_, concentration) + concentration * cosines;
    }
    return sum;
  }

  double LogPrior(std::span<const double> params) const override {
    double sum = 0;
    for (int k = 0; k < num_components_ && prior_strength_ > 0; ++k) {
      const std::span<const double> direction = Direction(params, k);
      const double concentration = Concentration(params, k);
      sum += LogDirectionalPeak(num_columns_, concentration) +
             concentration * (Dot(prior_mean_, direction) / Length(direction) - 1);
    }
    return prior_strength_ * sum;
  }

  void Reference(const Summary& summary, std::span<double> params) const override {
    const double length = std::min(Length(summary.mean), 1.0);
    std::vector<Repair> unused;
    const double concentration =
        MaximizeConcentration(num_columns_, {.weight = 1, .cosines = length, .deficit = 1 - length},
                              kMaxConcentration, -1, unused);
    std::fill(params.begin(), params.end(), concentration);
    for (int k = 0; k < num_components_; ++k) {
      const std::span<double> direction = Direction(params, k);
      std::fill(direction.begin(), direction.end(), 0.0);
      direction[0] = 1;  // any will do when the rows have none
      Normalize(summary.mean, direction);
    }
    constraints_.Apply(params);
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    const VonMisesFisherPrepared& mine = Cast(prepared);
    SampleDirection(std::span(mine.directions).subspan(Cell(component, 0), num_columns_),
                    mine.concentrations[component], random, row);
  }

  // E x = A m and Cov x = A / kappa (I - m m^T) + A' m m^T, with A = A(kappa) and its derivative A'
  // = 1 - (D - 1) A / kappa - A^2.
  void Conditional(const Emission::Prepared& prepared, const Block& block,
                   std::span<const double> posterior, Workspace&, double* mean,
                   double* variance) const override {
    ConditionalCells cells(block, mean, variance);
    if (block.complete) return;
    const VonMisesFisherPrepared& mine = Cast(prepared);
    std::vector<double> of_mean(static_cast<size_t>(num_columns_) * block.stride);
    std::vector<double> of_variance(of_mean.size());
    for (int k = 0; k < num_components_; ++k) {
      const double concentration = mine.concentrations[k];
      const double cosine = 1 - MeanCosineDeficit(num_columns_, concentration);
      // A / kappa, 1 / D in the limit.
      const double across =
          concentration > kNearlyUniform ? cosine / concentration : 1.0 / num_columns_;
      const double along = std::max(1 - (num_columns_ - 1) * across - cosine * cosine, 0.0);
      for (int d = 0; d < num_columns_; ++d) {
        const double m = mine.directions[Cell(k, d)];
        const int64_t begin = static_cast<int64_t>(d) * block.stride;
        std::fill_n(of_mean.begin() + begin, block.stride, cosine * m);
        std::fill_n(of_variance.begin() + begin, block.stride,
                    across * (1 - m * m) + along * (m * m));
      }
      cells.Add(posterior.data() + static_cast<int64_t>(k) * block.stride, of_mean.data(),
                of_variance.data());
    }
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    std::copy_n(params.begin(), num_cells(), coordinates.begin());
    for (int64_t j = num_cells(); j < parameters_.size(); ++j) coordinates[j] = std::log(params[j]);
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> params) const override {
    for (int k = 0; k < num_components_; ++k) {
      if (Normalize(Direction(coordinates, k), Direction(params, k))) continue;
      std::copy_n(reference.begin() + Cell(k, 0), num_columns_, params.begin() + Cell(k, 0));
    }
    for (int64_t j = num_cells(); j < parameters_.size(); ++j) {
      params[j] = std::min(std::exp(coordinates[j]), kMaxConcentration);
    }
    constraints_.Apply(params);
  }

 private:
  void FindLengths(const Block& block, VonMisesFisherWorkspace& work) const {
    double* const squares = work.excess.data();
    std::fill_n(squares, block.stride, 0.0);
    for (int d = 0; d < num_columns_; ++d) {
      const double* const x = block.column(d);
      for (int i = 0; i < block.stride; ++i) squares[i] += x[i] * x[i];
    }
    for (int i = 0; i < block.stride; ++i) {
      const double length = std::sqrt(squares[i]);
      work.inverse_length[i] = length > 0 ? 1 / length : 0;
      work.excess[i] = (squares[i] - 1) / (length + 1);
    }
  }

  int64_t Cell(int k, int d) const { return static_cast<int64_t>(k) * num_columns_ + d; }
  int64_t num_cells() const { return Cell(num_components_, 0); }
  int Slot(int k) const { return num_concentrations_ == 1 ? 0 : k; }
  int64_t Leader(int64_t j) const { return constraints_.Leader(num_cells() + j) - num_cells(); }
  double Concentration(std::span<const double> params, int k) const {
    return params[num_cells() + Slot(k)];
  }
  std::span<double> Direction(std::span<double> buffer, int k) const {
    return buffer.subspan(Cell(k, 0), num_columns_);
  }
  std::span<const double> Direction(std::span<const double> buffer, int k) const {
    return buffer.subspan(Cell(k, 0), num_columns_);
  }

  const int num_components_;
  const int num_columns_;
  const int num_concentrations_;
  const double empty_occupancy_;
  const std::vector<double> prior_mean_;  // [D]
  const double prior_strength_;
  Constraints constraints_;
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeVonMisesFisher(
    const VonMisesFisherOptions& options, int num_components, const Summary& summary,
    const std::vector<std::string>& names) {
  const size_t num_columns = summary.mean.size();
  if (num_columns < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("columns: got ", num_columns, ", must be at least 2"));
  }
  if (!(options.prior_strength >= 0) || !std::isfinite(options.prior_strength)) {
    return absl::InvalidArgumentError(absl::StrCat("prior_strength: got ", options.prior_strength,
                                                   ", must be finite and at least 0"));
  }
  VonMisesFisherOptions resolved = options;
  absl::Status status = ResolvePriorMean(num_columns, resolved.prior_mean);
  if (!status.ok()) return status;
  status = CheckWholeRows(summary, names);
  if (!status.ok()) return status;
  const double size = static_cast<double>(num_components) * static_cast<double>(num_columns + 1);
  if (!(size <= kMaxParameters)) {
    return absl::InvalidArgumentError(
        absl::StrCat("columns: got as many as make ", size, " parameters with ", num_components,
                     " components, must make at most ", kMaxParameters, "; use fewer components"));
  }
  return std::make_unique<VonMisesFisher>(std::move(resolved), num_components, summary);
}

}  // namespace emserve
