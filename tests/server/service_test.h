// What the service tests share: a real server on a real loopback socket, stubs for every service,
// data, and matchers for errors with their details.
#ifndef EMSERVE_TESTS_SERVER_SERVICE_TEST_H_
#define EMSERVE_TESTS_SERVER_SERVICE_TEST_H_

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "emserve/v1/dataset_service.grpc.pb.h"
#include "emserve/v1/job_service.grpc.pb.h"
#include "emserve/v1/model_service.grpc.pb.h"
#include "emserve/v1/prediction_service.grpc.pb.h"
#include "emserve/v1/system_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/wire/status.h"
#include "server/ops/options.h"
#include "server/ops/server.h"
#include "tests/core/test_data.h"

namespace emserve::server {

// One connection with a stub for each service.
struct Client {
  explicit Client(int port);
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::DatasetService::Stub> datasets;
  std::unique_ptr<v1::JobService::Stub> jobs;
  std::unique_ptr<v1::ModelService::Stub> models;
  std::unique_ptr<v1::PredictionService::Stub> predictions;
  std::unique_ptr<v1::SystemService::Stub> system;
};

// Options for tests: a free port, two threads, small limits, no log.
ServerOptions TestOptions();

class ServiceTest : public ::testing::Test {
 protected:
  // Starts the server; a test that needs other options calls it again before anything else.
  void StartServer(const ServerOptions& options);
  void SetUp() override { StartServer(TestOptions()); }

  // An ACTIVE dataset with columns "c0", "c1", ... written in one chunk; returns its name.
  std::string Upload(const std::string& id, const emserve::testing::Data& data);
  // A job's state, asked for now.
  v1::Job GetJob(const std::string& name);
  // Waits, by watching, until the job has ended; returns it.
  v1::Job AwaitEnd(const std::string& name);
  // Waits, by watching, until the job has made an iteration.
  void AwaitIteration(const std::string& name);
  // A job that fits until it is cancelled; returns its name.
  std::string StartEndlessJob(const std::string& id);
  // The names of a Fit stream's final job's model version; fails the test if it did not succeed.
  v1::Job Fit(const v1::FitRequest& request);
  v1::ModelVersion Get(const std::string& name);
  // A version's file; and one that is sent in chunks, to become a version of models/{id}.
  std::string Export(const std::string& name);
  grpc::Status Import(const std::string& id, const std::string& file,
                      v1::ModelVersion* version = nullptr);

  // What is in a file that Export gave, and a file of another content with a digest of its own.
  static v1::ModelVersion Unsealed(const std::string& file);
  static std::string Sealed(const v1::ModelVersion& version);

  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

// A fit of a Gaussian mixture to inline values, as a person would write it.
v1::FitRequest FaithfulFit(int num_components);
// Iterates for ever: no tolerance, no limit that is ever reached.
v1::FitSpec EndlessSpec();
v1::InlineTable Inline(const emserve::testing::Data& data);

// The packed bytes of doubles.
std::string Bytes(const std::vector<double>& values);

// A status with this code whose message contains `text`; prints the whole status when it differs.
MATCHER_P2(IsStatus, code, text, "") {
  *result_listener << "which is " << arg.error_code() << ": " << arg.error_message();
  return arg.error_code() == code && arg.error_message().find(text) != std::string::npos;
}
// A status with this code whose BadRequest names this field.
MATCHER_P2(IsBadField, code, field, "") {
  const absl::Status status = FromGrpcStatus(arg);
  const auto payload = status.GetPayload(kFieldPayload);
  const std::string named = payload.has_value() ? std::string(*payload) : "no field";
  *result_listener << "which is " << arg.error_code() << " with " << named << ": "
                   << arg.error_message();
  return arg.error_code() == code && named == field;
}
// The text of a payload of proto/wire/status.h; empty if it is absent.
std::string Detail(const grpc::Status& status, const char* payload);

}  // namespace emserve::server

#endif  // EMSERVE_TESTS_SERVER_SERVICE_TEST_H_
