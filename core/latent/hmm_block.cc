#include "core/latent/hmm_block.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/numerics/kernels.h"
#include "core/numerics/markov_runs.h"
#include "core/numerics/markov_wide.h"
#include "core/runtime/random.h"

namespace emserve {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// Parts of a message below are lost to the plain recursions.
constexpr double kLost = 1e-100;

}  // namespace

ChainNumbers::ChainNumbers(int of_states, int of_steps, bool has_durations)
    : num_states(of_states),
      max_duration(of_steps),
      initial(num_states),
      transitions(static_cast<size_t>(num_states) * num_states),
      durations(has_durations ? static_cast<size_t>(num_states) * max_duration : 0) {}

MarkovChain ChainNumbers::chain() const {
  return {num_states, initial.data(), transitions.data(), max_duration,
          durations.empty() ? nullptr : durations.data()};
}

PaddedNumbers::PaddedNumbers(int num_states)
    : num_states_(num_states),
      from_row_(static_cast<int64_t>(num_states) * PaddedStates(num_states)),
      from_column_(from_row_.size()),
      initial_(PaddedStates(num_states)) {}

void PaddedNumbers::Assign(const ChainNumbers& numbers) {
  const double* from = numbers.transitions.data();
  const int64_t stride = PaddedStates(num_states_);
  for (int i = 0; i < num_states_; ++i) {
    initial_[i] = numbers.initial[i];
    for (int j = 0; j < num_states_; ++j, ++from) {
      from_row_[i * stride + j] = from_column_[j * stride + i] = *from;
    }
  }
}

PaddedChain PaddedNumbers::chain() const {
  return {num_states_, from_row_.data(), from_column_.data(), initial_.data()};
}

void Exponentiate(const ChainNumbers& logs, ChainNumbers& out) {
  const auto exponentiate = [](const std::vector<double>& from, std::vector<double>& to) {
    for (size_t j = 0; j < from.size(); ++j) to[j] = std::exp(from[j]);
  };
  exponentiate(logs.initial, out.initial);
  exponentiate(logs.transitions, out.transitions);
  exponentiate(logs.durations, out.durations);
}

HmmPrepared::HmmPrepared(const Emission& of, int max_duration, bool has_durations)
    : plain(of.num_components(), max_duration, has_durations),
      logs(of.num_components(), max_duration, has_durations),
      emission(of.NewPrepared()) {
  if (!has_durations) padded.emplace(of.num_components());
}

HmmWorkspace::HmmWorkspace(const Emission& of, const ChainNumbers& like, int max_rows)
    : by_state(static_cast<int64_t>(like.num_states) * PaddedRows(max_rows)),
      log_density(PaddedRows(max_rows)),
      no_weights(like.num_states),
      log_likelihood(static_cast<size_t>(like.num_states) * max_rows + kStatePad),
      likelihood(log_likelihood.size()),
      score(static_cast<size_t>(like.chain().num_hidden()) * max_rows + kStatePad),
      score_exponent(score.size()),
      posterior(log_likelihood.size()),
      normaliser(max_rows),
      weights(max_rows),
      hidden(max_rows),
      before(like.chain().num_hidden()),
      behind(before.size()),
      start(before.size()),
      pairs(like.transitions.size() + like.durations.size() + kStatePad),
      plain(like),
      logs(like),
      wide(like.num_states, like.max_duration, !like.durations.empty()),
      wide_likelihood(log_likelihood.size()),
      wide_exponent(log_likelihood.size()),
      emission(of.NewWorkspace(max_rows)) {
  scratch.resize(std::max(like.chain().num_scratch() + 2 * kStatePad, wide.num_scratch()));
  if (!like.durations.empty()) return;
  ahead.resize(static_cast<size_t>(PaddedStates(like.num_states)) * max_rows + kStatePad);
  padded.emplace(like.num_states);
  if (like.num_states > kMaxTransferStates) return;
  transfer = Scratch(static_cast<int64_t>(like.num_states) * PaddedStates(like.num_states));
  transfer_scratch = Scratch(transfer.size());
}

HmmBlock::HmmBlock(const Emission& emission, const HmmPrepared& prepared, const Block& block,
                   const Assignment& assignment, HmmWorkspace& work)
    : emission_(emission),
      prepared_(prepared),
      block_(block),
      assignment_(assignment),
      work_(work),
      num_states_(emission.num_components()),
      max_duration_(prepared.plain.max_duration),
      num_hidden_(num_states_ * max_duration_),
      plain_(prepared.plain.chain()),
      logs_(prepared.logs.chain()) {
  const double power = assignment.inverse_temperature;
  if (power == 1) {
    if (prepared.padded) padded_ = prepared.padded->chain();
    return;
  }
  const auto scale = [power](const std::vector<double>& from, std::vector<double>& to) {
    for (size_t j = 0; j < from.size(); ++j) to[j] = power * from[j];
  };
  scale(prepared.logs.initial, work.logs.initial);
  scale(prepared.logs.transitions, work.logs.transitions);
  scale(prepared.logs.durations, work.logs.durations);
  Exponentiate(work.logs, work.plain);
  plain_ = work.plain.chain();
  logs_ = work.logs.chain();
  if (!work.padded) return;
  work.padded->Assign(work.plain);
  padded_ = work.padded->chain();
}

ChainRows HmmBlock::rows() const {
  // A table without sequences is one.
  return {.num_rows = block_.num_rows,
          .begins = block_.begins,
          .first_begins = block_.begins == nullptr && block_.first_row == 0,
          .before = block_.before,
          .behind = block_.behind};
}

void HmmBlock::WeighRows(double* component_log_density) {
  const std::span<double> by_state = ByState();
  emission_.LogDensity(*prepared_.emission, block_, *work_.emission, by_state);
  if (component_log_density != nullptr) {
    std::copy(by_state.begin(), by_state.end(), component_log_density);
  }
  for (int t = 0; t < block_.num_rows; ++t) {
    const double weight = block_.weights[t];
    if (weight == 1) continue;
    for (int k = 0; k < num_states_; ++k) {
      double& value = by_state[static_cast<size_t>(k) * block_.stride + t];
      value = weight == 0 ? 0 : weight * value;
    }
  }
  if (block_.log_labels != nullptr) {
    for (size_t j = 0; j < by_state.size(); ++j) by_state[j] += block_.log_labels[j];
  }
  if (assignment_.inverse_temperature != 1) {
    for (double& value : by_state) value *= assignment_.inverse_temperature;
  }
  for (int k = 0; k < num_states_; ++k) {
    const double* const of_state = by_state.data() + static_cast<size_t>(k) * block_.stride;
    for (int t = 0; t < block_.num_rows; ++t) work_.log_likelihood[Index(t, k)] = of_state[t];
  }
  NormalizeLogDensities(by_state.data(), num_states_, block_.stride, work_.no_weights.data(),
                        work_.log_density.data());
  for (int k = 0; k < num_states_; ++k) {
    const double* const of_state = by_state.data() + static_cast<size_t>(k) * block_.stride;
    for (int t = 0; t < block_.num_rows; ++t) {
      work_.likelihood[Index(t, k)] = of_state[t];
      if (work_.log_density[t] != kImpossible) {
        work_.log_likelihood[Index(t, k)] -= work_.log_density[t];
      }
    }
  }
}

void HmmBlock::WeighSequences() {
  for (int t = 0; t < block_.num_rows; ++t) {
    work_.weights[t] = block_.sequence_weights == nullptr ? 1 : block_.sequence_weights[t];
  }
}

void HmmBlock::Filter() {
  ChainRows plain_rows = rows();
  bool exact = Exponentials(plain_rows.before, work_.before);
  exact = Exponentials(plain_rows.behind, work_.behind) && exact;
  if (exact) {
    plain_rows.before = plain_rows.before == nullptr ? nullptr : work_.before.data();
    exact = padded_ ? FilterRuns(*padded_, plain_rows, work_.likelihood.data(), Watched(),
                                 work_.score.data(), work_.normaliser.data())
                    : ForwardFilter(plain_, plain_rows, work_.likelihood.data(),
                                    work_.log_likelihood.data(), prepared_.replenishes,
                                    work_.score.data(), work_.normaliser.data());
  }
  work_.form = ScoreForm::kPlain;
  if (!exact || LosesBeginnings()) FilterWide();
}

// Whether a sequence begins with a row that only states with hardly any likelihood can have: what
// the initial probabilities exclude no transition has brought back.
bool HmmBlock::LosesBeginnings() const {
  if (Watched() != nullptr) return false;  // has been looked at
  const ChainRows all = rows();
  for (int t = 0; t < all.num_rows; ++t) {
    if (!all.Begins(t)) continue;
    double sum = 0;
    bool possible = false;
    for (int k = 0; k < num_states_; ++k) {
      const double initial = plain_.initial[k];
      sum += initial * work_.likelihood[Index(t, k)];
      possible = possible || (initial > 0 && work_.log_likelihood[Index(t, k)] != kImpossible);
    }
    if (possible && !(sum >= kLost)) return true;
  }
  return false;
}

void HmmBlock::FilterWide() {
  WideForward(Widened(), rows(), WideLikelihood(), WideScores(), work_.normaliser.data(),
              work_.scratch.data());
  work_.form = ScoreForm::kWide;
}

const WideChain& HmmBlock::Widened() {
  if (!widened_) {
    work_.wide.Assign(plain_, logs_);
    WideExps(work_.log_likelihood.data(), work_.likelihood.data(), Index(block_.num_rows, 0),
             {work_.wide_likelihood.data(), work_.wide_exponent.data()});
    widened_ = true;
  }
  return work_.wide;
}

void HmmBlock::ScoreBestPaths() {
  LogForward(Paths::kBest, logs_, rows(), work_.log_likelihood.data(), work_.score.data(),
             work_.normaliser.data());
  work_.form = ScoreForm::kLogs;
}

// Of filtered probabilities and normalisers.
void HmmBlock::ScoresToLogs() {
  const int64_t num_scores = static_cast<int64_t>(block_.num_rows) * num_hidden_;
  for (int64_t j = 0; j < num_scores; ++j) {
    double& score = work_.score[j];
    score =
        work_.form == ScoreForm::kWide ? LogOf({score, work_.score_exponent[j]}) : std::log(score);
  }
  for (int t = 0; t < block_.num_rows; ++t) work_.normaliser[t] = LogNormaliser(t);
  work_.form = ScoreForm::kLogs;
}

// Of a message; whether none is lost that may matter.
bool HmmBlock::Exponentials(const double* message, std::vector<double>& out) const {
  if (message == nullptr) return true;
  const double largest = *std::max_element(message, message + num_hidden_);
  double sum = 0;
  bool lost = false;
  for (int h = 0; h < num_hidden_; ++h) {
    out[h] = largest == kImpossible ? 1 : std::exp(message[h] - largest);
    lost = lost || (out[h] < kLost && message[h] > kImpossible);
    sum += out[h];
  }
  for (int h = 0; h < num_hidden_; ++h) out[h] /= sum;
  return prepared_.replenishes || !lost;
}

double HmmBlock::LogNormaliser(int t) const {
  return work_.form == ScoreForm::kPlain ? std::log(work_.normaliser[t]) : work_.normaliser[t];
}

double HmmBlock::LogDensity(int t) const { return LogNormaliser(t) + work_.log_density[t]; }

double HmmBlock::SumLogDensities() const {
  // One logarithm of many normalisers' product. Each is 0 or at least 1e-280, or the scores are
  // wide.
  constexpr double kLeast = 1e-20;
  double sum = 0;
  double product = 1;
  for (int t = 0; t < block_.num_rows; ++t) {
    const double weight = work_.weights[t];
    if (!(weight > 0)) continue;
    if (work_.form != ScoreForm::kPlain) {
      sum += weight * LogDensity(t);
      continue;
    }
    sum += weight * work_.log_density[t];
    product *= work_.normaliser[t];
    const bool goes_on = t + 1 < block_.num_rows && work_.weights[t + 1] == weight;
    if (goes_on && product > kLeast) continue;
    sum += weight * std::log(product);
    product = 1;
  }
  return sum;
}

void HmmBlock::SumScores() {
  int64_t from = 0;
  for (int64_t j = 0; j < Index(block_.num_rows, 0); ++j) {
    double sum = 0;
    for (int d = 0; d < max_duration_; ++d, ++from) sum += Filtered(from);
    work_.posterior[j] = sum;
  }
}

void HmmBlock::Smooth(double* pairs) {
  bool exact = work_.form == ScoreForm::kPlain;
  if (exact) {
    ChainRows all = rows();
    all.before = all.before == nullptr ? nullptr : work_.before.data();
    all.behind = all.behind == nullptr ? nullptr : work_.behind.data();
    exact = padded_ ? SmoothRuns(*padded_, all, work_.likelihood.data(), work_.normaliser.data(),
                                 work_.weights.data(), work_.score.data(), work_.ahead.data(),
                                 work_.scratch.data(), work_.posterior.data(), pairs)
                    : BackwardSmooth(plain_, all, work_.likelihood.data(), work_.normaliser.data(),
                                     work_.weights.data(), work_.score.data(), pairs,
                                     work_.scratch.data());
    if (exact && padded_) return;
    if (!exact) FilterWide();
  }
  if (!exact) {
    WideSmooth(Widened(), rows(), WideLikelihood(), work_.weights.data(), WideScores(), pairs,
               work_.scratch.data());
    work_.form = ScoreForm::kPlain;
  }
  SumScores();
}

void HmmBlock::PredictRows() {
  ChainRows all = rows();
  if (work_.form == ScoreForm::kWide) {
    WidePredict(Widened(), all, WideScores(), work_.posterior.data(), work_.scratch.data());
    return;
  }
  all.before = all.before == nullptr ? nullptr : work_.before.data();
  Predict(plain_, all, work_.score.data(), work_.posterior.data(), work_.scratch.data());
}

void HmmBlock::LeaveRowsOut() {
  if (work_.form == ScoreForm::kPlain) {
    ChainRows all = rows();
    all.before = all.before == nullptr ? nullptr : work_.before.data();
    all.behind = all.behind == nullptr ? nullptr : work_.behind.data();
    if (LeaveOut(plain_, all, work_.likelihood.data(), work_.log_likelihood.data(),
                 prepared_.replenishes, work_.score.data(), work_.posterior.data(),
                 work_.scratch.data())) {
      return;
    }
    FilterWide();
  }
  WideLeaveOut(Widened(), rows(), WideLikelihood(), WideScores(), work_.posterior.data(),
               work_.scratch.data());
}

void HmmBlock::FindPath() {
  const ChainRows all = rows();
  if (chooses_best()) {
    ScoreBestPaths();
    BestPath(logs_, all, work_.score.data(), work_.hidden.data());
  } else {
    const auto uniform = [&](int t) {
      return Random(assignment_.seed, static_cast<uint64_t>(block_.first_row + t)).Uniform();
    };
    Filter();
    ScoresToLogs();
    SamplePath(logs_, all, work_.score.data(), uniform, work_.hidden.data());
    if (block_.before != nullptr) {
      const double* const chosen = block_.before;
      block_.before = chosen + num_hidden_;
      Filter();
      ScoresToLogs();
      block_.before = chosen;
    }
  }
  int before = HiddenBefore();
  for (int t = 0; t < block_.num_rows; ++t) {
    const int hidden = work_.hidden[t];
    double& of_row = work_.normaliser[t];
    if (chooses_best()) {
      of_row = work_.log_likelihood[Index(t, hidden / max_duration_)];
      if (all.Continues(t)) {
        of_row += LogTransition(logs_, before, hidden);
      } else if (all.Begins(t)) {
        of_row += logs_.initial[hidden / max_duration_];
        if (logs_.duration != nullptr) of_row += logs_.duration[hidden];
      }
    }
    of_row += work_.log_density[t];
    before = hidden;
  }
}

int HmmBlock::HiddenBefore() const {
  return block_.before == nullptr ? -1 : BestState(block_.before, nullptr, num_hidden_);
}

double HmmBlock::FollowPath() {
  FindPath();
  const ChainRows all = rows();
  int before = HiddenBefore();
  double sum = 0;
  std::fill_n(work_.score.begin(), static_cast<int64_t>(block_.num_rows) * num_hidden_, 0.0);
  for (int t = 0; t < block_.num_rows; ++t) {
    const int hidden = work_.hidden[t];
    if (work_.weights[t] > 0 && all.Continues(t) && before % max_duration_ == 0) {
      const int64_t pair = Index(before / max_duration_, hidden / max_duration_);
      work_.pairs[pair] += work_.weights[t] / plain_.transition[pair];
      if (plain_.duration != nullptr) {
        work_.pairs[Index(num_states_, hidden)] += work_.weights[t] / plain_.duration[hidden];
      }
    }
    if (work_.weights[t] > 0) sum += work_.weights[t] * work_.normaliser[t];
    work_.score[static_cast<int64_t>(t) * num_hidden_ + hidden] = 1;
    before = hidden;
  }
  work_.form = ScoreForm::kPlain;
  SumScores();
  return sum;
}

void HmmBlock::Forward(std::span<double> message) {
  if (chooses_best()) {
    ScoreBestPaths();
  } else {
    Filter();
  }
  LastMessage(message);
}

void HmmBlock::Backward(std::span<double> message) {
  if (chooses_best()) {
    LogBackward(Paths::kBest, logs_, rows(), work_.log_likelihood.data(), message.data(),
                work_.scratch.data());
    return;
  }
  if (Exponentials(block_.behind, work_.behind)) {
    ChainRows all = rows();
    all.behind = all.behind == nullptr ? nullptr : work_.behind.data();
    bool exact = true;
    if (padded_) {
      // The end of the scratch, which the kernel leaves alone.
      double* const behind = work_.scratch.data() + PaddedStates(num_states_);
      std::fill_n(behind, PaddedStates(num_states_), 0.0);
      for (int k = 0; k < num_states_; ++k) behind[k] = all.behind == nullptr ? 1 : all.behind[k];
      exact = BackwardRows(*padded_, block_.num_rows, work_.likelihood.data(), Watched(), behind,
                           work_.scratch.data());
      std::copy_n(behind, num_states_, message.data());
    } else {
      exact = emserve::Backward(plain_, all, work_.likelihood.data(), work_.log_likelihood.data(),
                                prepared_.replenishes, message.data(), work_.scratch.data());
    }
    for (double& value : message.first(num_hidden_)) value = std::log(value);
    if (exact) return;
  }
  WideBackward(Widened(), rows(), WideLikelihood(), message.data(), work_.scratch.data());
}

void HmmBlock::Transfer(std::span<double> transfer) {
  if (TransferByKernel(transfer)) return;
  block_.before = work_.start.data();
  for (int i = 0; i < num_hidden_; ++i) {
    for (int h = 0; h < num_hidden_; ++h) work_.start[h] = h == i ? 0 : kImpossible;
    const std::span<double> row =
        transfer.subspan(static_cast<size_t>(i) * num_hidden_, num_hidden_);
    Forward(row);
    double of_start = 0;
    for (int t = 0; t < block_.num_rows; ++t) of_start += LogNormaliser(t);
    for (double& value : row) value += of_start;
  }
}

bool HmmBlock::TransferByKernel(std::span<double> transfer) {
  if (!padded_ || chooses_best()) return false;
  const double log_scale =
      TransferRows(*padded_, block_.num_rows, work_.likelihood.data(), Watched(),
                   work_.transfer_scratch.data(), work_.transfer.data());
  if (std::isnan(log_scale)) return false;
  const int64_t stride = PaddedStates(num_states_);
  for (int i = 0; i < num_states_; ++i) {
    for (int j = 0; j < num_states_; ++j) {
      transfer[Index(i, j)] = std::log(work_.transfer[i * stride + j]) + log_scale;
    }
  }
  return true;
}

// What the last row's scores say, in logarithms.
void HmmBlock::LastMessage(std::span<double> message) const {
  const int64_t last = static_cast<int64_t>(block_.num_rows - 1) * num_hidden_;
  for (int h = 0; h < num_hidden_; ++h) {
    const double score = work_.score[last + h];
    switch (work_.form) {
      case ScoreForm::kPlain:
        message[h] = std::log(score);
        break;
      case ScoreForm::kWide:
        message[h] = LogOf({score, work_.score_exponent[last + h]});
        break;
      case ScoreForm::kLogs:
        message[h] = score;
        break;
    }
  }
}

void HmmBlock::SpreadPosterior(std::span<double> posterior) const {
  for (int k = 0; k < num_states_; ++k) {
    double* const of_state = posterior.data() + static_cast<size_t>(k) * block_.stride;
    for (int t = 0; t < block_.num_rows; ++t) of_state[t] = work_.posterior[Index(t, k)];
    std::fill(of_state + block_.num_rows, of_state + block_.stride, 0.0);
  }
}

}  // namespace emserve
