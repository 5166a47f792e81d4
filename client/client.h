// emserve from C++: everything the service offers, as calls that return when they are done and that
// survive broken connections by themselves.
//
//   auto client = Client::Connect({.address = "127.0.0.1:50551"});
//   auto dataset = (*client)->Upload(table, {}, {});
//   v1::CreateJobRequest request;  // request.mutable_job()->mutable_fit() ...
//   auto job = (*client)->Fit(request, {.on_event = [](const v1::JobEvent& event) { ... }});
//   auto model = (*client)->GetModelVersion(job->fit_result().model_version());
//
// Errors are absl::Status with the server's code, message ("<field path>: got ..., must be ...")
// and the payloads of proto/wire/status.h; Unavailable means that the server cannot be reached.
#ifndef EMSERVE_CLIENT_CLIENT_H_
#define EMSERVE_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/retry.h"
#include "client/table.h"
#include "emserve/v1/dataset.pb.h"
#include "emserve/v1/dataset_service.pb.h"
#include "emserve/v1/job.pb.h"
#include "emserve/v1/job_service.pb.h"
#include "emserve/v1/model.pb.h"
#include "emserve/v1/model_service.pb.h"
#include "emserve/v1/prediction_service.pb.h"
#include "emserve/v1/system_service.pb.h"

namespace emserve::client {

// Where the server is and how to speak to it.
struct ConnectOptions {
  // "host:port", "[v6]:port", or a name with a scheme of gRPC, e.g. "unix:/run/emserve".
  std::string address = "127.0.0.1:50551";
  // Speak TLS. Without it everything travels in clear.
  bool tls = false;
  // PEM files: authorities to trust (default: the system's), own certificate chain and its key.
  std::string tls_ca_file = {};
  std::string tls_cert_file = {};
  std::string tls_key_file = {};
  // Name that the server's certificate must bear. Default: the host in `address`.
  std::string tls_server_name = {};
  // Time for the connection and a first answer. Until then a server that is not there yet, or a
  // connection that fails, is tried again.
  absl::Duration connect_timeout = absl::Seconds(10);
  // Time for each call that is a single question and answer. Streams have no limit: the connection
  // is probed while they are silent.
  absl::Duration call_timeout = absl::Minutes(2);
  RetryPolicy retry = {};
};

// How a long transfer runs.
struct TransferOptions {
  // Bytes per message, 1 to 4 MiB. 1 MiB is fastest.
  int64_t chunk_bytes = int64_t{1} << 20;
  // Called on the caller's thread with the bytes done and the bytes in all. After a broken
  // connection `done` can step back to what the server has kept.
  std::function<void(int64_t done, int64_t total)> progress = nullptr;
  // Ends the transfer with Cancelled.
  std::stop_token stop = {};
};

// What a dataset is called, for Upload of a table.
struct DatasetOptions {
  // Last part of the resource name. Default: chosen by the server.
  std::string dataset_id = {};
  std::string description = {};
};

// What to hear of a job. Callbacks run on the caller's thread, one at a time.
struct WatchOptions {
  // Only events after this one.
  int64_t after_sequence = 0;
  // Fetch the events that the server skips for a reader who is far behind, so that `on_event` sees
  // each one. False: leave them out.
  bool all_events = true;
  // Each snapshot of the job that arrives: at the beginning, after a broken connection, at the end.
  std::function<void(const v1::Job&)> on_job = nullptr;
  // Each event, in order, none twice.
  std::function<void(const v1::JobEvent&)> on_event = nullptr;
  // Ends the watch with Cancelled. The job goes on.
  std::stop_token stop = {};
};

// An array of a prediction, e.g. "posteriors" [rows, K].
struct NamedArray {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<double> values;  // row-major
};

// Whether an array of a prediction has an entry for each sequence instead of each row.
bool IsOfSequences(std::string_view array);

// Predictions for rows [first_row, first_row + num_rows).
struct Prediction {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  std::string model_version;
  std::vector<NamedArray> outputs;  // in the server's order
  // The sequences that these rows are, if the request has said any.
  std::vector<int64_t> sequence_lengths;
};

struct PredictOptions {
  // What to compute. Default: the server's, labels.
  std::vector<v1::PredictionOutput> outputs = {};
  // Rows that forecasts look ahead, with FORECASTS. Default: the server's, 1.
  std::optional<int64_t> forecast_horizon = {};
  // Paths of each sequence, with BEST_PATHS. Default: the server's, 1.
  std::optional<int32_t> num_paths = {};
  // Of models of sequences: rows of each sequence, at least 1, together all rows. A stream sends
  // whole sequences, so that every row is predicted by all rows of its own, and one that is longer
  // than `chunk_rows` travels in a message by itself; a message that is too large for the server is
  // refused. Default: Predict takes one sequence of all rows; a stream to a model of sequences goes
  // on from message to message, each row predicted by those before it, and ends with
  // Unavailable after a broken connection; so does one to a model that cannot be looked up then.
  std::vector<int64_t> sequence_lengths = {};
  // Rows per message of a stream, at least 1. Default (0): about 1 MiB, at most 16384.
  int64_t chunk_rows = 0;
  // Messages of a stream that may be on their way at once, at least 1.
  int window = 4;
  std::stop_token stop = {};
};

// Rows drawn from a model.
struct Sample {
  std::string model_version;
  Table table;
  std::vector<int64_t> labels;  // component, or state, of each row
};

// A connection. Thread-safe; every call blocks until it is done.
//
// Calls that only ask, and creations (which carry an idempotency key), are repeated after a broken
// connection as ConnectOptions::retry says. Calls that change something else are sent once.
class Client {
 public:
  // Connects and makes sure that an emserve answers. Unavailable if not; InvalidArgument for an
  // address that cannot work, a host that does not exist or a TLS file that cannot be read.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(ConnectOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo();

  // --- Datasets ---

  // Uploads a table as float64 columns and returns it sealed (ACTIVE). An upload that fails is
  // deleted, unless the server cannot be reached: ResumeUpload can then go on later.
  absl::StatusOr<v1::Dataset> Upload(const Table& table, const DatasetOptions& dataset,
                                     const TransferOptions& options);
  // The same for any declaration and its packed cells: `content` is row-major, little-endian.
  // Returns the server's refusal if the content is not as declared; the dataset is then FAILED.
  absl::StatusOr<v1::Dataset> Upload(const v1::Dataset& declaration, const std::string& dataset_id,
                                     std::string_view content, const TransferOptions& options);
  // Continues an upload at the dataset's committed size, for one that an earlier process began.
  absl::StatusOr<v1::Dataset> ResumeUpload(const std::string& name, std::string_view content,
                                           const TransferOptions& options);
  // Sends the packed cells to `sink` in order, none twice; an error of the sink ends the download
  // and is returned. Chunks are checked against their CRC.
  absl::Status Download(const std::string& name,
                        const std::function<absl::Status(std::string_view chunk)>& sink,
                        const TransferOptions& options);
  // The whole dataset as doubles.
  absl::StatusOr<Table> DownloadTable(const std::string& name, const TransferOptions& options);

  absl::StatusOr<v1::Dataset> GetDataset(const std::string& name);
  // At most `limit` datasets, by name.
  absl::StatusOr<std::vector<v1::Dataset>> ListDatasets(int64_t limit);
  absl::Status DeleteDataset(const std::string& name);

  // --- Jobs ---

  // Queues a job. An empty request_id is filled in, so that a repeated attempt makes no second job.
  absl::StatusOr<v1::Job> CreateJob(v1::CreateJobRequest request);
  // Follows a job to its end and returns it as it ended: SUCCEEDED, FAILED or CANCELLED (see
  // JobError). A broken connection is resumed after the last event that arrived.
  absl::StatusOr<v1::Job> Watch(const std::string& name, const WatchOptions& options);
  // CreateJob, then Watch: for fits and for prediction jobs.
  absl::StatusOr<v1::Job> Fit(v1::CreateJobRequest request, const WatchOptions& options);
  // Asks the job to stop.
  absl::StatusOr<v1::Job> CancelJob(const std::string& name);

  absl::StatusOr<v1::Job> GetJob(const std::string& name);
  // At most `limit` jobs, newest first; only those in `states` unless it is empty.
  absl::StatusOr<std::vector<v1::Job>> ListJobs(int64_t limit,
                                                const std::vector<v1::JobState>& states);
  absl::Status DeleteJob(const std::string& name);

  // --- Models. `version` is `models/m` (the newest), `models/m/versions/2` or `models/m@alias`.
  // ---

  absl::StatusOr<v1::Model> GetModel(const std::string& name);
  absl::StatusOr<std::vector<v1::Model>> ListModels(int64_t limit);
  absl::Status DeleteModel(const std::string& name, bool force);
  absl::StatusOr<v1::ModelVersion> GetModelVersion(const std::string& version);
  absl::StatusOr<std::vector<v1::ModelVersion>> ListModelVersions(const std::string& model,
                                                                  int64_t limit);
  absl::Status DeleteModelVersion(const std::string& version);
  absl::StatusOr<v1::Model> SetModelAlias(const std::string& version, const std::string& alias);
  absl::StatusOr<v1::Model> DeleteModelAlias(const std::string& model, const std::string& alias);
  // Returns all tags after the change.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> UpdateModelTags(
      const std::string& name, const std::vector<std::pair<std::string, std::string>>& set,
      const std::vector<std::string>& remove);
  absl::StatusOr<std::vector<v1::ModelAuditEntry>> ListModelHistory(const std::string& model,
                                                                    int64_t limit);
  // The version as a portable file.
  absl::StatusOr<std::string> ExportModel(const std::string& version);
  // Makes a new version of `models/<model_id>` from a portable file.
  absl::StatusOr<v1::ModelVersion> ImportModel(const std::string& model_id, std::string_view file);

  // --- Predictions. Columns are matched by name; a table without names has the model's columns.
  // ---

  // One small table in one message.
  absl::StatusOr<Prediction> Predict(const std::string& version, const Table& table,
                                     const PredictOptions& options);
  // A table of any size: chunks go out ahead of their answers, and `sink` gets the answers in
  // order, each row once, on the caller's thread. Memory does not grow with the table. A broken
  // connection is resumed at the first row without an answer. Aborted if the name begins to mean
  // another version on the way; an error of the sink ends the stream and is returned.
  absl::Status StreamPredict(const std::string& version, const Table& table,
                             const PredictOptions& options,
                             const std::function<absl::Status(const Prediction&)>& sink);
  // Draws any number of rows, the same for the same seed. More rows than fit about half a MiB come
  // in parts, which `sink` gets in order on the caller's thread: the first is drawn with `seed`
  // itself, each further one with a seed mixed from it and its number. All are of the version that
  // the name means at first. Cancelled if `stop` is requested; an error of the sink ends the draw
  // and is returned.
  //
  // Of a model of sequences the rows are sequences of `sequence_lengths`, together `num_rows`, or
  // one if there are none; parts are then whole sequences, at least one each.
  absl::Status StreamSample(const std::string& version, int64_t num_rows, uint64_t seed,
                            const std::stop_token& stop,
                            const std::function<absl::Status(const Sample& part)>& sink,
                            const std::vector<int64_t>& sequence_lengths = {});
  // The same rows at once.
  absl::StatusOr<Sample> SampleRows(const std::string& version, int64_t num_rows, uint64_t seed,
                                    const std::vector<int64_t>& sequence_lengths = {});

 private:
  struct Stubs;

  explicit Client(std::unique_ptr<Stubs> stubs);

  // One attempt each of the streams that are resumed.
  absl::StatusOr<v1::Dataset> WriteOnce(const std::string& name, int64_t offset,
                                        std::string_view content, const TransferOptions& options);
  absl::StatusOr<v1::Dataset> AwaitSealed(v1::Dataset dataset, const std::stop_token& stop);
  absl::StatusOr<v1::Dataset> FinishUpload(v1::Dataset dataset, std::string_view content,
                                           const TransferOptions& options);
  struct WatchCursor;
  absl::Status WatchOnce(const WatchOptions& options, WatchCursor& cursor, Retry& retry);
  absl::Status FetchSkipped(const WatchOptions& options, WatchCursor& cursor, int64_t before);
  struct PredictCursor;
  absl::Status StreamPredictOnce(const PredictOptions& options, PredictCursor& cursor,
                                 Retry& retry);

  const std::unique_ptr<Stubs> stubs_;
};

// Why a job ended without a result: its error, Cancelled if it was cancelled, OK if it succeeded or
// has not ended.
absl::Status JobError(const v1::Job& job);

// True in the three states that are final.
bool HasEnded(v1::JobState state);

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_CLIENT_H_
