#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/numerics/kernels.cc"
#include "hwy/foreach_target.h"  // compiles this file once per instruction set
// Highway requires the order above.
#include <limits>

#include "core/numerics/kernels.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace emserve {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Whole vectors only: strides are multiples of 16 doubles, so no vector of at most 16 lanes
// straddles the end.
using D = hn::CappedTag<double, 16>;
using V = hn::Vec<D>;

// Register tiles: kTileRows accumulators deep, kTileVectors wide, sized so that accumulators and
// operands stay in the vector registers (32 on AVX-512, 16 before).
#if HWY_TARGET <= HWY_AVX3
constexpr int kTileVectors = 6;
#else
constexpr int kTileVectors = 3;
#endif
constexpr int kTileRows = 4;

// centred[d, i] = x[d, i] - mean[d]
HWY_INLINE void Centre(const double* HWY_RESTRICT x, int stride, int dims,
                       const double* HWY_RESTRICT mean, double* HWY_RESTRICT centred) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int c = 0; c < dims; ++c) {
    const V m = hn::Set(d, mean[c]);
    const double* HWY_RESTRICT in = x + static_cast<ptrdiff_t>(c) * stride;
    double* HWY_RESTRICT out = centred + static_cast<ptrdiff_t>(c) * stride;
    for (int i = 0; i < stride; i += lanes) hn::Store(hn::Sub(hn::Load(d, in + i), m), d, out + i);
  }
}

// Adds the squares of rows [a, a + R) of L^-1 c to the W vectors of `squares` at row i. Only the
// lower triangle is touched: the first a columns are a full tile, the last R a small triangle.
template <int R, int W>
HWY_INLINE void WhitenTile(const double* HWY_RESTRICT centred, int stride, int dims, int a, int i,
                           const double* HWY_RESTRICT inv_chol, double* HWY_RESTRICT squares) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  V y[R][W];
  for (int r = 0; r < R; ++r) {
    for (int w = 0; w < W; ++w) y[r][w] = hn::Zero(d);
  }
  const double* HWY_RESTRICT row = inv_chol + static_cast<ptrdiff_t>(a) * dims;
  const double* HWY_RESTRICT c = centred + i;
  for (int j = 0; j < a; ++j, c += stride) {
    V v[W];
    for (int w = 0; w < W; ++w) v[w] = hn::Load(d, c + w * lanes);
    for (int r = 0; r < R; ++r) {
      const V l = hn::Set(d, row[static_cast<ptrdiff_t>(r) * dims + j]);
      for (int w = 0; w < W; ++w) y[r][w] = hn::MulAdd(l, v[w], y[r][w]);
    }
  }
  for (int j = 0; j < R; ++j, c += stride) {
    V v[W];
    for (int w = 0; w < W; ++w) v[w] = hn::Load(d, c + w * lanes);
    for (int r = j; r < R; ++r) {
      const V l = hn::Set(d, row[static_cast<ptrdiff_t>(r) * dims + a + j]);
      for (int w = 0; w < W; ++w) y[r][w] = hn::MulAdd(l, v[w], y[r][w]);
    }
  }
  for (int w = 0; w < W; ++w) {
    V q = hn::Load(d, squares + i + w * lanes);
    for (int r = 0; r < R; ++r) q = hn::MulAdd(y[r][w], y[r][w], q);
    hn::Store(q, d, squares + i + w * lanes);
  }
}

template <int W>
HWY_INLINE void WhitenColumnOfTiles(const double* centred, int stride, int dims, int i,
                                    const double* inv_chol, double* squares) {
  int a = 0;
  for (; a + kTileRows <= dims; a += kTileRows) {
    WhitenTile<kTileRows, W>(centred, stride, dims, a, i, inv_chol, squares);
  }
  switch (dims - a) {
    case 3:
      return WhitenTile<3, W>(centred, stride, dims, a, i, inv_chol, squares);
    case 2:
      return WhitenTile<2, W>(centred, stride, dims, a, i, inv_chol, squares);
    case 1:
      return WhitenTile<1, W>(centred, stride, dims, a, i, inv_chol, squares);
    default:
      return;
  }
}

void WhitenedSquaresT(const double* x, int stride, int dims, const double* mean,
                      const double* inv_chol, double* scratch, double* squares) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  Centre(x, stride, dims, mean, scratch);
  for (int i = 0; i < stride; i += lanes) hn::Store(hn::Zero(d), d, squares + i);
  int i = 0;
  for (; i + kTileVectors * lanes <= stride; i += kTileVectors * lanes) {
    WhitenColumnOfTiles<kTileVectors>(scratch, stride, dims, i, inv_chol, squares);
  }
  for (; i < stride; i += lanes)
    WhitenColumnOfTiles<1>(scratch, stride, dims, i, inv_chol, squares);
}

void DiagonalSquaresT(const double* HWY_RESTRICT x, int stride, int dims,
                      const double* HWY_RESTRICT mean, const double* HWY_RESTRICT inv_sd,
                      double* HWY_RESTRICT squares) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  constexpr int kWide = 4;
  int i = 0;
  for (; i + kWide * lanes <= stride; i += kWide * lanes) {
    V q[kWide];
    for (int w = 0; w < kWide; ++w) q[w] = hn::Zero(d);
    const double* HWY_RESTRICT in = x + i;
    for (int c = 0; c < dims; ++c, in += stride) {
      const V m = hn::Set(d, mean[c]);
      const V s = hn::Set(d, inv_sd[c]);
      for (int w = 0; w < kWide; ++w) {
        const V y = hn::Mul(hn::Sub(hn::Load(d, in + w * lanes), m), s);
        q[w] = hn::MulAdd(y, y, q[w]);
      }
    }
    for (int w = 0; w < kWide; ++w) hn::Store(q[w], d, squares + i + w * lanes);
  }
  for (; i < stride; i += lanes) {
    V q = hn::Zero(d);
    const double* HWY_RESTRICT in = x + i;
    for (int c = 0; c < dims; ++c, in += stride) {
      const V y = hn::Mul(hn::Sub(hn::Load(d, in), hn::Set(d, mean[c])), hn::Set(d, inv_sd[c]));
      q = hn::MulAdd(y, y, q);
    }
    hn::Store(q, d, squares + i);
  }
}

// second[a + r, b + s] += sum_i weighted[a + r, i] centred[b + s, i] for r < R, s < S; entries
// above the diagonal are computed inside diagonal tiles but not stored.
template <int R, int S>
HWY_INLINE void ScatterTile(const double* HWY_RESTRICT weighted, const double* HWY_RESTRICT centred,
                            int stride, int dims, int a, int b, double* HWY_RESTRICT second) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  V sum[R][S];
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < S; ++s) sum[r][s] = hn::Zero(d);
  }
  const double* HWY_RESTRICT left = weighted + static_cast<ptrdiff_t>(a) * stride;
  const double* HWY_RESTRICT right = centred + static_cast<ptrdiff_t>(b) * stride;
  for (int i = 0; i < stride; i += lanes) {
    V v[S];
    for (int s = 0; s < S; ++s) v[s] = hn::Load(d, right + static_cast<ptrdiff_t>(s) * stride + i);
    for (int r = 0; r < R; ++r) {
      const V u = hn::Load(d, left + static_cast<ptrdiff_t>(r) * stride + i);
      for (int s = 0; s < S; ++s) sum[r][s] = hn::MulAdd(u, v[s], sum[r][s]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < S; ++s) {
      if (b + s <= a + r) {
        second[static_cast<ptrdiff_t>(a + r) * dims + b + s] +=
            hn::GetLane(hn::SumOfLanes(d, sum[r][s]));
      }
    }
  }
}

template <int R>
HWY_INLINE void ScatterRowOfTiles(const double* weighted, const double* centred, int stride,
                                  int dims, int a, double* second) {
  const int end = a + R;  // columns b < end belong to the lower triangle
  int b = 0;
  for (; b + kTileVectors <= end; b += kTileVectors) {
    ScatterTile<R, kTileVectors>(weighted, centred, stride, dims, a, b, second);
  }
  for (; b < end; ++b) ScatterTile<R, 1>(weighted, centred, stride, dims, a, b, second);
}

void AddScatterT(const double* x, int stride, int dims, const double* mean, const double* resp,
                 double* scratch, double* first, double* second) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  double* HWY_RESTRICT centred = scratch;
  double* HWY_RESTRICT weighted = scratch + static_cast<ptrdiff_t>(dims) * stride;
  for (int c = 0; c < dims; ++c) {
    const V m = hn::Set(d, mean[c]);
    const double* HWY_RESTRICT in = x + static_cast<ptrdiff_t>(c) * stride;
    double* HWY_RESTRICT out = centred + static_cast<ptrdiff_t>(c) * stride;
    double* HWY_RESTRICT out_weighted = weighted + static_cast<ptrdiff_t>(c) * stride;
    V sum = hn::Zero(d);
    for (int i = 0; i < stride; i += lanes) {
      const V v = hn::Sub(hn::Load(d, in + i), m);
      const V w = hn::Mul(v, hn::Load(d, resp + i));
      hn::Store(v, d, out + i);
      hn::Store(w, d, out_weighted + i);
      sum = hn::Add(sum, w);
    }
    first[c] += hn::GetLane(hn::SumOfLanes(d, sum));
  }
  int a = 0;
  for (; a + kTileRows <= dims; a += kTileRows) {
    ScatterRowOfTiles<kTileRows>(weighted, centred, stride, dims, a, second);
  }
  for (; a < dims; ++a) ScatterRowOfTiles<1>(weighted, centred, stride, dims, a, second);
}

void AddDiagonalMomentsT(const double* HWY_RESTRICT x, int stride, int dims,
                         const double* HWY_RESTRICT mean, const double* HWY_RESTRICT resp,
                         double* HWY_RESTRICT first, double* HWY_RESTRICT second) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int c = 0; c < dims; ++c) {
    const V m = hn::Set(d, mean[c]);
    const double* HWY_RESTRICT in = x + static_cast<ptrdiff_t>(c) * stride;
    // Two chains of sums hide the latency of the multiply-adds.
    V sum0 = hn::Zero(d), sum1 = hn::Zero(d), square0 = hn::Zero(d), square1 = hn::Zero(d);
    int i = 0;
    for (; i + 2 * lanes <= stride; i += 2 * lanes) {
      const V v0 = hn::Sub(hn::Load(d, in + i), m);
      const V v1 = hn::Sub(hn::Load(d, in + i + lanes), m);
      const V w0 = hn::Mul(v0, hn::Load(d, resp + i));
      const V w1 = hn::Mul(v1, hn::Load(d, resp + i + lanes));
      sum0 = hn::Add(sum0, w0);
      sum1 = hn::Add(sum1, w1);
      square0 = hn::MulAdd(w0, v0, square0);
      square1 = hn::MulAdd(w1, v1, square1);
    }
    for (; i < stride; i += lanes) {
      const V v = hn::Sub(hn::Load(d, in + i), m);
      const V w = hn::Mul(v, hn::Load(d, resp + i));
      sum0 = hn::Add(sum0, w);
      square0 = hn::MulAdd(w, v, square0);
    }
    first[c] += hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
    second[c] += hn::GetLane(hn::SumOfLanes(d, hn::Add(square0, square1)));
  }
}

void NormalizeLogDensitiesT(double* HWY_RESTRICT log_density, int components, int stride,
                            const double* HWY_RESTRICT log_weights,
                            double* HWY_RESTRICT row_log_density) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const V minus_infinity = hn::Set(d, -std::numeric_limits<double>::infinity());
  // Below this exp underflows to 0; also keeps Highway's exp away from arguments it does not
  // handle.
  const V lowest = hn::Set(d, -708.0);
  for (int i = 0; i < stride; i += lanes) {
    double* HWY_RESTRICT column = log_density + i;
    V top = minus_infinity;
    V poison = hn::Zero(
        d);  // 0, or NaN once a term is NaN: 0 x term alone would also turn infinities into NaN
    for (int k = 0; k < components; ++k) {
      const V term = hn::Add(hn::Load(d, column + static_cast<ptrdiff_t>(k) * stride),
                             hn::Set(d, log_weights[k]));
      poison = hn::IfThenElse(hn::Eq(term, term), poison, term);
      top = hn::IfThenElse(hn::Gt(term, top), term, top);
      hn::Store(term, d, column + static_cast<ptrdiff_t>(k) * stride);
    }
    // A row without any mass: shift by 0, every exp is 0, the sum is 0 and its log -infinity.
    const auto empty = hn::Eq(top, minus_infinity);
    const V shift = hn::IfThenElse(empty, hn::Zero(d), top);
    V sum = hn::Zero(d);
    for (int k = 0; k < components; ++k) {
      const V z = hn::Sub(hn::Load(d, column + static_cast<ptrdiff_t>(k) * stride), shift);
      const V e = hn::IfThenElseZero(hn::Ge(z, lowest), hn::Exp(d, hn::Max(z, lowest)));
      sum = hn::Add(sum, e);
      hn::Store(e, d, column + static_cast<ptrdiff_t>(k) * stride);
    }
    const V safe = hn::IfThenElse(empty, hn::Set(d, 1.0), sum);
    const V inverse = hn::Div(hn::Set(d, 1.0), safe);
    for (int k = 0; k < components; ++k) {
      double* p = column + static_cast<ptrdiff_t>(k) * stride;
      hn::Store(hn::Mul(hn::Load(d, p), inverse), d, p);
    }
    const V total = hn::Add(shift, hn::Log(d, safe));
    hn::Store(hn::Add(hn::IfThenElse(empty, minus_infinity, total), poison), d,
              row_log_density + i);
  }
}

void ScaleRowsT(double* HWY_RESTRICT resp, int components, int stride,
                const double* HWY_RESTRICT weights) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int k = 0; k < components; ++k) {
    double* HWY_RESTRICT row = resp + static_cast<ptrdiff_t>(k) * stride;
    for (int i = 0; i < stride; i += lanes) {
      hn::Store(hn::Mul(hn::Load(d, row + i), hn::Load(d, weights + i)), d, row + i);
    }
  }
}

double SumT(const double* HWY_RESTRICT a, int stride) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  V sum = hn::Zero(d);
  for (int i = 0; i < stride; i += lanes) sum = hn::Add(sum, hn::Load(d, a + i));
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

double WeightedSumT(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b, int stride) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  V sum = hn::Zero(d);
  for (int i = 0; i < stride; i += lanes) {
    const V w = hn::Load(d, b + i);
    const V product = hn::Mul(hn::Load(d, a + i), w);
    sum = hn::Add(sum, hn::IfThenElse(hn::Eq(w, hn::Zero(d)), hn::Zero(d), product));
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace emserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace emserve {

HWY_EXPORT(WhitenedSquaresT);
HWY_EXPORT(DiagonalSquaresT);
HWY_EXPORT(AddScatterT);
HWY_EXPORT(AddDiagonalMomentsT);
HWY_EXPORT(NormalizeLogDensitiesT);
HWY_EXPORT(ScaleRowsT);
HWY_EXPORT(SumT);
HWY_EXPORT(WeightedSumT);
HWY_EXPORT(TargetName);

void WhitenedSquares(const double* x, int stride, int dims, const double* mean,
                     const double* inv_chol, double* scratch, double* squares) {
  HWY_DYNAMIC_DISPATCH(WhitenedSquaresT)(x, stride, dims, mean, inv_chol, scratch, squares);
}

void DiagonalSquares(const double* x, int stride, int dims, const double* mean,
                     const double* inv_sd, double* squares) {
  HWY_DYNAMIC_DISPATCH(DiagonalSquaresT)(x, stride, dims, mean, inv_sd, squares);
}

void AddScatter(const double* x, int stride, int dims, const double* mean, const double* resp,
                double* scratch, double* first, double* second) {
  HWY_DYNAMIC_DISPATCH(AddScatterT)(x, stride, dims, mean, resp, scratch, first, second);
}

void AddDiagonalMoments(const double* x, int stride, int dims, const double* mean,
                        const double* resp, double* first, double* second) {
  HWY_DYNAMIC_DISPATCH(AddDiagonalMomentsT)(x, stride, dims, mean, resp, first, second);
}

void NormalizeLogDensities(double* log_density, int components, int stride,
                           const double* log_weights, double* row_log_density) {
  HWY_DYNAMIC_DISPATCH(NormalizeLogDensitiesT)
  (log_density, components, stride, log_weights, row_log_density);
}

void ScaleRows(double* resp, int components, int stride, const double* weights) {
  HWY_DYNAMIC_DISPATCH(ScaleRowsT)(resp, components, stride, weights);
}

double Sum(const double* a, int stride) { return HWY_DYNAMIC_DISPATCH(SumT)(a, stride); }

double WeightedSum(const double* a, const double* b, int stride) {
  return HWY_DYNAMIC_DISPATCH(WeightedSumT)(a, b, stride);
}

const char* KernelTarget() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace emserve
#endif  // HWY_ONCE
