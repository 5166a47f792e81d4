// How the rows of a table are cut into sequences, each of consecutive rows, for models of
// sequences.
#ifndef EMSERVE_CLIENT_SEQUENCES_H_
#define EMSERVE_CLIENT_SEQUENCES_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/table.h"

namespace emserve::client {

// Lengths of the sequences that a column tells apart: rows that follow each other with the same
// number in it are one. InvalidArgument if there is no such column, a cell of it is missing, or a
// number comes back after another one. O(rows).
absl::StatusOr<std::vector<int64_t>> SequencesOfColumn(const Table& table,
                                                       const std::string& column);

// InvalidArgument "sequence_lengths...: got ..." unless each is at least 1 and together they are
// `num_rows`.
absl::Status CheckSequences(std::span<const int64_t> lengths, int64_t num_rows);

// Takes a column out of the table, if it is there.
void DropColumn(const std::string& column, Table& table);

// How many whole sequences from the beginning of `lengths`, which is not empty, have at most
// `most_rows` rows together; at least one.
size_t SequencesWithin(std::span<const int64_t> lengths, int64_t most_rows);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_SEQUENCES_H_
