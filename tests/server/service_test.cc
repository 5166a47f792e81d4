#include "tests/server/service_test.h"

#include "absl/strings/escaping.h"
#include "server/digest.h"

namespace emserve::server {

using emserve::testing::Data;

Client::Client(int port) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  channel = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port),
                                      grpc::InsecureChannelCredentials(), arguments);
  datasets = v1::DatasetService::NewStub(channel);
  jobs = v1::JobService::NewStub(channel);
  models = v1::ModelService::NewStub(channel);
  predictions = v1::PredictionService::NewStub(channel);
  system = v1::SystemService::NewStub(channel);
}

ServerOptions TestOptions() {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.threads = 2;
  options.call_threads = 2;
  options.max_dataset_bytes = 64 << 20;
  options.drain_timeout = absl::ZeroDuration();
  options.log_level = "off";
  return options;
}

void ServiceTest::StartServer(const ServerOptions& options) {
  client_.reset();
  server_.reset();
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  client_ = std::make_unique<Client>(server_->port());
}

std::string ServiceTest::Upload(const std::string& id, const Data& data) {
  v1::CreateDatasetRequest create;
  create.set_dataset_id(id);
  create.mutable_dataset()->set_num_rows(data.num_rows());
  for (int c = 0; c < data.num_columns; ++c) {
    create.mutable_dataset()->add_columns()->set_name("c" + std::to_string(c));
  }
  grpc::ClientContext create_context;
  v1::CreateDatasetResponse created;
  const grpc::Status status = client_->datasets->CreateDataset(&create_context, create, &created);
  EXPECT_TRUE(status.ok()) << status.error_message();

  grpc::ClientContext context;
  v1::WriteDatasetResponse response;
  const auto writer = client_->datasets->WriteDataset(&context, &response);
  v1::WriteDatasetRequest chunk;
  chunk.set_name(created.dataset().name());
  chunk.set_data(Bytes(data.values));
  writer->Write(chunk);
  writer->WritesDone();
  const grpc::Status written = writer->Finish();
  EXPECT_TRUE(written.ok()) << written.error_message();
  EXPECT_EQ(response.dataset().state(), v1::Dataset::STATE_ACTIVE)
      << response.dataset().ShortDebugString();
  return created.dataset().name();
}

v1::Job ServiceTest::GetJob(const std::string& name) {
  grpc::ClientContext context;
  v1::GetJobRequest request;
  request.set_name(name);
  v1::GetJobResponse response;
  const grpc::Status status = client_->jobs->GetJob(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.job();
}

v1::Job ServiceTest::AwaitEnd(const std::string& name) {
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name(name);
  const auto reader = client_->jobs->WatchJob(&context, request);
  v1::Job job;
  for (v1::WatchJobResponse message; reader->Read(&message);) {
    if (message.has_job()) job = message.job();
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return job;
}

void ServiceTest::AwaitIteration(const std::string& name) {
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name(name);
  const auto reader = client_->jobs->WatchJob(&context, request);
  for (v1::WatchJobResponse message; reader->Read(&message);) {
    for (const v1::JobEvent& event : message.events()) {
      if (event.has_iteration()) {
        context.TryCancel();
        reader->Finish();
        return;
      }
    }
  }
  ADD_FAILURE() << name << " ended without an iteration: " << reader->Finish().error_message();
}

std::string ServiceTest::StartEndlessJob(const std::string& id) {
  v1::CreateJobRequest request;
  request.set_job_id(id);
  *request.mutable_job()->mutable_fit() = EndlessSpec();
  *request.mutable_inline_data() = Inline(emserve::testing::Faithful());
  grpc::ClientContext context;
  v1::CreateJobResponse response;
  const grpc::Status status = client_->jobs->CreateJob(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.job().name();
}

v1::Job ServiceTest::Fit(const v1::FitRequest& request) {
  grpc::ClientContext context;
  const auto reader = client_->jobs->Fit(&context, request);
  v1::Job job;
  for (v1::FitResponse message; reader->Read(&message);) {
    if (message.has_job()) job = message.job();
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  return job;
}

v1::InlineTable Inline(const Data& data) {
  v1::InlineTable table;
  table.mutable_values()->Assign(data.values.begin(), data.values.end());
  table.set_num_columns(data.num_columns);
  return table;
}

v1::ModelVersion ServiceTest::Get(const std::string& name) {
  grpc::ClientContext context;
  v1::GetModelVersionRequest request;
  request.set_name(name);
  v1::GetModelVersionResponse response;
  EXPECT_TRUE(client_->models->GetModelVersion(&context, request, &response).ok());
  return response.model_version();
}

std::string ServiceTest::Export(const std::string& name) {
  grpc::ClientContext context;
  v1::ExportModelVersionRequest request;
  request.set_name(name);
  const auto reader = client_->models->ExportModelVersion(&context, request);
  std::string file;
  for (v1::ExportModelVersionResponse chunk; reader->Read(&chunk);) file += chunk.data();
  EXPECT_TRUE(reader->Finish().ok());
  return file;
}

v1::ModelVersion ServiceTest::Unsealed(const std::string& file) {
  constexpr size_t kHeader = 48;
  v1::ModelVersion version;
  EXPECT_TRUE(version.ParseFromString(file.substr(kHeader)));
  return version;
}

std::string ServiceTest::Sealed(const v1::ModelVersion& version) {
  const std::string payload = version.SerializeAsString();
  const uint64_t length = payload.size();
  return "EMSERVE1" + std::string(reinterpret_cast<const char*>(&length), sizeof(length)) +
         absl::HexStringToBytes(Sha256Hex(payload)) + payload;
}

grpc::Status ServiceTest::Import(const std::string& id, const std::string& file,
                                 v1::ModelVersion* version) {
  grpc::ClientContext context;
  v1::ImportModelVersionResponse response;
  const auto writer = client_->models->ImportModelVersion(&context, &response);
  v1::ImportModelVersionRequest request;
  request.set_model_id(id);
  for (size_t begin = 0; begin == 0 || begin < file.size(); begin += 1000) {
    request.set_data(file.substr(begin, 1000));
    if (!writer->Write(request)) break;
    request.clear_model_id();
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (version != nullptr) *version = response.model_version();
  return status;
}

v1::FitRequest FaithfulFit(int num_components) {
  v1::FitRequest request;
  v1::MixtureSpec& mixture = *request.mutable_fit()->mutable_model()->mutable_mixture();
  mixture.set_num_components(num_components);
  mixture.mutable_emission()->mutable_gaussian();
  *request.mutable_inline_data() = Inline(emserve::testing::Faithful());
  return request;
}

v1::FitSpec EndlessSpec() {
  v1::FitSpec spec = FaithfulFit(2).fit();
  spec.set_restarts(1);
  spec.mutable_stopping()->set_max_iterations(int64_t{1} << 60);
  spec.mutable_stopping()->set_relative_tolerance(0);
  return spec;
}

std::string Bytes(const std::vector<double>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
}

std::string Detail(const grpc::Status& status, const char* payload) {
  const auto text = FromGrpcStatus(status).GetPayload(payload);
  return text.has_value() ? std::string(*text) : "";
}

}  // namespace emserve::server
