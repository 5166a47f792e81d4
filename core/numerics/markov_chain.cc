#include "core/numerics/markov_chain.h"

#include <vector>

#include "core/numerics/cancellation.h"

namespace emserve {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

double LogAdd(Paths paths, double a, double b) {
  const double larger = std::max(a, b);
  if (paths == Paths::kBest || larger == kImpossible) return larger;
  return larger + std::log1p(std::exp(std::min(a, b) - larger));
}

// Rows [num_rows, size] that sum to 1; rounding would grow with every product.
void NormalizeRows(std::span<double> rows, int size) {
  for (size_t begin = 0; begin < rows.size(); begin += size) {
    double sum = 0;
    for (int j = 0; j < size; ++j) sum += rows[begin + j];
    for (int j = 0; j < size; ++j) rows[begin + j] /= sum;
  }
}

// product = a b, [size, size] all; false when cancelled.
bool Multiply(std::span<const double> a, std::span<const double> b, int size,
              Cancellation& cancellation, std::span<double> product) {
  std::fill(product.begin(), product.end(), 0.0);
  for (int i = 0; i < size; ++i) {
    double* const row = product.data() + At(i, size);
    for (int l = 0; l < size; ++l) {
      const double factor = a[At(i, size) + l];
      const double* const other = b.data() + At(l, size);
      for (int j = 0; j < size; ++j) row[j] += factor * other[j];
    }
    if (cancellation.After(int64_t{size} * size)) return false;
  }
  NormalizeRows(product, size);
  return true;
}

}  // namespace

void Start(const MarkovChain& chain, double* start) {
  const int most = chain.max_duration;
  for (int k = 0; k < chain.num_states; ++k) {
    for (int d = 0; d < most; ++d) {
      start[At(k, most) + d] =
          chain.initial[k] * (chain.duration == nullptr ? 1 : chain.duration[At(k, most) + d]);
    }
  }
}

void LogStart(const MarkovChain& chain, double* start) {
  const int most = chain.max_duration;
  for (int k = 0; k < chain.num_states; ++k) {
    for (int d = 0; d < most; ++d) {
      start[At(k, most) + d] =
          chain.initial[k] + (chain.duration == nullptr ? 0 : chain.duration[At(k, most) + d]);
    }
  }
}

void Propagate(const MarkovChain& chain, const double* before, double* after) {
  const int num_states = chain.num_states;
  const int most = chain.max_duration;
  if (chain.duration == nullptr) {
    std::fill_n(after, num_states, 0.0);
    for (int i = 0; i < num_states; ++i) {
      const double p = before[i];
      const double* const row = chain.transition + At(i, num_states);
      for (int j = 0; j < num_states; ++j) after[j] += p * row[j];
    }
    return;
  }
  for (int j = 0; j < num_states; ++j) {
    double entering = 0;
    for (int i = 0; i < num_states; ++i) {
      entering += before[At(i, most)] * chain.transition[At(i, num_states) + j];
    }
    const double* const lasting = chain.duration + At(j, most);
    const double* const stayed = before + At(j, most) + 1;
    double* const of_state = after + At(j, most);
    for (int d = 0; d < most - 1; ++d) of_state[d] = entering * lasting[d] + stayed[d];
    of_state[most - 1] = entering * lasting[most - 1];
  }
}

void Entered(const MarkovChain& chain, const double* after, double* entered) {
  const int most = chain.max_duration;
  for (int j = 0; j < chain.num_states; ++j) {
    double sum = 0;
    for (int d = 0; d < most; ++d) sum += chain.duration[At(j, most) + d] * after[At(j, most) + d];
    entered[j] = sum;
  }
}

void PropagateBack(const MarkovChain& chain, const double* after, double* before, double* scratch) {
  const int num_states = chain.num_states;
  const int most = chain.max_duration;
  const double* entered = after;
  if (chain.duration != nullptr) {
    Entered(chain, after, scratch);
    entered = scratch;
  }
  for (int i = 0; i < num_states; ++i) {
    const double* const row = chain.transition + At(i, num_states);
    double sum = 0;
    for (int j = 0; j < num_states; ++j) sum += row[j] * entered[j];
    before[At(i, most)] = sum;
    std::copy_n(after + At(i, most), most - 1, before + At(i, most) + 1);
  }
}

void LogPropagate(Paths paths, const MarkovChain& chain, const double* before, double* after) {
  const int num_states = chain.num_states;
  const int most = chain.max_duration;
  for (int j = 0; j < num_states; ++j) {
    const double* const into = chain.transition + j;
    const double entering = LogSumOf(
        paths, num_states, [&](int i) { return before[At(i, most)] + into[At(i, num_states)]; });
    if (chain.duration == nullptr) {
      after[j] = entering;
      continue;
    }
    for (int d = 0; d < most; ++d) {
      const double stayed = d + 1 < most ? before[At(j, most) + d + 1] : kImpossible;
      after[At(j, most) + d] = LogAdd(paths, entering + chain.duration[At(j, most) + d], stayed);
    }
  }
}

void LogEntered(Paths paths, const MarkovChain& chain, const double* after, double* entered) {
  const int most = chain.max_duration;
  for (int j = 0; j < chain.num_states; ++j) {
    entered[j] = LogSumOf(paths, most, [&](int d) {
      return chain.duration[At(j, most) + d] + after[At(j, most) + d];
    });
  }
}

void LogPropagateBack(Paths paths, const MarkovChain& chain, const double* after, double* before,
                      double* scratch) {
  const int num_states = chain.num_states;
  const int most = chain.max_duration;
  const double* entered = after;
  if (chain.duration != nullptr) {
    LogEntered(paths, chain, after, scratch);
    entered = scratch;
  }
  for (int i = 0; i < num_states; ++i) {
    const double* const row = chain.transition + At(i, num_states);
    before[At(i, most)] = LogSumOf(paths, num_states, [&](int j) { return row[j] + entered[j]; });
    std::copy_n(after + At(i, most), most - 1, before + At(i, most) + 1);
  }
}

double LogTransition(const MarkovChain& log_chain, int from, int to) {
  const int most = log_chain.max_duration;
  if (from % most > 0) return to == from - 1 ? 0 : kImpossible;
  const double entered = log_chain.duration == nullptr ? 0 : log_chain.duration[to];
  return log_chain.transition[At(from / most, log_chain.num_states) + to / most] + entered;
}

bool LookAhead(const MarkovChain& chain, int64_t steps, std::span<double> ahead,
               const std::function<bool()>& cancelled) {
  Cancellation cancellation(cancelled);
  const int num_states = chain.num_states;
  const int size = chain.num_hidden();
  std::fill(ahead.begin(), ahead.end(), 0.0);
  for (int h = 0; h < size; ++h) ahead[At(h, num_states) + h / chain.max_duration] = 1;
  if (chain.duration == nullptr) {
    const size_t num_pairs = ahead.size();
    std::vector<double> power(chain.transition, chain.transition + num_pairs);
    std::vector<double> product(num_pairs);
    NormalizeRows(power, num_states);
    for (; steps > 0; steps /= 2) {
      if (steps % 2 == 1) {
        if (!Multiply(ahead, power, num_states, cancellation, product)) return false;
        std::copy(product.begin(), product.end(), ahead.begin());
      }
      if (steps == 1) break;
      if (!Multiply(power, power, num_states, cancellation, product)) return false;
      power.swap(product);
    }
    return true;
  }
  std::vector<double> after(size);
  std::vector<double> before(size);
  std::vector<double> scratch(num_states);
  for (; steps > 0; --steps) {
    for (int j = 0; j < num_states; ++j) {
      for (int h = 0; h < size; ++h) after[h] = ahead[At(h, num_states) + j];
      PropagateBack(chain, after.data(), before.data(), scratch.data());
      for (int h = 0; h < size; ++h) ahead[At(h, num_states) + j] = before[h];
      if (cancellation.After(int64_t{num_states} * num_states + size)) return false;
    }
    NormalizeRows(ahead, num_states);
  }
  return true;
}

}  // namespace emserve
