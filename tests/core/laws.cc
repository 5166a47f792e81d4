#include "tests/core/laws.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/expectation.h"
#include "core/em/scratch.h"
#include "tests/core/allocations.h"

namespace emserve::testing {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

// |a - b| relative to the larger of |a|, |b| and `floor`.
double Difference(double a, double b, double floor) {
  return std::abs(a - b) / std::max({std::abs(a), std::abs(b), floor});
}

struct Cut {
  int64_t first;
  int count;
};

struct Pass {
  double log_likelihood = 0;
  std::vector<double> statistics;
};

// An E-step over the blocks given, in the order given.
Pass RunBlocks(const Model& model, const Table& table, const Theta& theta,
               const std::vector<Cut>& cuts) {
  int max_rows = 0;
  for (const Cut& cut : cuts) max_rows = std::max(max_rows, cut.count);
  BlockBuffer buffer = table.MakeBuffer(max_rows);
  const auto prepared = model.NewPrepared();
  const auto workspace = model.NewWorkspace(max_rows);
  if (const absl::Status status = model.Prepare(theta, *prepared); !status.ok()) {
    ADD_FAILURE() << status;
  }
  Pass pass{0, std::vector<double>(model.statistics().size())};
  for (const Cut& cut : cuts) {
    const Block block = table.Read(cut.first, cut.count, buffer);
    pass.log_likelihood += model.EStep(*prepared, block, {}, *workspace, pass.statistics);
  }
  return pass;
}

Pass RunWhole(const Model& model, const Table& table, const Theta& theta) {
  return RunBlocks(model, table, theta, {{0, static_cast<int>(table.num_rows())}});
}

// What Infer says of a row, with [components] log p(x, z) and p(z | x).
struct RowView {
  int64_t row;
  double log_density;
  std::vector<double> joint;
  std::vector<double> posterior;
};

void ForEachRow(const Model& model, const Table& table, const Theta& theta,
                const std::function<void(const RowView&)>& body) {
  const int num_rows = static_cast<int>(table.num_rows());
  const int num_components = model.num_components();
  BlockBuffer buffer = table.MakeBuffer(num_rows);
  const Block block = table.Read(0, num_rows, buffer);
  const auto prepared = model.NewPrepared();
  const auto workspace = model.NewWorkspace(num_rows);
  if (const absl::Status status = model.Prepare(theta, *prepared); !status.ok()) {
    ADD_FAILURE() << status;
  }
  std::vector<double> log_density(block.stride);
  std::vector<double> of_component(static_cast<size_t>(block.stride) * num_components);
  std::vector<double> posterior(of_component.size());
  model.Infer(*prepared, block, *workspace,
              {.log_density = log_density.data(),
               .posterior = posterior.data(),
               .component_log_density = of_component.data()});
  const ArraySpec* const weights = model.parameters().Find("weights");
  RowView view;
  view.joint.resize(num_components);
  view.posterior.resize(num_components);
  for (int i = 0; i < num_rows; ++i) {
    for (int k = 0; k < num_components; ++k) {
      const size_t j = static_cast<size_t>(k) * block.stride + i;
      view.joint[k] =
          of_component[j] + (weights == nullptr ? 0 : std::log(theta[weights->offset + k]));
      view.posterior[k] = posterior[j];
    }
    view.row = i;
    view.log_density = log_density[i];
    body(view);
  }
}

std::vector<double> Responsibilities(const Model& model, const Table& table, const Theta& theta) {
  std::vector<double> result;
  ForEachRow(model, table, theta, [&](const RowView& row) {
    for (const double p : row.posterior) result.push_back(table.weight(row.row) * p);
  });
  return result;
}

// Q(theta) = sum_ik r_ik log p(x_i, z_i = k | theta) + log prior.
double ExpectedCompleteLogLikelihood(const Model& model, const Table& table,
                                     const std::vector<double>& responsibilities,
                                     const Theta& theta) {
  double q = model.LogPrior(theta);
  ForEachRow(model, table, theta, [&](const RowView& row) {
    for (size_t k = 0; k < row.joint.size(); ++k) {
      const double r = responsibilities[static_cast<size_t>(row.row) * row.joint.size() + k];
      if (r > 0) q += r * row.joint[k];
    }
  });
  return q;
}

// Reverses the components of every array that has them as its first extent.
Theta Reversed(const Model& model, const Theta& theta) {
  Theta reversed = theta;
  const int64_t num_components = model.num_components();
  for (const ArraySpec& array : model.parameters().arrays()) {
    if (!array.by_component) continue;
    const int64_t part = array.size / num_components;
    for (int64_t k = 0; k < num_components; ++k) {
      std::copy_n(theta.begin() + array.offset + k * part, part,
                  reversed.begin() + array.offset + (num_components - 1 - k) * part);
    }
  }
  return reversed;
}

bool SameBits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

}  // namespace

AssertionResult AllNear(std::span<const double> a, std::span<const double> b, double tolerance,
                        const std::string& what) {
  if (a.size() != b.size()) return AssertionFailure() << what << ": sizes differ";
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(Difference(a[i], b[i], 1e-3 * largest) <= tolerance)) {
      return AssertionFailure() << what << "[" << i << "]: " << a[i] << " against " << b[i]
                                << ", difference " << a[i] - b[i];
    }
  }
  return AssertionSuccess();
}

Subject MakeSubject(const ModelOptions& options, Table table) {
  Summary summary = SummaryOf(table);
  std::unique_ptr<Model> model = MakeModel(options, summary, table.names()).value();
  return {std::move(table), std::move(summary), std::move(model)};
}

absl::StatusOr<FitResult> FitTable(const ModelOptions& options, const Table& table,
                                   const FitOptions& fit_options, int num_threads) {
  Pool pool(num_threads);
  Pool::Share share(pool);
  const absl::StatusOr<Summary> summary = Summarize(table, share, {});
  if (!summary.ok()) return summary.status();
  const auto model = MakeModel(options, *summary, table.names());
  if (!model.ok()) return model.status();
  return FitModel(**model, table, *summary, fit_options, num_threads);
}

absl::StatusOr<FitResult> FitModel(const Model& model, const Table& table, const Summary& summary,
                                   const FitOptions& options, int num_threads) {
  Pool pool(num_threads);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  return Fit(model, table, summary, options, run);
}

Theta RandomTheta(const Model& model, const Table& table, const Summary& summary, uint64_t seed) {
  const int num_rows = static_cast<int>(table.num_rows());
  const int num_components = model.num_components();
  BlockBuffer buffer = table.MakeBuffer(num_rows);
  const Block block = table.Read(0, num_rows, buffer);
  Random random(seed, 2);
  const Scratch posterior(static_cast<int64_t>(num_components) * block.stride);
  for (int i = 0; i < num_rows; ++i) {
    double total = 0;
    for (int k = 0; k < num_components; ++k) {
      double& share = posterior[static_cast<int64_t>(k) * block.stride + i];
      share = std::pow(random.Uniform(), 3);
      total += share;
    }
    for (int k = 0; k < num_components; ++k) {
      posterior[static_cast<int64_t>(k) * block.stride + i] /= total;
    }
  }
  Theta reference(model.parameters().size());
  model.Reference(summary, reference);
  const auto prepared = model.NewPrepared();
  const auto workspace = model.NewWorkspace(num_rows);
  std::vector<double> statistics(model.statistics().size());
  Theta theta(reference.size());
  std::vector<Repair> repairs;
  absl::Status status = model.Prepare(reference, *prepared);
  model.GivenStep(*prepared, block,
                  std::span(posterior.data(), static_cast<size_t>(posterior.size())), *workspace,
                  statistics);
  status.Update(model.MStep(reference, statistics, theta, {repairs, {}}));
  if (!status.ok()) ADD_FAILURE() << status;
  return theta;
}

double LogLikelihood(const Model& model, const Table& table, const Theta& theta) {
  double sum = 0;
  ForEachRow(model, table, theta,
             [&](const RowView& row) { sum += table.weight(row.row) * row.log_density; });
  return sum;
}

std::vector<double> LogDensities(const Model& model, const Table& table, const Theta& theta) {
  std::vector<double> densities;
  ForEachRow(model, table, theta,
             [&](const RowView& row) { densities.push_back(row.log_density); });
  return densities;
}

Theta OneIteration(const Model& model, const Table& table, const Theta& theta) {
  const Pass pass = RunWhole(model, table, theta);
  Theta next(theta.size());
  std::vector<Repair> repairs;
  const absl::Status status = model.MStep(theta, pass.statistics, next, {repairs, {}});
  if (!status.ok()) ADD_FAILURE() << status;
  return next;
}

AssertionResult ObjectiveNeverDecreases(const Model& model, const Table& table, const Theta& theta,
                                        int iterations) {
  Theta current = theta;
  double before = -std::numeric_limits<double>::infinity();
  for (int i = 0; i <= iterations; ++i) {
    const Pass pass = RunWhole(model, table, current);
    const double objective = pass.log_likelihood + model.LogPrior(current);
    if (!(objective >= before - 1e-10 * (1 + std::abs(before)))) {
      return AssertionFailure() << "iteration " << i << ": objective " << objective << " after "
                                << before;
    }
    before = objective;
    Theta next(theta.size());
    std::vector<Repair> repairs;
    const absl::Status status = model.MStep(current, pass.statistics, next, {repairs, {}});
    if (!status.ok()) return AssertionFailure() << status;
    current = std::move(next);
  }
  return AssertionSuccess();
}

AssertionResult StatisticsAddUp(const Model& model, const Table& table, const Theta& theta) {
  const Pass whole = RunWhole(model, table, theta);
  Random random(5, 0);
  std::vector<Cut> cuts;
  for (int64_t row = 0; row < table.num_rows();) {
    const int64_t count = std::min<int64_t>(1 + random.Below(71), table.num_rows() - row);
    cuts.push_back({row, static_cast<int>(count)});
    row += count;
  }
  for (const std::string order : {"in order", "backwards"}) {
    const Pass parts = RunBlocks(model, table, theta, cuts);
    AssertionResult result =
        AllNear(parts.statistics, whole.statistics, 1e-10, "statistics " + order);
    if (!result) return result;
    if (!(Difference(parts.log_likelihood, whole.log_likelihood, 1) <= 1e-12)) {
      return AssertionFailure() << "log-likelihood " << order << ": " << parts.log_likelihood
                                << " against " << whole.log_likelihood;
    }
    std::reverse(cuts.begin(), cuts.end());
  }
  return AssertionSuccess();
}

AssertionResult MaximizationMaximizesQ(const Model& model, const Table& table,
                                       const Summary& summary, const Theta& theta) {
  const std::vector<double> responsibilities = Responsibilities(model, table, theta);
  const auto q = [&](const Theta& at) {
    return ExpectedCompleteLogLikelihood(model, table, responsibilities, at);
  };
  std::vector<Theta> others;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    others.push_back(RandomTheta(model, table, summary, 100 + seed));
  }
  return IsHighest(model, q, OneIteration(model, table, theta), theta, others,
                   {-1e-1, -1e-2, -1e-3, -1e-4, 1e-4, 1e-3, 1e-2, 1e-1});
}

AssertionResult IsHighest(const Model& model, const std::function<double(const Theta&)>& q,
                          const Theta& best, const Theta& theta, const std::vector<Theta>& others,
                          const std::vector<double>& steps) {
  const double maximum = q(best);
  const double allowance = 1e-11 * (1 + std::abs(maximum));
  if (const double old = q(theta); !(maximum >= old - allowance)) {
    return AssertionFailure() << "Q of the maximiser is " << maximum
                              << ", that of the old parameters " << old;
  }
  for (size_t j = 0; j < others.size(); ++j) {
    for (const double step : steps) {
      Theta at = best;
      for (size_t i = 0; i < at.size(); ++i) at[i] += step * (others[j][i] - best[i]);
      if (!model.Validate(at).ok()) continue;
      if (const double value = q(at); !(maximum >= value - allowance)) {
        return AssertionFailure() << "Q of the maximiser is " << maximum << ", but a step of "
                                  << step << " towards random parameters " << j << " gives "
                                  << value;
      }
    }
  }
  return AssertionSuccess();
}

AssertionResult ComeBack(const Theta& theta, const Theta& back, double tolerance) {
  for (size_t i = 0; i < theta.size(); ++i) {
    if (std::abs(back[i] - theta[i]) <= tolerance * (1 + std::abs(theta[i]))) continue;
    return AssertionFailure() << "parameter " << i << " was " << theta[i] << " and comes back as "
                              << back[i];
  }
  return AssertionSuccess();
}

Theta OfExpectedStatistics(const Model& model, const Theta& theta) {
  std::vector<double> statistics(model.statistics().size());
  model.ExpectedStatistics(theta, 4321, 7, statistics);
  Theta next(theta.size());
  std::vector<Repair> repairs;
  if (const absl::Status status = model.MStep(theta, statistics, next, {repairs, {}});
      !status.ok()) {
    ADD_FAILURE() << status;
  }
  return next;
}

AssertionResult CoordinatesGoThereAndBack(const Model& model, const Theta& theta) {
  std::vector<double> coordinates(theta.size());
  Theta back(theta.size());
  model.ToUnconstrained(theta, coordinates);
  model.FromUnconstrained(coordinates, theta, back);
  return ComeBack(theta, back, 1e-9);
}

AssertionResult AccelerationReachesThePlainOptimum(
    const std::function<absl::StatusOr<FitResult>(Acceleration acceleration)>& fit) {
  const absl::StatusOr<FitResult> plain = fit(Acceleration::kNone);
  if (!plain.ok()) return AssertionFailure() << plain.status();
  for (const Acceleration acceleration : {Acceleration::kSquarem, Acceleration::kAnderson}) {
    const absl::StatusOr<FitResult> fast = fit(acceleration);
    if (!fast.ok()) return AssertionFailure() << fast.status();
    if (fast->best.termination == Termination::kObjectiveDecreased) {
      return AssertionFailure() << fast->best.message;
    }
    // From the same start it may end on another top, but hardly ever on a much lower one.
    if (!(fast->objective >= plain->objective - 0.01 * std::abs(plain->objective))) {
      return AssertionFailure() << "acceleration " << static_cast<int>(acceleration) << " ends at "
                                << fast->objective << ", plain EM at " << plain->objective;
    }
  }
  return AssertionSuccess();
}

AssertionResult MaximizationRaisesQ(const Model& model, const Table& table, const Theta& theta) {
  const std::vector<double> responsibilities = Responsibilities(model, table, theta);
  const double before = ExpectedCompleteLogLikelihood(model, table, responsibilities, theta);
  const double after = ExpectedCompleteLogLikelihood(model, table, responsibilities,
                                                     OneIteration(model, table, theta));
  if (after >= before - 1e-11 * (1 + std::abs(before))) return AssertionSuccess();
  return AssertionFailure() << "Q fell from " << before << " to " << after;
}

AssertionResult WeightsAreMultiplicities(const Model& model, const Data& data, const Theta& theta) {
  Data weighted = data;
  weighted.weights.assign(data.num_rows(), 1.0);
  Data repeated{.num_columns = data.num_columns, .values = {}, .weights = {}};
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    const std::span row(data.values.data() + i * data.num_columns,
                        static_cast<size_t>(data.num_columns));
    const int times = i % 3 == 0 ? 2 : i % 7 == 1 ? 0 : 1;
    weighted.weights[i] = times;
    for (int t = 0; t < times; ++t) {
      repeated.values.insert(repeated.values.end(), row.begin(), row.end());
    }
    if (times > 0) continue;
    // Whatever is in it, as long as it has a density.
    Data strange{.num_columns = data.num_columns, .values = {}, .weights = {}};
    for (const double value : row) strange.values.push_back(-1e3 * value);
    const Table one = strange.ToTable();
    BlockBuffer buffer = one.MakeBuffer(1);
    if (!model.CheckRows(one.Read(0, 1, buffer), one.names()).ok()) continue;
    std::copy(strange.values.begin(), strange.values.end(),
              weighted.values.begin() + i * data.num_columns);
  }
  const Pass with_weights = RunWhole(model, weighted.ToTable(), theta);
  const Pass with_rows = RunWhole(model, repeated.ToTable(), theta);
  AssertionResult result =
      AllNear(with_weights.statistics, with_rows.statistics, 1e-10, "statistics");
  if (!result) return result;
  if (!(Difference(with_weights.log_likelihood, with_rows.log_likelihood, 1) <= 1e-12)) {
    return AssertionFailure() << "log-likelihood with weights " << with_weights.log_likelihood
                              << ", with rows " << with_rows.log_likelihood;
  }
  return AssertionSuccess();
}

AssertionResult RelabellingRelabels(const Model& model, const Table& table, const Theta& theta) {
  Theta plain = theta;
  Theta reversed = Reversed(model, theta);
  for (int i = 0; i < 4; ++i) {
    plain = OneIteration(model, table, plain);
    reversed = OneIteration(model, table, reversed);
  }
  return AllNear(reversed, Reversed(model, plain), 1e-8, "parameters");
}

AssertionResult TruthIsBeatenOn(const Model& model, const Table& table, const Theta& truth) {
  FitOptions options;
  options.start = StartMethod::kGiven;
  options.given = truth;
  options.restarts = 1;
  const auto fit = FitModel(model, table, SummaryOf(table), options, 1);
  if (!fit.ok()) return AssertionFailure() << fit.status();
  const double reached = LogLikelihood(model, table, fit->theta);
  const double of_truth = LogLikelihood(model, table, truth);
  if (fit->best.iterations > 0 && reached > of_truth) return AssertionSuccess();
  return AssertionFailure() << "reached " << reached << " in " << fit->best.iterations
                            << " iterations from the truth, which has " << of_truth;
}

AssertionResult TruthIsBeaten(const Model& model, const Theta& truth, int64_t num_rows) {
  const auto prepared = model.NewPrepared();
  if (const absl::Status status = model.Prepare(truth, *prepared); !status.ok()) {
    return AssertionFailure() << status;
  }
  Random random(11, 0);
  Data data{.num_columns = model.num_columns(), .values = {}, .weights = {}};
  std::vector<double> row(data.num_columns);
  for (int64_t i = 0; i < num_rows; ++i) {
    model.Sample(*prepared, random, row);
    data.values.insert(data.values.end(), row.begin(), row.end());
  }
  return TruthIsBeatenOn(model, data.ToTable(), truth);
}

AssertionResult ConvergedIsFixedPoint(const Model& model, const Table& table,
                                      const Theta& converged) {
  const double before = LogLikelihood(model, table, converged);
  const Theta next = OneIteration(model, table, converged);
  const double after = LogLikelihood(model, table, next);
  if (!(Difference(before, after, 1) <= 1e-11)) {
    return AssertionFailure() << "an iteration moved the log-likelihood from " << before << " to "
                              << after;
  }
  return AllNear(next, converged, 1e-4, "parameters");
}

AssertionResult ThreadsDoNotChangeBits(const Model& model, const Table& table,
                                       const Summary& summary) {
  FitOptions options;
  options.restarts = 3;  // one of them from short runs
  options.seed = 3;
  options.max_iterations = 5;
  options.short_runs = 2;
  options.short_iterations = 2;
  const auto one = FitModel(model, table, summary, options, 1);
  if (!one.ok()) return AssertionFailure() << one.status();
  for (const int num_threads : {2, 7}) {
    const auto many = FitModel(model, table, summary, options, num_threads);
    if (!many.ok()) return AssertionFailure() << many.status();
    bool same = SameBits(one->theta, many->theta) && one->objective == many->objective;
    for (size_t r = 0; r < one->restarts.size(); ++r) {
      same = same && one->restarts[r].objective == many->restarts[r].objective &&
             one->restarts[r].iterations == many->restarts[r].iterations;
    }
    if (!same) {
      return AssertionFailure() << num_threads << " threads: objective " << many->objective
                                << ", one thread: " << one->objective << ", or other bits differ";
    }
  }
  return AssertionSuccess();
}

AssertionResult EStepDoesNotAllocate(const Model& model, const Table& table, const Theta& theta) {
  Pool pool(1);
  Pool::Share share(pool);
  Expectation expectation(model, table, share, {});
  if (const auto warm = expectation.Run(theta); !warm.ok())
    return AssertionFailure() << warm.status();
  const int64_t before = NumAllocations();
  for (int i = 0; i < 3; ++i) static_cast<void>(expectation.Run(theta).ok());
  const int64_t made = NumAllocations() - before;
  if (made == 0) return AssertionSuccess();
  return AssertionFailure() << made << " allocations in 3 passes";
}

AssertionResult NonFiniteRowsAreRejected(const FitFunction& fit, const Data& data) {
  for (const double bad :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    for (const int64_t row : {int64_t{0}, data.num_rows() / 2, data.num_rows() - 1}) {
      Data with_bad = data;
      with_bad.values[row * data.num_columns + data.num_columns - 1] = bad;
      const auto result = fit(with_bad);
      if (result.ok()) return AssertionFailure() << bad << " in row " << row << " was fitted";
      if (result.status().message().find(absl::StrCat("[", row, "]")) == std::string::npos) {
        return AssertionFailure() << bad << " in row " << row << " gave " << result.status();
      }
    }
  }
  return AssertionSuccess();
}

AssertionResult WeightsHaveNoUnit(const FitFunction& fit, const Data& data,
                                  const std::vector<double>& factors) {
  const auto plain = fit(data);
  if (!plain.ok()) return AssertionFailure() << plain.status();
  for (const double factor : factors) {
    Data weighted = data;
    weighted.weights.assign(data.num_rows(), factor);
    const auto result = fit(weighted);
    if (!result.ok()) return AssertionFailure() << result.status();
    for (size_t r = 0; r < plain->restarts.size(); ++r) {
      if (result->restarts[r].iterations != plain->restarts[r].iterations) {
        return AssertionFailure() << "restart " << r << " made " << result->restarts[r].iterations
                                  << " iterations with weights " << factor << ", "
                                  << plain->restarts[r].iterations << " without";
      }
    }
    AssertionResult same =
        AllNear(result->theta, plain->theta, 1e-9, absl::StrCat("parameters, weights ", factor));
    if (!same) return same;
    if (result->optima.size() != plain->optima.size()) {
      return AssertionFailure() << result->optima.size() << " optima with weights " << factor
                                << ", " << plain->optima.size() << " without";
    }
  }
  return AssertionSuccess();
}

AssertionResult FitIsEquivariant(const FitFunction& fit, const Data& data,
                                 const std::vector<double>& scale,
                                 const std::vector<double>& shift) {
  Data moved = data;
  double log_volume = 0;
  for (int c = 0; c < data.num_columns; ++c) log_volume += std::log(scale[c]);
  for (size_t i = 0; i < moved.values.size(); ++i) {
    const size_t c = i % static_cast<size_t>(data.num_columns);
    moved.values[i] = scale[c] * moved.values[i] + shift[c];
  }
  const auto original = fit(data);
  const auto result = fit(moved);
  if (!original.ok()) return AssertionFailure() << original.status();
  if (!result.ok()) return AssertionFailure() << result.status();
  const double expected = original->objective - static_cast<double>(data.num_rows()) * log_volume;
  if (std::abs(result->objective - expected) <= 1e-4) return AssertionSuccess();
  return AssertionFailure() << "objective " << result->objective << ", expected " << expected;
}

}  // namespace emserve::testing
