#include "core/emission/categorical.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/components.h"
#include "core/em/scratch.h"
#include "core/em/simplex_rows.h"
#include "core/runtime/draws.h"

namespace emserve {
namespace {

// The codes of one column, and where its levels begin among those of all columns. Tables of log
// probabilities have two more levels: a missing cell says nothing, an impossible code excludes.
struct Column {
  int64_t first = 0;
  int64_t num_levels = 0;
  int64_t begin = 0;        // of its parameters and statistics, in levels
  int64_t table_begin = 0;  // of its table, in levels
  int32_t missing() const { return static_cast<int32_t>(num_levels); }
  int32_t impossible() const { return static_cast<int32_t>(num_levels) + 1; }
};
constexpr int64_t kExtraLevels = 2;

class CategoricalPrepared final : public Emission::Prepared {
 public:
  CategoricalPrepared(int64_t table_levels, int64_t levels, int num_components)
      : log_probabilities(table_levels * num_components), probabilities(levels * num_components) {}

  // Components are next to each other, so that a cell costs one look-up and the rest is streaming.
  std::vector<double> log_probabilities;  // per column [levels + kExtraLevels, K]
  std::vector<double> probabilities;      // per column [levels, K]
};

class CategoricalWorkspace final : public Emission::Workspace {
 public:
  CategoricalWorkspace(int num_components, int max_rows)
      : by_row(static_cast<int64_t>(num_components) * PaddedRows(max_rows)),
        codes(PaddedRows(max_rows)) {}

  const Scratch by_row;        // [stride x K]
  std::vector<int32_t> codes;  // [stride] levels of one column's cells
};

const CategoricalPrepared& Cast(const Emission::Prepared& prepared) {
  return static_cast<const CategoricalPrepared&>(prepared);
}

class Categorical final : public Emission {
 public:
  Categorical(const CategoricalOptions& options, int num_components, double mean_weight)
      : num_components_(num_components), empty_occupancy_(kEmptyRows * mean_weight) {
    for (size_t c = 0; c < options.first.size(); ++c) {
      Column column{.first = options.first[c],
                    .num_levels = options.num_levels[c],
                    .begin = levels_,
                    .table_begin = table_levels_};
      levels_ += column.num_levels;
      table_levels_ += column.num_levels + kExtraLevels;
      const std::string name = absl::StrCat("probabilities_", c);
      parameters_.Add(name, {num_components, column.num_levels});
      statistics_.Add(absl::StrCat("counts_", c), {column.num_levels, num_components});
      rows_.emplace_back(name, num_components, column.num_levels, options.concentration);
      columns_.push_back(column);
    }
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return num_components_; }
  int num_columns() const override { return static_cast<int>(columns_.size()); }
  int64_t scratch_per_row() const override { return num_components_ + 1; }
  bool starts_hard() const override { return false; }
  bool has_distances() const override { return false; }
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    int64_t count = 0;
    for (const SimplexRows& rows : rows_) count += rows.num_free(active);
    return count;
  }

  absl::Status Constrain(Constraints constraints) override {
    for (size_t c = 0; c < columns_.size(); ++c) {
      const ArraySpec& array = parameters_.arrays()[c];
      absl::Status status = rows_[c].Constrain(constraints.Slice(array.offset, array.size));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    for (int i = 0; i < block.num_rows; ++i) {
      if (!(block.weights[i] > 0)) continue;  // says nothing, whatever is in it
      for (int c = 0; c < num_columns(); ++c) {
        const double value = block.column(c)[i];
        const double level = value - static_cast<double>(columns_[c].first);
        const bool is_code = level >= 0 && level < static_cast<double>(columns_[c].num_levels) &&
                             std::floor(level) == level;
        if (is_code || std::isnan(value)) continue;
        return absl::InvalidArgumentError(
            absl::StrCat("[", block.first_row + i, "]: got ", value, " in column '", names[c],
                         "', must be a category code, ", columns_[c].first, " to ",
                         columns_[c].first + columns_[c].num_levels - 1));
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    return std::make_unique<CategoricalPrepared>(table_levels_, levels_, num_components_);
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<CategoricalWorkspace>(num_components_, max_rows);
  }

  absl::Status Validate(std::span<const double> params) const override {
    for (size_t c = 0; c < columns_.size(); ++c) {
      absl::Status status = rows_[c].Validate(OfColumn(params, c));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    auto& mine = static_cast<CategoricalPrepared&>(prepared);
    for (size_t c = 0; c < columns_.size(); ++c) {
      const Column& column = columns_[c];
      const std::span<const double> from = OfColumn(params, c);
      double* const probability = mine.probabilities.data() + column.begin * num_components_;
      double* const table = mine.log_probabilities.data() + column.table_begin * num_components_;
      for (int k = 0; k < num_components_; ++k) {
        for (int64_t l = 0; l < column.num_levels; ++l) {
          const double p = from[k * column.num_levels + l];
          probability[l * num_components_ + k] = p;
          table[l * num_components_ + k] = std::log(p);
        }
        table[int64_t{column.missing()} * num_components_ + k] = 0;
        table[int64_t{column.impossible()} * num_components_ + k] = std::log(0.0);
      }
    }
    return absl::OkStatus();
  }

  void LogDensity(const Emission::Prepared& prepared, const Block& block, Workspace& workspace,
                  std::span<double> log_density) const override {
    auto& work = static_cast<CategoricalWorkspace&>(workspace);
    double* const by_row = work.by_row.data();
    std::fill_n(by_row, static_cast<int64_t>(block.stride) * num_components_, 0.0);
    for (int c = 0; c < num_columns(); ++c) {
      FindCodes(c, block, work.codes);
      const double* const table =
          Cast(prepared).log_probabilities.data() + columns_[c].table_begin * num_components_;
      for (int i = 0; i < block.num_rows; ++i) {
        const double* const of_code = table + int64_t{work.codes[i]} * num_components_;
        double* const of_row = by_row + static_cast<int64_t>(i) * num_components_;
        for (int k = 0; k < num_components_; ++k) of_row[k] += of_code[k];
      }
    }
    for (int k = 0; k < num_components_; ++k) {
      double* const of_component = log_density.data() + static_cast<int64_t>(k) * block.stride;
      for (int i = 0; i < block.stride; ++i) {
        of_component[i] = by_row[static_cast<int64_t>(i) * num_components_ + k];
      }
    }
  }

  void Accumulate(const Emission::Prepared&, const Block& block, std::span<const double> resp,
                  Workspace& workspace, std::span<double> stats) const override {
    auto& work = static_cast<CategoricalWorkspace&>(workspace);
    double* const by_row = work.by_row.data();
    for (int k = 0; k < num_components_; ++k) {
      const double* const of_component = resp.data() + static_cast<int64_t>(k) * block.stride;
      for (int i = 0; i < block.num_rows; ++i) {
        by_row[static_cast<int64_t>(i) * num_components_ + k] = of_component[i];
      }
    }
    for (int c = 0; c < num_columns(); ++c) {
      FindCodes(c, block, work.codes);
      double* const counts = stats.data() + columns_[c].begin * num_components_;
      for (int i = 0; i < block.num_rows; ++i) {
        if (work.codes[i] >= columns_[c].missing()) continue;
        double* const of_code = counts + int64_t{work.codes[i]} * num_components_;
        const double* const of_row = by_row + static_cast<int64_t>(i) * num_components_;
        for (int k = 0; k < num_components_; ++k) of_code[k] += of_row[k];
      }
    }
  }

  // The shares of the codes among the observed cells, with the prior's virtual counts.
  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    const std::vector<char> empty = FindEmpty(occupancy, empty_occupancy_, context.repairs);
    std::vector<double> counts(stats.size());  // laid out as the parameters
    ForEachCount(stats, [&](int, int64_t parameter, double count) { counts[parameter] = count; });
    for (size_t c = 0; c < columns_.size(); ++c) {
      absl::Status status = rows_[c].Maximize(OfColumn(std::span<const double>(counts), c), empty,
                                              OfColumn(params, c), OfColumn(next, c), context.stop);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  void Recenter(std::span<const double>, std::span<const double>, std::span<const double>,
                std::span<double>) const override {}  // counts have no centre

  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const override {
    ForEachCount(stats, [&](int k, int64_t parameter, double& count) {
      count = occupancy[k] * params[parameter];
    });
  }

  // sum counts log p.
  double ExpectedLogDensity(std::span<const double>, std::span<const double>,
                            std::span<const double> stats,
                            std::span<const double> params) const override {
    double sum = 0;
    ForEachCount(stats, [&](int, int64_t parameter, double count) {
      if (count != 0) sum += count * std::log(params[parameter]);
    });
    return sum;
  }

  double LogPrior(std::span<const double> params) const override {
    double sum = 0;
    for (size_t c = 0; c < columns_.size(); ++c) sum += rows_[c].LogPrior(OfColumn(params, c));
    return sum;
  }

  // Even probabilities: statistics are not centred on anything, and a summary has no shares.
  void Reference(const Summary&, std::span<double> params) const override {
    for (size_t c = 0; c < columns_.size(); ++c) rows_[c].SetUniform(OfColumn(params, c));
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    for (size_t c = 0; c < columns_.size(); ++c) {
      const double* const probability =
          Cast(prepared).probabilities.data() + columns_[c].begin * num_components_ + component;
      const int64_t drawn = DrawIndex(
          columns_[c].num_levels, [&](int64_t l) { return probability[l * num_components_]; },
          random);
      row[c] = static_cast<double>(columns_[c].first + drawn);
    }
  }

  // p(x_c = l | o) = sum_k posterior_k probabilities_c[k, l]: the most probable code, the first one
  // of several, and the probability of all others.
  void Conditional(const Emission::Prepared& prepared, const Block& block,
                   std::span<const double> posterior, Workspace&, double* mean,
                   double* variance) const override {
    for (int c = 0; c < num_columns(); ++c) {
      const Column& column = columns_[c];
      const double* const probability =
          Cast(prepared).probabilities.data() + column.begin * num_components_;
      const double* const cells = block.column(c);
      for (int i = 0; i < block.stride; ++i) {
        double value = cells[i];
        double others = 0;
        if (std::isnan(value)) {
          double largest = -1;
          for (int64_t l = 0; l < column.num_levels; ++l) {
            double sum = 0;
            for (int k = 0; k < num_components_; ++k) {
              sum += posterior[static_cast<int64_t>(k) * block.stride + i] *
                     probability[l * num_components_ + k];
            }
            if (!(sum > largest)) continue;
            largest = sum;
            value = static_cast<double>(column.first + l);
          }
          others = std::max(0.0, 1 - largest);
        }
        const int64_t cell = static_cast<int64_t>(c) * block.stride + i;
        mean[cell] = value;
        variance[cell] = others;
      }
    }
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    for (size_t c = 0; c < columns_.size(); ++c) {
      rows_[c].ToCoordinates(OfColumn(params, c), OfColumn(coordinates, c));
    }
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double>,
                         std::span<double> params) const override {
    for (size_t c = 0; c < columns_.size(); ++c) {
      rows_[c].FromCoordinates(OfColumn(coordinates, c), OfColumn(params, c));
    }
  }

 private:
  // Parameters and statistics of a column lie at the same place.
  std::span<double> OfColumn(std::span<double> buffer, size_t c) const {
    return Layout::View(buffer, parameters_.arrays()[c]);
  }
  std::span<const double> OfColumn(std::span<const double> buffer, size_t c) const {
    return Layout::View(buffer, parameters_.arrays()[c]);
  }

  // Calls body(component, index of the parameter, count) for every count of `stats`.
  template <typename Stats, typename Body>
  void ForEachCount(Stats stats, Body body) const {
    for (const Column& column : columns_) {
      const int64_t offset = column.begin * num_components_;
      for (int64_t l = 0; l < column.num_levels; ++l) {
        for (int k = 0; k < num_components_; ++k) {
          body(k, offset + k * column.num_levels + l, stats[offset + l * num_components_ + k]);
        }
      }
    }
  }

  // Levels of the cells of column `c`; padding rows are missing.
  void FindCodes(int c, const Block& block, std::vector<int32_t>& codes) const {
    const Column& column = columns_[c];
    const auto first = static_cast<double>(column.first);
    const auto num_levels = static_cast<double>(column.num_levels);
    const double* const cells = block.column(c);
    for (int i = 0; i < block.num_rows; ++i) {
      const double level = cells[i] - first;
      codes[i] = level >= 0 && level < num_levels ? static_cast<int32_t>(level)
                 : std::isnan(level)              ? column.missing()
                                                  : column.impossible();
    }
    std::fill(codes.begin() + block.num_rows, codes.begin() + block.stride, column.missing());
  }

  const int num_components_;
  const double empty_occupancy_;
  std::vector<Column> columns_;
  std::vector<SimplexRows> rows_;  // per column
  int64_t levels_ = 0;             // of all columns
  int64_t table_levels_ = 0;
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeCategorical(const CategoricalOptions& options,
                                                          int num_components,
                                                          const Summary& summary,
                                                          const std::vector<std::string>& names) {
  if (!(options.concentration >= 1) || !std::isfinite(options.concentration)) {
    return absl::InvalidArgumentError(absl::StrCat("concentration: got ", options.concentration,
                                                   ", must be finite and at least 1"));
  }
  const absl::StatusOr<CategoricalOptions> resolved = ResolveCategorical(options, summary, names);
  if (!resolved.ok()) return resolved.status();
  double size = 0;
  for (const int64_t levels : resolved->num_levels) size += static_cast<double>(levels);
  size *= num_components;
  if (!(size <= kMaxParameters)) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_levels: got levels that make ", size, " parameters with ", num_components,
                     " components, must make at most ", kMaxParameters,
                     "; use fewer components or merge categories"));
  }
  return std::make_unique<Categorical>(*resolved, num_components, summary.mean_weight());
}

}  // namespace emserve
