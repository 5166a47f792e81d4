// The rows of a table among which starts look for seeds.
//
// Apart from seeds.h and centres.h, which choose: here is what they choose from, and how far apart
// it is.
#ifndef EMSERVE_CORE_EM_SAMPLE_H_
#define EMSERVE_CORE_EM_SAMPLE_H_

#include <cstdint>
#include <stop_token>
#include <vector>

#include "core/data/block.h"
#include "core/data/summary.h"
#include "core/data/table.h"

namespace emserve {

// Squared distances of standardised rows count as this at most, so that their weighted sums are
// finite. No data's are as large but those of rows with a vanishing share of the weight.
inline constexpr double kFarthest = 1e290;

// Immutable. Cells are standardised, (x - mean) / standard deviation, of which own units have one
// for all columns; those of a column without spread are 0, and so are missing ones. Weights are
// those of the table by their mean, so that no sum of weighted distances overflows or vanishes.
class Sample {
 public:
  // All rows with weight (Table::EffectiveWeight) if there are at most max(128 num_seeds,
  // min(16384, 2^22 / columns)), else that many, one drawn from each of equally long stretches of
  // the table; fewer when `stop` was requested. O(rows) if some rows have no weight, else O(sample
  // x columns).
  Sample(const Table& table, const Summary& summary, int num_seeds, bool own_units, uint64_t seed,
         const std::stop_token& stop);

  // Standardised, with relative weights.
  const Block& block() const { return block_; }
  int num_rows() const { return block_.num_rows; }
  int num_columns() const { return block_.num_columns; }
  // In the table, of a sampled row; they ascend.
  int64_t table_row(int i) const { return rows_[i]; }
  // Whether it has all rows of the table that have weight.
  bool whole() const { return whole_; }
  // [columns], 0 for a column without spread.
  const std::vector<double>& inverse_sd() const { return inverse_sd_; }

  // Squared distances of standardised `rows` to `centre` [columns], kFarthest at most. O(rows x
  // columns).
  void Squares(const Block& rows, const double* centre, double* squares) const;

 private:
  std::vector<double> inverse_sd_;
  std::vector<double> unit_;  // [columns] of 1
  std::vector<int64_t> rows_;
  bool whole_ = true;
  BlockBuffer buffer_;
  Block block_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_SAMPLE_H_
