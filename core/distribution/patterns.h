// Rows of a block by which of their cells are missing.
#ifndef EMSERVE_CORE_DISTRIBUTION_PATTERNS_H_
#define EMSERVE_CORE_DISTRIBUTION_PATTERNS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "core/data/block.h"

namespace emserve {

// Patterns of missingness of one block at a time; reused from block to block. What depends on the
// pattern alone (a factor of the observed part of a covariance) is then computed once per pattern.
class Patterns {
 public:
  // Sorts the rows of `block` by pattern. Allocates only while blocks grow. O(rows x columns).
  void Find(const Block& block);

  int size() const { return num_patterns_; }
  // Of pattern p: rows of the block, and columns with and without a value, ascending.
  std::span<const int> rows(int p) const {
    return std::span(rows_).subspan(begin_[p], begin_[p + 1] - begin_[p]);
  }
  std::span<const int> observed(int p) const {
    return std::span(columns_).subspan(static_cast<size_t>(p) * num_columns_, num_observed_[p]);
  }
  std::span<const int> missing(int p) const {
    return std::span(columns_)
        .subspan(static_cast<size_t>(p) * num_columns_, num_columns_)
        .subspan(num_observed_[p]);
  }

 private:
  int num_columns_ = 0;
  int num_patterns_ = 0;
  std::vector<uint64_t> keys_;     // [rows, words] bit set: missing
  std::vector<int> rows_;          // sorted by key, then by number
  std::vector<int> begin_;         // [patterns + 1] into rows_
  std::vector<int> columns_;       // [patterns, columns] observed ones, then missing ones
  std::vector<int> num_observed_;  // [patterns]
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_PATTERNS_H_
