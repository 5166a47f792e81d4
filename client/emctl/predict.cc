#include "client/emctl/predict.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
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

// The columns of an array in a CSV file, as the API names those of a prediction's dataset.
std::vector<std::string> ColumnNames(const client::NamedArray& array, const ModelColumns& columns) {
  std::string stem = array.name;
  if (stem == "labels") stem = "label";
  if (stem == "posteriors") stem = "posterior";
  if (stem == "log_densities") stem = "log_density";
  if (stem == "imputed_variances") stem = "imputed_variance";
  if (array.shape.size() < 2) return {stem};
  const bool is_of_columns = stem == "imputed" || stem == "imputed_variance";
  std::vector<std::string> names;
  for (int64_t j = 0; j < array.shape[1]; ++j) {
    const size_t c = static_cast<size_t>(j);
    const bool has_name = is_of_columns && c < columns.names.size();
    names.push_back(absl::StrCat(stem, "_", has_name ? columns.names[c] : absl::StrCat(j)));
  }
  return names;
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
        if (array.name == "imputed") {
          std::copy(model_.levels.begin(), model_.levels.end(),
                    levels_.begin() + static_cast<ptrdiff_t>(columns_.size()));
        }
        for (std::string& name : names) columns_.push_back(std::move(name));
      }
      client::AppendCsvRecord(columns_, text);
    }
    std::vector<double> row;
    for (size_t i = 0; i < static_cast<size_t>(prediction.num_rows); ++i) {
      row.clear();
      for (const client::NamedArray& array : prediction.outputs) {
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
      const size_t width = array.values.size() / static_cast<size_t>(prediction.num_rows);
      for (size_t i = 0; i < static_cast<size_t>(prediction.num_rows); ++i) {
        if (array.name == "labels") {
          list.push_back(static_cast<int64_t>(array.values[i]));
        } else if (array.shape.size() == 1) {
          list.push_back(array.values[i]);
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
  // Imputed categories by name.
  Json Row(const client::NamedArray& array, std::span<const double> values) const {
    Json row = values;
    if (array.name != "imputed") return row;
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
                                        const std::vector<v1::PredictionOutput>& outputs,
                                        PredictionWriter& writer, bool show_progress) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const StopOnInterrupt stop(session.interrupts());
  const auto draw = show_progress ? DrawBar(session.line(), "predicting") : nullptr;
  const int64_t row_bytes = table.num_columns() * static_cast<int64_t>(sizeof(double));
  std::string predicted_by;
  const absl::Status status =
      (*client)->StreamPredict(version, table, {.outputs = outputs, .stop = stop.token()},
                               [&](const client::Prediction& prediction) {
                                 predicted_by = prediction.model_version;
                                 if (draw) {
                                   draw((prediction.first_row + prediction.num_rows) * row_bytes,
                                        table.num_rows * row_bytes);
                                 }
                                 return writer.Add(prediction);
                               });
  session.line().Clear();
  if (!status.ok()) return DataRefused(status);
  return predicted_by;
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
  const absl::StatusOr<client::DataFile> file = ReadData(session, arguments.data, reading);
  if (absl::StrContains(file.status().message(), "has no column")) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.status().message(), "; --by-position takes them in the model's order"));
  }
  if (!file.ok()) return file.status();
  if (!file->finite.ok()) return file->finite;

  if (session.json() && arguments.output.empty()) {
    JsonPredictions writer{ModelColumns(*version)};
    const absl::StatusOr<std::string> by =
        StreamTable(session, version->name(), file->table, outputs, writer, true);
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
      StreamTable(session, version->name(), file->table, outputs, writer, show_progress);
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
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const std::string model = ResourceName("models", arguments.model);
  if (session.json() && arguments.output.empty()) {
    const absl::StatusOr<client::Sample> sample =
        (*client)->SampleRows(model, arguments.num_rows, arguments.seed);
    if (!sample.ok()) return DataRefused(sample.status());
    const size_t width = sample->table.columns.size();
    Json rows = Json::array();
    for (size_t i = 0; i < static_cast<size_t>(sample->table.num_rows); ++i) {
      rows.push_back(std::span(sample->table.values).subspan(i * width, width));
    }
    return session.PrintJson(Json{{"model_version", sample->model_version},
                                  {"columns", sample->table.columns},
                                  {"rows", std::move(rows)},
                                  {"labels", sample->labels}});
  }
  const std::string path = arguments.output.empty() ? "-" : arguments.output;
  // Made with the first rows: a refusal leaves no trace.
  std::unique_ptr<client::OutputFile> file;
  std::string version;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> levels;
  const StopOnInterrupt stop(session.interrupts());
  const absl::Status status = (*client)->StreamSample(
      model, arguments.num_rows, arguments.seed, stop.token(), [&](const client::Sample& part) {
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
          client::AppendCsvRecord(columns, text);
        }
        const size_t width = part.table.columns.size();
        for (size_t i = 0; i < part.labels.size(); ++i) {
          const auto begin = part.table.values.begin() + static_cast<ptrdiff_t>(i * width);
          std::vector<double> row(begin, begin + static_cast<ptrdiff_t>(width));
          if (arguments.labels) row.push_back(static_cast<double>(part.labels[i]));
          client::AppendCsvRecord(row, levels, text);
        }
        return file->Write(text);
      });
  if (!status.ok()) return DataRefused(status);
  if (absl::Status done = file->Commit(); !done.ok()) return done;
  if (session.json()) {
    return session.PrintJson(Json{{"model_version", version},
                                  {"num_rows", arguments.num_rows},
                                  {"output", arguments.output},
                                  {"columns", columns}});
  }
  return absl::OkStatus();
}

}  // namespace emserve::emctl
