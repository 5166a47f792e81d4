// Forecasts, pseudo-residuals, best paths and derived figures over a real socket.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/families.h"
#include "tests/server/sequence_service_test.h"

namespace emserve::server {
namespace {

using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kInvalid = grpc::StatusCode::INVALID_ARGUMENT;

class SequenceOutputsServiceTest : public SequenceServiceTest {
 protected:
  static v1::PredictRequest Ask(const std::vector<double>& values,
                                const std::vector<v1::PredictionOutput>& outputs) {
    v1::PredictRequest request;
    request.set_model("models/umbrellas");
    request.mutable_table()->mutable_values()->Assign(values.begin(), values.end());
    for (const v1::PredictionOutput output : outputs) request.add_outputs(output);
    return request;
  }
  v1::PredictResponse Answer(const v1::PredictRequest& request) {
    v1::PredictResponse response;
    const grpc::Status status = Predict(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  static std::map<std::string, std::vector<double>> DerivedOf(const v1::ModelVersion& version) {
    std::map<std::string, std::vector<double>> derived;
    for (const v1::NamedTensor& array : version.derived()) {
      derived[array.name()] = {array.tensor().values().begin(), array.tensor().values().end()};
    }
    return derived;
  }
};

TEST_F(SequenceOutputsServiceTest, ForecastsAreThoseOfEmptyRows) {
  MakeUmbrellas("umbrellas");
  v1::PredictRequest request = Ask({1, 0, 1}, {v1::PREDICTION_OUTPUT_FORECASTS});
  Outputs forecast = OutputsOf(Answer(request));
  EXPECT_EQ(forecast.size(), 3u);
  const double nan = std::nan("");
  v1::PredictRequest empty = Ask({1, 0, 1, nan, nan, nan, nan},
                                 {v1::PREDICTION_OUTPUT_FILTERED, v1::PREDICTION_OUTPUT_IMPUTED,
                                  v1::PREDICTION_OUTPUT_IMPUTED_VARIANCES});
  const Outputs fan = OutputsOf(Answer(empty));
  for (const int horizon : {1, 2, 4}) {
    request.set_forecast_horizon(horizon);
    const v1::PredictResponse answer = Answer(request);
    EXPECT_EQ(answer.outputs(0).name(), "forecasts");
    EXPECT_THAT(answer.outputs(0).tensor().shape(), ElementsAre(3, 2));
    EXPECT_THAT(answer.outputs(1).tensor().shape(), ElementsAre(3, 1));
    Outputs got = OutputsOf(answer);
    if (horizon == 1) {
      EXPECT_EQ(got, forecast);
    }
    const auto last = static_cast<size_t>(2 + horizon);
    EXPECT_NEAR(got["forecasts"][4], fan.at("filtered")[2 * last], 1e-12);
    EXPECT_NEAR(got["forecasts"][4] + got["forecasts"][5], 1, 1e-12);
    EXPECT_NEAR(got["forecast_means"][2], fan.at("imputed")[last], 1e-12);
    EXPECT_NEAR(got["forecast_variances"][2], fan.at("imputed_variances")[last], 1e-12);
  }
}

TEST_F(SequenceOutputsServiceTest, ResidualsComeByColumn) {
  MakeUmbrellas("umbrellas");
  const v1::PredictResponse answer =
      Answer(Ask({1, std::nan(""), 0},
                 {v1::PREDICTION_OUTPUT_RESIDUALS, v1::PREDICTION_OUTPUT_FORECAST_RESIDUALS}));
  ASSERT_EQ(answer.outputs_size(), 2);
  EXPECT_EQ(answer.outputs(0).name(), "residuals");
  EXPECT_THAT(answer.outputs(1).tensor().shape(), ElementsAre(3, 1));
  Outputs outputs = OutputsOf(answer);
  EXPECT_NEAR(outputs["forecast_residuals"][0], 0.597760, 1e-5);
  EXPECT_TRUE(std::isnan(outputs["residuals"][1]));
}

TEST_F(SequenceOutputsServiceTest, BestPathsComeBySequence) {
  MakeUmbrellas("umbrellas");
  v1::PredictRequest request =
      Ask({1, 1, 0}, {v1::PREDICTION_OUTPUT_BEST_PATHS, v1::PREDICTION_OUTPUT_LABELS,
                      v1::PREDICTION_OUTPUT_SEQUENCE_LOG_LIKELIHOODS});
  for (const int64_t length : {2, 1}) {
    request.mutable_sequences()->mutable_lengths()->add_lengths(length);
  }
  EXPECT_EQ(OutputsOf(Answer(request))["best_paths"].size(), 3u);  // one path
  request.set_num_paths(5);
  const v1::PredictResponse answer = Answer(request);
  const auto shape = [&](int output) { return answer.outputs(output).tensor().shape(); };
  EXPECT_THAT(shape(answer.outputs_size() - 2), ElementsAre(3, 5));
  EXPECT_THAT(shape(answer.outputs_size() - 1), ElementsAre(2, 5));
  Outputs outputs = OutputsOf(answer);
  const std::vector<double>& paths = outputs["best_paths"];
  const std::vector<double>& rated = outputs["best_path_log_probabilities"];
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(paths[5 * i], outputs["labels"][i]);
  EXPECT_EQ(paths[14], -1);
  EXPECT_EQ(rated[9], -std::numeric_limits<double>::infinity());
  for (size_t s = 0; s < 2; ++s) {
    double sum = 0;
    for (size_t j = 0; j < 5; ++j) sum += std::exp(rated[5 * s + j]);
    EXPECT_NEAR(std::log(sum), outputs["sequence_log_likelihoods"][s], 1e-12);
  }
  request.set_packed(true);
  EXPECT_EQ(Answer(request).outputs(answer.outputs_size() - 2).tensor().data().size(), 15u * 8);
}

TEST_F(SequenceOutputsServiceTest, BadOptionsAreRefusedByTheirField) {
  MakeUmbrellas("umbrellas");
  v1::PredictResponse none;
  const auto refused = [&](v1::PredictionOutput output, std::optional<int64_t> horizon,
                           std::optional<int32_t> num_paths, const std::string& field) {
    v1::PredictRequest request = Ask({1}, {output});
    v1::CreateJobRequest create;
    v1::PredictSpec& spec = *create.mutable_job()->mutable_predict();
    spec.set_model("models/umbrellas");
    spec.set_dataset("datasets/days");
    spec.add_outputs(output);
    if (horizon.has_value()) {
      request.set_forecast_horizon(*horizon);
      spec.set_forecast_horizon(*horizon);
    }
    if (num_paths.has_value()) {
      request.set_num_paths(*num_paths);
      spec.set_num_paths(*num_paths);
    }
    EXPECT_THAT(Predict(request, &none), IsBadField(kInvalid, field));
    grpc::ClientContext context;
    v1::CreateJobResponse response;
    EXPECT_THAT(client_->jobs->CreateJob(&context, create, &response),
                IsBadField(kInvalid, "job.predict." + field));
  };
  for (const int64_t horizon : {int64_t{0}, int64_t{-1}, int64_t{1'000'001}}) {
    v1::PredictRequest request = Ask({1}, {v1::PREDICTION_OUTPUT_FORECASTS});
    request.set_forecast_horizon(horizon);
    EXPECT_THAT(Predict(request, &none), IsBadField(kInvalid, "forecast_horizon"));
  }
  for (const int32_t paths : {0, -1, 101, std::numeric_limits<int32_t>::max()}) {
    v1::PredictRequest request = Ask({1}, {v1::PREDICTION_OUTPUT_BEST_PATHS});
    request.set_num_paths(paths);
    EXPECT_THAT(Predict(request, &none), IsBadField(kInvalid, "num_paths"));
  }
  // Options of what is not asked for.
  refused(v1::PREDICTION_OUTPUT_LABELS, 2, std::nullopt, "forecast_horizon");
  refused(v1::PREDICTION_OUTPUT_FORECASTS, std::nullopt, 2, "num_paths");
  refused(static_cast<v1::PredictionOutput>(99), std::nullopt, std::nullopt, "outputs[0]");
  EXPECT_THAT(Predict(Ask({1}, std::vector(20, v1::PREDICTION_OUTPUT_LABELS)), &none),
              IsBadField(kInvalid, "outputs"));

  v1::FitRequest mixture = FaithfulFit(2);
  mixture.mutable_fit()->set_model_id("geyser");
  Fit(mixture);
  for (const auto output : {v1::PREDICTION_OUTPUT_FORECASTS, v1::PREDICTION_OUTPUT_RESIDUALS,
                            v1::PREDICTION_OUTPUT_BEST_PATHS}) {
    v1::PredictRequest request = Ask({1, 50}, {output});
    request.set_model("models/geyser");
    EXPECT_THAT(Predict(request, &none), IsBadField(kInvalid, "outputs"));
  }
}

TEST_F(SequenceOutputsServiceTest, AStreamKeepsItsOutputsWithTheirOptions) {
  MakeUmbrellas("umbrellas");
  grpc::ClientContext context;
  const auto stream = client_->predictions->StreamPredict(&context);
  const auto ask = [&](const v1::StreamPredictRequest& request) {
    v1::StreamPredictResponse answer;
    EXPECT_TRUE(stream->Write(request));
    EXPECT_TRUE(stream->Read(&answer));
    return answer;
  };
  const auto day = [](std::optional<int64_t> horizon,
                      const std::vector<v1::PredictionOutput>& outputs) {
    v1::StreamPredictRequest request;
    request.set_model("models/umbrellas");
    request.mutable_table()->add_values(1);
    if (horizon.has_value()) request.set_forecast_horizon(*horizon);
    for (const v1::PredictionOutput output : outputs) request.add_outputs(output);
    return request;
  };
  const auto rain = [](const v1::StreamPredictResponse& answer) {
    EXPECT_EQ(answer.status().code(), 0) << answer.ShortDebugString();
    return OutputsOf(answer)["forecasts"].at(0);
  };
  // The probability of rain after 1, 2, ... umbrellas, and some days later.
  const auto later = [](double now, int days) { return 0.5 + std::pow(0.4, days) * (now - 0.5); };
  const double first = 0.45 / 0.55;
  const double second = 0.9 * later(first, 1) / (0.2 + 0.7 * later(first, 1));
  const double third = 0.9 * later(second, 1) / (0.2 + 0.7 * later(second, 1));
  EXPECT_NEAR(rain(ask(day(
                  3, {v1::PREDICTION_OUTPUT_FORECASTS, v1::PREDICTION_OUTPUT_FORECAST_RESIDUALS}))),
              later(first, 3), 1e-12);
  EXPECT_NEAR(rain(ask(day({}, {}))), later(second, 3), 1e-12);  // as before
  EXPECT_EQ(ask(day(0, {})).status().code(), static_cast<int>(kInvalid));
  EXPECT_EQ(ask(day({}, {v1::PREDICTION_OUTPUT_BEST_PATHS})).status().code(),
            static_cast<int>(kInvalid));
  EXPECT_NEAR(rain(ask(day(1, {}))), later(third, 1), 1e-12);
  // Outputs that are named anew have options of their own.
  v1::StreamPredictRequest paths = day({}, {v1::PREDICTION_OUTPUT_BEST_PATHS});
  paths.set_new_sequence(true);
  paths.set_num_paths(2);
  EXPECT_THAT(OutputsOf(ask(paths))["best_paths"], ElementsAre(0, 1));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(SequenceOutputsServiceTest, WhatFollowsFromTheParametersComesWithThem) {
  MakeUmbrellas("umbrellas");
  const v1::ModelVersion version = Get("models/umbrellas");
  auto derived = DerivedOf(version);
  EXPECT_EQ(derived.size(), 2u);
  EXPECT_THAT(derived["stationary"], Each(DoubleNear(0.5, 1e-12)));
  EXPECT_THAT(derived["expected_durations"], Each(DoubleNear(1 / 0.3, 1e-12)));
  EXPECT_EQ(derived["stationary"].size(), 2u);

  grpc::ClientContext context;
  v1::ListModelVersionsRequest list;
  list.set_parent("models/umbrellas");
  v1::ListModelVersionsResponse listed;
  ASSERT_TRUE(client_->models->ListModelVersions(&context, list, &listed).ok());
  EXPECT_THAT(listed.model_versions(0).derived(), IsEmpty());

  // A file has none; what it claims does not count.
  v1::ModelVersion stored = Unsealed(Export("models/umbrellas"));
  EXPECT_THAT(stored.derived(), IsEmpty());
  v1::NamedTensor& claim = *stored.add_derived();
  claim.set_name("stationary");
  claim.mutable_tensor()->add_values(7);
  v1::ModelVersion imported;
  ASSERT_TRUE(Import("copy", Sealed(stored), &imported).ok());
  EXPECT_EQ(DerivedOf(imported), derived);
  EXPECT_EQ(DerivedOf(Get("models/copy")), derived);

  v1::FitRequest mixture = FaithfulFit(2);
  mixture.mutable_fit()->set_model_id("geyser");
  Fit(mixture);
  EXPECT_THAT(Get("models/geyser").derived(), IsEmpty());
}

TEST_F(SequenceOutputsServiceTest, FamiliesListWhatTheyCan) {
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(client_->system->GetServerInfo(&context, v1::GetServerInfoRequest(), &info).ok());
  int num_families = 0;
  for (const v1::Family& family : info.families()) {
    const bool has_sequences = HasCapability(family.name(), "sequences");
    num_families += has_sequences ? 1 : 0;
    const auto expect = [&](const char* output, bool has) {
      const auto& outputs = family.outputs();
      EXPECT_EQ(std::count(outputs.begin(), outputs.end(), output), has ? 1 : 0)
          << family.name() << " " << output;
    };
    for (const char* output : {"forecasts", "best_paths"}) expect(output, has_sequences);
    for (const char* output : {"residuals", "forecast_residuals"}) {
      expect(output, HasCapability(family.name(), "residuals"));
    }
  }
  EXPECT_EQ(num_families, 12);
}

}  // namespace
}  // namespace emserve::server
