// Distances to and moments around a mean: the inner loops of Gaussian emissions.
//
// Compiled once per instruction set, so apart from everything that is not a kernel.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/numerics/kernels_gaussian.cc"
#include "hwy/foreach_target.h"
// Highway requires the order above.
#include <cstddef>

#include "core/numerics/kernels.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace emserve {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Strides are multiples of kRowPad, so whole vectors of at most that many lanes never straddle the
// end of a column.
using D = hn::CappedTag<double, kRowPad>;
using V = hn::Vec<D>;
constexpr D kTag;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(kTag));
constexpr int kPadVectors = kRowPad / kLanes;  // every stride is a multiple of this many vectors

// Register tiles: kTileRows accumulators deep, kTileVectors wide, sized so that accumulators and
// operands stay in the vector registers (32 on AVX-512, 16 before).
#if HWY_TARGET <= HWY_AVX3
constexpr int kTileVectors = 6;
#else
constexpr int kTileVectors = 3;
#endif
constexpr int kTileRows = 4;

HWY_INLINE ptrdiff_t At(int row, int stride) { return static_cast<ptrdiff_t>(row) * stride; }
HWY_INLINE double Total(V v) { return hn::GetLane(hn::SumOfLanes(kTag, v)); }

// Height of the next tile when `left` rows remain: never a tile of 1 behind one of 4, which would
// leave the multiply-adds waiting for each other.
HWY_INLINE int TileHeight(int left) { return left == 5 ? 3 : left < kTileRows ? left : kTileRows; }

// Adds the squares of rows [a, a + R) of L^-1 c to `squares` [W vectors], c being the panel
// [dims x W vectors] of centred values. Only the lower triangle is read: the first a columns are a
// full tile, the last R a small triangle.
template <int R, int W>
HWY_INLINE void WhitenTile(const double* HWY_RESTRICT panel, int dims, int a,
                           const double* HWY_RESTRICT inv_chol, double* HWY_RESTRICT squares) {
  V y[R][W];
  for (int r = 0; r < R; ++r) {
    for (int w = 0; w < W; ++w) y[r][w] = hn::Zero(kTag);
  }
  const double* HWY_RESTRICT row = inv_chol + At(a, dims);
  const double* HWY_RESTRICT c = panel;
  for (int j = 0; j < a; ++j, c += W * kLanes) {
    V v[W];
    for (int w = 0; w < W; ++w) v[w] = hn::Load(kTag, c + w * kLanes);
    for (int r = 0; r < R; ++r) {
      const V l = hn::Set(kTag, row[At(r, dims) + j]);
      for (int w = 0; w < W; ++w) y[r][w] = hn::MulAdd(l, v[w], y[r][w]);
    }
  }
  for (int j = 0; j < R; ++j, c += W * kLanes) {
    V v[W];
    for (int w = 0; w < W; ++w) v[w] = hn::Load(kTag, c + w * kLanes);
    for (int r = j; r < R; ++r) {
      const V l = hn::Set(kTag, row[At(r, dims) + a + j]);
      for (int w = 0; w < W; ++w) y[r][w] = hn::MulAdd(l, v[w], y[r][w]);
    }
  }
  for (int w = 0; w < W; ++w) {
    V q = a == 0 ? hn::Zero(kTag) : hn::Load(kTag, squares + w * kLanes);
    for (int r = 0; r < R; ++r) q = hn::MulAdd(y[r][w], y[r][w], q);
    hn::Store(q, kTag, squares + w * kLanes);
  }
}

// squares of the W vectors of rows at `x`. Centres them once into `panel`, which stays in L1.
template <int W>
HWY_INLINE void WhitenPanel(const double* HWY_RESTRICT x, int stride, int dims,
                            const double* HWY_RESTRICT mean, const double* HWY_RESTRICT inv_chol,
                            double* HWY_RESTRICT panel, double* HWY_RESTRICT squares) {
  for (int c = 0; c < dims; ++c) {
    const V m = hn::Set(kTag, mean[c]);
    for (int w = 0; w < W; ++w) {
      const V v = hn::Load(kTag, x + At(c, stride) + w * kLanes);
      hn::Store(hn::Sub(v, m), kTag, panel + (At(c, W) + w) * kLanes);
    }
  }
  for (int a = 0; a < dims; a += TileHeight(dims - a)) {
    switch (TileHeight(dims - a)) {
      case 4:
        WhitenTile<4, W>(panel, dims, a, inv_chol, squares);
        break;
      case 3:
        WhitenTile<3, W>(panel, dims, a, inv_chol, squares);
        break;
      case 2:
        WhitenTile<2, W>(panel, dims, a, inv_chol, squares);
        break;
      default:
        WhitenTile<1, W>(panel, dims, a, inv_chol, squares);
    }
  }
}

void WhitenedSquaresT(const double* x, int stride, int dims, const double* mean,
                      const double* inv_chol, double* scratch, double* squares) {
  int i = 0;
  for (; i + kTileVectors * kLanes <= stride; i += kTileVectors * kLanes) {
    WhitenPanel<kTileVectors>(x + i, stride, dims, mean, inv_chol, scratch, squares + i);
  }
  for (; i + 2 * kLanes <= stride; i += 2 * kLanes) {
    WhitenPanel<2>(x + i, stride, dims, mean, inv_chol, scratch, squares + i);
  }
  if (i < stride) WhitenPanel<1>(x + i, stride, dims, mean, inv_chol, scratch, squares + i);
}

template <int W>
HWY_INLINE void DiagonalPanel(const double* HWY_RESTRICT x, int stride, int dims,
                              const double* HWY_RESTRICT mean, const double* HWY_RESTRICT inv_sd,
                              double* HWY_RESTRICT squares) {
  V q[W];
  for (int w = 0; w < W; ++w) q[w] = hn::Zero(kTag);
  for (int c = 0; c < dims; ++c, x += stride) {
    const V m = hn::Set(kTag, mean[c]);
    const V s = hn::Set(kTag, inv_sd[c]);
    for (int w = 0; w < W; ++w) {
      const V y = hn::Mul(hn::Sub(hn::Load(kTag, x + w * kLanes), m), s);
      q[w] = hn::MulAdd(y, y, q[w]);
    }
  }
  for (int w = 0; w < W; ++w) hn::Store(q[w], kTag, squares + w * kLanes);
}

void DiagonalSquaresT(const double* x, int stride, int dims, const double* mean,
                      const double* inv_sd, double* squares) {
  constexpr int kWide = 8;
  int i = 0;
  for (; i + kWide * kLanes <= stride; i += kWide * kLanes) {
    DiagonalPanel<kWide>(x + i, stride, dims, mean, inv_sd, squares + i);
  }
  for (; i < stride; i += kRowPad) {
    DiagonalPanel<kPadVectors>(x + i, stride, dims, mean, inv_sd, squares + i);
  }
}

// second[a + r, b + s] += sum_i z[a + r, i] z[b + s, i] for r < R, s < S; entries above the
// diagonal are computed inside diagonal tiles but not stored.
template <int R, int S>
HWY_INLINE void ScatterTile(const double* HWY_RESTRICT z, int stride, int dims, int a, int b,
                            double* HWY_RESTRICT second) {
  V sum[R][S];
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < S; ++s) sum[r][s] = hn::Zero(kTag);
  }
  const double* HWY_RESTRICT left = z + At(a, stride);
  const double* HWY_RESTRICT right = z + At(b, stride);
  for (int i = 0; i < stride; i += kLanes) {
    V v[S];
    for (int s = 0; s < S; ++s) v[s] = hn::Load(kTag, right + At(s, stride) + i);
    for (int r = 0; r < R; ++r) {
      const V u = hn::Load(kTag, left + At(r, stride) + i);
      for (int s = 0; s < S; ++s) sum[r][s] = hn::MulAdd(u, v[s], sum[r][s]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < S; ++s) {
      if (b + s <= a + r) second[At(a + r, dims) + b + s] += Total(sum[r][s]);
    }
  }
}

// Rows [a, a + R) of the lower triangle.
template <int R>
HWY_INLINE void ScatterRowOfTiles(const double* z, int stride, int dims, int a, double* second) {
  constexpr int kHalf = kTileVectors > 4 ? 4 : 2;
  const int end = a + R;
  for (int b = 0; b < end;) {
    const int left = end - b;
    if (left >= kTileVectors && left != kTileVectors + 1) {  // as in TileHeight
      ScatterTile<R, kTileVectors>(z, stride, dims, a, b, second);
      b += kTileVectors;
    } else if (left >= kHalf) {
      ScatterTile<R, kHalf>(z, stride, dims, a, b, second);
      b += kHalf;
    } else if (left >= 2) {
      ScatterTile<R, 2>(z, stride, dims, a, b, second);
      b += 2;
    } else {
      ScatterTile<R, 1>(z, stride, dims, a, b, second);
      b += 1;
    }
  }
}

// Both moments of a few columns in one pass, all in registers.
template <int kDims>
HWY_INLINE void AddSmallScatter(const double* HWY_RESTRICT x, int stride,
                                const double* HWY_RESTRICT mean, const double* HWY_RESTRICT resp,
                                double* HWY_RESTRICT first, double* HWY_RESTRICT second) {
  V m[kDims], sum[kDims], square[kDims][kDims];
  for (int a = 0; a < kDims; ++a) {
    m[a] = hn::Set(kTag, mean[a]);
    sum[a] = hn::Zero(kTag);
    for (int b = 0; b <= a; ++b) square[a][b] = hn::Zero(kTag);
  }
  for (int i = 0; i < stride; i += kLanes) {
    const V r = hn::Load(kTag, resp + i);
    V v[kDims];
    for (int a = 0; a < kDims; ++a) {
      v[a] = hn::Sub(hn::Load(kTag, x + At(a, stride) + i), m[a]);
      const V weighted = hn::Mul(v[a], r);
      sum[a] = hn::Add(sum[a], weighted);
      for (int b = 0; b <= a; ++b) square[a][b] = hn::MulAdd(weighted, v[b], square[a][b]);
    }
  }
  for (int a = 0; a < kDims; ++a) {
    first[a] += Total(sum[a]);
    for (int b = 0; b <= a; ++b) second[a * kDims + b] += Total(square[a][b]);
  }
}

void AddScatterT(const double* x, int stride, int dims, const double* mean,
                 const double* HWY_RESTRICT resp, double* HWY_RESTRICT scratch,
                 double* HWY_RESTRICT first, double* second) {
  switch (dims) {
    case 1:
      return AddSmallScatter<1>(x, stride, mean, resp, first, second);
    case 2:
      return AddSmallScatter<2>(x, stride, mean, resp, first, second);
    case 3:
      return AddSmallScatter<3>(x, stride, mean, resp, first, second);
    default:
      break;
  }
  // z = sqrt(resp) (x - mean), so that the scatter is z z^T and one array feeds both sides of it.
  double* HWY_RESTRICT root = scratch + At(dims, stride);
  for (int i = 0; i < stride; i += kLanes) {
    hn::Store(hn::Sqrt(hn::Load(kTag, resp + i)), kTag, root + i);
  }
  for (int c = 0; c < dims; ++c) {
    const V m = hn::Set(kTag, mean[c]);
    const double* HWY_RESTRICT in = x + At(c, stride);
    double* HWY_RESTRICT z = scratch + At(c, stride);
    V sum0 = hn::Zero(kTag), sum1 = hn::Zero(kTag);
    for (int i = 0; i < stride; i += 2 * kLanes) {
      const V v0 = hn::Sub(hn::Load(kTag, in + i), m);
      const V v1 = hn::Sub(hn::Load(kTag, in + i + kLanes), m);
      sum0 = hn::MulAdd(v0, hn::Load(kTag, resp + i), sum0);
      sum1 = hn::MulAdd(v1, hn::Load(kTag, resp + i + kLanes), sum1);
      hn::Store(hn::Mul(v0, hn::Load(kTag, root + i)), kTag, z + i);
      hn::Store(hn::Mul(v1, hn::Load(kTag, root + i + kLanes)), kTag, z + i + kLanes);
    }
    first[c] += Total(hn::Add(sum0, sum1));
  }
  for (int a = 0; a < dims; a += TileHeight(dims - a)) {
    switch (TileHeight(dims - a)) {
      case 4:
        ScatterRowOfTiles<4>(scratch, stride, dims, a, second);
        break;
      case 3:
        ScatterRowOfTiles<3>(scratch, stride, dims, a, second);
        break;
      default:
        ScatterRowOfTiles<2>(scratch, stride, dims, a, second);
    }
  }
}

// Moments of C neighbouring columns. Two vectors of each hide the latency of the multiply-adds.
template <int C>
HWY_INLINE void DiagonalMomentsOfColumns(const double* HWY_RESTRICT x, int stride,
                                         const double* HWY_RESTRICT mean,
                                         const double* HWY_RESTRICT resp,
                                         double* HWY_RESTRICT first, double* HWY_RESTRICT second) {
  V m[C], sum[C][2], square[C][2];
  for (int c = 0; c < C; ++c) {
    m[c] = hn::Set(kTag, mean[c]);
    for (int w = 0; w < 2; ++w) sum[c][w] = square[c][w] = hn::Zero(kTag);
  }
  for (int i = 0; i < stride; i += 2 * kLanes) {
    for (int w = 0; w < 2; ++w) {
      const V r = hn::Load(kTag, resp + i + w * kLanes);
      for (int c = 0; c < C; ++c) {
        const V v = hn::Sub(hn::Load(kTag, x + At(c, stride) + i + w * kLanes), m[c]);
        const V weighted = hn::Mul(v, r);
        sum[c][w] = hn::Add(sum[c][w], weighted);
        square[c][w] = hn::MulAdd(weighted, v, square[c][w]);
      }
    }
  }
  for (int c = 0; c < C; ++c) {
    first[c] += Total(hn::Add(sum[c][0], sum[c][1]));
    second[c] += Total(hn::Add(square[c][0], square[c][1]));
  }
}

void AddDiagonalMomentsT(const double* x, int stride, int dims, const double* mean,
                         const double* resp, double* first, double* second) {
  int c = 0;
  for (; c + 2 <= dims; c += 2) {
    DiagonalMomentsOfColumns<2>(x + At(c, stride), stride, mean + c, resp, first + c, second + c);
  }
  if (c < dims) {
    DiagonalMomentsOfColumns<1>(x + At(c, stride), stride, mean + c, resp, first + c, second + c);
  }
}

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

}  // namespace emserve
#endif  // HWY_ONCE
