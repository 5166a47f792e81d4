#include "server/registry/sequence_paths.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

// Steps of the search through one sequence, some seconds' worth.
constexpr double kMostSteps = 4e9;
constexpr double kBytesOfEnd = 16;  // of a partial path
constexpr double kBytesOfStep = 8;  // of a path that is found
constexpr int64_t kMostRows = std::numeric_limits<int>::max() / 2;

int64_t LongestOf(const Sequences& sequences) {
  int64_t longest = 0;
  for (int64_t s = 0; s < sequences.size(); ++s) longest = std::max(longest, sequences.length(s));
  return longest;
}

// Bytes of a row whatever the number of paths, and for each path.
double BytesOfRow(const Model& model, const Table& table) {
  return sizeof(double) *
         (2.0 * static_cast<double>(model.doubles_per_row()) + table.num_columns());
}
double BytesOfPathsRow(const Model& model) {
  return kBytesOfEnd * model.chain()->num_hidden() + kBytesOfStep;
}

}  // namespace

double BytesOfPaths(const Model& model, const Table& table, int num_paths) {
  const double rows = static_cast<double>(LongestOf(*table.sequences()));
  return rows * (BytesOfRow(model, table) + num_paths * BytesOfPathsRow(model));
}

absl::Status CheckPaths(const Model& model, const Table& table, int num_paths, double max_bytes) {
  const int64_t longest = LongestOf(*table.sequences());
  const auto rows = static_cast<double>(longest);
  const double hidden = model.chain()->num_hidden();
  const double by_bytes = (max_bytes / rows - BytesOfRow(model, table)) / BytesOfPathsRow(model);
  const double most = longest > kMostRows
                          ? 0
                          : std::floor(std::min(kMostSteps / (rows * hidden * hidden), by_bytes));
  if (num_paths <= most) return absl::OkStatus();
  return InvalidArgument(
      "num_paths", absl::StrCat("got ", num_paths, " for a sequence of ", longest, " rows with ",
                                hidden, " things that may be hidden in each, must be ",
                                most >= 1 ? absl::StrCat("at most ", most) : "for a shorter one",
                                "; cut it into parts"));
}

SequencePaths::SequencePaths(const Model& model, const Model::Prepared& prepared,
                             const Table& table)
    : chain_(*model.chain()),
      prepared_(prepared),
      table_(table),
      buffer_(table.MakeBuffer(static_cast<int>(LongestOf(*table.sequences())))),
      workspace_(model.NewWorkspace(buffer_.max_rows())) {}

absl::StatusOr<std::vector<Chain::RatedPath>> SequencePaths::Find(
    int64_t s, int num_paths, const std::function<bool()>& cancelled) {
  const Sequences& sequences = *table_.sequences();
  const Block block =
      table_.Read(sequences.first_row(s), static_cast<int>(sequences.length(s)), buffer_);
  return chain_.BestPathsOf(prepared_, block, *workspace_, num_paths, cancelled);
}

}  // namespace emserve::server
