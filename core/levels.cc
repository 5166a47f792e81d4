#include "core/levels.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

// A run of columns that one emission models.
struct Columns {
  int first = 0;
  int count = 0;
  std::span<const int64_t> levels;  // of all columns
  const Summary& summary;
  const std::vector<std::string>& names;

  int64_t Levels(int c) const { return levels[static_cast<size_t>(first + c)]; }
  bool AnyCategorical() const {
    const auto begin = levels.begin() + first;
    return std::any_of(begin, begin + count, [](int64_t n) { return n > 0; });
  }
};

// Refuses columns with more than `most` categories.
absl::Status AtMost(int64_t most, const Columns& columns, const char* constraint) {
  for (int c = 0; c < columns.count; ++c) {
    if (columns.Levels(c) <= most) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "columns[", columns.names[static_cast<size_t>(columns.first + c)],
        "]: got a categorical column with ", columns.Levels(c), " levels, must be ", constraint));
  }
  return absl::OkStatus();
}

// Codes of a column, first and last.
std::pair<int64_t, int64_t> CodesOf(const Columns& columns, int c) {
  if (columns.Levels(c) > 0) return {0, columns.Levels(c) - 1};
  const auto index = static_cast<size_t>(columns.first + c);
  const double low = columns.summary.minimum[index];
  const double high = columns.summary.maximum[index];
  // What is no code is refused with the data.
  constexpr double kMost = 4503599627370496.0;  // 2^52
  if (!(low >= -kMost && high <= kMost && low <= high)) return {0, 0};
  return {static_cast<int64_t>(std::floor(low)), static_cast<int64_t>(std::floor(high))};
}

absl::Status Fill(CategoricalOptions& options, const Columns& columns) {
  if (!columns.AnyCategorical()) return absl::OkStatus();
  if (options.first.empty()) {
    for (int c = 0; c < columns.count; ++c) options.first.push_back(CodesOf(columns, c).first);
  }
  if (options.num_levels.empty()) {
    for (int c = 0; c < columns.count; ++c) {
      const size_t given = options.first.size() == 1 ? 0 : static_cast<size_t>(c);
      if (given >= options.first.size()) break;  // refused with the options
      const int64_t last = CodesOf(columns, c).second;
      options.num_levels.push_back(std::max<int64_t>(last - options.first[given] + 1, 1));
    }
  }
  return absl::OkStatus();
}

absl::Status Fill(BernoulliOptions&, const Columns& columns) {
  return AtMost(2, columns, "one of at most 2; use a categorical emission");
}

template <typename Options>
absl::Status Fill(Options&, const Columns& columns) {
  return AtMost(0, columns,
                "real or a count; use a categorical emission, or name the columns to model");
}

absl::Status Fill(ProductOptions& options, const Columns& columns) {
  int first = 0;
  for (ProductOptions::Part& part : options.parts) {
    // How many columns there are is for MakeModel to check.
    const int count = std::clamp(part.num_columns, 0, columns.count - first);
    const Columns of_part{columns.first + first, count, columns.levels, columns.summary,
                          columns.names};
    absl::Status status =
        std::visit([&](auto& leaf) { return Fill(leaf, of_part); }, part.emission);
    if (!status.ok()) return status;
    first += count;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelOptions> WithLevels(ModelOptions options, std::span<const int64_t> levels,
                                        const Summary& summary,
                                        const std::vector<std::string>& names) {
  const Columns all{0, static_cast<int>(levels.size()), levels, summary, names};
  EmissionOptions* const emission = EmissionOf(options);
  absl::Status status =
      emission == nullptr ? Fill(std::get<KMeansOptions>(options), all)
                          : std::visit([&](auto& chosen) { return Fill(chosen, all); }, *emission);
  if (!status.ok()) return status;
  return options;
}

}  // namespace emserve
