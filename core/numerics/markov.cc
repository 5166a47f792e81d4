#include "core/numerics/markov.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace emserve {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// Probabilities below are on their way out of a double's range.
constexpr double kVanishing = 1e-280;

// Divides by the sum and returns it; makes even shares of nothing.
double Normalize(double* values, int count) {
  double sum = 0;
  for (int k = 0; k < count; ++k) sum += values[k];
  const bool positive = sum > 0;
  const double factor = 1 / sum;
  for (int k = 0; k < count; ++k) values[k] = positive ? values[k] * factor : 1.0 / count;
  return positive ? sum : 0;
}

// The same for logarithms.
double LogNormalize(Paths paths, double* values, int count) {
  const double sum = LogSum(paths, values, count);
  for (int k = 0; k < count; ++k) values[k] = sum == kImpossible ? 0 : values[k] - sum;
  return sum;
}

// Adds weight p(pair) / p(pair | its first) to `pairs`, as BackwardSmooth says; `scratch` holds K
// doubles.
void AddPairs(const MarkovChain& chain, const double* before, const double* ahead, double weight,
              double* pairs, double* scratch) {
  const int num_states = chain.num_states;
  const int most = chain.max_duration;
  const double* entered = ahead;
  if (chain.duration != nullptr) {
    Entered(chain, ahead, scratch);
    entered = scratch;
  }
  for (int i = 0; i < num_states; ++i) {
    const double p = weight * before[At(i, most)];
    double* const row = pairs + At(i, num_states);
    for (int j = 0; j < num_states; ++j) row[j] += p * entered[j];
  }
  if (chain.duration == nullptr) return;
  double* const durations = pairs + At(num_states, num_states);
  for (int j = 0; j < num_states; ++j) {
    double entering = 0;
    for (int i = 0; i < num_states; ++i) {
      entering += before[At(i, most)] * chain.transition[At(i, num_states) + j];
    }
    for (int d = 0; d < most; ++d) {
      durations[At(j, most) + d] += weight * entering * ahead[At(j, most) + d];
    }
  }
}

// out[h] = a row's value of h's state (+ or x) in[h].
template <typename Combine>
void WithRow(const MarkovChain& chain, const double* of_row, const double* in, double* out,
             Combine combine) {
  const int most = chain.max_duration;
  for (int k = 0; k < chain.num_states; ++k) {
    const double of_state = of_row[k];
    for (int64_t h = At(k, most); h < At(k + 1, most); ++h) out[h] = combine(in[h], of_state);
  }
}

// Whether the product of probabilities with a row's likelihoods leaves a double's range although it
// is positive.
bool Loses(const MarkovChain& chain, const double* probability, const double* of_row,
           const double* log_of_row) {
  const int most = chain.max_duration;
  bool lost = false;
  for (int k = 0; k < chain.num_states; ++k) {
    if (log_of_row[k] == kImpossible) continue;
    for (int64_t h = At(k, most); h < At(k + 1, most); ++h) {
      lost |= probability[h] > 0 && probability[h] * of_row[k] < kVanishing;
    }
  }
  return lost;
}

// Whether numbers a[h] b[h] that sum to `sum` have left a double's range, though some pair is
// possible.
bool Loses(const double* a, const double* b, int count, double sum) {
  bool possible = false;
  for (int h = 0; h < count && sum < kVanishing; ++h) possible |= a[h] > 0 && b[h] > 0;
  return possible;
}

// predicted[h] = p(h at t | rows before t).
void PredictRow(const MarkovChain& chain, const ChainRows& rows, const double* filtered, int t,
                double* predicted) {
  const int size = chain.num_hidden();
  if (rows.Continues(t)) {
    Propagate(chain, t > 0 ? filtered + At(t - 1, size) : rows.before, predicted);
  } else if (rows.Begins(t)) {
    Start(chain, predicted);
  } else {
    std::fill_n(predicted, size, 1.0 / size);
  }
}

// Of states, whatever is left of them; they sum to 1.
void SumOverSteps(const MarkovChain& chain, const double* of_hidden, double* of_state) {
  const int most = chain.max_duration;
  for (int k = 0; k < chain.num_states; ++k) {
    of_state[k] = 0;
    for (int64_t h = At(k, most); h < At(k + 1, most); ++h) of_state[k] += of_hidden[h];
  }
  Normalize(of_state, chain.num_states);
}

// Calls choose(t, score) for every row from the last to the first, where score(h) is what is known
// up to t of h with what it makes of the choices after it; what it returns goes to `hidden`.
template <typename Choose>
void ChooseBackwards(const MarkovChain& chain, const ChainRows& rows, const double* score,
                     int* hidden, Choose choose) {
  for (int t = rows.num_rows - 1; t >= 0; --t) {
    const double* const now = score + At(t, chain.num_hidden());
    if (rows.IsLast(t)) {
      hidden[t] = choose(t, [&](int h) { return now[h]; });
    } else if (t == rows.num_rows - 1) {
      hidden[t] = choose(t, [&](int h) { return now[h] + rows.behind[h]; });
    } else {
      const int next = hidden[t + 1];
      hidden[t] = choose(t, [&](int h) { return now[h] + LogTransition(chain, h, next); });
    }
  }
}

template <typename Score>
int Best(int num_states, Score score) {
  int best = 0;
  double largest = kImpossible;
  for (int k = 0; k < num_states; ++k) {
    const double of_state = score(k);
    if (!(of_state > largest)) continue;
    largest = of_state;
    best = k;
  }
  return best;
}

template <typename Score>
int Drawn(int num_states, Score score, double uniform) {
  const double total = LogSumOf(Paths::kAll, num_states, score);
  if (total == kImpossible) return 0;
  int drawn = 0;
  for (int k = 0; k < num_states; ++k) {
    const double mass = std::exp(score(k) - total);
    if (!(mass > 0)) continue;
    drawn = k;  // the last one with mass, should rounding leave a rest
    uniform -= mass;
    if (uniform < 0) break;
  }
  return drawn;
}

}  // namespace

bool ForwardFilter(const MarkovChain& chain, const ChainRows& rows, const double* likelihood,
                   const double* log_likelihood, bool replenishes, double* filtered,
                   double* normaliser) {
  const int size = chain.num_hidden();
  const double* before = rows.before;
  for (int t = 0; t < rows.num_rows; ++t) {
    const double* const of_row = likelihood + At(t, chain.num_states);
    double* const now = filtered + At(t, size);
    if (rows.Continues(t)) {
      Propagate(chain, before, now);
    } else if (rows.Begins(t)) {
      Start(chain, now);
    } else {
      std::fill_n(now, size, 1.0 / size);
    }
    if (!replenishes && Loses(chain, now, of_row, log_likelihood + At(t, chain.num_states))) {
      return false;
    }
    WithRow(chain, of_row, now, now, [](double p, double of_state) { return p * of_state; });
    normaliser[t] = Normalize(now, size);
    before = now;
  }
  return true;
}

bool BackwardSmooth(const MarkovChain& chain, const ChainRows& rows, const double* likelihood,
                    const double* normaliser, const double* weights, double* filtered,
                    double* pairs, double* scratch) {
  const int size = chain.num_hidden();
  double* const behind = scratch;        // likelihood of what follows, given what is hidden
  double* const ahead = scratch + size;  // the same with the row's own
  double* const spare = ahead + size;
  for (int t = rows.num_rows - 1; t >= 0; --t) {
    double* const now = filtered + At(t, size);
    if (rows.IsLast(t)) {
      std::fill_n(behind, size, 1.0);
    } else {
      if (t == rows.num_rows - 1) std::copy_n(rows.behind, size, behind);
      // No path leads through what cannot be reached; what follows it could be anything.
      double sum = 0;
      for (int h = 0; h < size; ++h) {
        behind[h] = now[h] > 0 ? behind[h] : 0;
        sum += now[h] * behind[h];
      }
      // 1 but for rounding, and for the units of a message. What a message asks for may be all but
      // excluded by the rows, and what they ask for by the message: that alone loses the sum. From
      // then on `ahead` is 1 / p(h at t | rows before) at most, which ForwardFilter keeps in range,
      // and the sum's largest term at least 1 / M^2; where the chain replenishes, elements of
      // `behind` are no further apart than its transitions.
      if (t == rows.num_rows - 1 && Loses(now, behind, size, sum)) return false;
      const double factor = sum > 0 ? 1 / sum : 0;
      for (int h = 0; h < size; ++h) behind[h] *= factor;
    }
    const bool continues = rows.Continues(t);
    if (continues) {
      const double factor = normaliser[t] > 0 ? 1 / normaliser[t] : 0;
      WithRow(chain, likelihood + At(t, chain.num_states), behind, ahead,
              [factor](double p, double of_state) { return p * of_state * factor; });
    }
    for (int h = 0; h < size; ++h) now[h] *= behind[h];
    if (!continues) continue;
    if (pairs != nullptr) {
      const double* const before = t > 0 ? now - size : rows.before;
      AddPairs(chain, before, ahead, weights == nullptr ? 1 : weights[t], pairs, spare);
    }
    PropagateBack(chain, ahead, behind, spare);
  }
  return true;
}

void Predict(const MarkovChain& chain, const ChainRows& rows, const double* filtered,
             double* predicted, double* scratch) {
  for (int t = 0; t < rows.num_rows; ++t) {
    PredictRow(chain, rows, filtered, t, scratch);
    SumOverSteps(chain, scratch, predicted + At(t, chain.num_states));
  }
}

bool LeaveOut(const MarkovChain& chain, const ChainRows& rows, const double* likelihood,
              const double* log_likelihood, bool replenishes, const double* filtered,
              double* others, double* scratch) {
  const int size = chain.num_hidden();
  double* const behind = scratch;  // likelihood of what follows, given what is hidden; 1 at most
  double* const ahead = scratch + size;
  double* const predicted = ahead + size;
  double* const spare = predicted + size;
  for (int t = rows.num_rows - 1; t >= 0; --t) {
    if (rows.IsLast(t)) {
      std::fill_n(behind, size, 1.0);
    } else if (t == rows.num_rows - 1) {
      std::copy_n(rows.behind, size, behind);
    }
    const double largest = *std::max_element(behind, behind + size);
    for (int h = 0; h < size && largest > 0; ++h) behind[h] /= largest;
    PredictRow(chain, rows, filtered, t, predicted);
    double sum = 0;
    for (int h = 0; h < size; ++h) sum += ahead[h] = predicted[h] * behind[h];
    // Both may be anywhere in range, so that their products need not be.
    if (Loses(predicted, behind, size, sum)) return false;
    SumOverSteps(chain, sum > 0 ? ahead : predicted, others + At(t, chain.num_states));
    if (!rows.Continues(t)) continue;
    const double* const of_row = likelihood + At(t, chain.num_states);
    if (!replenishes && Loses(chain, behind, of_row, log_likelihood + At(t, chain.num_states))) {
      return false;
    }
    WithRow(chain, of_row, behind, ahead, std::multiplies<>());
    PropagateBack(chain, ahead, behind, spare);
  }
  return true;
}

void LogForward(Paths paths, const MarkovChain& chain, const ChainRows& rows,
                const double* log_likelihood, double* score, double* normaliser) {
  const int size = chain.num_hidden();
  const double* before = rows.before;
  for (int t = 0; t < rows.num_rows; ++t) {
    double* const now = score + At(t, size);
    if (rows.Continues(t)) {
      LogPropagate(paths, chain, before, now);
    } else if (rows.Begins(t)) {
      LogStart(chain, now);
    } else {
      std::fill_n(now, size, paths == Paths::kAll ? -std::log(size) : 0);
    }
    WithRow(chain, log_likelihood + At(t, chain.num_states), now, now, std::plus<>());
    normaliser[t] = LogNormalize(paths, now, size);
    before = now;
  }
}

bool Backward(const MarkovChain& chain, const ChainRows& rows, const double* likelihood,
              const double* log_likelihood, bool replenishes, double* message, double* scratch) {
  const int size = chain.num_hidden();
  double* const ahead = scratch;
  double* const spare = scratch + size;
  if (rows.behind == nullptr) {
    std::fill_n(message, size, 1.0);
  } else {
    std::copy_n(rows.behind, size, message);
  }
  for (int t = rows.num_rows - 1; t >= 0; --t) {
    const double* const of_row = likelihood + At(t, chain.num_states);
    if (!replenishes && Loses(chain, message, of_row, log_likelihood + At(t, chain.num_states))) {
      return false;
    }
    WithRow(chain, of_row, message, ahead, std::multiplies<>());
    Normalize(ahead, size);
    PropagateBack(chain, ahead, message, spare);
  }
  return true;
}

void LogBackward(Paths paths, const MarkovChain& chain, const ChainRows& rows,
                 const double* log_likelihood, double* message, double* scratch) {
  const int size = chain.num_hidden();
  double* const ahead = scratch;
  double* const spare = scratch + size;
  if (rows.behind == nullptr) {
    std::fill_n(message, size, 0.0);
  } else {
    std::copy_n(rows.behind, size, message);
  }
  for (int t = rows.num_rows - 1; t >= 0; --t) {
    WithRow(chain, log_likelihood + At(t, chain.num_states), message, ahead, std::plus<>());
    LogPropagateBack(paths, chain, ahead, message, spare);
    const double largest = *std::max_element(message, message + size);
    if (largest == kImpossible) continue;
    for (int h = 0; h < size; ++h) message[h] -= largest;
  }
}

void BestPath(const MarkovChain& log_chain, const ChainRows& rows, const double* score,
              int* hidden) {
  ChooseBackwards(log_chain, rows, score, hidden,
                  [&](int, auto of_element) { return Best(log_chain.num_hidden(), of_element); });
}

void SamplePath(const MarkovChain& log_chain, const ChainRows& rows, const double* score,
                absl::FunctionRef<double(int t)> uniform, int* hidden) {
  ChooseBackwards(log_chain, rows, score, hidden, [&](int t, auto of_element) {
    return Drawn(log_chain.num_hidden(), of_element, uniform(t));
  });
}

int BestState(const double* before, const double* behind, int count) {
  return Best(count, [&](int h) { return before[h] + (behind == nullptr ? 0 : behind[h]); });
}

int SampleState(const double* before, const double* behind, int count, double uniform) {
  return Drawn(
      count, [&](int h) { return before[h] + (behind == nullptr ? 0 : behind[h]); }, uniform);
}

}  // namespace emserve
