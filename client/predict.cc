// Predictions and samples.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/sequences.h"
#include "client/stubs.h"
#include "proto/wire/status.h"
#include "proto/wire/tensor.h"

namespace emserve::client {
namespace {

constexpr int64_t kChunkBytes = int64_t{1} << 20;
constexpr int64_t kChunkRows = 16384;
constexpr int64_t kSampleBytes = int64_t{1} << 19;  // fits the smallest message a server may allow

// Rows [first_row, first_row + num_rows) of a table, for the wire.
void EncodeRows(const Table& table, int64_t first_row, int64_t num_rows, v1::InlineTable& out) {
  out.mutable_columns()->Assign(table.columns.begin(), table.columns.end());
  out.set_element_type(v1::ELEMENT_TYPE_FLOAT64);
  out.set_data(table.values.data() + first_row * table.num_columns(),
               static_cast<size_t>(num_rows * table.num_columns()) * sizeof(double));
}

// Says which sequences the rows of a message are, if any are said.
void EncodeSequences(std::span<const int64_t> lengths, v1::SequenceSpec& out) {
  out.mutable_lengths()->mutable_lengths()->Assign(lengths.begin(), lengths.end());
}

// What is asked for, in a request of either kind.
template <typename Request>
void EncodeOutputs(const PredictOptions& options, Request& request) {
  for (const v1::PredictionOutput output : options.outputs) request.add_outputs(output);
  if (options.forecast_horizon.has_value()) {
    request.set_forecast_horizon(*options.forecast_horizon);
  }
  if (options.num_paths.has_value()) request.set_num_paths(*options.num_paths);
  request.set_packed(true);
}

absl::Status DecodeOutputs(const google::protobuf::RepeatedPtrField<v1::NamedTensor>& outputs,
                           Prediction& prediction) {
  for (const v1::NamedTensor& output : outputs) {
    absl::StatusOr<std::vector<double>> values = DecodeTensor(output.tensor(), output.name());
    if (!values.ok()) return values.status();
    NamedArray array{.name = output.name(),
                     .shape = {output.tensor().shape().begin(), output.tensor().shape().end()},
                     .values = *std::move(values)};
    // Rows of which nothing is said are one sequence.
    const auto num_sequences =
        std::max<int64_t>(1, static_cast<int64_t>(prediction.sequence_lengths.size()));
    const bool of_sequences = IsOfSequences(array.name);
    if (array.shape.empty() ||
        array.shape[0] != (of_sequences ? num_sequences : prediction.num_rows)) {
      return absl::InternalError(absl::StrCat(array.name, ": the server's answer has another ",
                                              "number of ", of_sequences ? "sequences" : "rows",
                                              " than asked"));
    }
    prediction.outputs.push_back(std::move(array));
  }
  return absl::OkStatus();
}

// The seed of a later part of a sample. Neighbouring seeds must not share parts, as seed + part
// would have it. SplitMix64 (Steele, Lea & Flood 2014).
uint64_t Mixed(uint64_t seed, uint64_t part) {
  uint64_t z = seed + part * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// The error with "table.rows[5]" counted in the whole table, of which `first_row` began a message.
absl::Status InTable(const absl::Status& status, int64_t first_row) {
  constexpr std::string_view kRow = "table.rows[";
  const std::string message(status.message());
  const size_t end = message.find(']');
  int64_t row = 0;
  if (first_row == 0 || !message.starts_with(kRow) || end == std::string::npos ||
      !absl::SimpleAtoi(message.substr(kRow.size(), end - kRow.size()), &row)) {
    return status;
  }
  const std::string field = absl::StrCat("table.rows[", first_row + row, "]");
  absl::Status counted(status.code(), absl::StrCat(field, message.substr(end + 1)));
  status.ForEachPayload([&counted](absl::string_view url, const absl::Cord& payload) {
    counted.SetPayload(url, payload);
  });
  if (counted.GetPayload(kFieldPayload).has_value()) {
    counted.SetPayload(kFieldPayload, absl::Cord(field));
  }
  return counted;
}

// An answer with at least one row.
absl::StatusOr<Sample> DecodeSample(const v1::SampleResponse& response) {
  Sample sample;
  sample.model_version = response.model_version();
  sample.table.columns.assign(response.columns().begin(), response.columns().end());
  absl::StatusOr<std::vector<double>> rows = DecodeTensor(response.rows(), "rows");
  if (!rows.ok()) return rows.status();
  const absl::StatusOr<std::vector<double>> labels = DecodeTensor(response.labels(), "labels");
  if (!labels.ok()) return labels.status();
  if (labels->empty() || labels->size() * sample.table.columns.size() != rows->size()) {
    return absl::InternalError("rows: the server's answer has not the shape of its columns");
  }
  sample.table.num_rows = static_cast<int64_t>(labels->size());
  sample.table.values = *std::move(rows);
  for (const double label : *labels) sample.labels.push_back(static_cast<int64_t>(label));
  return sample;
}

}  // namespace

bool IsOfSequences(std::string_view array) {
  return array == "sequence_log_likelihoods" || array == "path_log_probabilities" ||
         array == "best_path_log_probabilities";
}

absl::StatusOr<Prediction> Client::Predict(const std::string& version, const Table& table,
                                           const PredictOptions& options) {
  v1::PredictRequest request;
  request.set_model(version);
  EncodeRows(table, 0, table.num_rows, *request.mutable_table());
  EncodeOutputs(options, request);
  if (!options.sequence_lengths.empty()) {
    const absl::Status status = CheckSequences(options.sequence_lengths, table.num_rows);
    if (!status.ok()) return status;
    EncodeSequences(options.sequence_lengths, *request.mutable_sequences());
  }
  const auto response =
      stubs_->Call(stubs_->predictions, &v1::PredictionService::Stub::Predict, request, true);
  if (!response.ok()) return response.status();
  Prediction prediction;
  prediction.sequence_lengths = options.sequence_lengths;
  prediction.num_rows = table.num_rows;
  prediction.model_version = response->model_version();
  if (absl::Status status = DecodeOutputs(response->outputs(), prediction); !status.ok()) {
    return status;
  }
  return prediction;
}

struct Client::PredictCursor {
  std::string model;  // as asked for, then the version that answered first
  bool pinned = false;
  const Table& table;
  std::span<const int64_t> sequence_lengths;
  int64_t chunk_rows;
  const std::function<absl::Status(const Prediction&)>& sink;
  int64_t done = 0;           // rows answered
  size_t done_sequences = 0;  // sequences answered

  // A message's rows, and the sequences that they are.
  struct Chunk {
    int64_t num_rows = 0;
    std::span<const int64_t> lengths;
  };
  Chunk ChunkAt(int64_t row, size_t sequence) const {
    if (sequence_lengths.empty()) return {std::min(chunk_rows, table.num_rows - row), {}};
    const std::span<const int64_t> rest = sequence_lengths.subspan(sequence);
    const std::span<const int64_t> lengths = rest.first(SequencesWithin(rest, chunk_rows));
    return {std::accumulate(lengths.begin(), lengths.end(), int64_t{0}), lengths};
  }
};

absl::Status Client::StreamPredict(const std::string& version, const Table& table,
                                   const PredictOptions& options,
                                   const std::function<absl::Status(const Prediction&)>& sink) {
  const int64_t row_bytes =
      std::max<int64_t>(1, table.num_columns()) * static_cast<int64_t>(sizeof(double));
  const int64_t chunk_rows = options.chunk_rows > 0
                                 ? options.chunk_rows
                                 : std::clamp(kChunkBytes / row_bytes, int64_t{1}, kChunkRows);
  if (!options.sequence_lengths.empty()) {
    const absl::Status status = CheckSequences(options.sequence_lengths, table.num_rows);
    if (!status.ok()) return status;
  }
  PredictCursor cursor{.model = version,
                       .table = table,
                       .sequence_lengths = options.sequence_lengths,
                       .chunk_rows = chunk_rows,
                       .sink = sink};
  Retry retry(stubs_->options.retry, options.stop);
  // Whether rows depend on those of the messages before, once somebody has to know.
  std::optional<bool> goes_on;
  if (!options.sequence_lengths.empty()) goes_on = false;
  while (cursor.done < table.num_rows) {
    absl::Status status = StreamPredictOnce(options, cursor, retry);
    if (options.stop.stop_requested()) return absl::CancelledError("stopped on request");
    if (cursor.done == table.num_rows) break;
    if (status.ok()) {
      status = absl::UnavailableError(absl::StrCat("the stream ended at row ", cursor.done));
    }
    if (!IsBrokenConnection(status)) return status;
    if (absl::Status wait = retry.Wait(status); !wait.ok()) return wait;
    if (cursor.done == 0) continue;
    if (!goes_on.has_value()) {
      const absl::StatusOr<v1::ModelVersion> model = GetModelVersion(cursor.model);
      if (!model.ok()) {
        return absl::UnavailableError(absl::StrCat(
            "the stream ended at row ", cursor.done, ", and whether it ended within a sequence ",
            "cannot be found out: ", model.status().message(), "; say sequence_lengths"));
      }
      goes_on = model->spec().model().has_hidden_markov();
    }
    if (*goes_on) {
      return absl::UnavailableError(
          absl::StrCat("the stream ended at row ", cursor.done,
                       ", and a sequence cannot be taken up in its middle; say sequence_lengths"));
    }
  }
  return absl::OkStatus();
}

absl::Status Client::StreamPredictOnce(const PredictOptions& options, PredictCursor& cursor,
                                       Retry& retry) {
  grpc::ClientContext context;
  const CancelOnStop cancel(options.stop, context);
  const auto stream = stubs_->predictions.StreamPredict(&context);

  std::mutex mutex;
  std::condition_variable changed;
  int in_flight = 0;
  bool reading = true;
  const std::string model = cursor.model;
  const int64_t first = cursor.done;
  const size_t first_sequence = cursor.done_sequences;
  // Sends ahead of the answers, at most `window` requests.
  std::thread writer([&] {
    v1::StreamPredictRequest request;
    request.set_model(model);
    EncodeOutputs(options, request);
    size_t sequence = first_sequence;
    for (int64_t row = first; row < cursor.table.num_rows;) {
      const PredictCursor::Chunk chunk = cursor.ChunkAt(row, sequence);
      EncodeRows(cursor.table, row, chunk.num_rows, *request.mutable_table());
      if (!chunk.lengths.empty()) {
        EncodeSequences(chunk.lengths, *request.mutable_sequences());
        request.set_new_sequence(true);
      }
      {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return !reading || in_flight < std::max(1, options.window); });
        if (!reading) return;
        ++in_flight;
      }
      if (!stream->Write(request)) return;
      row += chunk.num_rows;
      sequence += chunk.lengths.size();
    }
    stream->WritesDone();
  });

  absl::Status failure;
  v1::StreamPredictResponse response;
  while (cursor.done < cursor.table.num_rows && stream->Read(&response)) {
    failure = InTable(FromProto(response.status()), cursor.done);
    if (!failure.ok()) break;
    if (cursor.pinned && response.model_version() != cursor.model) {
      failure = absl::AbortedError(absl::StrCat("model: moved from ", cursor.model, " to ",
                                                response.model_version(),
                                                " while it predicted; name a version"));
      break;
    }
    cursor.model = response.model_version();
    cursor.pinned = true;
    Prediction prediction;
    prediction.first_row = cursor.done;
    const PredictCursor::Chunk chunk = cursor.ChunkAt(cursor.done, cursor.done_sequences);
    prediction.num_rows = chunk.num_rows;
    prediction.sequence_lengths.assign(chunk.lengths.begin(), chunk.lengths.end());
    prediction.model_version = response.model_version();
    failure = DecodeOutputs(response.outputs(), prediction);
    if (failure.ok()) failure = cursor.sink(prediction);
    if (!failure.ok()) break;
    cursor.done += prediction.num_rows;
    cursor.done_sequences += chunk.lengths.size();
    retry.Reset();
    const std::lock_guard<std::mutex> lock(mutex);
    --in_flight;
    changed.notify_one();
  }
  {
    const std::lock_guard<std::mutex> lock(mutex);
    reading = false;
    changed.notify_one();
  }
  // A writer that waits for room in the stream must not wait for a reader that is gone.
  if (!failure.ok()) context.TryCancel();
  writer.join();
  const absl::Status status = FromGrpcStatus(stream->Finish());
  return failure.ok() ? status : failure;
}

absl::Status Client::StreamSample(const std::string& version, int64_t num_rows, uint64_t seed,
                                  const std::stop_token& stop,
                                  const std::function<absl::Status(const Sample& part)>& sink,
                                  const std::vector<int64_t>& sequence_lengths) {
  if (num_rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_rows: got ", num_rows, ", must be at least 1"));
  }
  const absl::StatusOr<v1::ModelVersion> model = GetModelVersion(version);
  if (!model.ok()) return model.status();
  const int64_t row_bytes = (int64_t{model->columns_size()} + 1) * 8;
  // The same for every server, whatever the messages it allows, so that the rows are the same too.
  const int64_t part_rows = std::max<int64_t>(1, kSampleBytes / row_bytes);
  std::vector<int64_t> lengths = sequence_lengths;
  if (lengths.empty() && model->spec().model().has_hidden_markov()) lengths = {num_rows};
  if (!lengths.empty()) {
    if (absl::Status status = CheckSequences(lengths, num_rows); !status.ok()) return status;
  }
  std::span<const int64_t> rest(lengths);
  int64_t done = 0;
  for (uint64_t part = 0; done < num_rows; ++part) {
    if (stop.stop_requested()) return absl::CancelledError("stopped on request");
    v1::SampleRequest request;
    request.set_model(model->name());
    request.set_num_rows(std::min(part_rows, num_rows - done));
    if (!rest.empty()) {
      const std::span<const int64_t> drawn = rest.first(SequencesWithin(rest, part_rows));
      rest = rest.subspan(drawn.size());
      request.set_num_rows(std::accumulate(drawn.begin(), drawn.end(), int64_t{0}));
      request.mutable_sequence_lengths()->Assign(drawn.begin(), drawn.end());
    }
    request.set_seed(part == 0 ? seed : Mixed(seed, part));
    request.set_packed(true);
    const auto response =
        stubs_->Call(stubs_->predictions, &v1::PredictionService::Stub::Sample, request, true);
    if (!response.ok()) return response.status();
    const absl::StatusOr<Sample> sample = DecodeSample(*response);
    if (!sample.ok()) return sample.status();
    if (absl::Status status = sink(*sample); !status.ok()) return status;
    done += sample->table.num_rows;
  }
  return absl::OkStatus();
}

absl::StatusOr<Sample> Client::SampleRows(const std::string& version, int64_t num_rows,
                                          uint64_t seed,
                                          const std::vector<int64_t>& sequence_lengths) {
  Sample all;
  const absl::Status status = StreamSample(
      version, num_rows, seed, std::stop_token(),
      [&all](const Sample& part) {
        all.model_version = part.model_version;
        all.table.columns = part.table.columns;
        all.table.num_rows += part.table.num_rows;
        all.table.values.insert(all.table.values.end(), part.table.values.begin(),
                                part.table.values.end());
        all.labels.insert(all.labels.end(), part.labels.begin(), part.labels.end());
        return absl::OkStatus();
      },
      sequence_lengths);
  if (!status.ok()) return status;
  return all;
}

}  // namespace emserve::client
