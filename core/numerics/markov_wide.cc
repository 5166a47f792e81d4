#include "core/numerics/markov_wide.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace emserve {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// Arrays cut from a function's scratch, one after the other.
class Cuts {
 public:
  explicit Cuts(double* scratch) : next_(scratch) {}
  Wides Take(int count) {
    const Wides taken{next_, next_ + count};
    next_ += 2 * int64_t{count};
    return taken;
  }
  double* rest() const { return next_; }

 private:
  double* next_;
};

void Fill(double value, int count, Wides out) {
  std::fill_n(out.significand, count, value);
  std::fill_n(out.exponent, count, 0.0);
}

// Shares that sum to 1; a message that nothing is possible tells nothing apart.
void FromMessage(const double* message, int count, Wides out) {
  const double largest = *std::max_element(message, message + count);
  for (int h = 0; h < count; ++h) {
    out.Set(h, largest == kImpossible ? Wide{1, 0} : WideExp(message[h] - largest));
  }
  MultiplyAll(out, Inverse(SumOf(out, count)), count, out);
}

// out[h] = in[h] times a row's value of h's state.
void WithRow(const WideChain& chain, ConstWides of_row, ConstWides in, Wides out) {
  const int most = chain.max_duration();
  if (most == 1) return MultiplyAll(in, of_row, chain.num_states(), out);
  for (int k = 0; k < chain.num_states(); ++k) {
    MultiplyAll(in.From(At(k, most)), of_row[k], most, out.From(At(k, most)));
  }
}

// Takes the largest exponent off all of them, unless all are 0.
void Lower(int count, Wides values) {
  const double top = LargestExponent(values.exponent, count);
  if (top == kWideZero) return;
  for (int h = 0; h < count; ++h) values.exponent[h] -= top;
}

// The likelihood of what follows row t, where row t + 1 does not say it.
void Follow(const ChainRows& rows, int t, int size, Wides behind) {
  if (rows.IsLast(t)) {
    Fill(1, size, behind);
  } else if (t == rows.num_rows - 1) {
    FromMessage(rows.behind, size, behind);
  }
}

// predicted[h] = p(h at t | rows before t), up to a factor; `before` [M] is that of the message.
void PredictRow(const WideChain& chain, const ChainRows& rows, ConstWides before,
                ConstWides filtered, int t, Wides predicted, double* scratch) {
  const int size = chain.num_hidden();
  if (rows.Continues(t)) {
    chain.Propagate(t > 0 ? filtered.From(At(t - 1, size)) : before, predicted, scratch);
  } else if (rows.Begins(t)) {
    chain.Start(predicted);
  } else {
    Fill(1.0 / size, size, predicted);
  }
}

// Of states, whatever is left of them; they sum to 1.
void SumOverSteps(const WideChain& chain, ConstWides of_hidden, double* of_state) {
  const Wide sum = SumOf(of_hidden, chain.num_hidden());
  std::fill_n(of_state, chain.num_states(), sum.significand > 0 ? 0 : 1.0 / chain.num_states());
  if (!(sum.significand > 0)) return;
  const Wide factor = Inverse(sum);
  for (int h = 0; h < chain.num_hidden(); ++h) {
    of_state[h / chain.max_duration()] += ToDouble(of_hidden[h] * factor);
  }
}

// What pairs of rows are made of: factor before[i] ahead[j], where smoothed[i] is how probable i is
// before them.
struct PairsOfRow {
  ConstWides before;
  ConstWides ahead;
  const double* smoothed = nullptr;
  Wide factor;
  double weight = 1;
};

// pairs[i, j] += weight factor before[i] entered[j].
void AddTransitions(const WideChain& chain, const PairsOfRow& of_row, ConstWides entered,
                    double* pairs, double* scratch) {
  // A product of two doubles in a double's range: its factors, too, where one is of this size.
  constexpr double kLeast = 0x1p-200;
  constexpr double kMost = 0x1p20;
  const int num_states = chain.num_states();
  const double top = LargestExponent(entered.exponent, num_states);
  ToDoubles(entered, {1, -top}, num_states, scratch);
  for (int i = 0; i < num_states; ++i) {
    const int64_t h = At(i, chain.max_duration());
    if (of_row.smoothed[h] == 0) continue;
    const Wide of_state = of_row.before[h] * of_row.factor;
    const double factor = ToDouble({of_state.significand, of_state.exponent + top});
    double* const to = pairs + At(i, num_states);
    if (factor > kLeast && factor < kMost) {
      const double weighted = of_row.weight * factor;
      for (int j = 0; j < num_states; ++j) to[j] += weighted * scratch[j];
    } else {
      chain.from_column().ForColumn(
          i, [&](int j) { to[j] += of_row.weight * ToDouble(of_state * entered[j]); });
    }
  }
}

// As BackwardSmooth adds them; `scratch` holds 7 K + 2 D doubles.
void AddPairs(const WideChain& chain, const PairsOfRow& of_row, double* pairs, double* scratch) {
  const int num_states = chain.num_states();
  if (!chain.has_durations()) {
    AddTransitions(chain, of_row, of_row.ahead, pairs, scratch);
    return;
  }
  Cuts cuts(scratch);
  const Wides entered = cuts.Take(num_states);
  const Wides entering = cuts.Take(num_states);
  chain.Entered(of_row.ahead, entered, cuts.rest());
  AddTransitions(chain, of_row, entered, pairs, cuts.rest());
  chain.Entering(of_row.before, entering, cuts.rest());
  double* const durations = pairs + At(num_states, num_states);
  const int most = chain.max_duration();
  for (int j = 0; j < num_states; ++j) {
    const Wide enters = entering[j] * of_row.factor;
    if (ToDouble(enters * entered[j]) == 0) continue;
    const ConstWides ahead = of_row.ahead.From(At(j, most));
    double* const to = durations + At(j, most);
    if (enters.exponent + LargestExponent(ahead.exponent, most) <= 0) {
      double* const products = cuts.rest();
      ToDoubles(ahead, enters, most, products);
      for (int d = 0; d < most; ++d) to[d] += of_row.weight * products[d];
    } else {
      // Where a duration is impossible, what it would count for may have any size.
      const double* const lasting = chain.duration().significand + At(j, most);
      for (int d = 0; d < most; ++d) {
        if (lasting[d] > 0) to[d] += of_row.weight * ToDouble(enters * ahead[d]);
      }
    }
  }
}

}  // namespace

void WideForward(const WideChain& chain, const ChainRows& rows, ConstWides likelihood,
                 Wides filtered, double* log_normaliser, double* scratch) {
  const int size = chain.num_hidden();
  Cuts cuts(scratch);
  const Wides before = cuts.Take(size);
  if (rows.before != nullptr) FromMessage(rows.before, size, before);
  for (int t = 0; t < rows.num_rows; ++t) {
    const Wides now = filtered.From(At(t, size));
    PredictRow(chain, rows, before, filtered, t, now, cuts.rest());
    WithRow(chain, likelihood.From(At(t, chain.num_states())), now, now);
    const Wide sum = SumOf(now, size);
    log_normaliser[t] = LogOf(sum);
    if (!(sum.significand > 0)) {
      Fill(1.0 / size, size, now);
      continue;
    }
    MultiplyAll(now, Inverse(sum), size, now);
  }
}

void WideSmooth(const WideChain& chain, const ChainRows& rows, ConstWides likelihood,
                const double* weights, Wides filtered, double* pairs, double* scratch) {
  const int size = chain.num_hidden();
  Cuts cuts(scratch);
  const Wides behind = cuts.Take(size);  // likelihood of what follows, given what is hidden
  const Wides ahead = cuts.Take(size);   // the same with the next row's own
  const Wides both = cuts.Take(size);    // of all rows, before they are divided by their sum
  const Wides before = cuts.Take(size);
  double* const smoothed = cuts.rest();
  double* const spare = smoothed + size;
  // Row t's probabilities, before row t + 1 adds its pairs.
  const auto smooth = [&](int t, ConstWides now) {
    MultiplyAll(now, behind, size, both);
    const Wide total = SumOf(both, size);
    if (!(total.significand > 0)) {
      std::fill_n(smoothed, size, 1.0 / size);
      return;
    }
    const Wide factor = Inverse(total);
    ToDoubles(both, factor, size, smoothed);
    if (pairs == nullptr || t + 1 == rows.num_rows || !rows.Continues(t + 1)) return;
    const double weight = weights == nullptr ? 1 : weights[t + 1];
    if (weight > 0) AddPairs(chain, {now, ahead, smoothed, factor, weight}, pairs, spare);
  };
  for (int t = rows.num_rows - 1; t >= 0; --t) {
    const Wides now = filtered.From(At(t, size));
    Follow(rows, t, size, behind);
    smooth(t, now);
    std::copy_n(smoothed, size, now.significand);
    if (!rows.Continues(t)) continue;
    WithRow(chain, likelihood.From(At(t, chain.num_states())), behind, ahead);
    Lower(size, ahead);
    chain.PropagateBack(ahead, behind, spare);
  }
  if (pairs == nullptr || rows.num_rows == 0 || !rows.Continues(0)) return;
  FromMessage(rows.before, size, before);
  smooth(-1, before);
}

void WidePredict(const WideChain& chain, const ChainRows& rows, ConstWides filtered,
                 double* predicted, double* scratch) {
  const int size = chain.num_hidden();
  Cuts cuts(scratch);
  const Wides before = cuts.Take(size);
  const Wides of_row = cuts.Take(size);
  if (rows.before != nullptr) FromMessage(rows.before, size, before);
  for (int t = 0; t < rows.num_rows; ++t) {
    PredictRow(chain, rows, before, filtered, t, of_row, cuts.rest());
    SumOverSteps(chain, of_row, predicted + At(t, chain.num_states()));
  }
}

void WideLeaveOut(const WideChain& chain, const ChainRows& rows, ConstWides likelihood,
                  ConstWides filtered, double* others, double* scratch) {
  const int size = chain.num_hidden();
  Cuts cuts(scratch);
  const Wides behind = cuts.Take(size);
  const Wides ahead = cuts.Take(size);
  const Wides predicted = cuts.Take(size);
  const Wides before = cuts.Take(size);
  if (rows.before != nullptr) FromMessage(rows.before, size, before);
  for (int t = rows.num_rows - 1; t >= 0; --t) {
    Follow(rows, t, size, behind);
    PredictRow(chain, rows, before, filtered, t, predicted, cuts.rest());
    MultiplyAll(predicted, behind, size, ahead);
    const bool possible = SumOf(ahead, size).significand > 0;
    SumOverSteps(chain, possible ? ahead : predicted, others + At(t, chain.num_states()));
    if (!rows.Continues(t)) continue;
    WithRow(chain, likelihood.From(At(t, chain.num_states())), behind, ahead);
    Lower(size, ahead);
    chain.PropagateBack(ahead, behind, cuts.rest());
  }
}

void WideBackward(const WideChain& chain, const ChainRows& rows, ConstWides likelihood,
                  double* message, double* scratch) {
  const int size = chain.num_hidden();
  Cuts cuts(scratch);
  const Wides behind = cuts.Take(size);
  const Wides ahead = cuts.Take(size);
  if (rows.behind == nullptr) {
    Fill(1, size, behind);
  } else {
    FromMessage(rows.behind, size, behind);
  }
  for (int t = rows.num_rows - 1; t >= 0; --t) {
    WithRow(chain, likelihood.From(At(t, chain.num_states())), behind, ahead);
    Lower(size, ahead);
    chain.PropagateBack(ahead, behind, cuts.rest());
  }
  Lower(size, behind);
  for (int h = 0; h < size; ++h) message[h] = LogOf(behind[h]);
}

}  // namespace emserve
