#include "client/emctl/predict.h"

#include <unistd.h>

#include <algorithm>
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
#include "client/emctl/prediction_writer.h"
#include "client/emctl/sent_file.h"
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

// Options that say more of an output must come with it.
absl::Status CheckCompanions(const PredictArguments& arguments,
                             const std::vector<v1::PredictionOutput>& outputs) {
  const auto lacks = [&outputs](v1::PredictionOutput output) {
    return std::find(outputs.begin(), outputs.end(), output) == outputs.end();
  };
  if (arguments.forecast_horizon && lacks(v1::PREDICTION_OUTPUT_FORECASTS)) {
    return Refused("--forecast-horizon", absl::StrCat(*arguments.forecast_horizon),
                   "with forecasts in --outputs");
  }
  if (arguments.num_paths && lacks(v1::PREDICTION_OUTPUT_BEST_PATHS)) {
    return Refused("--num-paths", absl::StrCat(*arguments.num_paths),
                   "with best-paths in --outputs");
  }
  return absl::OkStatus();
}

// Sequences that nobody has told apart may not be meant as one.
void RemarkOnOneSequence(Session& session, const PredictArguments& arguments,
                         const v1::ModelVersion& version) {
  const std::string& column = version.spec().sequences().column();
  if (column.empty() || arguments.sequences.ByteSizeLong() > 0) return;
  session.Note(absl::StrCat("all rows are taken as one sequence; ", version.name(),
                            " was fitted to the sequences of column ", column,
                            ": --sequence-column or --sequence-lengths tells them apart"));
}

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
  const absl::StatusOr<v1::ModelVersion> version = (*client)->GetModelVersion(predict.model());
  if (version.ok()) RemarkOnOneSequence(session, arguments, *version);
  if (arguments.detach) return PrintDetached(session, *job);
  const absl::StatusOr<FinishedJob> finished =
      FollowJob(session, job->name(), OnInterrupt::kCancelJob);
  if (!finished.ok()) return finished.status();
  return PrintResult(session, *finished);
}

// Streams the table through the model into `writer`; returns the version that predicted.
absl::StatusOr<std::string> StreamTable(Session& session, const std::string& version,
                                        const client::Table& table, const SentFile& file,
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
  if (!status.ok()) {
    return InFile(PredictionRefused(status, !options.sequence_lengths.empty()), file);
  }
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
  RemarkOnOneSequence(session, arguments, *version);
  const absl::StatusOr<std::vector<int64_t>> cut = CutRows(arguments, *version, file->table);
  if (!cut.ok()) return cut.status();
  const client::PredictOptions options = {.outputs = outputs,
                                          .forecast_horizon = arguments.forecast_horizon,
                                          .num_paths = arguments.num_paths,
                                          .sequence_lengths = *cut};

  if (session.json() && arguments.output.empty()) {
    JsonPredictions writer{ModelColumns(*version)};
    const absl::StatusOr<std::string> by =
        StreamTable(session, version->name(), file->table, SentFile(*file), options, writer, true);
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
  const absl::StatusOr<std::string> by = StreamTable(
      session, version->name(), file->table, SentFile(*file), options, writer, show_progress);
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

// The columns of a sample's file, of which none may have the name of another.
absl::StatusOr<std::vector<std::string>> SampleColumns(const SampleArguments& arguments,
                                                       std::vector<std::string> columns) {
  const auto has = [&columns](const std::string& name) {
    return std::find(columns.begin(), columns.end(), name) != columns.end();
  };
  const std::string& sequence = arguments.sequence_column;
  if (arguments.labels && has("label")) {
    return Refused("--labels", "a model with a column label", "absent, as theirs is called so");
  }
  if (arguments.labels) columns.push_back("label");
  if (sequence.empty()) return columns;
  if (has(sequence)) return Refused("--sequence-column", sequence, "a name that is not there yet");
  columns.insert(columns.begin(), sequence);
  return columns;
}

}  // namespace

absl::Status Predict(Session& session, const PredictArguments& arguments) {
  const absl::StatusOr<std::vector<v1::PredictionOutput>> outputs = ParseOutputs(arguments.outputs);
  if (!outputs.ok()) return outputs.status();
  if (absl::Status status = CheckCompanions(arguments, *outputs); !status.ok()) return status;
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
  if (session.json() && arguments.output.empty() && !arguments.sequence_column.empty()) {
    return Refused("--sequence-column", arguments.sequence_column,
                   "absent with --json, whose sequence_lengths tell, unless there is --output");
  }
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
      Json row = Json::array();
      for (size_t c = 0; c < width; ++c) {
        row.push_back(NumberToJson(sample->table.values[i * width + c]));
      }
      rows.push_back(std::move(row));
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
          absl::StatusOr<std::vector<std::string>> named =
              SampleColumns(arguments, part.table.columns);
          if (!named.ok()) return named.status();
          columns = *std::move(named);
          absl::StatusOr<std::unique_ptr<client::OutputFile>> made =
              client::OutputFile::Create(path);
          if (!made.ok()) return made.status();
          file = *std::move(made);
          version = part.model_version;
          const absl::StatusOr<v1::ModelVersion> found = (*client)->GetModelVersion(version);
          if (!found.ok()) return found.status();
          levels = ModelColumns(*found).levels;
          if (numbers) levels.emplace(levels.begin());
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
