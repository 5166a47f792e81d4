#include "client/emctl/predict.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/csv.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/jobs.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"
#include "client/file.h"
#include "client/sequences.h"

namespace emserve::emctl {
namespace {

absl::StatusOr<std::vector<v1::PredictionOutput>> ParseOutputs(const std::string& text) {
  std::vector<v1::PredictionOutput> outputs;
  if (text.empty()) return outputs;
  const absl::StatusOr<std::vector<std::string>> words = client::SplitCsvRecord(text);
  if (!words.ok()) return words.status();
  for (const std::string& word : *words) {
    const google::protobuf::EnumDescriptor& all = *v1::PredictionOutput_descriptor();
    const std::optional<int> output = ParseEnumWord(all, word);
    if (!output.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("--outputs: got ", word, ", must be ",
                                                     absl::StrJoin(EnumOptionWords(all), ", ")));
    }
    outputs.push_back(static_cast<v1::PredictionOutput>(*output));
  }
  return outputs;
}

// The model's columns: names, and those of their categories.
struct ModelColumns {
  explicit ModelColumns(const v1::ModelVersion& version) {
    for (const v1::Column& column : version.columns()) {
      names.push_back(column.name());
      levels.emplace_back(column.levels().begin(), column.levels().end());
    }
  }
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> levels;
};

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

// Takes predictions chunk by chunk.
class PredictionWriter {
 public:
  virtual ~PredictionWriter() = default;
  virtual absl::Status Add(const client::Prediction& prediction) = 0;
  // After the last chunk.
  virtual absl::Status Finish() = 0;
};

// One row of numbers for each row of data.
class CsvPredictions : public PredictionWriter {
 public:
  CsvPredictions(std::unique_ptr<client::OutputFile> file, ModelColumns model)
      : file_(std::move(file)), model_(std::move(model)) {}

  absl::Status Add(const client::Prediction& prediction) override {
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

  absl::Status Finish() override { return file_->Commit(); }

  const std::vector<std::string>& columns() const { return columns_; }

 private:
  const std::unique_ptr<client::OutputFile> file_;
  const ModelColumns model_;
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> levels_;  // of each column
};

// All predictions in one document: for small tables.
class JsonPredictions : public PredictionWriter {
 public:
  explicit JsonPredictions(ModelColumns model) : model_(std::move(model)) {}

  absl::Status Add(const client::Prediction& prediction) override {
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

  absl::Status Finish() override { return absl::OkStatus(); }

  Json Take() { return std::move(outputs_); }

 private:
  static std::vector<int64_t> States(std::span<const double> values) {
    return {values.begin(), values.end()};
  }

  // Imputed and forecast categories by name.
  Json Row(const client::NamedArray& array, std::span<const double> values) const {
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

  const ModelColumns model_;
  Json outputs_ = Json::object();
};

absl::Status PredictDataset(Session& session, const PredictArguments& arguments,
                            const std::vector<v1::PredictionOutput>& outputs) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  v1::CreateJobRequest request;
  v1::PredictSpec& predict = *request.mutable_job()->mutable_predict();
  predict.set_model(ResourceName("models", arguments.model));
  predict.set_dataset(ResourceName("datasets", arguments.dataset));
  for (const v1::PredictionOutput output : outputs) predict.add_outputs(output);
  if (arguments.forecast_horizon) predict.set_forecast_horizon(*arguments.forecast_horizon);
  if (arguments.num_paths) predict.set_num_paths(*arguments.num_paths);
  if (arguments.sequences.ByteSizeLong() > 0) *predict.mutable_sequences() = arguments.sequences;
  if (!arguments.output_dataset.empty()) {
    predict.set_output_dataset_id(ResourceId("datasets", arguments.output_dataset));
  }
  const absl::StatusOr<v1::Job> job = (*client)->CreateJob(request);
  if (!job.ok()) return DataRefused(job.status());
  if (arguments.detach) return PrintDetached(session, *job);
  const absl::StatusOr<FinishedJob> finished =
      FollowJob(session, job->name(), OnInterrupt::kCancelJob);
  if (!finished.ok()) return finished.status();
  return PrintResult(session, *finished);
}

// Streams the table through the model into `writer`; returns the version that predicted.
absl::StatusOr<std::string> StreamTable(Session& session, const std::string& version,
                                        const client::Table& table,
                                        const client::PredictOptions& options,
                                        PredictionWriter& writer, bool show_progress) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const StopOnInterrupt stop(session.interrupts());
  const auto draw = show_progress ? DrawBar(session.line(), "predicting") : nullptr;
  const int64_t row_bytes = table.num_columns() * static_cast<int64_t>(sizeof(double));
  std::string predicted_by;
  client::PredictOptions stoppable = options;
  stoppable.stop = stop.token();
  const absl::Status status = (*client)->StreamPredict(
      version, table, stoppable, [&](const client::Prediction& prediction) {
        predicted_by = prediction.model_version;
        if (draw) {
          draw((prediction.first_row + prediction.num_rows) * row_bytes,
               table.num_rows * row_bytes);
        }
        return writer.Add(prediction);
      });
  session.line().Clear();
  if (absl::IsResourceExhausted(status) && !options.sequence_lengths.empty()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(status.message(),
                     "; a sequence must fit a message, unless the data is on the server: upload "
                     "it with emctl datasets upload and say --dataset"));
  }
  if (!status.ok()) return DataRefused(status);
  return predicted_by;
}

// How the rows of the file are cut, whose column of sequences, if it is not one of the model's,
// leaves the table; empty for a model without sequences.
absl::StatusOr<std::vector<int64_t>> CutRows(const PredictArguments& arguments,
                                             const v1::ModelVersion& version,
                                             client::Table& table) {
  const v1::SequenceSpec& sequences = arguments.sequences;
  if (sequences.has_lengths()) {
    const auto& lengths = sequences.lengths().lengths();
    return std::vector<int64_t>(lengths.begin(), lengths.end());
  }
  if (!sequences.column().empty()) {
    absl::StatusOr<std::vector<int64_t>> lengths =
        client::SequencesOfColumn(table, sequences.column());
    if (!lengths.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--sequence-column: ", lengths.status().message()));
    }
    const bool is_of_model =
        std::any_of(version.columns().begin(), version.columns().end(),
                    [&](const v1::Column& column) { return column.name() == sequences.column(); });
    if (!is_of_model) client::DropColumn(sequences.column(), table);
    return lengths;
  }
  if (!version.spec().model().has_hidden_markov()) return std::vector<int64_t>();
  return std::vector<int64_t>{table.num_rows};
}

absl::Status PredictFile(Session& session, const PredictArguments& arguments,
                         const std::vector<v1::PredictionOutput>& outputs) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ModelVersion> version =
      (*client)->GetModelVersion(ResourceName("models", arguments.model));
  if (!version.ok()) return version.status();
  client::DataFileOptions reading = arguments.reading;
  reading.unnamed_in_order = true;
  for (const v1::Column& column : version->columns()) {
    reading.columns.push_back(column.name());
    if (column.levels_size() > 0) {
      reading.levels[column.name()] = {column.levels().begin(), column.levels().end()};
    }
  }
  const std::string& sequences = arguments.sequences.column();
  if (!sequences.empty()) {
    if (std::find(reading.columns.begin(), reading.columns.end(), sequences) ==
        reading.columns.end()) {
      reading.columns.push_back(sequences);
    }
    reading.categories.push_back(sequences);  // sequences may have names
  }
  absl::StatusOr<client::DataFile> file = ReadData(session, arguments.data, reading);
  if (absl::StrContains(file.status().message(), "has no column")) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.status().message(), "; --by-position takes them in the model's order"));
  }
  if (!file.ok()) return file.status();
  if (!file->finite.ok()) return file->finite;
  const absl::StatusOr<std::vector<int64_t>> cut = CutRows(arguments, *version, file->table);
  if (!cut.ok()) return cut.status();
  const client::PredictOptions options = {.outputs = outputs,
                                          .forecast_horizon = arguments.forecast_horizon,
                                          .num_paths = arguments.num_paths,
                                          .sequence_lengths = *cut};

  if (session.json() && arguments.output.empty()) {
    JsonPredictions writer{ModelColumns(*version)};
    const absl::StatusOr<std::string> by =
        StreamTable(session, version->name(), file->table, options, writer, true);
    if (!by.ok()) return by.status();
    return session.PrintJson(Json{
        {"model_version", *by}, {"num_rows", file->table.num_rows}, {"outputs", writer.Take()}});
  }
  const std::string path = arguments.output.empty() ? "-" : arguments.output;
  absl::StatusOr<std::unique_ptr<client::OutputFile>> output = client::OutputFile::Create(path);
  if (!output.ok()) return output.status();
  CsvPredictions writer(*std::move(output), ModelColumns(*version));
  // Not between the rows on a terminal.
  const bool show_progress = path != "-" || isatty(STDOUT_FILENO) == 0;
  const absl::StatusOr<std::string> by =
      StreamTable(session, version->name(), file->table, options, writer, show_progress);
  if (!by.ok()) return by.status();
  if (absl::Status status = writer.Finish(); !status.ok()) return status;
  if (session.json()) {
    return session.PrintJson(Json{{"model_version", *by},
                                  {"num_rows", file->table.num_rows},
                                  {"output", arguments.output},
                                  {"columns", writer.columns()}});
  }
  session.Note(absl::StrCat("predicted ", file->table.num_rows, " rows with ", *by));
  return absl::OkStatus();
}

absl::Status CheckOutputPath(const Session& session, const std::string& path) {
  if (absl::EndsWithIgnoreCase(path, ".npy")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--output: got ", path, ", must be a CSV file, the only format written"));
  }
  if (session.json() && path == "-") {
    return absl::InvalidArgumentError(
        "--output: got - with --json, must be a file, or absent to have the rows in the document");
  }
  return absl::OkStatus();
}

// Rows to draw: those asked for, or those of the sequences.
absl::StatusOr<int64_t> RowsToDraw(const std::optional<int64_t>& num_rows,
                                   const std::vector<int64_t>& lengths) {
  if (lengths.empty()) return num_rows.value_or(1);
  constexpr int64_t kMost = int64_t{1} << 53;  // of rows that a double can number
  int64_t sum = 0;
  for (const int64_t length : lengths) {
    if (!(length >= 1 && length <= kMost - sum)) {
      return Refused("--sequence-lengths", absl::StrCat(length), "at least 1, each of them");
    }
    sum += length;
  }
  if (num_rows.value_or(sum) == sum) return sum;
  return Refused("-n/--rows", absl::StrCat(*num_rows),
                 absl::StrCat(sum, ", the rows of --sequence-lengths together, or absent"));
}

}  // namespace

absl::Status Predict(Session& session, const PredictArguments& arguments) {
  const absl::StatusOr<std::vector<v1::PredictionOutput>> outputs = ParseOutputs(arguments.outputs);
  if (!outputs.ok()) return outputs.status();
  if (arguments.data.empty() == arguments.dataset.empty()) {
    return absl::InvalidArgumentError("--data, --dataset: must be given, one of them");
  }
  if (!arguments.dataset.empty()) {
    if (arguments.reading.by_position) {
      return absl::InvalidArgumentError(
          "--by-position: got it with --dataset, must go with --data");
    }
    if (!arguments.output.empty()) {
      return absl::InvalidArgumentError(
          "--output: got a file with --dataset, must be absent; the result is a dataset that "
          "emctl datasets download fetches");
    }
    return PredictDataset(session, arguments, *outputs);
  }
  if (!arguments.output_dataset.empty() || arguments.detach) {
    return absl::InvalidArgumentError(
        "--output-dataset, --detach: got one of them with --data, must go with --dataset");
  }
  if (absl::Status status = CheckOutputPath(session, arguments.output); !status.ok()) return status;
  return PredictFile(session, arguments, *outputs);
}

absl::Status SampleModel(Session& session, const SampleArguments& arguments) {
  if (absl::Status status = CheckOutputPath(session, arguments.output); !status.ok()) return status;
  const std::vector<int64_t> lengths(arguments.sequences.lengths().begin(),
                                     arguments.sequences.lengths().end());
  const absl::StatusOr<int64_t> num_rows = RowsToDraw(arguments.num_rows, lengths);
  if (!num_rows.ok()) return num_rows.status();
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const std::string model = ResourceName("models", arguments.model);
  if (session.json() && arguments.output.empty()) {
    const absl::StatusOr<client::Sample> sample =
        (*client)->SampleRows(model, *num_rows, arguments.seed, lengths);
    if (!sample.ok()) return DataRefused(sample.status());
    const size_t width = sample->table.columns.size();
    Json rows = Json::array();
    for (size_t i = 0; i < static_cast<size_t>(sample->table.num_rows); ++i) {
      rows.push_back(std::span(sample->table.values).subspan(i * width, width));
    }
    Json document = {{"model_version", sample->model_version},
                     {"columns", sample->table.columns},
                     {"rows", std::move(rows)},
                     {"labels", sample->labels}};
    if (!lengths.empty()) document["sequence_lengths"] = lengths;
    return session.PrintJson(document);
  }
  const std::string path = arguments.output.empty() ? "-" : arguments.output;
  // Made with the first rows: a refusal leaves no trace.
  std::unique_ptr<client::OutputFile> file;
  std::string version;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> levels;
  const bool numbers = !arguments.sequence_column.empty();
  size_t sequence = 0;      // of the next row
  int64_t in_sequence = 0;  // rows of it so far
  const StopOnInterrupt stop(session.interrupts());
  const absl::Status status = (*client)->StreamSample(
      model, *num_rows, arguments.seed, stop.token(),
      [&](const client::Sample& part) {
        std::string text;
        if (file == nullptr) {
          absl::StatusOr<std::unique_ptr<client::OutputFile>> made =
              client::OutputFile::Create(path);
          if (!made.ok()) return made.status();
          file = *std::move(made);
          version = part.model_version;
          const absl::StatusOr<v1::ModelVersion> found = (*client)->GetModelVersion(version);
          if (!found.ok()) return found.status();
          levels = ModelColumns(*found).levels;
          columns = part.table.columns;
          if (arguments.labels) columns.push_back("label");
          if (numbers) {
            columns.insert(columns.begin(), arguments.sequence_column);
            levels.emplace(levels.begin());
          }
          client::AppendCsvRecord(columns, text);
        }
        const size_t width = part.table.columns.size();
        for (size_t i = 0; i < part.labels.size(); ++i) {
          const auto begin = part.table.values.begin() + static_cast<ptrdiff_t>(i * width);
          std::vector<double> row(begin, begin + static_cast<ptrdiff_t>(width));
          if (arguments.labels) row.push_back(static_cast<double>(part.labels[i]));
          if (numbers) row.insert(row.begin(), static_cast<double>(sequence));
          client::AppendCsvRecord(row, levels, text);
          if (sequence < lengths.size() && ++in_sequence == lengths[sequence]) {
            ++sequence;
            in_sequence = 0;
          }
        }
        return file->Write(text);
      },
      lengths);
  if (!status.ok()) return DataRefused(status);
  if (absl::Status done = file->Commit(); !done.ok()) return done;
  if (session.json()) {
    return session.PrintJson(Json{{"model_version", version},
                                  {"num_rows", *num_rows},
                                  {"output", arguments.output},
                                  {"columns", columns}});
  }
  return absl::OkStatus();
}

}  // namespace emserve::emctl
