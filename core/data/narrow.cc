#include "core/data/narrow.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

constexpr double kMostMoved = 1e-4;  // in standard deviations
constexpr int64_t kRowsPerTask = 4096;

// Where each column of the copy comes from: modelled ones first, then the others in use.
struct Plan {
  std::vector<int> others;  // columns of the cells
  Table::Options options;   // of the copy

  int Place(int cells_column, int num_modelled) {
    const auto found = std::find(others.begin(), others.end(), cells_column);
    const auto index = static_cast<int>(found - others.begin());
    if (found == others.end()) others.push_back(cells_column);
    return num_modelled + index;
  }
};

Plan PlanCopy(const Table& table) {
  Plan plan;
  const int num_modelled = table.num_columns();
  for (int c = 0; c < num_modelled; ++c) plan.options.columns.push_back(c);
  plan.options.names = table.names();
  plan.options.sequences = table.sequences();
  if (table.label_column().has_value()) {
    plan.options.label_column = plan.Place(*table.label_column(), num_modelled);
    plan.options.label_components = table.label_components();
  }
  for (const int c : table.plausibility_columns()) {
    plan.options.plausibility_columns.push_back(plan.Place(c, num_modelled));
  }
  for (const int c : table.start_columns()) {
    plan.options.start_columns.push_back(plan.Place(c, num_modelled));
  }
  if (table.weighted()) {
    auto weights = std::make_shared<std::vector<double>>(static_cast<size_t>(table.num_rows()));
    for (int64_t i = 0; i < table.num_rows(); ++i) {
      (*weights)[static_cast<size_t>(i)] = table.weight(i);
    }
    plan.options.weights = std::move(weights);
  }
  return plan;
}

// Whether a float32 stands for `value` well enough in a column of this standard deviation.
bool Stands(double value, double deviation) {
  if (std::isnan(value)) return true;
  const auto narrow = static_cast<float>(value);
  if (!std::isfinite(narrow)) return false;
  return deviation == 0 || std::abs(static_cast<double>(narrow) - value) <= kMostMoved * deviation;
}

// Calls `row(i)`, which says which column cannot be stored (num_columns: none), for every row.
// FailedPrecondition for the first row that has one.
absl::Status ForEachRow(const Table& table, const std::vector<double>& deviations,
                        Pool::Share& share, const std::stop_token& stop,
                        const std::function<int(int64_t)>& row) {
  std::mutex mutex;
  int64_t bad_row = std::numeric_limits<int64_t>::max();
  int bad_column = 0;
  const int64_t num_tasks = (table.num_rows() + kRowsPerTask - 1) / kRowsPerTask;
  share.For(num_tasks, [&](int64_t task, int) {
    if (stop.stop_requested()) return;
    const int64_t end = std::min(table.num_rows(), (task + 1) * kRowsPerTask);
    for (int64_t i = task * kRowsPerTask; i < end; ++i) {
      const int column = row(i);
      if (column == table.num_columns()) continue;
      const std::lock_guard lock(mutex);
      if (i < bad_row) {
        bad_row = i;
        bad_column = column;
      }
      return;
    }
  });
  if (stop.stop_requested()) return absl::CancelledError("the fit was cancelled");
  if (bad_row >= table.num_rows()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "columns[", table.names()[static_cast<size_t>(bad_column)], "]: got ",
      table.value(bad_row, bad_column), " in row ", bad_row,
      ", must be within 1e-4 standard deviations (of ", deviations[static_cast<size_t>(bad_column)],
      ") of a float32; use storage float64, or subtract a constant"));
}

std::vector<double> Deviations(const Summary& summary) {
  std::vector<double> deviations;
  for (const double variance : summary.variance) deviations.push_back(std::sqrt(variance));
  return deviations;
}

// The first column of row `row` whose cell does not stand as float32; num_columns: none.
int FirstTooFine(const Table& table, int64_t row, const std::vector<double>& deviations) {
  if (!(table.weight(row) > 0)) return table.num_columns();
  int c = 0;
  while (c < table.num_columns() &&
         Stands(table.value(row, c), deviations[static_cast<size_t>(c)])) {
    ++c;
  }
  return c;
}

}  // namespace

absl::Status CheckNarrow(const Table& table, const Summary& summary, Pool::Share& share,
                         const std::stop_token& stop) {
  if (table.element_type() == ElementType::kFloat32) return absl::OkStatus();
  const std::vector<double> deviations = Deviations(summary);
  return ForEachRow(table, deviations, share, stop,
                    [&](int64_t i) { return FirstTooFine(table, i, deviations); });
}

absl::StatusOr<Table> NarrowToFloat32(const Table& table, const Summary& summary,
                                      Pool::Share& share, const std::stop_token& stop) {
  if (table.element_type() == ElementType::kFloat32) return table;
  Plan plan = PlanCopy(table);
  const int num_modelled = table.num_columns();
  const auto width = static_cast<int64_t>(num_modelled) + static_cast<int64_t>(plan.others.size());
  auto cells = std::make_shared<std::vector<float>>(static_cast<size_t>(table.num_rows() * width));
  const std::vector<double> deviations = Deviations(summary);
  absl::Status status = ForEachRow(table, deviations, share, stop, [&](int64_t i) {
    float* to = cells->data() + i * width;
    for (int c = 0; c < num_modelled; ++c) *to++ = static_cast<float>(table.value(i, c));
    for (const int c : plan.others) *to++ = static_cast<float>(table.raw_value(i, c));
    return FirstTooFine(table, i, deviations);
  });
  if (!status.ok()) return status;
  Cells narrow;
  narrow.bytes = reinterpret_cast<const std::byte*>(cells->data());
  narrow.owner = std::move(cells);
  narrow.type = ElementType::kFloat32;
  narrow.num_rows = table.num_rows();
  narrow.num_columns = static_cast<int>(width);
  return Table::Create(std::move(narrow), std::move(plan.options));
}

}  // namespace emserve
