// How the rows of a table are cut into sequences: runs of consecutive rows, each in time order.
#ifndef EMSERVE_CORE_DATA_SEQUENCES_H_
#define EMSERVE_CORE_DATA_SEQUENCES_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace emserve {

struct Cells;

// Immutable. Every row belongs to one sequence; none is empty.
class Sequences {
 public:
  // One sequence of all `num_rows` rows.
  explicit Sequences(int64_t num_rows);

  // Sequences of these lengths, one after the other. InvalidArgument "lengths[<i>]: got ..., must
  // be ...", or "lengths: got a sum of ..., must be <num_rows>, ...".
  static absl::StatusOr<Sequences> FromLengths(std::span<const int64_t> lengths, int64_t num_rows);

  // A sequence is a run of rows whose cell in `column` is the same number, of integers in all of
  // their digits. InvalidArgument
  // "sequence_column: got ..." where a cell is missing or a number returns after its run has ended.
  // Precondition: `column` is one of the cells'. O(rows), and
  // where numbers do not ascend O(sequences log sequences).
  static absl::StatusOr<Sequences> FromColumn(const Cells& cells, int column);

  // The same sequences with the weights by which their log-likelihoods count: [size()].
  // InvalidArgument "sequence_weights: got <n> values, ..." or "sequence_weights[<i>]: got ...,
  // must be finite and 0 or more".
  absl::StatusOr<Sequences> Weighted(std::vector<double> weights) const;

  int64_t size() const { return static_cast<int64_t>(starts_.size()); }
  int64_t num_rows() const { return num_rows_; }
  // First row of sequence `s`; of s = size() the number of rows.
  int64_t first_row(int64_t s) const { return s == size() ? num_rows_ : starts_[s]; }
  int64_t length(int64_t s) const { return first_row(s + 1) - first_row(s); }
  double weight(int64_t s) const { return weights_.empty() ? 1 : weights_[s]; }
  bool weighted() const { return !weights_.empty(); }
  // O(size()) of weighted ones.
  double total_weight() const;
  // The sequence that `row` belongs to. O(log size()).
  int64_t Of(int64_t row) const;
  // Whether a sequence starts with `row`.
  bool Begins(int64_t row) const { return first_row(Of(row)) == row; }

 private:
  Sequences() = default;

  std::vector<int64_t> starts_;
  std::vector<double> weights_;  // or empty: all 1
  int64_t num_rows_ = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DATA_SEQUENCES_H_
