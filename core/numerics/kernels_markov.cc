// Compiled once per instruction set, so apart from everything that is not a kernel.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/numerics/kernels_markov.cc"
#include "hwy/foreach_target.h"
// Highway requires the order above.
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "core/numerics/kernels_markov.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace emserve {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<double, kStatePad>;
using V = hn::Vec<D>;
using M = hn::Mask<D>;
constexpr D kTag;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(kTag));

// Products below are on their way out of a double's range.
constexpr double kVanishing = 1e-280;
// One over it, times one over what vanishes, is in a double's range.
constexpr double kSmallMessage = 1e-20;

HWY_INLINE ptrdiff_t At(int t, int size) { return static_cast<ptrdiff_t>(t) * size; }

// A row of K states as vectors; the last one holds lanes that are not states.
struct Row {
  explicit Row(int num_states)
      : states(num_states),
        vectors((num_states + kLanes - 1) / kLanes),
        last(hn::FirstN(kTag, num_states - (vectors - 1) * kLanes)) {}

  // 0 in lanes that are not states, of vector v.
  HWY_INLINE V Masked(int v, V value) const {
    return v + 1 == vectors ? hn::IfThenElseZero(last, value) : value;
  }
  // Leaves what is not of the row as it is.
  HWY_INLINE void Store(V value, int v, double* row) const {
    double* const to = row + v * kLanes;
    if (v + 1 == vectors) value = hn::IfThenElse(last, value, hn::LoadU(kTag, to));
    hn::StoreU(value, kTag, to);
  }

  int states;
  int vectors;
  M last;
};

// out(v, sum_i x[i] matrix[i, vector v]) for N vectors from `v` on. Two sums each keep
// multiply-adds from waiting for each other.
template <int N, typename Out>
HWY_INLINE void Combine(const Row& row, const double* HWY_RESTRICT matrix, const double* x, int v,
                        Out out) {
  const int stride = PaddedStates(row.states);
  V even[N], odd[N];
  for (int n = 0; n < N; ++n) even[n] = odd[n] = hn::Zero(kTag);
  const double* HWY_RESTRICT of_row = matrix + v * kLanes;
  int i = 0;
  for (; i + 1 < row.states; i += 2, of_row += 2 * stride) {
    const V first = hn::Set(kTag, x[i]);
    const V second = hn::Set(kTag, x[i + 1]);
    for (int n = 0; n < N; ++n) {
      even[n] = hn::MulAdd(first, hn::Load(kTag, of_row + n * kLanes), even[n]);
      odd[n] = hn::MulAdd(second, hn::Load(kTag, of_row + stride + n * kLanes), odd[n]);
    }
  }
  if (i < row.states) {
    const V first = hn::Set(kTag, x[i]);
    for (int n = 0; n < N; ++n) {
      even[n] = hn::MulAdd(first, hn::Load(kTag, of_row + n * kLanes), even[n]);
    }
  }
  for (int n = 0; n < N; ++n) out(v + n, hn::Add(even[n], odd[n]));
}

// The same for all vectors of a row. Lanes that are not states are 0. `out` must not write to x.
template <typename Out>
HWY_INLINE void Multiply(const Row& row, const double* matrix, const double* x, Out out) {
  int v = 0;
  for (; v + 4 <= row.vectors; v += 4) Combine<4>(row, matrix, x, v, out);
  switch (row.vectors - v) {
    case 3:
      return Combine<3>(row, matrix, x, v, out);
    case 2:
      return Combine<2>(row, matrix, x, v, out);
    case 1:
      return Combine<1>(row, matrix, x, v, out);
    default:
      return;
  }
}

// Products of something with a row's likelihoods, and whether one was lost.
class Products {
 public:
  Products(const Row& row, const double* likelihood, const double* log_likelihood)
      : row_(row), likelihood_(likelihood), log_likelihood_(log_likelihood) {}

  HWY_INLINE V Of(int v, V value) {
    const V product = hn::Mul(value, hn::LoadU(kTag, likelihood_ + v * kLanes));
    if (log_likelihood_ != nullptr) {
      const V log = hn::LoadU(kTag, log_likelihood_ + v * kLanes);
      const V impossible = hn::Set(kTag, -std::numeric_limits<double>::infinity());
      const M of_row = v + 1 == row_.vectors ? row_.last : hn::FirstN(kTag, kLanes);
      const M positive = hn::And(hn::Gt(value, hn::Zero(kTag)), hn::Gt(log, impossible));
      const M small = hn::Lt(product, hn::Set(kTag, kVanishing));
      lost_ |= !hn::AllFalse(kTag, hn::And(of_row, hn::And(positive, small)));
    }
    return row_.Masked(v, product);
  }
  bool lost() const { return lost_; }

 private:
  const Row& row_;
  const double* likelihood_;
  const double* log_likelihood_;  // null: not looked at
  bool lost_ = false;
};

HWY_INLINE const double* OfRow(const double* rows, int t, int size) {
  return rows == nullptr ? nullptr : rows + At(t, size);
}

bool FilterRowsT(const PaddedChain& chain, int num_rows, const double* before, const double* start,
                 const double* likelihood, const double* log_likelihood, double* filtered,
                 double* normaliser) {
  const Row row(chain.num_states);
  const int size = row.states;
  const V even = hn::Set(kTag, 1.0 / size);
  for (int t = 0; t < num_rows; ++t) {
    // What is stored beyond a row is the beginning of the next one, which is written later.
    double* const now = filtered + At(t, size);
    V sum = hn::Zero(kTag);
    Products products(row, likelihood + At(t, size), OfRow(log_likelihood, t, size));
    const auto see = [&](int v, V predicted) HWY_ATTR {
      const V product = products.Of(v, predicted);
      sum = hn::Add(sum, product);
      hn::StoreU(product, kTag, now + v * kLanes);
    };
    if (t == 0 && before == nullptr) {
      for (int v = 0; v < row.vectors; ++v) {
        see(v, start == nullptr ? even : hn::LoadU(kTag, start + v * kLanes));
      }
    } else {
      Multiply(row, chain.from_row, t == 0 ? before : now - size, see);
    }
    if (products.lost()) return false;
    const double total = hn::GetLane(hn::SumOfLanes(kTag, sum));
    const bool possible = total > 0;
    normaliser[t] = possible ? total : 0;
    const V factor = hn::Set(kTag, 1 / total);
    for (int v = 0; v < row.vectors; ++v) {
      double* const at = now + v * kLanes;
      hn::StoreU(possible ? hn::Mul(hn::LoadU(kTag, at), factor) : even, kTag, at);
    }
  }
  return true;
}

bool SmoothRowsT(const PaddedChain& chain, int num_rows, bool continues, bool ends,
                 const double* likelihood, const double* normaliser, const double* filtered,
                 double* behind, double* ahead, double* smoothed) {
  const Row row(chain.num_states);
  const int size = row.states;
  for (int t = num_rows - 1; t >= 0; --t) {
    const double* const now = filtered + At(t, size);
    V factor = hn::Set(kTag, 1.0);
    if (t == num_rows - 1 && ends) {
      for (int v = 0; v < row.vectors; ++v) {
        hn::StoreU(row.Masked(v, factor), kTag, behind + v * kLanes);
      }
    } else {
      // No path leads through what cannot be reached; what follows it could be anything.
      V sum = hn::Zero(kTag);
      for (int v = 0; v < row.vectors; ++v) {
        const V probability = row.Masked(v, hn::LoadU(kTag, now + v * kLanes));
        const M reached = hn::Gt(probability, hn::Zero(kTag));
        const V of_rows = hn::IfThenElseZero(reached, hn::LoadU(kTag, behind + v * kLanes));
        hn::StoreU(of_rows, kTag, behind + v * kLanes);
        sum = hn::MulAdd(probability, of_rows, sum);
      }
      // 1 but for rounding, and for the units of a message: then alone it can be lost.
      const double total = hn::GetLane(hn::SumOfLanes(kTag, sum));
      factor = hn::Set(kTag, total > 0 ? 1 / total : 0);
      if (t == num_rows - 1 && total < kSmallMessage) {
        bool possible = false;
        for (int k = 0; k < size; ++k) possible |= now[k] > 0 && behind[k] > 0;
        if (possible && total < kVanishing) return false;
        // At once, so that the product of factors below stays in range.
        for (int v = 0; v < row.vectors; ++v) {
          double* const at = behind + v * kLanes;
          hn::StoreU(hn::Mul(hn::LoadU(kTag, at), factor), kTag, at);
        }
        factor = hn::Set(kTag, 1.0);
      }
    }
    const bool goes_on = t > 0 || continues;
    const V scale = hn::Mul(factor, hn::Set(kTag, normaliser[t] > 0 ? 1 / normaliser[t] : 0));
    double* const with_row = ahead + At(t, PaddedStates(size));
    for (int v = 0; v < row.vectors; ++v) {
      const V of_rows = hn::LoadU(kTag, behind + v * kLanes);
      const V probability = hn::LoadU(kTag, now + v * kLanes);
      row.Store(hn::Mul(probability, hn::Mul(of_rows, factor)), v, smoothed + At(t, size));
      if (!goes_on) continue;
      const V of_row = hn::LoadU(kTag, likelihood + At(t, size) + v * kLanes);
      hn::StoreU(row.Masked(v, hn::Mul(of_row, hn::Mul(of_rows, scale))), kTag,
                 with_row + v * kLanes);
    }
    if (!goes_on) continue;
    Multiply(row, chain.from_column, with_row,
             [&](int v, V value) HWY_ATTR { hn::StoreU(value, kTag, behind + v * kLanes); });
  }
  return true;
}

// pairs of N states from i on with W vectors of states from v on.
template <int N, int W>
HWY_INLINE void AddPairTile(const Row& row, int num_rows, double weight, const double* filtered,
                            const double* ahead, int i, int v, double* pairs) {
  V sums[N][W];
  for (int n = 0; n < N; ++n) {
    for (int w = 0; w < W; ++w) sums[n][w] = hn::Zero(kTag);
  }
  const double* before = filtered + i;
  const double* now = ahead + PaddedStates(row.states) + v * kLanes;
  for (int t = 1; t < num_rows; ++t, before += row.states, now += PaddedStates(row.states)) {
    V of_rows[W];
    for (int w = 0; w < W; ++w) of_rows[w] = hn::LoadU(kTag, now + w * kLanes);
    for (int n = 0; n < N; ++n) {
      const V probability = hn::Set(kTag, before[n]);
      for (int w = 0; w < W; ++w) sums[n][w] = hn::MulAdd(probability, of_rows[w], sums[n][w]);
    }
  }
  const V factor = hn::Set(kTag, weight);
  for (int n = 0; n < N; ++n) {
    double* const to = pairs + At(i + n, row.states);
    for (int w = 0; w < W; ++w) {
      const V sum = hn::MulAdd(factor, sums[n][w], hn::LoadU(kTag, to + (v + w) * kLanes));
      row.Store(sum, v + w, to);
    }
  }
}

template <int N>
HWY_INLINE void AddPairStates(const Row& row, int num_rows, double weight, const double* filtered,
                              const double* ahead, int i, double* pairs) {
  int v = 0;
  for (; v + 2 <= row.vectors; v += 2) {
    AddPairTile<N, 2>(row, num_rows, weight, filtered, ahead, i, v, pairs);
  }
  if (v < row.vectors) AddPairTile<N, 1>(row, num_rows, weight, filtered, ahead, i, v, pairs);
}

void AddRowPairsT(int num_states, int num_rows, double weight, const double* before,
                  const double* filtered, const double* ahead, double* pairs) {
  const Row row(num_states);
  for (int i = 0; before != nullptr && i < num_states; ++i) {
    double* const to = pairs + At(i, num_states);
    const V probability = hn::Set(kTag, weight * before[i]);
    for (int v = 0; v < row.vectors; ++v) {
      const V of_rows = hn::LoadU(kTag, ahead + v * kLanes);
      row.Store(hn::MulAdd(probability, of_rows, hn::LoadU(kTag, to + v * kLanes)), v, to);
    }
  }
  int i = 0;
  for (; i + 4 <= num_states; i += 4)
    AddPairStates<4>(row, num_rows, weight, filtered, ahead, i, pairs);
  for (; i < num_states; ++i) AddPairStates<1>(row, num_rows, weight, filtered, ahead, i, pairs);
}

double TransferRowsT(const PaddedChain& chain, int num_rows, const double* likelihood,
                     const double* log_likelihood, double* scratch, double* transfer) {
  const Row row(chain.num_states);
  const int size = row.states;
  const int stride = PaddedStates(size);
  // Below this all are scaled; until then a row cannot take them out of a double's range.
  constexpr double kSmall = 1e-50;
  double log_scale = 0;
  // Rows take turns in where they write, so that the last one writes to `transfer`.
  double* now = num_rows % 2 == 1 ? transfer : scratch;
  double* next = num_rows % 2 == 1 ? scratch : transfer;
  for (int t = 0; t < num_rows; ++t, std::swap(now, next)) {
    V sum = hn::Zero(kTag);
    Products products(row, likelihood + At(t, size), OfRow(log_likelihood, t, size));
    for (int i = 0; i < size; ++i) {
      double* const to = now + At(i, stride);
      const auto see = [&](int v, V predicted) HWY_ATTR {
        const V product = products.Of(v, predicted);
        sum = hn::Add(sum, product);
        hn::Store(product, kTag, to + v * kLanes);
      };
      if (t == 0) {
        const double* const from = chain.from_row + At(i, stride);
        for (int v = 0; v < row.vectors; ++v) see(v, hn::Load(kTag, from + v * kLanes));
      } else {
        Multiply(row, chain.from_row, next + At(i, stride), see);
      }
    }
    if (products.lost()) return std::numeric_limits<double>::quiet_NaN();
    const double total = hn::GetLane(hn::SumOfLanes(kTag, sum));
    if (total > kSmall && t + 1 < num_rows) continue;
    const bool possible = total > 0;
    // An impossible row leaves every start as likely as any, as FilterRows goes on.
    const V factor = hn::Set(kTag, possible ? 1 / total : 0);
    const V even = hn::Set(kTag, possible ? 0 : 1.0 / size);
    log_scale += std::log(total);
    for (int i = 0; i < size; ++i) {
      for (int v = 0; v < row.vectors; ++v) {
        double* const at = now + At(i, stride) + v * kLanes;
        hn::Store(row.Masked(v, hn::MulAdd(hn::Load(kTag, at), factor, even)), kTag, at);
      }
    }
  }
  return log_scale;
}

bool BackwardRowsT(const PaddedChain& chain, int num_rows, const double* likelihood,
                   const double* log_likelihood, double* behind, double* scratch) {
  const Row row(chain.num_states);
  const int size = row.states;
  for (int t = num_rows - 1; t >= 0; --t) {
    Products products(row, likelihood + At(t, size), OfRow(log_likelihood, t, size));
    V sum = hn::Zero(kTag);
    for (int v = 0; v < row.vectors; ++v) {
      const V product = products.Of(v, hn::LoadU(kTag, behind + v * kLanes));
      sum = hn::Add(sum, product);
      hn::StoreU(product, kTag, scratch + v * kLanes);
    }
    if (products.lost()) return false;
    const double total = hn::GetLane(hn::SumOfLanes(kTag, sum));
    const V factor = hn::Set(kTag, total > 0 ? 1 / total : 0);
    Multiply(row, chain.from_column, scratch, [&](int v, V value) HWY_ATTR {
      hn::StoreU(hn::Mul(value, factor), kTag, behind + v * kLanes);
    });
  }
  return true;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace emserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace emserve {

HWY_EXPORT(FilterRowsT);
HWY_EXPORT(SmoothRowsT);
HWY_EXPORT(AddRowPairsT);
HWY_EXPORT(TransferRowsT);
HWY_EXPORT(BackwardRowsT);

bool FilterRows(const PaddedChain& chain, int num_rows, const double* before, const double* start,
                const double* likelihood, const double* log_likelihood, double* filtered,
                double* normaliser) {
  return HWY_DYNAMIC_DISPATCH(FilterRowsT)(chain, num_rows, before, start, likelihood,
                                           log_likelihood, filtered, normaliser);
}

bool SmoothRows(const PaddedChain& chain, int num_rows, bool continues, bool ends,
                const double* likelihood, const double* normaliser, const double* filtered,
                double* behind, double* ahead, double* smoothed) {
  return HWY_DYNAMIC_DISPATCH(SmoothRowsT)(chain, num_rows, continues, ends, likelihood, normaliser,
                                           filtered, behind, ahead, smoothed);
}

void AddRowPairs(int num_states, int num_rows, double weight, const double* before,
                 const double* filtered, const double* ahead, double* pairs) {
  HWY_DYNAMIC_DISPATCH(AddRowPairsT)(num_states, num_rows, weight, before, filtered, ahead, pairs);
}

double TransferRows(const PaddedChain& chain, int num_rows, const double* likelihood,
                    const double* log_likelihood, double* scratch, double* transfer) {
  return HWY_DYNAMIC_DISPATCH(TransferRowsT)(chain, num_rows, likelihood, log_likelihood, scratch,
                                             transfer);
}

bool BackwardRows(const PaddedChain& chain, int num_rows, const double* likelihood,
                  const double* log_likelihood, double* behind, double* scratch) {
  return HWY_DYNAMIC_DISPATCH(BackwardRowsT)(chain, num_rows, likelihood, log_likelihood, behind,
                                             scratch);
}

}  // namespace emserve
#endif  // HWY_ONCE
