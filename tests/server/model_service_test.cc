// ModelService, PredictionService and SystemService over a real socket.
#include <algorithm>
#include <list>
#include <random>

#include "core/families.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/service_test.h"

namespace emserve::server {
namespace {

class ModelServiceTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    v1::FitRequest request = FaithfulFit(2);
    request.mutable_fit()->set_model_id("geyser");
    Fit(request);
  }

  grpc::Status Predict(const v1::PredictRequest& request, v1::PredictResponse* response) {
    grpc::ClientContext context;
    return client_->predictions->Predict(&context, request, response);
  }

  v1::PredictRequest EverythingAbout(const std::string& model) {
    v1::PredictRequest request;
    request.set_model(model);
    *request.mutable_table() = Inline(emserve::testing::Faithful());
    request.add_outputs(v1::PREDICTION_OUTPUT_LABELS);
    request.add_outputs(v1::PREDICTION_OUTPUT_POSTERIORS);
    request.add_outputs(v1::PREDICTION_OUTPUT_LOG_DENSITIES);
    return request;
  }
};

TEST_F(ModelServiceTest, AnExportedModelComesBackBitForBit) {
  const std::string file = Export("models/geyser");
  v1::ModelVersion imported;
  const grpc::Status status = Import("copy", file, &imported);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(imported.name(), "models/copy/versions/1");
  EXPECT_TRUE(imported.imported());
  EXPECT_EQ(imported.parameters().SerializeAsString(),
            Get("models/geyser/versions/1").parameters().SerializeAsString());
  v1::PredictResponse first, second;
  ASSERT_TRUE(Predict(EverythingAbout("models/geyser"), &first).ok());
  ASSERT_TRUE(Predict(EverythingAbout("models/copy"), &second).ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(first.outputs(i).SerializeAsString(), second.outputs(i).SerializeAsString());
  }
}

// Missing cells, constraints, categories and parts of a product survive the file.
TEST_F(ModelServiceTest, AModelOfEverythingComesBackBitForBit) {
  v1::FitRequest request = FaithfulFit(2);
  request.mutable_inline_data()->add_columns("x");
  request.mutable_inline_data()->add_columns("y");
  for (int i = 0; i < 60; i += 7) request.mutable_inline_data()->set_values(i, std::nan(""));
  v1::MixtureSpec& mixture = *request.mutable_fit()->mutable_model()->mutable_mixture();
  v1::ProductEmission& product = *mixture.mutable_emission()->mutable_product();
  for (const char* name : {"y", "x"}) {
    v1::ProductPart& part = *product.add_parts();
    part.set_name(std::string("of_") + name);
    part.add_columns(name);
    if (name == std::string("x")) {
      part.mutable_emission()->mutable_student_t()->mutable_prior()->set_shrinkage(0.5);
    } else {
      part.mutable_emission()->mutable_log_normal();
    }
  }
  v1::FixedElements& fixed = *mixture.mutable_constraints()->add_fixed();
  fixed.set_array("weights");
  fixed.add_elements(0);
  fixed.add_values(0.25);
  request.mutable_fit()->set_model_id("everything");
  const v1::Job job = Fit(request);
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  EXPECT_GT(job.fit_result().report().evaluations(), 0);
  EXPECT_EQ(job.fit_result().report().criteria().separation_size(), 2);

  const v1::ModelVersion made = Get("models/everything");
  EXPECT_EQ(made.family(), "product_mixture");
  EXPECT_EQ(made.columns(0).name(), "y");
  EXPECT_LT(made.columns(1).summary().observed(), 1);
  EXPECT_EQ(made.parameters().arrays(0).tensor().values(0), 0.25);
  v1::ModelVersion imported;
  const grpc::Status status = Import("copy", Export("models/everything"), &imported);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(imported.parameters().SerializeAsString(), made.parameters().SerializeAsString());
  EXPECT_EQ(imported.spec().SerializeAsString(), made.spec().SerializeAsString());
  EXPECT_EQ(imported.report().SerializeAsString(), made.report().SerializeAsString());
  for (int c = 0; c < 2; ++c) {
    EXPECT_EQ(imported.columns(c).SerializeAsString(), made.columns(c).SerializeAsString());
  }
  // It predicts, imputes and starts fits like the one it came from.
  v1::PredictRequest predict;
  *predict.mutable_table() = request.inline_data();
  predict.add_outputs(v1::PREDICTION_OUTPUT_IMPUTED);
  predict.add_outputs(v1::PREDICTION_OUTPUT_IMPUTED_VARIANCES);
  v1::PredictResponse first, second;
  predict.set_model("models/everything");
  ASSERT_TRUE(Predict(predict, &first).ok());
  predict.set_model("models/copy");
  ASSERT_TRUE(Predict(predict, &second).ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(first.outputs(i).SerializeAsString(), second.outputs(i).SerializeAsString());
    EXPECT_EQ(first.outputs(i).tensor().shape(1), 2);
  }
  EXPECT_EQ(first.outputs(0).name(), "imputed");
  EXPECT_EQ(first.outputs(1).name(), "imputed_variances");
  // Columns in the model's order: y, x; the first x is missing.
  EXPECT_EQ(first.outputs(0).tensor().values(0), request.inline_data().values(1));
  EXPECT_GT(first.outputs(1).tensor().values(1), 0);
  EXPECT_EQ(first.outputs(1).tensor().values(0), 0);
  request.mutable_fit()->mutable_start()->set_model("models/copy");
  request.mutable_fit()->mutable_update()->set_weight(10);
  EXPECT_EQ(Fit(request).fit_result().report().past_observations(), 10);
}

TEST_F(ModelServiceTest, RowsOutsideTheSupportAreRefusedByTheirNumber) {
  v1::FitRequest request = FaithfulFit(1);
  v1::MixtureSpec& mixture = *request.mutable_fit()->mutable_model()->mutable_mixture();
  mixture.mutable_emission()->mutable_gamma();
  request.mutable_fit()->set_model_id("positive");
  Fit(request);
  v1::PredictRequest predict;
  predict.set_model("models/positive");
  for (const double value : {1.0, 2.0, 3.0, -4.0}) predict.mutable_table()->add_values(value);
  v1::PredictResponse response;
  EXPECT_THAT(Predict(predict, &response),
              IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "table.rows[1]"));
}

// What the server says it can do is what core's list says.
TEST_F(ModelServiceTest, TheServerListsEveryFamilyWithWhatItCanDo) {
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(client_->system->GetServerInfo(&context, {}, &info).ok());
  ASSERT_EQ(static_cast<size_t>(info.families_size()), Families().size());
  for (int f = 0; f < info.families_size(); ++f) {
    const FamilyInfo& family = Families()[static_cast<size_t>(f)];
    EXPECT_EQ(info.families(f).name(), std::string(family.name));
    EXPECT_EQ(static_cast<size_t>(info.families(f).capabilities_size()),
              family.capabilities.size());
    EXPECT_EQ(static_cast<size_t>(info.families(f).outputs_size()), family.outputs.size());
  }
}

TEST_F(ModelServiceTest, CutOrAlteredFilesAreRefusedAndNothingIsKept) {
  const std::string file = Export("models/geyser");
  std::mt19937 random(3);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(Import("bad", file.substr(0, random() % file.size())).ok());
    std::string altered = file;
    altered[random() % altered.size()] ^= static_cast<char>(1 << (random() % 8));
    EXPECT_FALSE(Import("bad", altered).ok());
  }
  EXPECT_FALSE(Import("bad", "").ok());
  EXPECT_FALSE(Import("bad", file + "x").ok());
  EXPECT_THAT(Import("Bad Id", file), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "model_id"));
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.set_name("models/bad");
  v1::GetModelResponse response;
  EXPECT_EQ(client_->models->GetModel(&context, request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

// The digest only tells damage from health: whoever writes a file can seal what he likes.
TEST_F(ModelServiceTest, ForgedFilesAreRefusedWithTheField) {
  const v1::ModelVersion genuine = Unsealed(Export("models/geyser"));
  EXPECT_TRUE(Import("genuine", Sealed(genuine)).ok());

  const double nan = std::nan("");
  using Version = v1::ModelVersion;
  using Edit = std::function<void(Version&)>;
  const auto spec = [](Version& version) { return version.mutable_spec()->mutable_model(); };
  const auto set = [](Version& version, int array, double value) {
    for (double& number :
         *version.mutable_parameters()->mutable_arrays(array)->mutable_tensor()->mutable_values()) {
      number = value;
    }
  };
  const std::vector<std::pair<std::string, Edit>> forgeries = {
      {"spec.model", [&](Version& v) { v.clear_spec(); }},
      {"model_version.spec.model.mixture.num_components",
       [&](Version& v) { spec(v)->mutable_mixture()->set_num_components(0); }},
      {"model_version.spec.model.mixture.emission.gaussian.covariance",
       [&](Version& v) {
         spec(v)->mutable_mixture()->set_num_components(2147483647);
         v.set_num_rows(int64_t{1} << 62);
       }},
      {"num_rows", [&](Version& v) { v.set_num_rows(-1); }},
      {"parameters", [&](Version& v) { spec(v)->mutable_mixture()->set_num_components(3); }},
      {"parameters", [&](Version& v) { v.clear_parameters(); }},
      {"parameters",
       [&](Version& v) { *v.mutable_parameters()->add_arrays() = v.parameters().arrays(0); }},
      {"parameters.weights", [&](Version& v) { set(v, 0, nan); }},
      {"parameters.means", [&](Version& v) { set(v, 1, HUGE_VAL); }},
      {"parameters.covariances", [&](Version& v) { set(v, 2, 1); }},
      {"columns", [&](Version& v) { v.clear_columns(); }},
      {"columns", [&](Version& v) { v.mutable_columns(0)->set_name(v.columns(1).name()); }},
      {"columns[1].summary",
       [&](Version& v) { v.mutable_columns(1)->mutable_summary()->set_variance(nan); }},
      {"columns[c1]", [&](Version& v) { v.mutable_columns(1)->clear_summary(); }},
      {"report.criteria.num_observations",
       [&](Version& v) { v.mutable_report()->mutable_criteria()->set_num_observations(-1); }},
      {"report.termination",
       [&](Version& v) { v.mutable_report()->set_termination(v1::TERMINATION_UNSPECIFIED); }},
      {"report.objective", [&](Version& v) { v.mutable_report()->set_objective(nan); }},
      {"report.iterations", [&](Version& v) { v.mutable_report()->set_iterations(-1); }},
      {"report.criteria.entropy",
       [&](Version& v) { v.mutable_report()->mutable_criteria()->set_entropy(nan); }},
      {"report.past_observations",
       [&](Version& v) { v.mutable_report()->set_past_observations(-1); }},
      {"report.criteria.separation",
       [&](Version& v) { v.mutable_report()->mutable_criteria()->add_separation(1); }},
      {"columns[0].summary.observed",
       [&](Version& v) { v.mutable_columns(0)->mutable_summary()->set_observed(1.5); }},
      {"columns[0].summary.observed",
       [&](Version& v) { v.mutable_columns(0)->mutable_summary()->set_observed(nan); }},
      {"model_version.spec.model.mixture.constraints.fixed[0].array",
       [&](Version& v) {
         spec(v)->mutable_mixture()->mutable_constraints()->add_fixed()->set_array("none");
       }},
      // Constraints of a gigantic model are not looked at before its parameters are there.
      {"parameters",
       [&](Version& v) {
         auto& mixture = *spec(v)->mutable_mixture();
         mixture.set_num_components(100'000'000);
         mixture.mutable_emission()->mutable_gaussian()->set_covariance(
             v1::COVARIANCE_TIED_SPHERICAL);
         mixture.mutable_constraints()->add_tied()->set_array("weights");
         v.set_num_rows(int64_t{1} << 62);
       }},
      {"parameters",
       [&](Version& v) {
         auto& emission = *spec(v)->mutable_mixture()->mutable_emission();
         emission.mutable_product()->add_parts()->set_name("p");
         auto& part = *emission.mutable_product()->mutable_parts(0);
         part.add_columns("c0");
         part.add_columns("c1");
         part.mutable_emission()->mutable_exponential();
       }},
  };
  for (const auto& [field, edit] : forgeries) {
    v1::ModelVersion forged = genuine;
    edit(forged);
    EXPECT_THAT(Import("forged", Sealed(forged)),
                IsStatus(grpc::StatusCode::INVALID_ARGUMENT, field))
        << forged.ShortDebugString().substr(0, 300);
  }
}

TEST_F(ModelServiceTest, AliasesMoveAndProtectTheirVersion) {
  v1::FitRequest again = FaithfulFit(3);
  again.mutable_fit()->set_model_id("geyser");
  Fit(again);
  const auto alias = [this](const std::string& version) {
    grpc::ClientContext context;
    v1::SetModelAliasRequest request;
    request.set_name(version);
    request.set_alias("live");
    v1::SetModelAliasResponse response;
    return client_->models->SetModelAlias(&context, request, &response);
  };
  ASSERT_TRUE(alias("models/geyser/versions/1").ok());
  EXPECT_EQ(Get("models/geyser@live").name(), "models/geyser/versions/1");
  ASSERT_TRUE(alias("models/geyser/versions/2").ok());
  EXPECT_EQ(Get("models/geyser@live").name(), "models/geyser/versions/2");
  EXPECT_EQ(alias("models/geyser/versions/9").error_code(), grpc::StatusCode::NOT_FOUND);
  const auto remove = [this](const std::string& version) {
    grpc::ClientContext context;
    v1::DeleteModelVersionRequest request;
    request.set_name(version);
    v1::DeleteModelVersionResponse response;
    return client_->models->DeleteModelVersion(&context, request, &response);
  };
  EXPECT_EQ(remove("models/geyser/versions/2").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(remove("models/geyser/versions/1").ok());
}

TEST_F(ModelServiceTest, StreamPredictAnswersEachRequestAndSurvivesABadOne) {
  grpc::ClientContext context;
  const auto stream = client_->predictions->StreamPredict(&context);
  v1::StreamPredictRequest request;
  request.set_model("models/geyser");
  for (const double value : {2.0, 50.0, 4.5, 80.0}) request.mutable_table()->add_values(value);
  v1::StreamPredictResponse answer;
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), 0);
  ASSERT_EQ(answer.outputs_size(), 1);
  EXPECT_NE(answer.outputs(0).tensor().values(0), answer.outputs(0).tensor().values(1));
  v1::StreamPredictRequest bad;
  bad.mutable_table()->add_values(1);
  ASSERT_TRUE(stream->Write(bad));
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.clear_model();
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), 0);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ModelServiceTest, AStreamKeepsItsModelWhenAnotherDoesNotExist) {
  grpc::ClientContext context;
  const auto stream = client_->predictions->StreamPredict(&context);
  const auto ask = [&](const std::string& model) {
    v1::StreamPredictRequest request;
    request.set_model(model);
    for (const double value : {2.0, 50.0}) request.mutable_table()->add_values(value);
    v1::StreamPredictResponse answer;
    EXPECT_TRUE(stream->Write(request));
    EXPECT_TRUE(stream->Read(&answer));
    return answer.status().code();
  };
  EXPECT_EQ(ask(""), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ask("models/geyser"), grpc::StatusCode::OK);
  EXPECT_EQ(ask("models/none"), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ask(""), grpc::StatusCode::OK);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ModelServiceTest, AnAnswerThatNoMessageHoldsIsRefusedBeforeItIsMade) {
  ServerOptions options = TestOptions();
  options.max_message_bytes = 1 << 20;
  options.max_inline_bytes = 1 << 20;
  StartServer(options);
  v1::FitRequest fit = FaithfulFit(40);
  fit.mutable_fit()->set_model_id("wide");
  fit.mutable_fit()
      ->mutable_model()
      ->mutable_mixture()
      ->mutable_emission()
      ->mutable_gaussian()
      ->set_covariance(v1::COVARIANCE_TIED_SPHERICAL);
  Fit(fit);
  v1::PredictRequest request;
  request.set_model("models/wide");
  request.set_packed(true);
  request.add_outputs(v1::PREDICTION_OUTPUT_POSTERIORS);
  request.mutable_table()->set_data(Bytes(std::vector<double>(2 * 10000, 50.0)));
  v1::PredictResponse response;
  EXPECT_THAT(Predict(request, &response), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "table"));
  request.set_outputs(0, v1::PREDICTION_OUTPUT_LABELS);
  EXPECT_TRUE(Predict(request, &response).ok());
}

TEST_F(ModelServiceTest, CallsAndImportsHoldNoMoreMemoryThanTheyMay) {
  ServerOptions options = TestOptions();
  options.max_call_bytes = 16000;
  options.max_import_bytes = 1000;
  StartServer(options);
  v1::FitRequest fit = FaithfulFit(2);
  fit.mutable_fit()->set_model_id("geyser");
  Fit(fit);
  v1::PredictRequest request = EverythingAbout("models/geyser");
  ASSERT_TRUE(Predict(request, std::make_unique<v1::PredictResponse>().get()).ok());
  for (int i = 0; i < 4000; ++i) request.mutable_table()->add_values(50);
  v1::PredictResponse response;
  grpc::Status status = Predict(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(Detail(status, kReasonPayload), "CALL_MEMORY_FULL");
  EXPECT_NE(Detail(status, kRetryPayload), "");

  // Four imports that wait may hold all there is; what they held is free when they have gone.
  std::list<grpc::ClientContext> contexts;
  std::list<v1::ImportModelVersionResponse> responses;
  std::vector<std::unique_ptr<grpc::ClientWriter<v1::ImportModelVersionRequest>>> writers;
  v1::ImportModelVersionRequest chunk;
  chunk.set_model_id("m");
  chunk.set_data(std::string(1000, 'x'));
  const auto open = [&] {
    writers.push_back(
        client_->models->ImportModelVersion(&contexts.emplace_back(), &responses.emplace_back()));
    writers.back()->Write(chunk);
  };
  // Of five the one that comes last is refused: its stream ends, so that it takes no more chunks.
  for (int i = 0; i < 5; ++i) open();
  v1::ImportModelVersionRequest nothing;
  while (std::all_of(writers.begin(), writers.end(),
                     [&](const auto& writer) { return writer->Write(nothing); })) {
  }
  status = Import("m", std::string(900, 'x'));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Detail(status, kReasonPayload), "IMPORT_MEMORY_FULL");
  int num_refused = 0;
  for (auto& writer : writers) {
    writer->WritesDone();
    status = writer->Finish();
    if (Detail(status, kReasonPayload) == "IMPORT_MEMORY_FULL") {
      ++num_refused;
    } else {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    }
  }
  EXPECT_EQ(num_refused, 1);
  status = Import("m", std::string(900, 'x'));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
}

TEST_F(ModelServiceTest, HealthKnowsEveryService) {
  for (const std::string service :
       {"", "emserve.v1.DatasetService", "emserve.v1.JobService", "emserve.v1.ModelService",
        "emserve.v1.PredictionService", "emserve.v1.SystemService"}) {
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(grpc::health::v1::Health::NewStub(client_->channel)
                    ->Check(&context, request, &response)
                    .ok())
        << service;
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING) << service;
  }
}

TEST_F(ModelServiceTest, ABatchPredictionEqualsPredict) {
  const std::string dataset = Upload("rows", emserve::testing::Faithful());
  v1::CreateJobRequest request;
  v1::PredictSpec& spec = *request.mutable_job()->mutable_predict();
  spec.set_model("models/geyser");
  spec.set_dataset(dataset);
  spec.add_outputs(v1::PREDICTION_OUTPUT_LOG_DENSITIES);
  spec.set_output_dataset_id("answers");
  grpc::ClientContext context;
  v1::CreateJobResponse response;
  const grpc::Status status = client_->jobs->CreateJob(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const v1::Job job = AwaitEnd(response.job().name());
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  EXPECT_EQ(job.predict_result().dataset(), "datasets/answers");
  grpc::ClientContext read_context;
  v1::ReadDatasetRequest read;
  read.set_name("datasets/answers");
  const auto reader = client_->datasets->ReadDataset(&read_context, read);
  std::string bytes;
  for (v1::ReadDatasetResponse chunk; reader->Read(&chunk);) bytes += chunk.data();
  ASSERT_TRUE(reader->Finish().ok());
  v1::PredictResponse direct;
  ASSERT_TRUE(Predict(EverythingAbout("models/geyser"), &direct).ok());
  const auto& values = direct.outputs(2).tensor().values();
  EXPECT_EQ(bytes, Bytes(std::vector<double>(values.begin(), values.end())));
}

TEST_F(ModelServiceTest, SamplesAreDeterminedByTheirSeedAndBounded) {
  const auto sample = [this](int64_t rows, uint64_t seed, v1::SampleResponse* response) {
    grpc::ClientContext context;
    v1::SampleRequest request;
    request.set_model("models/geyser");
    request.set_num_rows(rows);
    request.set_seed(seed);
    return client_->predictions->Sample(&context, request, response);
  };
  v1::SampleResponse first, second, other;
  ASSERT_TRUE(sample(50, 1, &first).ok());
  ASSERT_TRUE(sample(50, 1, &second).ok());
  ASSERT_TRUE(sample(50, 2, &other).ok());
  EXPECT_EQ(first.rows().SerializeAsString(), second.rows().SerializeAsString());
  EXPECT_NE(first.rows().SerializeAsString(), other.rows().SerializeAsString());
  v1::SampleResponse none;
  EXPECT_THAT(sample(0, 1, &none), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "num_rows"));
  EXPECT_THAT(sample(std::numeric_limits<int64_t>::max(), 1, &none),
              IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "num_rows"));
}

TEST_F(ModelServiceTest, AWarmStartContinuesFromAStoredModel) {
  v1::FitRequest request = FaithfulFit(2);
  request.mutable_fit()->mutable_start()->set_model("models/geyser");
  const v1::Job job = Fit(request);
  EXPECT_LE(job.fit_result().report().iterations(), 2);
  EXPECT_NEAR(job.fit_result().report().log_likelihood(), -1130.263960, 1e-5);
  v1::FitRequest given = FaithfulFit(2);
  *given.mutable_fit()->mutable_start()->mutable_parameters() = Get("models/geyser").parameters();
  EXPECT_LE(Fit(given).fit_result().report().iterations(), 2);
}

TEST_F(ModelServiceTest, ServerInfoListsFamiliesAndLimits) {
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(client_->system->GetServerInfo(&context, {}, &info).ok());
  ASSERT_GE(info.families_size(), 1);
  EXPECT_EQ(info.families(0).name(), "gaussian_mixture");
  EXPECT_GT(info.limits_size(), 5);
  EXPECT_EQ(info.num_threads(), 2);
}

TEST_F(ModelServiceTest, GarbagePageTokensAndSizesAreRefused) {
  const auto list = [this](int size, const std::string& token) {
    grpc::ClientContext context;
    v1::ListModelsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    v1::ListModelsResponse response;
    return client_->models->ListModels(&context, request, &response);
  };
  EXPECT_TRUE(list(0, "").ok());
  EXPECT_THAT(list(-1, ""), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "page_size"));
  EXPECT_THAT(list(1001, ""), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "page_size"));
  EXPECT_THAT(list(10, "garbage"), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "page_token"));
}

}  // namespace
}  // namespace emserve::server
