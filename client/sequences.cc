#include "client/sequences.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/csv_records.h"
#include "client/number.h"

namespace emserve::client {
namespace {

// The number, or the name that it stands for.
std::string CellText(const Table& table, size_t column, double value) {
  if (column < table.levels.size() && value >= 0 &&
      value < static_cast<double>(table.levels[column].size())) {
    return Quoted(table.levels[column][static_cast<size_t>(value)]);
  }
  return FormatNumber(value);
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> SequencesOfColumn(const Table& table,
                                                       const std::string& column) {
  const auto found = std::find(table.columns.begin(), table.columns.end(), column);
  if (found == table.columns.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("got column ", Quoted(column), ", must be one of the data's"));
  }
  const auto c = static_cast<size_t>(found - table.columns.begin());
  std::vector<int64_t> lengths;
  std::unordered_set<double> seen;
  double last = 0;
  for (int64_t row = 0; row < table.num_rows; ++row) {
    const double value = table.values[static_cast<size_t>(row) * table.columns.size() + c];
    if (std::isnan(value)) {
      return absl::InvalidArgumentError(absl::StrCat("column ", Quoted(column),
                                                     ": got a missing cell in row ", row,
                                                     ", must be a sequence's; rows count from 0"));
    }
    if (row > 0 && value == last) {
      ++lengths.back();
      continue;
    }
    if (!seen.insert(value).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "column ", Quoted(column), ": got ", CellText(table, c, value), " again in row ", row,
          " after other sequences, must be in consecutive rows; sort the rows, which count from "
          "0"));
    }
    lengths.push_back(1);
    last = value;
  }
  return lengths;
}

absl::Status CheckSequences(std::span<const int64_t> lengths, int64_t num_rows) {
  int64_t sum = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (!(lengths[i] >= 1 && lengths[i] <= num_rows - sum)) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence_lengths[", i, "]: got ", lengths[i], ", must be at least 1 and, ",
                       "with those before it, at most ", num_rows, ", the number of rows"));
    }
    sum += lengths[i];
  }
  if (sum == num_rows) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("sequence_lengths: got a sum of ", sum,
                                                 ", must be ", num_rows, ", the number of rows"));
}

void DropColumn(const std::string& column, Table& table) {
  const auto found = std::find(table.columns.begin(), table.columns.end(), column);
  if (found == table.columns.end()) return;
  const size_t width = table.columns.size();
  const auto dropped = static_cast<size_t>(found - table.columns.begin());
  size_t next = 0;
  for (size_t i = 0; i < table.values.size(); ++i) {
    if (i % width != dropped) table.values[next++] = table.values[i];
  }
  table.values.resize(next);
  table.columns.erase(found);
  if (dropped < table.levels.size()) {
    table.levels.erase(table.levels.begin() + static_cast<ptrdiff_t>(dropped));
  }
}

size_t SequencesWithin(std::span<const int64_t> lengths, int64_t most_rows) {
  int64_t rows = lengths[0];
  size_t count = 1;
  while (count < lengths.size() && lengths[count] <= most_rows - rows) rows += lengths[count++];
  return count;
}

}  // namespace emserve::client
