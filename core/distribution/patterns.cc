#include "core/distribution/patterns.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace emserve {

void Patterns::Find(const Block& block) {
  constexpr int kBits = 64;
  num_columns_ = block.num_columns;
  const int words = (num_columns_ + kBits - 1) / kBits;
  const auto num_rows = static_cast<size_t>(block.num_rows);
  keys_.assign(num_rows * words, 0);
  for (int c = 0; c < num_columns_; ++c) {
    const double* const x = block.column(c);
    const uint64_t bit = uint64_t{1} << (c % kBits);
    for (size_t i = 0; i < num_rows; ++i) {
      keys_[i * words + c / kBits] |= std::isnan(x[i]) ? bit : 0;
    }
  }
  const auto key = [&](int row) { return keys_.begin() + static_cast<int64_t>(row) * words; };
  rows_.resize(num_rows);
  std::iota(rows_.begin(), rows_.end(), 0);
  std::sort(rows_.begin(), rows_.end(), [&](int a, int b) {
    const auto [at_a, at_b] = std::mismatch(key(a), key(a) + words, key(b));
    return at_a == key(a) + words ? a < b : *at_a < *at_b;
  });
  begin_.clear();
  num_observed_.clear();
  columns_.clear();
  for (size_t i = 0; i < num_rows; ++i) {
    if (i > 0 && std::equal(key(rows_[i]), key(rows_[i]) + words, key(rows_[i - 1]))) continue;
    begin_.push_back(static_cast<int>(i));
    const auto is_missing = [&](int c) { return (key(rows_[i])[c / kBits] >> (c % kBits)) & 1; };
    const size_t first = columns_.size();
    for (int c = 0; c < num_columns_; ++c) {
      if (!is_missing(c)) columns_.push_back(c);
    }
    num_observed_.push_back(static_cast<int>(columns_.size() - first));
    for (int c = 0; c < num_columns_; ++c) {
      if (is_missing(c)) columns_.push_back(c);
    }
  }
  num_patterns_ = static_cast<int>(begin_.size());
  begin_.push_back(static_cast<int>(num_rows));
}

}  // namespace emserve
