#include "server/jobs/fit_data.h"

#include <algorithm>
#include <cmath>
#include <stop_token>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/digest.h"
#include "server/errors.h"
#include "server/jobs/table_columns.h"
#include "server/names.h"

namespace emserve::server {
namespace {

int64_t SizeOf(const Cells& cells) {
  return ElementSize(cells.type) * cells.num_columns * cells.num_rows;
}

// The weights of a sealed dataset, by the figures of their column; rows are looked at only to name
// the first bad one.
absl::Status CheckWeights(const FitData& data) {
  const auto column = static_cast<size_t>(*data.weight_column);
  const ColumnSummary& summary = data.content->summaries[column];
  if (absl::Status status = CheckFinite(*data.content, *data.weight_column); !status.ok()) {
    return status;
  }
  if (summary.minimum < 0) {
    int64_t row = 0;
    while (!(data.table->weight(row) < 0)) ++row;
    return InvalidArgument("weight_column", absl::StrCat("got ", data.table->weight(row),
                                                         " in row ", row, ", must be 0 or more"));
  }
  if (!(summary.maximum > 0)) {
    return InvalidArgument("weight_column", "got 0 in every row, must be positive in at least one");
  }
  return absl::OkStatus();
}

// What the figures of a sealed dataset's columns say about the fit's own summary. Without weights
// they are its figures. With weights only bounds are known, and chosen so that what the bounds
// refuse the exact figures refuse too: every row may count, and no variance exceeds (range / 2)^2
// (Popoviciu 1935). A range too large for that may be that of rows without weight and says nothing.
absl::StatusOr<Summary> SummaryOfColumns(const FitData& data) {
  constexpr double kHuge = 1e140;  // its square is an ordinary number
  Summary summary;
  summary.num_rows = data.table->num_rows();
  summary.num_weighted_rows = summary.num_rows;
  summary.total_weight = static_cast<double>(summary.num_rows);
  for (const int c : data.column_indices) {
    const auto index = static_cast<size_t>(c);
    ColumnSummary column = data.content->summaries[index];
    if (data.weight_column.has_value()) {
      const double half_range = column.maximum / 2 - column.minimum / 2;
      column.variance = half_range * half_range;
      if (half_range > kHuge) {
        column.minimum = -kHuge;
        column.maximum = kHuge;
        column.variance = kHuge * kHuge;
      }
    } else if (!std::isfinite(column.variance)) {
      return InvalidArgument(
          absl::StrCat("columns[", data.content->schema->columns[index].name, "]"),
          absl::StrCat("got values from ", column.minimum, " to ", column.maximum,
                       ", must have a finite variance; divide the column by a constant"));
    }
    summary.mean.push_back(column.mean);
    summary.variance.push_back(column.variance);
    summary.minimum.push_back(column.minimum);
    summary.maximum.push_back(column.maximum);
  }
  return summary;
}

}  // namespace

absl::StatusOr<FitData> FindData(FitSource source, DatasetStore& datasets) {
  FitData data;
  Cells cells;
  std::vector<ColumnSchema> schemas;
  if (source.inline_data.has_value() == !source.dataset.empty()) {
    return InvalidArgument("dataset", source.inline_data.has_value()
                                          ? "got a dataset and inline data, must be one of them"
                                          : "got neither a dataset nor inline data, must be one");
  }
  if (source.inline_data.has_value()) {
    cells = std::move(source.inline_data->cells);
    for (std::string& name : source.inline_data->columns) {
      schemas.push_back({.name = std::move(name)});
    }
    const int64_t size = SizeOf(cells);
    data.inline_bytes = std::max(size, source.inline_data->held_bytes);
    source.inline_data.reset();
    data.sha256 =
        Sha256Hex({reinterpret_cast<const char*>(cells.bytes), static_cast<size_t>(size)});
  } else {
    const absl::StatusOr<std::string> id = ParseDatasetName("dataset", source.dataset);
    if (!id.ok()) return id.status();
    absl::StatusOr<std::shared_ptr<const DatasetContent>> content = datasets.Content(*id);
    if (!content.ok()) return content.status();
    data.content = *std::move(content);
    cells = data.content->cells;
    schemas = data.content->schema->columns;
    data.sha256 = data.content->sha256;
  }

  std::vector<std::string> names;
  names.reserve(schemas.size());
  for (const ColumnSchema& schema : schemas) names.push_back(schema.name);
  const ColumnIndex index(std::move(names));
  if (!source.weight_column.empty()) {
    const absl::StatusOr<int> weight = index.Find("weight_column", source.weight_column);
    if (!weight.ok()) return weight.status();
    const ColumnSchema& schema = schemas[static_cast<size_t>(*weight)];
    if (schema.kind == ColumnKind::kCategorical) {
      return InvalidArgument("weight_column", absl::StrCat("got \"", schema.name,
                                                           "\", a categorical column, must be "
                                                           "real or a count"));
    }
    data.weight_column = *weight;
  }
  if (source.columns.empty()) {
    for (int c = 0; c < cells.num_columns; ++c) {
      if (c != data.weight_column) data.column_indices.push_back(c);
    }
  }
  std::unordered_set<std::string_view> seen;
  for (size_t i = 0; i < source.columns.size(); ++i) {
    const std::string& name = source.columns[i];
    const std::string path = absl::StrCat("columns[", i, "]");
    const absl::StatusOr<int> column = index.Find(path, name);
    if (!column.ok()) return column.status();
    if (column.value() == data.weight_column) {
      return InvalidArgument(path, absl::StrCat("got \"", name, "\", must not be weight_column"));
    }
    if (!seen.insert(name).second) {
      return InvalidArgument(path,
                             absl::StrCat("got \"", name, "\" a second time, must be unique"));
    }
    data.column_indices.push_back(*column);
  }
  if (data.column_indices.empty()) {
    return InvalidArgument("columns", "got none besides weight_column, must be at least 1");
  }
  Table::Options options;
  options.columns = data.column_indices;
  options.weight_column = data.weight_column;
  for (const int c : data.column_indices) {
    const ColumnSchema& schema = schemas[static_cast<size_t>(c)];
    if (schema.kind == ColumnKind::kCategorical) {
      return InvalidArgument(
          absl::StrCat("columns[", schema.name, "]"),
          "got a categorical column, must be real or a count; name the columns to model");
    }
    options.names.push_back(schema.name);
    data.columns.push_back(schema);
  }
  absl::StatusOr<Table> table = Table::Create(std::move(cells), std::move(options));
  if (!table.ok()) {
    return Reworded(table.status(), absl::StrCat("data.", std::string(table.status().message())));
  }
  data.table = *std::move(table);
  return data;
}

absl::StatusOr<Summary> JudgeData(FitData& data, Pool& pool) {
  if (data.content == nullptr) {
    Pool::Share share(pool);
    absl::StatusOr<Summary> summary = Summarize(*data.table, share, std::stop_token());
    if (summary.ok()) data.summary = *summary;
    return summary;
  }
  for (const int c : data.column_indices) {
    if (absl::Status status = CheckFinite(*data.content, c); !status.ok()) return status;
  }
  if (data.weight_column.has_value()) {
    if (absl::Status status = CheckWeights(data); !status.ok()) return status;
  }
  return SummaryOfColumns(data);
}

}  // namespace emserve::server
