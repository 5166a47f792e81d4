#include "client/emctl/prediction_writer.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/csv.h"
#include "client/sequences.h"

namespace emserve::emctl {
namespace {

// Arrays with an entry for each of the model's columns.
bool IsOfColumns(std::string_view array) {
  constexpr std::string_view kArrays[] = {"imputed",        "imputed_variances",
                                          "forecast_means", "forecast_variances",
                                          "residuals",      "forecast_residuals"};
  return std::find(std::begin(kArrays), std::end(kArrays), array) != std::end(kArrays);
}

// Arrays whose entries are values of the model's columns, categories as codes.
bool HoldsCells(std::string_view array) { return array == "imputed" || array == "forecast_means"; }

// An array's name in the singular: "forecast_variances" is "forecast_variance".
std::string ColumnStem(const std::string& array) {
  if (absl::EndsWith(array, "ies")) return absl::StrCat(array.substr(0, array.size() - 3), "y");
  return absl::EndsWith(array, "s") ? array.substr(0, array.size() - 1) : array;
}

// The columns of an array in a CSV file, as the API names those of a prediction's dataset.
std::vector<std::string> ColumnNames(const client::NamedArray& array, const ModelColumns& columns) {
  const std::string stem = ColumnStem(array.name);
  if (array.shape.size() < 2) return {stem};
  const bool is_of_columns = IsOfColumns(array.name);
  std::vector<std::string> names;
  for (int64_t j = 0; j < array.shape[1]; ++j) {
    const size_t c = static_cast<size_t>(j);
    const bool has_name = is_of_columns && c < columns.names.size();
    names.push_back(absl::StrCat(stem, "_", has_name ? columns.names[c] : absl::StrCat(j)));
  }
  return names;
}

// The array with an entry for each row: what is of a sequence again for all of its rows.
client::NamedArray ByRow(const client::NamedArray& array, const client::Prediction& prediction) {
  if (!client::IsOfSequences(array.name)) return array;
  client::NamedArray rows{.name = array.name, .shape = array.shape, .values = {}};
  rows.shape[0] = prediction.num_rows;
  const auto num_sequences = static_cast<size_t>(array.shape[0]);
  const auto width = static_cast<ptrdiff_t>(array.values.size() / num_sequences);
  for (size_t s = 0; s < num_sequences; ++s) {
    const int64_t length =
        prediction.sequence_lengths.empty() ? prediction.num_rows : prediction.sequence_lengths[s];
    const auto begin = array.values.begin() + static_cast<ptrdiff_t>(s) * width;
    for (int64_t i = 0; i < length; ++i) {
      rows.values.insert(rows.values.end(), begin, begin + width);
    }
  }
  return rows;
}

std::vector<int64_t> States(std::span<const double> values) {
  return {values.begin(), values.end()};
}

}  // namespace

absl::Status CsvPredictions::Add(const client::Prediction& prediction) {
  std::string text;
  if (prediction.first_row == 0) {
    for (const client::NamedArray& array : prediction.outputs) {
      std::vector<std::string> names = ColumnNames(array, model_);
      levels_.resize(columns_.size() + names.size());
      if (HoldsCells(array.name)) {
        std::copy(model_.levels.begin(), model_.levels.end(),
                  levels_.begin() + static_cast<ptrdiff_t>(columns_.size()));
      }
      for (std::string& name : names) columns_.push_back(std::move(name));
    }
    client::AppendCsvRecord(columns_, text);
  }
  std::vector<client::NamedArray> outputs;
  for (const client::NamedArray& array : prediction.outputs) {
    outputs.push_back(ByRow(array, prediction));
  }
  std::vector<double> row;
  for (size_t i = 0; i < static_cast<size_t>(prediction.num_rows); ++i) {
    row.clear();
    for (const client::NamedArray& array : outputs) {
      const size_t width = array.values.size() / static_cast<size_t>(prediction.num_rows);
      const auto begin = array.values.begin() + static_cast<ptrdiff_t>(i * width);
      row.insert(row.end(), begin, begin + static_cast<ptrdiff_t>(width));
    }
    client::AppendCsvRecord(row, levels_, text);
  }
  return file_->Write(text);
}

absl::Status JsonPredictions::Add(const client::Prediction& prediction) {
  for (const client::NamedArray& array : prediction.outputs) {
    Json& list = outputs_[array.name];
    const auto num_entries = static_cast<size_t>(array.shape[0]);
    const size_t width = array.values.size() / num_entries;
    for (size_t i = 0; i < num_entries; ++i) {
      if (array.name == "labels" || array.name == "decoded") {
        list.push_back(static_cast<int64_t>(array.values[i]));
      } else if (array.name == "best_paths") {
        list.push_back(States(std::span(array.values).subspan(i * width, width)));
      } else if (array.shape.size() == 1) {
        list.push_back(NumberToJson(array.values[i]));
      } else {
        list.push_back(Row(array, std::span(array.values).subspan(i * width, width)));
      }
    }
  }
  return absl::OkStatus();
}

Json JsonPredictions::Row(const client::NamedArray& array, std::span<const double> values) const {
  Json row = Json::array();
  for (const double value : values) row.push_back(NumberToJson(value));
  if (!HoldsCells(array.name)) return row;
  for (size_t c = 0; c < std::min(values.size(), model_.levels.size()); ++c) {
    if (values[c] >= 0 && values[c] < static_cast<double>(model_.levels[c].size())) {
      row[c] = model_.levels[c][static_cast<size_t>(values[c])];
    }
  }
  return row;
}

}  // namespace emserve::emctl
