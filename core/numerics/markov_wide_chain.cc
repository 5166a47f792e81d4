#include "core/numerics/markov_wide_chain.h"

#include <algorithm>

namespace emserve {
namespace {

// Sums in doubles above are right: what they leave out, exponents that are lower by 2 or more and
// matrix elements that doubles do not hold, adds less than 2^-768 for each term.
constexpr double kEnough = 0x1p-600;

}  // namespace

WideMatrix::WideMatrix(int size)
    : size_(size),
      dense_(static_cast<size_t>(size) * size),
      first_(size + 1),
      from_(dense_.size()),
      significand_(dense_.size()),
      exponent_(dense_.size()) {}

void WideMatrix::Assign(const double* plain, const double* log, bool transposed) {
  int next = 0;
  for (int j = 0; j < size_; ++j) {
    first_[j] = next;
    for (int i = 0; i < size_; ++i) {
      const int64_t from = transposed ? At(j, size_) + i : At(i, size_) + j;
      dense_[At(i, size_) + j] = plain[from];
      Wide value;
      WideExps(log + from, plain + from, 1, {&value.significand, &value.exponent});
      if (!(value.significand > 0)) continue;
      from_[next] = i;
      significand_[next] = value.significand;
      exponent_[next] = value.exponent;
      ++next;
    }
  }
  first_[size_] = next;
}

Wide WideMatrix::SumOfColumn(int j, ConstWides x) const {
  Wide sum;
  for (int n = first_[j]; n < first_[j + 1]; ++n) {
    const Wide term = Wide{significand_[n], exponent_[n]} * x[from_[n]];
    const double top = std::max(sum.exponent, term.exponent);
    sum.significand = sum.significand * WideShare(sum.exponent - top) +
                      term.significand * WideShare(term.exponent - top);
    sum.exponent = top;
  }
  return Settled(sum.significand, sum.exponent);
}

void WideMatrix::Multiply(ConstWides x, Wides out) const {
  const double top = LargestExponent(x.exponent, size_);
  double* const sum = out.significand;
  std::fill_n(sum, size_, 0.0);
  for (int i = 0; i < size_; ++i) {
    const double of_row = x.significand[i] * WideShare(x.exponent[i] - top);
    if (of_row == 0) continue;
    const double* const row = dense_.data() + At(i, size_);
    for (int j = 0; j < size_; ++j) sum[j] += of_row * row[j];
  }
  for (int j = 0; j < size_; ++j) {
    out.Set(j, sum[j] >= kEnough ? Settled(sum[j], top) : SumOfColumn(j, x));
  }
}

WideChain::WideChain(int num_states, int max_duration, bool has_durations)
    : num_states_(num_states),
      max_duration_(max_duration),
      from_row_(num_states),
      from_column_(num_states),
      initial_significand_(num_states),
      initial_exponent_(num_states),
      duration_significand_(has_durations ? num_hidden() : 0),
      duration_exponent_(duration_significand_.size()) {}

void WideChain::Assign(const MarkovChain& plain, const MarkovChain& log) {
  from_row_.Assign(plain.transition, log.transition, /*transposed=*/false);
  from_column_.Assign(plain.transition, log.transition, /*transposed=*/true);
  WideExps(log.initial, plain.initial, num_states_,
           {initial_significand_.data(), initial_exponent_.data()});
  if (!has_durations()) return;
  WideExps(log.duration, plain.duration, num_hidden(),
           {duration_significand_.data(), duration_exponent_.data()});
}

void WideChain::Start(Wides start) const {
  for (int h = 0; h < num_hidden(); ++h) {
    const int k = h / max_duration_;
    const Wide of_state{initial_significand_[k], initial_exponent_[k]};
    start.Set(h, has_durations() ? of_state * duration()[h] : of_state);
  }
}

void WideChain::Entering(ConstWides before, Wides entering, double* scratch) const {
  if (max_duration_ == 1) return from_row_.Multiply(before, entering);
  const Wides leaving{scratch, scratch + num_states_};
  for (int i = 0; i < num_states_; ++i) leaving.Set(i, before[At(i, max_duration_)]);
  from_row_.Multiply(leaving, entering);
}

void WideChain::Propagate(ConstWides before, Wides after, double* scratch) const {
  if (!has_durations()) return from_row_.Multiply(before, after);
  const Wides entering{scratch, scratch + num_states_};
  Entering(before, entering, scratch + 2 * num_states_);
  for (int j = 0; j < num_states_; ++j) {
    const Wide enters = entering[j];
    const int64_t first = At(j, max_duration_);
    const int64_t last = first + max_duration_ - 1;
    const ConstWides lasting = duration();
    for (int64_t h = first; h < last; ++h) {
      after.Set(h, Settled(enters.significand * lasting.significand[h],
                           enters.exponent + lasting.exponent[h]) +
                       before[h + 1]);
    }
    after.Set(last, enters * lasting[last]);
  }
}

void WideChain::Entered(ConstWides after, Wides entered, double* scratch) const {
  const Wides products{scratch, scratch + max_duration_};
  for (int j = 0; j < num_states_; ++j) {
    const ConstWides of_state = after.From(At(j, max_duration_));
    const ConstWides lasting = duration().From(At(j, max_duration_));
    MultiplyAll(lasting, of_state, max_duration_, products);
    entered.Set(j, SumOf(products, max_duration_));
  }
}

void WideChain::PropagateBack(ConstWides after, Wides before, double* scratch) const {
  if (!has_durations()) return from_column_.Multiply(after, before);
  const Wides entered{scratch, scratch + num_states_};
  const Wides leaving{scratch + 2 * num_states_, scratch + 3 * num_states_};
  Entered(after, entered, scratch + 4 * num_states_);
  from_column_.Multiply(entered, leaving);
  for (int i = 0; i < num_states_; ++i) {
    const int64_t first = At(i, max_duration_);
    before.Set(first, leaving[i]);
    std::copy_n(after.significand + first, max_duration_ - 1, before.significand + first + 1);
    std::copy_n(after.exponent + first, max_duration_ - 1, before.exponent + first + 1);
  }
}

}  // namespace emserve
