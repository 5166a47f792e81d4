#include "tests/core/chain_laws.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>
#include <span>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/chain.h"
#include "core/em/durations.h"
#include "core/em/messages.h"
#include "core/em/scratch.h"

namespace emserve::testing {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

// The table as one block, with one output of every row and state: [K x stride].
struct OfStates {
  OfStates(const Model& model, const Table& table, const Theta& theta, double* RowOutputs::*output)
      : buffer(table.MakeBuffer(static_cast<int>(table.num_rows()))),
        block(table.Read(0, static_cast<int>(table.num_rows()), buffer)),
        values(static_cast<size_t>(model.num_components()) * block.stride) {
    const auto prepared = model.NewPrepared();
    const auto workspace = model.NewWorkspace(block.num_rows);
    if (const absl::Status status = model.Prepare(theta, *prepared); !status.ok()) {
      ADD_FAILURE() << status;
    }
    RowOutputs outputs;
    outputs.*output = values.data();
    model.Infer(*prepared, block, *workspace, outputs);
  }
  double At(int row, int k) const { return values[static_cast<size_t>(k) * block.stride + row]; }

  BlockBuffer buffer;
  Block block;
  std::vector<double> values;
};

// [rows][K] log p(x_i | state k), of Infer, not knowing of weights and labels.
std::vector<std::vector<double>> StateLogDensities(const Model& model, const Table& table,
                                                   const Theta& theta) {
  const OfStates densities(model, table, theta, &RowOutputs::component_log_density);
  const int num_rows = densities.block.num_rows;
  const int num_states = model.num_components();
  std::vector<std::vector<double>> result(num_rows, std::vector<double>(num_states));
  for (int t = 0; t < num_rows; ++t) {
    for (int k = 0; k < num_states; ++k) {
      result[t][k] = densities.At(t, k);
    }
  }
  return result;
}

// Q(. | theta) = E[log p(rows, states | .)] + log prior.
class ExpectedLogLikelihood {
 public:
  ExpectedLogLikelihood(const Model& model, const Table& table, const Theta& theta)
      : model_(model), table_(table), num_states_(model.num_components()) {
    const OfStates posterior(model, table, theta, &RowOutputs::posterior);
    const Block& block = posterior.block;
    const int num_rows = block.num_rows;
    counts_.resize(num_states_);
    for (int t = 0; t < num_rows; ++t) {
      for (int k = 0; k < num_states_; ++k) {
        const double p = block.sequence_weights[t] * posterior.At(t, k);
        if (block.begins[t] != 0) counts_[k] += p;
        responsibilities_.push_back(block.weights[t] * p);
      }
    }
    const std::vector<double> statistics = RunBlocks(model, table, theta).statistics;
    for (const char* const name : {"transition_counts", "duration_counts"}) {
      const ArraySpec* const array = model.statistics().Find(name);
      if (array == nullptr) continue;
      const auto counts = Layout::View(std::span<const double>(statistics), *array);
      counts_.insert(counts_.end(), counts.begin(), counts.end());
    }
  }

  double operator()(const Theta& at) const {
    double q = model_.LogPrior(at);
    const std::vector<double> log_durations = LogDurations(model_, at);
    const size_t num_others = counts_.size() - log_durations.size();
    for (size_t j = 0; j < counts_.size(); ++j) {
      if (!(counts_[j] > 0)) continue;
      q += counts_[j] * (j < num_others ? std::log(at[j]) : log_durations[j - num_others]);
    }
    const std::vector<std::vector<double>> of_state = StateLogDensities(model_, table_, at);
    for (size_t j = 0; j < responsibilities_.size(); ++j) {
      const double r = responsibilities_[j];
      if (r > 0) q += r * of_state[j / num_states_][j % num_states_];
    }
    return q;
  }

 private:
  const Model& model_;
  const Table& table_;
  const int num_states_;
  std::vector<double> counts_;            // [K] of starts, [K, K] of transitions, [K, D]
  std::vector<double> responsibilities_;  // [rows, K], with all weights
};

}  // namespace

Theta RandomChainTheta(const Model& model, const Table& table, const Summary& summary,
                       uint64_t seed) {
  Theta theta = RandomTheta(model, table, summary, seed);
  const int K = model.num_components();
  Random random(seed, 3);
  for (int row = 0; row <= K; ++row) {  // the initial distribution, then transitions
    const std::span<double> shares = std::span(theta).subspan(static_cast<size_t>(row) * K, K);
    double sum = 0;
    for (double& share : shares) sum += share *= 0.1 + random.Uniform();
    for (double& share : shares) share /= sum;
  }
  return theta;
}

Pass RunBlocks(const Model& model, const Table& table, const Theta& theta,
               const Assignment& assignment, int block_rows) {
  const int64_t num_rows = table.num_rows();
  if (block_rows == 0) block_rows = PaddedRows(static_cast<int>(num_rows));
  const Partition partition{.num_rows = num_rows,
                            .block_rows = block_rows,
                            .num_blocks = (num_rows + block_rows - 1) / block_rows,
                            .num_lanes = 1};
  Pool pool(1);
  Pool::Share share(pool);
  const auto prepared = model.NewPrepared();
  const auto workspace = model.NewWorkspace(block_rows);
  std::optional<Messages> messages;
  if (model.chain() != nullptr) messages.emplace(model, table, partition, share, nullptr);
  absl::Status status = model.Prepare(theta, *prepared);
  if (status.ok() && messages) status = messages->Run(*prepared, assignment);
  if (!status.ok()) ADD_FAILURE() << status;
  BlockBuffer buffer = table.MakeBuffer(block_rows);
  Pass pass{0, std::vector<double>(model.statistics().size())};
  for (int64_t b = 0; b < partition.num_blocks; ++b) {
    Block block = table.Read(partition.first_row(b), partition.rows(b), buffer);
    if (messages) block = messages->Informed(block);
    pass.log_likelihood += model.EStep(*prepared, block, assignment, *workspace, pass.statistics);
  }
  return pass;
}

AssertionResult SamePass(const Pass& a, const Pass& b, const std::string& what) {
  if (!(std::abs(a.log_likelihood - b.log_likelihood) <=
        1e-10 * (1 + std::abs(b.log_likelihood)))) {
    return AssertionFailure() << what << ": log-likelihood " << a.log_likelihood << " against "
                              << b.log_likelihood;
  }
  return AllNear(a.statistics, b.statistics, 1e-8, what + ": statistics");
}

AssertionResult BlocksLeaveNoTrace(const Model& model, const Table& table, const Theta& theta) {
  const std::vector<std::pair<std::string, Assignment>> assignments = {
      {"posteriors", {}},
      {"tempered", {.kind = Assignment::Kind::kPosterior, .inverse_temperature = 0.4, .seed = 0}},
      {"best path", {.kind = Assignment::Kind::kHard, .inverse_temperature = 1, .seed = 0}},
      {"drawn path", {.kind = Assignment::Kind::kSampled, .inverse_temperature = 1, .seed = 3}}};
  for (const auto& [name, assignment] : assignments) {
    const Pass whole = RunBlocks(model, table, theta, assignment);
    for (const int block_rows : {kRowPad, 5 * kRowPad}) {
      Pass cut = RunBlocks(model, table, theta, assignment, block_rows);
      if (assignment.kind == Assignment::Kind::kSampled) cut.statistics = whole.statistics;
      AssertionResult same = SamePass(cut, whole, absl::StrCat(name, ", blocks of ", block_rows));
      if (!same) return same;
    }
  }
  return AssertionSuccess();
}

AssertionResult DrawsHaveTheirPosterior(const Model& model, const Table& table,
                                        const Theta& theta) {
  constexpr int kDraws = 100;
  const int K = model.num_components();
  const Pass expected = RunBlocks(model, table, theta);
  std::vector<double> sum(2 * K + K * K);
  std::vector<double> squares(sum.size());
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    const Assignment drawn{
        .kind = Assignment::Kind::kSampled, .inverse_temperature = 1, .seed = 1000 + seed};
    const Pass pass = RunBlocks(model, table, theta, drawn, kRowPad);
    for (size_t j = 0; j < sum.size(); ++j) {
      const double difference = pass.statistics[j] - expected.statistics[j];
      sum[j] += difference;
      squares[j] += difference * difference;
    }
  }
  for (size_t j = 0; j < sum.size(); ++j) {
    // Counts of what is rare vary as Poisson's do, even where none has been drawn.
    const double deviation = std::sqrt(squares[j] + kDraws * std::min(1.0, expected.statistics[j]));
    if (std::abs(sum[j]) <= 5 * deviation + 1e-9) continue;
    return AssertionFailure() << "statistics[" << j << "]: draws have " << sum[j] / kDraws
                              << " more than posteriors on average, with a standard error of "
                              << deviation / kDraws;
  }
  return AssertionSuccess();
}

AssertionResult SequencesAddUp(const Model& model, const ChainData& data, const Theta& theta) {
  const Pass whole = RunBlocks(model, data.ToTable(), theta);
  Pass sum{0, std::vector<double>(whole.statistics.size())};
  std::vector<int64_t> order(data.lengths.size());
  std::iota(order.begin(), order.end(), 0);
  for (const int64_t s : order) {
    const Pass one = RunBlocks(model, data.Picked({s}).ToTable(), theta);
    sum.log_likelihood += one.log_likelihood;
    for (size_t j = 0; j < one.statistics.size(); ++j) sum.statistics[j] += one.statistics[j];
  }
  AssertionResult same = SamePass(sum, whole, "one by one");
  if (!same) return same;
  std::reverse(order.begin(), order.end());
  std::swap(order[1], order[4]);
  return SamePass(RunBlocks(model, data.Picked(order).ToTable(), theta), whole, "in another order");
}

AssertionResult SequenceWeightsAreMultiplicities(const Model& model, const ChainData& data,
                                                 const Theta& theta) {
  ChainData weighted = data;
  std::vector<int64_t> picked;
  int64_t row = 0;
  for (int64_t s = 0; s < data.num_sequences(); ++s) {
    const int times = s % 3 == 0 ? 2 : s % 3 == 1 ? 0 : 1;
    weighted.weights.push_back(times);
    picked.insert(picked.end(), times, s);
    const int64_t cells = data.lengths[s] * data.rows.num_columns;
    for (int64_t i = row; i < row + cells && times == 0; i += data.rows.num_columns) {
      // Any other row of the data.
      std::copy_n(data.rows.values.begin(), data.rows.num_columns,
                  weighted.rows.values.begin() + i);
    }
    row += cells;
  }
  for (const Assignment::Kind kind : {Assignment::Kind::kPosterior, Assignment::Kind::kHard}) {
    const Assignment assignment{.kind = kind, .inverse_temperature = 1, .seed = 0};
    AssertionResult same =
        SamePass(RunBlocks(model, weighted.ToTable(), theta, assignment),
                 RunBlocks(model, data.Picked(picked).ToTable(), theta, assignment), "weighted");
    if (!same) return same;
  }
  return AssertionSuccess();
}

std::vector<double> LogDurations(const Model& model, const Theta& theta) {
  const ArraySpec* const counts = model.statistics().Find("duration_counts");
  if (counts == nullptr) return {};
  DurationKind kind = DurationKind::kFree;
  if (model.parameters().Find("duration_rates") != nullptr) kind = DurationKind::kPoisson;
  if (model.parameters().Find("duration_means") != nullptr) kind = DurationKind::kNegativeBinomial;
  const int K = model.num_components();
  const Durations durations(kind, K, static_cast<int>(counts->shape[1]), 1);
  std::vector<double> logs(counts->size);
  durations.LogProbabilities(
      std::span(theta).subspan(static_cast<size_t>(K + K * K), durations.parameters().size()),
      logs);
  return logs;
}

AssertionResult AgreesWithAllPaths(const Model& model, const Table& table, const Theta& theta) {
  const int num_rows = static_cast<int>(table.num_rows());
  const int K = model.num_components();
  BlockBuffer buffer = table.MakeBuffer(num_rows);
  const Block block = table.Read(0, num_rows, buffer);
  const auto prepared = model.NewPrepared();
  const auto workspace = model.NewWorkspace(num_rows);
  if (const absl::Status status = model.Prepare(theta, *prepared); !status.ok()) {
    return AssertionFailure() << status;
  }
  const std::vector<std::vector<double>> of_state = StateLogDensities(model, table, theta);
  // What is hidden: the state and, of a semi-Markov chain, how many of D steps are left.
  const std::vector<double> log_durations = LogDurations(model, theta);
  const int D = log_durations.empty() ? 1 : static_cast<int>(log_durations.size()) / K;
  const int M = K * D;
  std::vector<double> initial(M);
  std::vector<double> steps(static_cast<size_t>(M) * M);
  for (int h = 0; h < M; ++h) {
    const double lasting = D == 1 ? 1 : std::exp(log_durations[h]);
    initial[h] = theta[h / D] * lasting;
    for (int i = 0; i < K; ++i) steps[i * D * M + h] = theta[K + i * K + h / D] * lasting;
    if (h % D > 0) steps[h * M + h - 1] = 1;
  }
  const Sequences& sequences = *table.sequences();
  const size_t stride = block.stride;

  Pass expected{0, std::vector<double>(model.statistics().size())};
  double log_best = 0;
  std::vector<double> log_density(sequences.size());
  std::vector<double> filtered(K * stride);
  const Scratch posterior(static_cast<int64_t>(K * stride));
  std::fill_n(posterior.data(), posterior.size(), 0.0);
  std::vector<double> pairs(static_cast<size_t>(K) * K + log_durations.size());
  for (int64_t s = 0; s < sequences.size(); ++s) {
    const int64_t first = sequences.first_row(s);
    std::vector<std::vector<double>> density;
    double common = 0;
    for (int64_t i = first; i < sequences.first_row(s + 1); ++i) {
      std::vector<double> row(K);
      for (int k = 0; k < K; ++k) {
        row[k] = block.weights[i] == 0 ? 0 : block.weights[i] * of_state[i][k];
        if (block.log_labels != nullptr) row[k] += block.log_labels[k * stride + i];
      }
      const double largest = *std::max_element(row.begin(), row.end());
      common += largest;
      density.emplace_back();
      for (int h = 0; h < M; ++h) density.back().push_back(std::exp(row[h / D] - largest));
      const AllPaths until(density, initial, steps);
      for (int h = 0; h < M; ++h) filtered[h / D * stride + i] += until.posterior.back()[h];
    }
    const AllPaths all(density, initial, steps);
    log_density[s] = std::log(all.total) + common;
    expected.log_likelihood += sequences.weight(s) * log_density[s];
    log_best += sequences.weight(s) * (std::log(all.Best()) + common);
    for (size_t t = 0; t < density.size(); ++t) {
      for (int h = 0; h < M; ++h) {
        posterior[static_cast<int64_t>(h / D * stride + first + t)] += all.posterior[t][h];
      }
    }
    for (int h = 0; h < M; ++h) {
      if (D > 1) pairs[K * K + h] += sequences.weight(s) * all.posterior[0][h];
      for (int i = 0; i < K; ++i) {
        const double entered = sequences.weight(s) * all.pairs[i * D * M + h];
        pairs[i * K + h / D] += entered;
        if (D > 1) pairs[K * K + h] += entered;
      }
    }
  }
  model.GivenStep(*prepared, block,
                  std::span(posterior.data(), static_cast<size_t>(posterior.size())), *workspace,
                  expected.statistics);
  std::copy(pairs.begin(), pairs.end(), expected.statistics.begin() + 2 * K);

  Pass pass{0, std::vector<double>(model.statistics().size())};
  pass.log_likelihood = model.EStep(*prepared, block, {}, *workspace, pass.statistics);
  AssertionResult same = SamePass(pass, expected, "all paths");
  if (!same) return same;
  std::vector<double> of_paths(model.statistics().size());
  const Assignment hard{.kind = Assignment::Kind::kHard, .inverse_temperature = 1, .seed = 0};
  const double best = model.EStep(*prepared, block, hard, *workspace, of_paths);
  if (!(std::abs(best - log_best) <= 1e-10 * (1 + std::abs(log_best)))) {
    return AssertionFailure() << "best paths have " << best << ", of all the best " << log_best;
  }

  std::vector<double> row_log_density(stride);
  std::vector<double> row_posterior(K * stride);
  std::vector<double> row_filtered(K * stride);
  RowOutputs outputs;
  outputs.log_density = row_log_density.data();
  outputs.posterior = row_posterior.data();
  outputs.filtered = row_filtered.data();
  model.Infer(*prepared, block, *workspace, outputs);
  for (int64_t s = 0; s < sequences.size(); ++s) {
    double sum = 0;
    for (int64_t i = sequences.first_row(s); i < sequences.first_row(s + 1); ++i) {
      sum += row_log_density[i];
    }
    if (!(std::abs(sum - log_density[s]) <= 1e-10 * (1 + std::abs(sum)))) {
      return AssertionFailure() << "sequence " << s << " has log density " << sum
                                << ", all paths together " << log_density[s];
    }
  }
  for (size_t j = 0; j < row_posterior.size(); ++j) {
    const double other = posterior[static_cast<int64_t>(j)];
    if (!(std::abs(row_posterior[j] - other) <= 1e-11 &&
          std::abs(row_filtered[j] - filtered[j]) <= 1e-11)) {
      return AssertionFailure() << "state " << j / stride << " of row " << j % stride
                                << " has posterior " << row_posterior[j] << " and filtered "
                                << row_filtered[j] << ", of all paths " << other << " and "
                                << filtered[j];
    }
  }
  return AssertionSuccess();
}

AssertionResult ChainMaximizesQ(const Model& model, const Table& table, const Summary& summary,
                                const Theta& theta, bool closed_form) {
  const ExpectedLogLikelihood q(model, table, theta);
  std::vector<Theta> others;
  for (uint64_t seed = 0; seed < 6 && closed_form; ++seed) {
    others.push_back(RandomChainTheta(model, table, summary, 100 + seed));
  }
  return IsHighest(model, q, OneIteration(model, table, theta), theta, others,
                   {-1e-2, -1e-3, -1e-4, 1e-4, 1e-3, 1e-2});
}

AssertionResult ScoreIsThatOfQ(const Model& model, const Table& table, const Summary& summary,
                               const Theta& theta) {
  constexpr double kStep = 1e-5;
  const ExpectedLogLikelihood q(model, table, theta);
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const Theta other = RandomChainTheta(model, table, summary, 200 + seed);
    double of_likelihood = 0;
    double of_q = 0;
    for (const double sign : {-1.0, 1.0}) {
      Theta at = theta;
      for (size_t i = 0; i < at.size(); ++i) at[i] += sign * kStep * (other[i] - theta[i]);
      of_likelihood += sign * (RunBlocks(model, table, at).log_likelihood + model.LogPrior(at));
      of_q += sign * q(at);
    }
    of_likelihood /= 2 * kStep;
    of_q /= 2 * kStep;
    if (!(std::abs(of_likelihood - of_q) <= 1e-4 * (1 + std::abs(of_q)))) {
      return AssertionFailure() << "towards random parameters " << seed
                                << " the log-likelihood rises by " << of_likelihood << ", Q by "
                                << of_q;
    }
  }
  return AssertionSuccess();
}

Theta Relabelled(const Model& model, const Theta& theta, const std::vector<int>& permutation) {
  const int64_t K = model.num_components();
  Theta result = theta;
  for (const ArraySpec& array : model.parameters().arrays()) {
    const bool initial = array.name == "initial";
    if (!array.by_component && !initial) continue;
    const int64_t part = array.size / K;
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t j = 0; j < part; ++j) {
        const int64_t from = array.name == "transitions" ? permutation[j] : j;
        result[array.offset + k * part + j] = theta[array.offset + permutation[k] * part + from];
      }
    }
  }
  return result;
}

AssertionResult RelabellingRelabelsStates(const Model& model, const Table& table,
                                          const Theta& theta, double tolerance) {
  const std::vector<int> permutation = {2, 0, 1};
  Theta plain = theta;
  Theta other = Relabelled(model, theta, permutation);
  for (int i = 0; i < 4; ++i) {
    plain = OneIteration(model, table, plain);
    other = OneIteration(model, table, other);
  }
  return AllNear(other, Relabelled(model, plain, permutation), tolerance, "parameters");
}

ChainData Drawn(const Model& model, const Theta& theta, std::vector<int64_t> lengths,
                uint64_t seed) {
  const auto prepared = model.NewPrepared();
  if (const absl::Status status = model.Prepare(theta, *prepared); !status.ok()) {
    ADD_FAILURE() << status;
  }
  Random random(seed, 0);
  ChainData data;
  data.rows.num_columns = model.num_columns();
  data.lengths = std::move(lengths);
  std::vector<double> row(model.num_columns());
  for (const int64_t length : data.lengths) {
    int state = -1;
    for (int64_t t = 0; t < length; ++t) {
      state = model.chain()->SampleNext(*prepared, state, random, row);
      data.rows.values.insert(data.rows.values.end(), row.begin(), row.end());
    }
  }
  return data;
}

AssertionResult TruthOfAChainIsBeaten(const Model& model, const Theta& truth) {
  return TruthIsBeatenOn(model, Drawn(model, truth, {300, 1, 99, 200}, 11).ToTable(), truth);
}

AssertionResult IsTheMixtureWithoutMemory(const Model& chain, const Model& mixture,
                                          const ChainData& data, const Theta& theta) {
  const int K = chain.num_components();
  const std::vector<double> weights = {0.2, 0.5, 0.3};
  Theta of_mixture = weights;
  const int64_t of_emission = mixture.parameters().size() - K;
  of_mixture.insert(of_mixture.end(), theta.end() - of_emission, theta.end());
  const Pass expected = RunBlocks(mixture, data.rows.ToTable(), of_mixture);
  ChainData single = data;
  single.lengths.assign(data.rows.num_rows(), 1);
  const bool markov = chain.statistics().Find("duration_counts") == nullptr;
  for (const bool equal : {false, true}) {
    if (equal && !markov) continue;
    Theta at = theta;
    std::copy(weights.begin(), weights.end(), at.begin());
    for (int i = 0; i < K && equal; ++i) {
      std::copy(weights.begin(), weights.end(), at.begin() + K + i * K);
    }
    Pass pass = RunBlocks(chain, (equal ? data : single).ToTable(), at);
    const auto of_rows = static_cast<std::ptrdiff_t>(expected.statistics.size()) - K;
    pass.statistics.erase(pass.statistics.begin() + K, pass.statistics.end() - of_rows);
    AssertionResult same =
        SamePass(pass, expected, equal ? "equal transitions" : "sequences of one row");
    if (!same) return same;
  }
  return AssertionSuccess();
}

}  // namespace emserve::testing
