// A server whose failures are scripted, for what a real one does only by accident: streams that
// break at a chosen message, answers that are lost, chunks that are damaged.
#ifndef EMSERVE_TESTS_CLIENT_SCRIPTED_SERVER_H_
#define EMSERVE_TESTS_CLIENT_SCRIPTED_SERVER_H_

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "emserve/v1/dataset_service.grpc.pb.h"
#include "emserve/v1/job_service.grpc.pb.h"
#include "emserve/v1/model_service.grpc.pb.h"
#include "emserve/v1/prediction_service.grpc.pb.h"
#include "emserve/v1/system_service.grpc.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "proto/wire/crc32c.h"
#include "proto/wire/status.h"

namespace emserve {

inline grpc::Status Broken() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, "scripted break");
}

class ScriptedSystem : public v1::SystemService::Service {
  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse* response) override {
    response->set_version("scripted");
    return grpc::Status::OK;
  }
};

// One dataset.
class ScriptedDatasets : public v1::DatasetService::Service {
 public:
  // Called before the chunk is kept; an error ends the stream without keeping it.
  std::function<grpc::Status(const v1::WriteDatasetRequest&)> before_chunk;
  // Called when the chunk is kept; an error ends the stream.
  std::function<grpc::Status()> after_chunk;
  // Called before an answer of CreateDataset goes out; an error replaces the answer.
  std::function<grpc::Status()> after_create;
  // May change a chunk of a download, or end it.
  std::function<grpc::Status(v1::ReadDatasetResponse&)> before_read;
  bool fails_when_sealed = false;

  v1::Dataset dataset;
  std::string content;
  std::vector<std::string> request_ids;
  int num_writes = 0;
  bool deleted = false;

 private:
  grpc::Status CreateDataset(grpc::ServerContext*, const v1::CreateDatasetRequest* request,
                             v1::CreateDatasetResponse* response) override {
    request_ids.push_back(request->request_id());
    dataset = request->dataset();
    dataset.set_name("datasets/d");
    dataset.set_state(v1::Dataset::STATE_UPLOADING);
    dataset.set_size_bytes(dataset.num_rows() * dataset.columns_size() * 8);
    *response->mutable_dataset() = dataset;
    return after_create ? after_create() : grpc::Status::OK;
  }

  grpc::Status WriteDataset(grpc::ServerContext*,
                            grpc::ServerReader<v1::WriteDatasetRequest>* reader,
                            v1::WriteDatasetResponse* response) override {
    ++num_writes;
    v1::WriteDatasetRequest chunk;
    bool is_first = true;
    while (reader->Read(&chunk)) {
      if (is_first != !chunk.name().empty()) {
        return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "name: first message only");
      }
      is_first = false;
      if (chunk.write_offset() != static_cast<int64_t>(content.size())) {
        return grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "write_offset");
      }
      if (Crc32c(chunk.data()) != chunk.crc32c()) {
        return grpc::Status(grpc::StatusCode::INTERNAL, "the client's checksum is wrong");
      }
      if (before_chunk) {
        if (grpc::Status status = before_chunk(chunk); !status.ok()) return status;
      }
      content += chunk.data();
      dataset.set_committed_size(static_cast<int64_t>(content.size()));
      if (dataset.committed_size() == dataset.size_bytes()) Seal();
      if (after_chunk) {
        if (grpc::Status status = after_chunk(); !status.ok()) return status;
      }
    }
    *response->mutable_dataset() = dataset;
    return grpc::Status::OK;
  }

  void Seal() {
    dataset.set_state(fails_when_sealed ? v1::Dataset::STATE_FAILED : v1::Dataset::STATE_ACTIVE);
    if (fails_when_sealed) {
      dataset.mutable_error()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
      dataset.mutable_error()->set_message("dataset.columns[0]: got -1, must be a count");
    }
  }

  grpc::Status ReadDataset(grpc::ServerContext*, const v1::ReadDatasetRequest* request,
                           grpc::ServerWriter<v1::ReadDatasetResponse>* writer) override {
    constexpr size_t kChunk = 1000;
    for (size_t at = static_cast<size_t>(request->offset()); at < content.size(); at += kChunk) {
      v1::ReadDatasetResponse chunk;
      chunk.set_offset(static_cast<int64_t>(at));
      chunk.set_data(content.substr(at, kChunk));
      chunk.set_crc32c(Crc32c(chunk.data()));
      if (before_read) {
        if (grpc::Status status = before_read(chunk); !status.ok()) return status;
      }
      if (!writer->Write(chunk)) break;
    }
    return grpc::Status::OK;
  }

  grpc::Status GetDataset(grpc::ServerContext*, const v1::GetDatasetRequest*,
                          v1::GetDatasetResponse* response) override {
    *response->mutable_dataset() = dataset;
    return grpc::Status::OK;
  }

  grpc::Status ListDatasets(grpc::ServerContext*, const v1::ListDatasetsRequest* request,
                            v1::ListDatasetsResponse* response) override {
    // 2500 datasets, whose page token is the number of the next one.
    int next = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    for (int i = 0; i < request->page_size() && next < 2500; ++i, ++next) {
      response->add_datasets()->set_name("datasets/" + std::to_string(next));
    }
    if (next < 2500) response->set_next_page_token(std::to_string(next));
    return grpc::Status::OK;
  }

  grpc::Status DeleteDataset(grpc::ServerContext*, const v1::DeleteDatasetRequest*,
                             v1::DeleteDatasetResponse*) override {
    deleted = true;
    return grpc::Status::OK;
  }
};

// One job with a log of events 1, 2, ..., of which the last is terminal.
class ScriptedJobs : public v1::JobService::Service {
 public:
  // Plays one WatchJob call: writes messages and returns how it ends. Called with the number of the
  // call, from 0, and the cursor.
  std::function<grpc::Status(int call, int64_t after,
                             const std::function<bool(v1::WatchJobResponse)>& write)>
      watch;
  std::vector<int64_t> cursors;  // `after_sequence` of each call
  int64_t num_events = 100;

  v1::Job Snapshot(v1::JobState state) const {
    v1::Job job;
    job.set_name("jobs/j");
    job.set_state(state);
    if (state == v1::JOB_STATE_SUCCEEDED) job.set_last_sequence(num_events);
    return job;
  }

  // Events first..last, and with the last of all also the finished job.
  v1::WatchJobResponse Batch(int64_t first, int64_t last) const {
    v1::WatchJobResponse response;
    for (int64_t sequence = first; sequence <= last; ++sequence)
      Fill(sequence, *response.add_events());
    if (last == num_events) *response.mutable_job() = Snapshot(v1::JOB_STATE_SUCCEEDED);
    return response;
  }

 private:
  void Fill(int64_t sequence, v1::JobEvent& event) const {
    event.set_sequence(sequence);
    if (sequence == num_events) {
      event.mutable_state_change()->set_state(v1::JOB_STATE_SUCCEEDED);
    } else {
      event.mutable_iteration()->set_iteration(sequence);
    }
  }

  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::WatchJobResponse>* writer) override {
    cursors.push_back(request->after_sequence());
    return watch(
        static_cast<int>(cursors.size()) - 1, request->after_sequence(),
        [writer](const v1::WatchJobResponse& response) { return writer->Write(response); });
  }

  grpc::Status ListJobEvents(grpc::ServerContext*, const v1::ListJobEventsRequest* request,
                             v1::ListJobEventsResponse* response) override {
    const int64_t last =
        std::min(num_events, request->after_sequence() + std::min(request->page_size(), 7));
    for (int64_t s = request->after_sequence() + 1; s <= last; ++s)
      Fill(s, *response->add_events());
    return grpc::Status::OK;
  }
};

// Answers each row with the sum of its cells, as log density, and each sequence with its length, as
// log-likelihood.
class ScriptedPredictions : public v1::PredictionService::Service {
 public:
  // Called before each answer; an error ends the stream. It may change the answer.
  std::function<grpc::Status(int answer, v1::StreamPredictResponse&)> before_answer;
  std::vector<int64_t> requested_rows;  // of each request that was read
  int new_sequences = 0;                // requests that begin a new sequence
  std::vector<std::string> models;      // that each stream asked for

 private:
  grpc::Status StreamPredict(grpc::ServerContext*,
                             grpc::ServerReaderWriter<v1::StreamPredictResponse,
                                                      v1::StreamPredictRequest>* stream) override {
    v1::StreamPredictRequest request;
    bool is_first = true;
    while (stream->Read(&request)) {
      if (is_first) models.push_back(request.model());
      is_first = false;
      const std::string& data = request.table().data();
      const size_t columns = static_cast<size_t>(request.table().columns_size());
      const double* cells = reinterpret_cast<const double*>(data.data());
      const size_t rows = data.size() / sizeof(double) / columns;
      requested_rows.push_back(static_cast<int64_t>(rows));
      if (request.new_sequence()) ++new_sequences;
      v1::StreamPredictResponse response;
      response.set_model_version("models/m/versions/1");
      v1::NamedTensor& output = *response.add_outputs();
      output.set_name("log_densities");
      output.mutable_tensor()->add_shape(static_cast<int64_t>(rows));
      for (size_t i = 0; i < rows; ++i) {
        double sum = 0;
        for (size_t c = 0; c < columns; ++c) sum += cells[i * columns + c];
        output.mutable_tensor()->add_values(sum);
      }
      if (request.has_sequences()) {
        v1::NamedTensor& lengths = *response.add_outputs();
        lengths.set_name("sequence_log_likelihoods");
        lengths.mutable_tensor()->add_shape(request.sequences().lengths().lengths_size());
        for (const int64_t length : request.sequences().lengths().lengths()) {
          lengths.mutable_tensor()->add_values(static_cast<double>(length));
        }
      }
      if (before_answer) {
        const grpc::Status status = before_answer(answers_++, response);
        if (!status.ok()) return status;
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  int answers_ = 0;
};

// One version, of a mixture unless told otherwise.
class ScriptedModels : public v1::ModelService::Service {
 public:
  v1::ModelVersion version;
  grpc::Status status;               // of each answer
  std::vector<std::string> lookups;  // names that were asked for

 private:
  grpc::Status GetModelVersion(grpc::ServerContext*, const v1::GetModelVersionRequest* request,
                               v1::GetModelVersionResponse* response) override {
    lookups.push_back(request->name());
    *response->mutable_model_version() = version;
    return status;
  }
};

// All of them, listening.
class ScriptedServer {
 public:
  ScriptedServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&system_);
    builder.RegisterService(&datasets);
    builder.RegisterService(&jobs);
    builder.RegisterService(&models);
    builder.RegisterService(&predictions);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedServer() { Stop(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void Stop() { server_->Shutdown(std::chrono::system_clock::now()); }

  std::unique_ptr<client::Client> Connect() const {
    client::ConnectOptions options;
    options.address = address();
    options.retry = {.max_failures = 5,
                     .initial_delay = absl::Milliseconds(1),
                     .max_delay = absl::Milliseconds(2)};
    auto connected = client::Client::Connect(options);
    return connected.ok() ? *std::move(connected) : nullptr;
  }

  ScriptedDatasets datasets;
  ScriptedJobs jobs;
  ScriptedModels models;
  ScriptedPredictions predictions;

 private:
  ScriptedSystem system_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace emserve

#endif  // EMSERVE_TESTS_CLIENT_SCRIPTED_SERVER_H_
