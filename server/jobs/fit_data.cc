#include "server/jobs/fit_data.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stop_token>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/start.h"
#include "server/digest.h"
#include "server/errors.h"
#include "server/jobs/table_columns.h"
#include "server/names.h"

namespace emserve::server {
namespace {

int64_t SizeOf(const Cells& cells) {
  return ElementSize(cells.type) * cells.num_columns * cells.num_rows;
}

const ColumnSummary& FiguresOf(const FitData& data, int cells_column) {
  return data.content->summaries[static_cast<size_t>(cells_column)];
}

// The weights of a sealed dataset, by the figures of their column; rows are looked at only to name
// the first bad one.
absl::Status CheckWeights(const FitData& data, const Table& table) {
  const int column = *data.layout.weight_column;
  const ColumnSummary& summary = FiguresOf(data, column);
  if (absl::Status status = CheckFinite(*data.content, column); !status.ok()) return status;
  if (summary.minimum < 0) {
    int64_t row = 0;
    while (!(table.weight(row) < 0)) ++row;
    return InvalidArgument("weight_column", absl::StrCat("got ", table.weight(row), " in row ", row,
                                                         ", must be 0 or more"));
  }
  if (!(summary.maximum > 0)) {
    return InvalidArgument("weight_column", "got 0 in every row, must be positive in at least one");
  }
  return absl::OkStatus();
}

// The figures of the columns of a sealed dataset without weights.
absl::StatusOr<Summary> SummaryOfColumns(const FitData& data) {
  Summary summary;
  summary.num_rows = data.cells.num_rows;
  summary.num_weighted_rows = summary.num_rows;
  summary.total_weight = static_cast<double>(summary.num_rows);
  for (size_t c = 0; c < data.columns.size(); ++c) {
    const ColumnSummary& column = FiguresOf(data, data.layout.columns[c]);
    if (!std::isfinite(column.variance)) {
      return InvalidArgument(
          absl::StrCat("columns[", data.columns[c].name, "]"),
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

// The columns called `names`, which are those of the field `path`.
absl::StatusOr<std::vector<int>> FindColumns(const ColumnIndex& index, std::string_view path,
                                             const std::vector<std::string>& names) {
  std::vector<int> found;
  std::unordered_set<std::string_view> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string here = absl::StrCat(std::string(path), "[", i, "]");
    const absl::StatusOr<int> column = index.Find(here, names[i]);
    if (!column.ok()) return column.status();
    if (!seen.insert(names[i]).second) {
      return InvalidArgument(here,
                             absl::StrCat("got \"", names[i], "\" a second time, must be unique"));
    }
    found.push_back(*column);
  }
  return found;
}

absl::Status FindWeights(const FitSource& source, const ColumnIndex& index,
                         const std::vector<ColumnSchema>& schemas, Table::Options& layout) {
  if (source.weight_column.empty()) return absl::OkStatus();
  const absl::StatusOr<int> weight = index.Find("weight_column", source.weight_column);
  if (!weight.ok()) return weight.status();
  const ColumnSchema& schema = schemas[static_cast<size_t>(*weight)];
  if (schema.kind == ColumnKind::kCategorical) {
    return InvalidArgument("weight_column", absl::StrCat("got \"", schema.name,
                                                         "\", a categorical column, must be "
                                                         "real or a count"));
  }
  layout.weight_column = *weight;
  return absl::OkStatus();
}

absl::Status FindLabels(const FitSource& source, const ColumnIndex& index, Table::Options& layout) {
  if (!source.label_column.empty()) {
    if (!source.plausibility_columns.empty()) {
      return InvalidArgument("label_column",
                             "got one and plausibility_columns too, must be one of them");
    }
    const absl::StatusOr<int> label = index.Find("label_column", source.label_column);
    if (!label.ok()) return label.status();
    layout.label_column = *label;
  }
  absl::StatusOr<std::vector<int>> plausibilities =
      FindColumns(index, "plausibility_columns", source.plausibility_columns);
  if (!plausibilities.ok()) return plausibilities.status();
  layout.plausibility_columns = *std::move(plausibilities);
  absl::StatusOr<std::vector<int>> starts =
      FindColumns(index, "start.responsibility_columns.columns", source.responsibility_columns);
  if (!starts.ok()) return starts.status();
  layout.start_columns = *std::move(starts);
  return absl::OkStatus();
}

// Which columns are modelled: those that are named, or all that have no other role.
absl::Status FindModelled(const FitSource& source, const ColumnIndex& index, int num_columns,
                          Table::Options& layout) {
  absl::StatusOr<std::vector<int>> named = FindColumns(index, "columns", source.columns);
  if (!named.ok()) return named.status();
  layout.columns = *std::move(named);
  for (size_t i = 0; i < layout.columns.size(); ++i) {
    if (layout.columns[i] != layout.weight_column) continue;
    return InvalidArgument(
        absl::StrCat("columns[", i, "]"),
        absl::StrCat("got \"", source.columns[i], "\", must not be weight_column"));
  }
  if (!source.columns.empty()) return absl::OkStatus();
  std::unordered_set<int> others(layout.plausibility_columns.begin(),
                                 layout.plausibility_columns.end());
  others.insert(layout.start_columns.begin(), layout.start_columns.end());
  if (layout.weight_column.has_value()) others.insert(*layout.weight_column);
  if (layout.label_column.has_value()) others.insert(*layout.label_column);
  if (source.sequences.has_value() && source.sequences->column.has_value()) {
    const absl::StatusOr<int> numbers = index.Find("sequences.column", *source.sequences->column);
    if (!numbers.ok()) return numbers.status();
    others.insert(*numbers);
  }
  for (int c = 0; c < num_columns; ++c) {
    if (!others.contains(c)) layout.columns.push_back(c);
  }
  if (!layout.columns.empty()) return absl::OkStatus();
  return InvalidArgument("columns",
                         "got none besides weight_column and the like, must be at least 1");
}

// Core's check of the start columns, which are a field of the specification.
absl::Status CheckStarts(const Table& table, int num_components, Pool& pool, std::stop_token stop) {
  if (table.start_columns().empty()) return absl::OkStatus();
  Pool::Share share(pool);
  absl::Status status = emserve::CheckStarts(table, num_components, share, std::move(stop));
  const std::string message(status.message());
  constexpr std::string_view kStarts = "start_columns";
  if (!message.starts_with(kStarts)) return status;
  return Reworded(
      status, absl::StrCat("start.responsibility_columns.columns", message.substr(kStarts.size())));
}

double LargestLabel(const FitData& data, const Table& table) {
  const int column = *data.layout.label_column;
  if (data.content != nullptr && FiguresOf(data, column).first_non_finite_row < 0) {
    return FiguresOf(data, column).maximum;
  }
  double largest = -std::numeric_limits<double>::infinity();
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    largest = std::max(largest, table.raw_value(row, column));  // not NaN, which is never larger
  }
  return largest;
}

// Labels that are too large for one number of components fit another, so that a sweep would make a
// pass for each. The largest of them tells without one; rows are looked at only to name the first.
absl::Status CheckLargestLabel(FitData& data, const Table& table) {
  if (!data.layout.label_column.has_value()) return absl::OkStatus();
  if (!data.largest_label.has_value()) data.largest_label = LargestLabel(data, table);
  const int num_components = table.label_components();
  if (!(*data.largest_label >= num_components)) return absl::OkStatus();
  int64_t row = 0;
  while (!(table.raw_value(row, *data.layout.label_column) >= num_components)) ++row;
  return InvalidArgument(absl::StrCat("data.labels[", row, "]"),
                         absl::StrCat("got ", table.raw_value(row, *data.layout.label_column),
                                      ", must be a component, 0 to ", num_components - 1,
                                      ", or negative or missing where it is unknown"));
}

bool HasMissing(const FitData& data) {
  return std::any_of(data.layout.columns.begin(), data.layout.columns.end(),
                     [&](int c) { return FiguresOf(data, c).num_missing > 0; });
}

absl::StatusOr<Judgement> JudgeRows(FitData& data, const Table& table, Pool& pool,
                                    std::stop_token stop) {
  if (absl::Status status = CheckLargestLabel(data, table); !status.ok()) return status;
  if (data.summary.has_value()) return Judgement{*data.summary, true};
  if (data.content != nullptr) {
    for (const int c : data.layout.columns) {
      if (absl::Status status = CheckNotInfinite(*data.content, c); !status.ok()) return status;
    }
    const bool weighted = data.layout.weight_column.has_value();
    if (weighted) {
      if (absl::Status status = CheckWeights(data, table); !status.ok()) return status;
    }
    if (!weighted && !data.labelled() && !HasMissing(data)) {
      absl::StatusOr<Summary> figures = SummaryOfColumns(data);
      if (!figures.ok()) return figures.status();
      return Judgement{*std::move(figures), false};
    }
  }
  Pool::Share share(pool);
  absl::StatusOr<Summary> summary = Summarize(table, share, std::move(stop));
  if (!summary.ok()) return summary.status();
  data.summary = *summary;
  return Judgement{*std::move(summary), true};
}

}  // namespace

absl::StatusOr<FitData> FindData(FitSource source, DatasetStore& datasets) {
  FitData data;
  std::vector<ColumnSchema> schemas;
  if (source.inline_data.has_value() == !source.dataset.empty()) {
    return InvalidArgument("dataset", source.inline_data.has_value()
                                          ? "got a dataset and inline data, must be one of them"
                                          : "got neither a dataset nor inline data, must be one");
  }
  if (source.inline_data.has_value()) {
    data.cells = std::move(source.inline_data->cells);
    for (std::string& name : source.inline_data->columns) {
      schemas.push_back({.name = std::move(name)});
    }
    const int64_t size = SizeOf(data.cells);
    data.inline_bytes = std::max(size, source.inline_data->held_bytes);
    source.inline_data.reset();
    data.sha256 =
        Sha256Hex({reinterpret_cast<const char*>(data.cells.bytes), static_cast<size_t>(size)});
  } else {
    const absl::StatusOr<std::string> id = ParseDatasetName("dataset", source.dataset);
    if (!id.ok()) return id.status();
    absl::StatusOr<std::shared_ptr<const DatasetContent>> content = datasets.Content(*id);
    if (!content.ok()) return content.status();
    data.content = *std::move(content);
    data.cells = data.content->cells;
    schemas = data.content->schema->columns;
    data.sha256 = data.content->sha256;
  }

  std::vector<std::string> names;
  names.reserve(schemas.size());
  for (const ColumnSchema& schema : schemas) names.push_back(schema.name);
  const ColumnIndex index(std::move(names));
  absl::Status status = FindWeights(source, index, schemas, data.layout);
  if (status.ok()) status = FindLabels(source, index, data.layout);
  if (status.ok()) status = FindModelled(source, index, data.cells.num_columns, data.layout);
  if (!status.ok()) return status;
  if (source.sequences.has_value()) {
    auto sequences = FindSequences(*source.sequences, data.cells, index);
    if (!sequences.ok()) return sequences.status();
    data.layout.sequences = *std::move(sequences);
  }
  for (const int c : data.layout.columns) {
    data.columns.push_back(schemas[static_cast<size_t>(c)]);
    data.layout.names.push_back(data.columns.back().name);
  }
  return data;
}

absl::StatusOr<Table> TableFor(const FitData& data, int num_components) {
  const auto one_each = [num_components](std::string_view path, size_t given) {
    return InvalidArgument(path, absl::StrCat("got ", given, " columns, must be ", num_components,
                                              ", one per component"));
  };
  const auto wanted = static_cast<size_t>(std::max(num_components, 0));
  const size_t num_plausibilities = data.layout.plausibility_columns.size();
  if (num_plausibilities != 0 && num_plausibilities != wanted) {
    return one_each("plausibility_columns", num_plausibilities);
  }
  const size_t num_starts = data.layout.start_columns.size();
  if (num_starts > 1 && num_starts != wanted) {
    return one_each("start.responsibility_columns.columns", num_starts);
  }
  Table::Options options = data.layout;
  if (options.label_column.has_value()) options.label_components = num_components;
  absl::StatusOr<Table> table = Table::Create(data.cells, std::move(options));
  if (!table.ok()) {
    return Reworded(table.status(), absl::StrCat("data.", std::string(table.status().message())));
  }
  return table;
}

absl::StatusOr<Judgement> JudgeData(FitData& data, const Table& table, int num_components,
                                    Pool& pool, std::stop_token stop) {
  absl::StatusOr<Judgement> judged = JudgeRows(data, table, pool, stop);
  if (!judged.ok()) return judged;
  absl::Status status = CheckStarts(table, num_components, pool, std::move(stop));
  if (!status.ok()) return status;
  return judged;
}

}  // namespace emserve::server
