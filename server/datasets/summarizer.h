// Figures of every column of row-major bytes, taken while they arrive.
#ifndef EMSERVE_SERVER_DATASETS_SUMMARIZER_H_
#define EMSERVE_SERVER_DATASETS_SUMMARIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "server/datasets/dataset.h"

namespace emserve::server {

// Reads rows in order, in blocks of a fixed number of rows, so that the figures do not depend on
// how the bytes were cut. Moments are taken around the mean of each block and merged (Chan, Golub &
// LeVeque 1979): digits survive offsets of 1e8. Not thread-safe.
class Summarizer {
 public:
  // `schema` is well-formed; `bytes` is its whole content, of which a growing part is readable.
  Summarizer(std::shared_ptr<const DatasetSchema> schema, const std::byte* bytes);

  // Reads all whole blocks among the first `readable` bytes that were not read before; the last
  // block too once every byte is readable. O(new cells).
  void Advance(int64_t readable);

  // After every byte was read: INVALID_ARGUMENT under "columns[<name>]" naming the first row whose
  // cell is not what the column's kind says; missing cells are allowed in every kind.
  absl::Status CheckKinds() const;
  std::vector<ColumnSummary> Finish() const;

 private:
  template <typename T>
  void ReadBlock(int64_t first_row, int64_t num_rows);

  struct Column {
    ColumnSummary summary;
    int64_t num_finite = 0;
    double scatter = 0;    // sum of squares around summary.mean
    int64_t bad_row = -1;  // first cell that contradicts the kind
    double bad_value = 0;
  };

  const std::shared_ptr<const DatasetSchema> schema_;
  const std::byte* const bytes_;
  const int64_t row_bytes_;
  const int64_t block_rows_;
  int64_t next_row_ = 0;
  std::vector<Column> columns_;
  std::vector<double> scratch_;  // per column: shift, sums, extremes of the block
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_DATASETS_SUMMARIZER_H_
