#include "core/emission/student_t.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/conditional_cells.h"
#include "core/distribution/cumulative_cells.h"
#include "core/distribution/elliptical.h"
#include "core/emission/tails.h"
#include "core/numerics/kernels.h"
#include "core/runtime/draws.h"

namespace emserve {
namespace {

const double kLog2Pi = std::log(2 * std::numbers::pi);

constexpr double kDefaultStart = 30;

class StudentTPrepared final : public Emission::Prepared {
 public:
  StudentTPrepared(const Covariances& of, int num_components, int num_columns)
      : covariances(of.NewPrepared()),
        degrees_of_freedom(num_components),
        log_constant(num_components * (num_columns + 1LL)),
        missing_tail(log_constant.size()) {}

  const std::unique_ptr<Covariances::Prepared> covariances;
  std::vector<double> degrees_of_freedom;  // [K]
  // [K, D + 1] of rows with 0, ..., D observed cells: TailLogConstant and MissingTail.
  std::vector<double> log_constant;
  std::vector<double> missing_tail;
};

class StudentTWorkspace final : public EllipticalWorkspace {
 public:
  StudentTWorkspace(const Covariances& covariances, int num_columns, int max_rows)
      : EllipticalWorkspace(covariances, num_columns, max_rows),
        squares(PaddedRows(max_rows)),
        weighted(PaddedRows(max_rows)) {}

  Scratch squares;   // [stride]
  Scratch weighted;  // [stride] responsibility times precision
};

const StudentTPrepared& Cast(const Emission::Prepared& prepared) {
  return static_cast<const StudentTPrepared&>(prepared);
}
StudentTWorkspace& Cast(Emission::Workspace& workspace) {
  return static_cast<StudentTWorkspace&>(workspace);
}

class StudentT final : public Emission {
 public:
  StudentT(EllipticalComponents components, Tails tails)
      : components_(std::move(components)),
        covariances_(components_.covariances()),
        tails_(std::move(tails)) {
    components_.AddParameters(parameters_);
    tails_.AddParameters(parameters_);
    components_.AddStatistics(statistics_);
    statistics_.Add("precision", {num_components()});
    statistics_.Add("tail", {num_components()});
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return components_.num_components(); }
  int num_columns() const override { return components_.num_columns(); }
  int64_t scratch_per_row() const override { return components_.scratch_per_row() + 2; }
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    return components_.degrees_of_freedom(active) + tails_.num_free(active);
  }

  absl::Status Constrain(Constraints constraints) override {
    if (absl::Status status =
            tails_.Constrain(constraints.Slice(components_.num_parameters(), tails_.size()));
        !status.ok()) {
      return status;
    }
    return components_.Constrain(constraints);
  }

  bool checks_rows() const override { return false; }
  absl::Status CheckRows(const Block&, const std::vector<std::string>&) const override {
    return absl::OkStatus();  // any finite number has a density
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    return std::make_unique<StudentTPrepared>(covariances_, num_components(), num_columns());
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<StudentTWorkspace>(covariances_, num_columns(), max_rows);
  }

  absl::Status Validate(std::span<const double> params) const override {
    if (absl::Status status = components_.Validate(params); !status.ok()) return status;
    return tails_.Validate(OfTails(params));
  }

  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    auto& mine = static_cast<StudentTPrepared&>(prepared);
    for (int k = 0; k < num_components(); ++k) {
      const double nu = tails_.of(OfTails(params), k);
      if (!(nu > 0)) {
        return absl::FailedPreconditionError(
            absl::StrCat("degrees_of_freedom: got ", nu, ", must be positive"));
      }
      mine.degrees_of_freedom[k] = nu;
      for (int d = 0; d <= num_columns(); ++d) {
        mine.log_constant[At(k, d)] = TailLogConstant(nu, d);
        mine.missing_tail[At(k, d)] = MissingTail(nu, d, num_columns());
      }
    }
    return components_.Prepare(params, *mine.covariances);
  }

  // log p(x) = log Gamma((nu + d) / 2) - log Gamma(nu / 2) - d / 2 log(nu pi) - log det S / 2 - (nu
  // + d) / 2 log(1 + delta / nu).
  void LogDensity(const Emission::Prepared& prepared, const Block& block, Workspace& workspace,
                  std::span<double> log_density) const override {
    const StudentTPrepared& mine = Cast(prepared);
    StudentTWorkspace& work = Cast(workspace);
    if (!block.complete) {
      ObservedLogDensity(mine, block, work.ForMissing(covariances_, block), log_density);
      return;
    }
    for (int k = 0; k < num_components(); ++k) {
      double* const of_component = log_density.data() + Row(k, block);
      covariances_.Squares(*mine.covariances, k, block, work.scratch.data(), of_component);
      const double nu = mine.degrees_of_freedom[k];
      const double log_norm =
          mine.log_constant[At(k, num_columns())] -
          0.5 * (num_columns() * kLog2Pi + covariances_.LogDeterminant(*mine.covariances, k));
      TailLogDensities(of_component, block.stride, nu, num_columns(), log_norm);
    }
  }

  void Accumulate(const Emission::Prepared& prepared, const Block& block,
                  std::span<const double> resp, Workspace& workspace,
                  std::span<double> stats) const override {
    const StudentTPrepared& mine = Cast(prepared);
    StudentTWorkspace& work = Cast(workspace);
    EllipticalWorkspace::Missing* const missing =
        block.complete ? nullptr : &work.ForMissing(covariances_, block);
    const std::span<double> scatter = components_.Scatter(stats);
    for (int k = 0; k < num_components(); ++k) {
      const double* const of_component = resp.data() + Row(k, block);
      Block rows = block;
      TailSums sums;
      if (missing != nullptr) {
        // The expected moments of a row given its observed cells: u times those of the completed
        // row, and the covariance given u, S_mm.o / u, times u.
        covariances_.ObservedSquares(*mine.covariances, k, block, missing->patterns,
                                     *missing->of_covariances, work.squares.data(),
                                     missing->log_determinants.data());
        sums = WeighObserved(mine, k, block, *missing, of_component, work);
        covariances_.Complete(*mine.covariances, k, block, missing->patterns,
                              *missing->of_covariances, missing->completed.data(), nullptr);
        covariances_.AddConditional(*mine.covariances, k, block, missing->patterns, of_component,
                                    *missing->of_covariances, scatter);
        rows.values = missing->completed.data();
        rows.complete = true;
      } else {
        const bool sparse = components_.IsSparse(of_component, block);
        if (sparse) rows = components_.Gather(of_component, block, work);
        covariances_.Squares(*mine.covariances, k, rows, work.scratch.data(), work.squares.data());
        const double* const responsibility = sparse ? rows.weights : of_component;
        sums = WeighTails(work.squares.data(), responsibility, rows.stride,
                          mine.degrees_of_freedom[k], num_columns(), work.weighted.data());
      }
      Precision(stats)[k] += sums.precision;
      Tail(stats)[k] += sums.tail;
      covariances_.Accumulate(*mine.covariances, k, rows, work.weighted.data(), work.scratch.data(),
                              components_.First(stats, k).data(), scatter);
    }
  }

  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    const std::vector<double> effective = components_.Effective(occupancy, context);
    tails_.Maximize(effective, Tail(stats), OfTails(params), OfTails(next), context);
    return components_.Maximize(effective, Precision(stats), params, stats, next, context);
  }

  void Recenter(std::span<const double> params, std::span<const double> centre,
                std::span<const double>, std::span<double> stats) const override {
    components_.Recenter(params, centre, Precision(std::span<const double>(stats)), stats);
  }

  // With u = E(u | x): E(u) = 1 and E(u (x - mean)(x - mean)^T) = S.
  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const override {
    components_.ExpectedStatistics(params, occupancy, stats);
    for (int k = 0; k < num_components(); ++k) {
      Precision(stats)[k] = occupancy[k];
      Tail(stats)[k] = occupancy[k] * ExpectedTail(tails_.of(OfTails(params), k), num_columns());
    }
  }

  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> occupancy,
                            std::span<const double> stats,
                            std::span<const double> params) const override {
    return components_.ExpectedLogDensity(centre, occupancy, Precision(stats), stats, params) +
           tails_.ExpectedLogDensity(occupancy, Tail(stats), OfTails(params));
  }

  double LogPrior(std::span<const double> params) const override {
    return components_.LogPrior(params);
  }
  void Reference(const Summary& summary, std::span<double> params) const override {
    components_.Reference(summary, params);
    tails_.Reference(OfTails(params));
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    const StudentTPrepared& mine = Cast(prepared);
    const double shape = 0.5 * mine.degrees_of_freedom[component];
    double precision = 0;
    while (!(precision > 0)) precision = DrawGamma(shape, random) / shape;  // may round to 0
    for (double& value : row) value = random.Normal();
    covariances_.Sample(*mine.covariances, component, 1 / std::sqrt(precision), row);
  }

  void Conditional(const Emission::Prepared& prepared, const Block& block,
                   std::span<const double> posterior, Workspace& workspace, double* mean,
                   double* variance) const override {
    const StudentTPrepared& mine = Cast(prepared);
    StudentTWorkspace& work = Cast(workspace);
    EllipticalWorkspace::Missing& missing = work.ForMissing(covariances_, block);
    ConditionalCells cells(block, mean, variance);
    for (int k = 0; k < num_components(); ++k) {
      const double nu = mine.degrees_of_freedom[k];
      covariances_.ObservedSquares(*mine.covariances, k, block, missing.patterns,
                                   *missing.of_covariances, work.squares.data(),
                                   missing.log_determinants.data());
      covariances_.Complete(*mine.covariances, k, block, missing.patterns, *missing.of_covariances,
                            missing.completed.data(), missing.variance.data());
      for (int c = 0; c < num_columns(); ++c) {
        double* const of_column = missing.variance.data() + Row(c, block);
        for (int i = 0; i < block.num_rows; ++i) {
          if (!std::isnan(block.column(c)[i])) continue;
          const double left = nu + missing.num_observed[i] - 2;
          of_column[i] = left > 0 ? of_column[i] * ((nu + work.squares[i]) / left)
                                  : std::numeric_limits<double>::infinity();
        }
      }
      cells.Add(posterior.data() + Row(k, block), missing.completed.data(),
                missing.variance.data());
    }
  }

  bool has_cumulatives() const override { return true; }
  void Cumulative(const Emission::Prepared& prepared, const Block& block, int component, Workspace&,
                  double* below, double* at, double* above) const override {
    const StudentTPrepared& mine = Cast(prepared);
    const double nu = mine.degrees_of_freedom[component];
    for (int d = 0; d < num_columns(); ++d) {
      const Covariances::Marginal marginal =
          covariances_.MarginalOf(*mine.covariances, component, d);
      const auto of_value = [&](double x) {
        return StudentCumulatives((x - marginal.location) / marginal.scale, nu);
      };
      FillCumulatives(block, d, of_value, below, at, above);
    }
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    components_.ToUnconstrained(params, coordinates);
    tails_.ToUnconstrained(OfTails(params), OfTails(coordinates));
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> params) const override {
    components_.FromUnconstrained(coordinates, reference, params);
    tails_.FromUnconstrained(OfTails(coordinates), OfTails(params));
  }

 private:
  // As WeighTails, with MissingTail, of rows with missing cells.
  TailSums WeighObserved(const StudentTPrepared& prepared, int k, const Block& block,
                         const EllipticalWorkspace::Missing& missing, const double* responsibility,
                         StudentTWorkspace& work) const {
    TailSums sums;
    const double nu = prepared.degrees_of_freedom[k];
    for (int i = 0; i < block.stride; ++i) {
      const double r = responsibility[i];
      const double d = missing.num_observed[i];
      const double u = (nu + d) / (nu + work.squares[i]);
      work.weighted[i] = r * u;
      sums.precision += work.weighted[i];
      sums.tail += r * (std::log(u) - (u - 1) + prepared.missing_tail[At(k, static_cast<int>(d))]);
    }
    return sums;
  }

  void ObservedLogDensity(const StudentTPrepared& prepared, const Block& block,
                          EllipticalWorkspace::Missing& missing,
                          std::span<double> log_density) const {
    for (int k = 0; k < num_components(); ++k) {
      double* const of_component = log_density.data() + Row(k, block);
      covariances_.ObservedSquares(*prepared.covariances, k, block, missing.patterns,
                                   *missing.of_covariances, of_component,
                                   missing.log_determinants.data());
      const double nu = prepared.degrees_of_freedom[k];
      for (int i = 0; i < block.stride; ++i) {
        const double d = missing.num_observed[i];
        of_component[i] = prepared.log_constant[At(k, static_cast<int>(d))] -
                          0.5 * (d * kLog2Pi + missing.log_determinants[i] +
                                 (nu + d) * std::log1p(of_component[i] / nu));
      }
    }
  }

  int64_t At(int k, int num_cells) const { return k * (num_columns() + 1LL) + num_cells; }
  static int64_t Row(int k, const Block& block) { return static_cast<int64_t>(k) * block.stride; }
  std::span<double> OfTails(std::span<double> params) const {
    return params.subspan(components_.num_parameters());
  }
  std::span<const double> OfTails(std::span<const double> params) const {
    return params.subspan(components_.num_parameters());
  }
  std::span<double> Precision(std::span<double> stats) const {
    return stats.subspan(components_.num_statistics(), num_components());
  }
  std::span<const double> Precision(std::span<const double> stats) const {
    return stats.subspan(components_.num_statistics(), num_components());
  }
  std::span<double> Tail(std::span<double> stats) const {
    return stats.subspan(components_.num_statistics() + num_components());
  }
  std::span<const double> Tail(std::span<const double> stats) const {
    return stats.subspan(components_.num_statistics() + num_components());
  }

  EllipticalComponents components_;
  const Covariances& covariances_;  // of components_
  Tails tails_;
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeStudentT(const StudentTOptions& options,
                                                       int num_components, const Summary& summary,
                                                       const std::vector<std::string>& names) {
  const double minimum = options.minimum_degrees_of_freedom;
  const double maximum = options.maximum_degrees_of_freedom;
  if (!(minimum > 0) || !std::isfinite(minimum)) {
    return absl::InvalidArgumentError(
        absl::StrCat("minimum_degrees_of_freedom: got ", minimum, ", must be positive and finite"));
  }
  if (!(minimum <= maximum) || !std::isfinite(maximum)) {
    return absl::InvalidArgumentError(absl::StrCat("maximum_degrees_of_freedom: got ", maximum,
                                                   ", must be finite and at least ", minimum));
  }
  if (!options.degrees_of_freedom && !options.estimate_degrees_of_freedom) {
    return absl::InvalidArgumentError(
        "degrees_of_freedom: got none, must be given where they are not estimated");
  }
  const double start =
      options.degrees_of_freedom.value_or(std::clamp(kDefaultStart, minimum, maximum));
  if (!(start >= minimum && start <= maximum)) {
    return absl::InvalidArgumentError(absl::StrCat("degrees_of_freedom: got ", start,
                                                   ", must be in [", minimum, ", ", maximum, "]"));
  }
  absl::StatusOr<EllipticalComponents> components =
      EllipticalComponents::Make({.covariance = options.covariance,
                                  .ridge = options.ridge,
                                  .prior = options.prior,
                                  .other_parameters = static_cast<double>(num_components)},
                                 num_components, summary, names);
  if (!components.ok()) return components.status();
  const TailOptions tails = {.estimated = options.estimate_degrees_of_freedom,
                             .shared = options.shared_degrees_of_freedom,
                             .start = start,
                             .minimum = minimum,
                             .maximum = maximum};
  const int num_columns = components->num_columns();
  return std::make_unique<StudentT>(*std::move(components),
                                    Tails(tails, num_components, num_columns));
}

}  // namespace emserve
