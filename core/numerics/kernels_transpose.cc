// From rows as they lie in memory to the columns of a block.
//
// Compiled once per instruction set, so apart from everything that is not a kernel.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/numerics/kernels_transpose.cc"
#include "hwy/foreach_target.h"
// Highway requires the order above.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/numerics/kernels.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace emserve {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Square tiles of 4 x 4, or 2 x 2 where vectors are short.
using D = hn::CappedTag<double, 4>;
using V = hn::Vec<D>;
constexpr D kTag;
constexpr int kSide = static_cast<int>(hn::MaxLanes(kTag));

// Rows at a time: their cache lines stay in L1 while every column takes its part.
constexpr int kStripRows = 16;

HWY_INLINE V LoadRow(const double* p) { return hn::LoadU(kTag, p); }
HWY_INLINE V LoadRow(const float* p) {
  return hn::PromoteTo(kTag, hn::LoadU(hn::Rebind<float, D>(), p));
}
HWY_INLINE V LoadRow(const int64_t* p) {
  return hn::ConvertTo(kTag, hn::LoadU(hn::Rebind<int64_t, D>(), p));
}

template <typename T>
HWY_INLINE void TransposeTile(const std::byte* HWY_RESTRICT from, int64_t row_bytes,
                              double* HWY_RESTRICT out, int stride) {
  V row[kSide];
  for (int r = 0; r < kSide; ++r) {
    row[r] = LoadRow(reinterpret_cast<const T*>(from + r * row_bytes));  // unaligned load
  }
  V even[kSide / 2], odd[kSide / 2];  // of two rows each: columns 0 and 2, columns 1 and 3
  for (int h = 0; h < kSide / 2; ++h) {
    even[h] = hn::InterleaveLower(kTag, row[2 * h], row[2 * h + 1]);
    odd[h] = hn::InterleaveUpper(kTag, row[2 * h], row[2 * h + 1]);
  }
  if constexpr (kSide == 2) {
    hn::StoreU(even[0], kTag, out);
    hn::StoreU(odd[0], kTag, out + stride);
  } else {
    const auto at = [&](int c) { return out + static_cast<ptrdiff_t>(c) * stride; };
    hn::StoreU(hn::ConcatLowerLower(kTag, even[1], even[0]), kTag, at(0));
    hn::StoreU(hn::ConcatLowerLower(kTag, odd[1], odd[0]), kTag, at(1));
    hn::StoreU(hn::ConcatUpperUpper(kTag, even[1], even[0]), kTag, at(2));
    hn::StoreU(hn::ConcatUpperUpper(kTag, odd[1], odd[0]), kTag, at(3));
  }
}

// One cell after the other, for what is left at the edges.
template <typename T>
HWY_INLINE void TransposeCells(const std::byte* HWY_RESTRICT from, int64_t row_bytes, int rows,
                               int columns, double* HWY_RESTRICT out, int stride) {
  for (int c = 0; c < columns; ++c) {
    const std::byte* HWY_RESTRICT cell = from + static_cast<size_t>(c) * sizeof(T);
    double* HWY_RESTRICT column = out + static_cast<ptrdiff_t>(c) * stride;
    for (int r = 0; r < rows; ++r, cell += row_bytes) {
      T value;
      std::memcpy(&value, cell, sizeof(T));
      column[r] = static_cast<double>(value);
    }
  }
}

template <typename T>
HWY_INLINE void TransposeRowsOf(const std::byte* from, int64_t row_bytes, int rows, int columns,
                                double* out, int stride) {
  const int whole_columns = columns / kSide * kSide;
  if (whole_columns == 0) return TransposeCells<T>(from, row_bytes, rows, columns, out, stride);
  for (int strip = 0; strip < rows; strip += kStripRows) {
    const int count = std::min(kStripRows, rows - strip);
    const int whole_rows = count / kSide * kSide;
    const std::byte* rows_from = from + strip * row_bytes;
    double* strip_out = out + strip;
    for (int c = 0; c < whole_columns; c += kSide) {
      const std::byte* cells = rows_from + static_cast<size_t>(c) * sizeof(T);
      double* column = strip_out + static_cast<ptrdiff_t>(c) * stride;
      for (int r = 0; r < whole_rows; r += kSide) {
        TransposeTile<T>(cells + r * row_bytes, row_bytes, column + r, stride);
      }
      TransposeCells<T>(cells + whole_rows * row_bytes, row_bytes, count - whole_rows, kSide,
                        column + whole_rows, stride);
    }
    TransposeCells<T>(rows_from + static_cast<size_t>(whole_columns) * sizeof(T), row_bytes, count,
                      columns - whole_columns,
                      strip_out + static_cast<ptrdiff_t>(whole_columns) * stride, stride);
  }
}

void TransposeFloat64T(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                       int stride) {
  TransposeRowsOf<double>(from, row_bytes, rows, columns, out, stride);
}

void TransposeFloat32T(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                       int stride) {
  TransposeRowsOf<float>(from, row_bytes, rows, columns, out, stride);
}

void TransposeInt64T(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                     int stride) {
  TransposeRowsOf<int64_t>(from, row_bytes, rows, columns, out, stride);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace emserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace emserve {

HWY_EXPORT(TransposeFloat64T);
HWY_EXPORT(TransposeFloat32T);
HWY_EXPORT(TransposeInt64T);

void TransposeFloat64(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                      int stride) {
  HWY_DYNAMIC_DISPATCH(TransposeFloat64T)(from, row_bytes, rows, columns, out, stride);
}

void TransposeFloat32(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                      int stride) {
  HWY_DYNAMIC_DISPATCH(TransposeFloat32T)(from, row_bytes, rows, columns, out, stride);
}

void TransposeInt64(const std::byte* from, int64_t row_bytes, int rows, int columns, double* out,
                    int stride) {
  HWY_DYNAMIC_DISPATCH(TransposeInt64T)(from, row_bytes, rows, columns, out, stride);
}

}  // namespace emserve
#endif  // HWY_ONCE
