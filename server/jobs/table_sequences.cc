#include "server/jobs/table_sequences.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

// Core's names of what a SequenceSpec says, by their beginnings.
constexpr std::array kPlaces = {
    std::pair("lengths", "sequences.lengths.lengths"),
    std::pair("sequence_column", "sequences.column"),
    std::pair("sequence_weights", "sequences.weights"),
};

absl::Status OfSpec(const absl::Status& status) {
  const std::string message(status.message());
  for (const auto& [core, spec] : kPlaces) {
    if (!message.starts_with(core)) continue;
    return Reworded(status, absl::StrCat(spec, message.substr(std::string_view(core).size())));
  }
  return status;
}

absl::StatusOr<Sequences> Cut(const SequenceSource& source, const Cells& cells,
                              const ColumnIndex& index) {
  if (!source.column.has_value()) {
    const auto num_lengths = static_cast<int64_t>(source.lengths.size());
    if (num_lengths <= cells.num_rows) {
      return Sequences::FromLengths(source.lengths, cells.num_rows);
    }
    return InvalidArgument("lengths", absl::StrCat("got ", num_lengths, " of them, must be 1 to ",
                                                   cells.num_rows, ", the number of rows"));
  }
  const absl::StatusOr<int> column = index.Find("sequence_column", *source.column);
  if (!column.ok()) return column.status();
  return Sequences::FromColumn(cells, *column);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Sequences>> FindSequences(const SequenceSource& source,
                                                               const Cells& cells,
                                                               const ColumnIndex& index) {
  absl::StatusOr<Sequences> sequences = Cut(source, cells, index);
  if (sequences.ok() && !source.weights.empty()) sequences = sequences->Weighted(source.weights);
  if (!sequences.ok()) return OfSpec(sequences.status());
  return std::make_shared<const Sequences>(*std::move(sequences));
}

int64_t SizeOf(const std::shared_ptr<const Sequences>& sequences) {
  if (sequences == nullptr) return 0;
  const auto of_one =
      static_cast<int64_t>(sizeof(int64_t) + (sequences->weighted() ? sizeof(double) : 0));
  return sequences->size() * of_one;
}

}  // namespace emserve::server
