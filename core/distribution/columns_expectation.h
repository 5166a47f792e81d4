// The E-step of emissions with independent columns, block by block.
#ifndef EMSERVE_CORE_DISTRIBUTION_COLUMNS_EXPECTATION_H_
#define EMSERVE_CORE_DISTRIBUTION_COLUMNS_EXPECTATION_H_

#include <cstdint>
#include <span>
#include <vector>

#include "core/data/block.h"
#include "core/distribution/univariate.h"
#include "core/em/scratch.h"

namespace emserve {

// Walks over the columns of a block, one virtual call per component and column, and leaves missing
// cells out. Immutable; the univariate outlives it. Constants are [K, D, num_constants()].
class ColumnsExpectation {
 public:
  // Working memory of one thread, for blocks of up to max_rows rows.
  class Work {
   public:
    Work(const Univariate& univariate, int max_rows)
        : missing(max_rows),
          column_(PaddedRows(max_rows)),
          scratch_(DoublesPerRow(univariate) * column_) {}

    double* base() const { return Column(0); }   // part of the density without parameters
    double* cells() const { return Column(1); }  // a column with its missing cells replaced
    double* kept() const { return Column(2); }   // what must not change, or change to 0, there
    double* features() const { return Column(kNumColumns); }

    static constexpr int kNumColumns = 3;

    std::vector<int> missing;  // rows of the column without their cell
    int num_missing = 0;

   private:
    double* Column(int i) const { return scratch_.data() + i * column_; }

    const int64_t column_;
    const Scratch scratch_;
  };

  ColumnsExpectation(const Univariate& univariate, int num_components, int num_columns)
      : univariate_(univariate), num_components_(num_components), num_columns_(num_columns) {}

  static int64_t DoublesPerRow(const Univariate& univariate) {
    return univariate.num_features() + Work::kNumColumns;
  }

  // As Emission's of the same names. O(rows x K x D) cells.
  void LogDensity(std::span<const double> constants, const Block& block, Work& work,
                  std::span<double> log_density) const;
  void Accumulate(std::span<const double> constants, const Block& block,
                  std::span<const double> resp, Work& work, std::span<double> stats) const;

 private:
  Run Read(const Block& block, int d, Work& work) const;
  int64_t Cell(int k, int d) const { return static_cast<int64_t>(k) * num_columns_ + d; }

  const Univariate& univariate_;
  const int num_components_;
  const int num_columns_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_COLUMNS_EXPECTATION_H_
