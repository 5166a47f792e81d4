// Models of sequences over a real socket: earthquakes are fitted, umbrellas predicted day by day.
#include "tests/server/sequence_service_test.h"

#include <cmath>
#include <limits>

namespace emserve::server {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

constexpr auto kInvalid = grpc::StatusCode::INVALID_ARGUMENT;

// Zucchini, MacDonald & Langrock (2016), section 4.3.
TEST_F(SequenceServiceTest, EarthquakesReachThePublishedLogLikelihood) {
  v1::FitRequest request = Earthquakes(2);
  request.mutable_fit()->add_columns("count");
  const v1::Job job = Fit(request);
  EXPECT_NEAR(job.fit_result().report().log_likelihood(), -341.87870, 1e-4);
  const v1::ModelVersion version = Get("models/earthquakes");
  EXPECT_EQ(version.family(), "poisson_hmm");
  EXPECT_EQ(version.parameters().arrays(0).name(), "initial");
  EXPECT_EQ(version.parameters().arrays(1).name(), "transitions");
  EXPECT_EQ(version.spec().model().hidden_markov().transitions(), v1::TRANSITION_PATTERN_FULL);
  // The version's specification repeats the fit.
  v1::FitRequest again = request;
  *again.mutable_fit() = version.spec();
  EXPECT_EQ(Fit(again).fit_result().report().objective(), job.fit_result().report().objective());
}

TEST_F(SequenceServiceTest, AColumnAndLengthsCutAlike) {
  v1::FitRequest by_column = Earthquakes(2);
  by_column.mutable_fit()->mutable_sequences()->set_column("era");
  const v1::Job job = Fit(by_column);
  const v1::ModelVersion version = Get("models/earthquakes");
  EXPECT_EQ(version.columns_size(), 1);
  EXPECT_EQ(version.spec().sequences().column(), "era");
  v1::FitRequest by_lengths = Earthquakes(2);
  by_lengths.mutable_fit()->add_columns("count");
  for (const int64_t length : {40, 67}) {
    by_lengths.mutable_fit()->mutable_sequences()->mutable_lengths()->add_lengths(length);
  }
  EXPECT_EQ(Fit(by_lengths).fit_result().report().objective(),
            job.fit_result().report().objective());

  // Predictions see the same sequences, whose log-likelihoods add up to the fit's.
  v1::PredictRequest predict;
  predict.set_model("models/earthquakes");
  *predict.mutable_table() = by_column.inline_data();
  predict.mutable_sequences()->set_column("era");
  for (const auto output : {v1::PREDICTION_OUTPUT_LABELS, v1::PREDICTION_OUTPUT_DECODED,
                            v1::PREDICTION_OUTPUT_SEQUENCE_LOG_LIKELIHOODS,
                            v1::PREDICTION_OUTPUT_PATH_LOG_PROBABILITIES}) {
    predict.add_outputs(output);
  }
  v1::PredictResponse first, second;
  ASSERT_TRUE(Predict(predict, &first).ok());
  Outputs outputs = OutputsOf(first);
  ASSERT_EQ(outputs["sequence_log_likelihoods"].size(), 2u);
  ASSERT_EQ(outputs["path_log_probabilities"].size(), 2u);
  EXPECT_EQ(outputs["labels"].size(), 107u);
  EXPECT_EQ(outputs["decoded"].size(), 107u);
  EXPECT_NEAR(outputs["sequence_log_likelihoods"][0] + outputs["sequence_log_likelihoods"][1],
              job.fit_result().report().log_likelihood(), 1e-8);
  predict.mutable_sequences()->clear_column();
  for (const int64_t length : {40, 67}) {
    predict.mutable_sequences()->mutable_lengths()->add_lengths(length);
  }
  ASSERT_TRUE(Predict(predict, &second).ok());
  EXPECT_EQ(OutputsOf(second), outputs);
}

TEST_F(SequenceServiceTest, SweepsChooseTheNumberOfStates) {
  v1::CreateJobRequest request;
  v1::SweepSpec& sweep = *request.mutable_job()->mutable_sweep();
  const v1::FitRequest fit = Earthquakes(1);
  *sweep.mutable_base() = fit.fit();
  sweep.mutable_base()->add_columns("count");
  sweep.mutable_base()->mutable_model()->mutable_hidden_markov()->set_initial(
      v1::INITIAL_DISTRIBUTION_STATIONARY);
  for (const int number : {1, 2, 3, 4}) sweep.add_num_components(number);
  *request.mutable_inline_data() = fit.inline_data();
  grpc::ClientContext context;
  v1::CreateJobResponse response;
  const grpc::Status status = client_->jobs->CreateJob(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const v1::Job job = AwaitEnd(response.job().name());
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  ASSERT_EQ(job.sweep_result().rows_size(), 4);
  EXPECT_EQ(job.sweep_result().rows(2).num_components(), 3);
  EXPECT_NEAR(job.sweep_result().rows(2).log_likelihood(), -329.4603, 1e-3);
  EXPECT_EQ(job.sweep_result().best(), 2);  // by BIC, as in the book's table 6.1
}

TEST_F(SequenceServiceTest, SequencesThatDoNotFitAreRefusedByTheirField) {
  const auto refused = [&](const char* field, auto spoil) {
    v1::FitRequest request = Earthquakes(2);
    spoil(*request.mutable_fit()->mutable_sequences());
    EXPECT_THAT(Refused(request), IsBadField(kInvalid, std::string("fit.sequences") + field));
  };
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  refused("", [](auto& s) { s.add_weights(1); });
  refused(".column", [](auto& s) { s.set_column("epoch"); });
  refused(".column", [](auto& s) { s.set_column("count"); });  // numbers come back
  refused(".lengths.lengths", [](auto& s) { s.mutable_lengths(); });
  refused(".lengths.lengths", [](auto& s) { s.mutable_lengths()->add_lengths(106); });
  refused(".lengths.lengths[0]", [](auto& s) { s.mutable_lengths()->add_lengths(-1); });
  refused(".lengths.lengths[1]", [](auto& s) {
    for (const int64_t length : {int64_t{100}, kHuge}) s.mutable_lengths()->add_lengths(length);
  });
  refused(".weights", [](auto& s) {
    s.set_column("era");
    s.add_weights(1);
  });
  refused(".weights[1]", [](auto& s) {
    s.set_column("era");
    for (const double weight : {1.0, std::nan("")}) s.add_weights(weight);
  });
  // A missing number.
  v1::FitRequest request = Earthquakes(2);
  request.mutable_fit()->mutable_sequences()->set_column("era");
  request.mutable_inline_data()->set_values(2 * 50 + 1, std::nan(""));
  EXPECT_THAT(Refused(request), IsBadField(kInvalid, "fit.sequences.column"));
  // A mixture has no sequences, nor has a prediction weights.
  v1::FitRequest mixture = FaithfulFit(2);
  mixture.mutable_fit()->mutable_sequences()->mutable_lengths()->add_lengths(272);
  EXPECT_THAT(Refused(mixture), IsBadField(kInvalid, "fit.sequences"));
  MakeUmbrellas("umbrellas");
  v1::PredictRequest predict;
  predict.set_model("models/umbrellas");
  predict.mutable_table()->add_values(1);
  predict.mutable_sequences()->mutable_lengths()->add_lengths(1);
  predict.mutable_sequences()->add_weights(1);
  v1::PredictResponse response;
  EXPECT_THAT(Predict(predict, &response), IsBadField(kInvalid, "sequences.weights"));
  predict.mutable_sequences()->clear_weights();
  EXPECT_TRUE(Predict(predict, &response).ok());
  predict.mutable_sequences()->mutable_lengths()->add_lengths(1);
  EXPECT_THAT(Predict(predict, &response), IsBadField(kInvalid, "sequences.lengths.lengths"));
}

// A stream of predictions with all that is asked about a day.
class Days {
 public:
  explicit Days(Client& client) : stream_(client.predictions->StreamPredict(&context_)) {}

  v1::StreamPredictResponse Ask(const v1::StreamPredictRequest& request) {
    v1::StreamPredictResponse answer;
    EXPECT_TRUE(stream_->Write(request));
    EXPECT_TRUE(stream_->Read(&answer));
    return answer;
  }
  // The probability of rain after the days of `umbrellas`.
  double Rain(const std::vector<double>& umbrellas, const std::string& model = "",
              bool new_sequence = false) {
    v1::StreamPredictRequest request;
    request.set_model(model);
    request.set_new_sequence(new_sequence);
    request.mutable_table()->mutable_values()->Assign(umbrellas.begin(), umbrellas.end());
    request.add_outputs(v1::PREDICTION_OUTPUT_FILTERED);
    const v1::StreamPredictResponse answer = Ask(request);
    EXPECT_EQ(answer.status().code(), 0) << answer.ShortDebugString();
    version_ = answer.model_version();
    const std::vector<double> filtered = OutputsOf(answer)["filtered"];
    return filtered.at(filtered.size() - 2);
  }
  const std::string& version() const { return version_; }
  void End() {
    stream_->WritesDone();
    EXPECT_TRUE(stream_->Finish().ok());
  }

 private:
  grpc::ClientContext context_;
  const std::unique_ptr<
      grpc::ClientReaderWriter<v1::StreamPredictRequest, v1::StreamPredictResponse>>
      stream_;
  std::string version_;
};

TEST_F(SequenceServiceTest, UmbrellasTellTheWeatherDayByDay) {
  MakeUmbrellas("umbrellas");
  Days days(*client_);
  EXPECT_NEAR(days.Rain({1}, "models/umbrellas"), 0.818, 5e-4);
  EXPECT_NEAR(days.Rain({1}), 0.883, 5e-4);
  EXPECT_NEAR(days.Rain({1}, "", true), 0.818, 5e-4);
  // A bad day does not count.
  v1::StreamPredictRequest bad;
  bad.mutable_table()->add_values(2);
  EXPECT_EQ(days.Ask(bad).status().code(), static_cast<int>(kInvalid));
  EXPECT_NEAR(days.Rain({1}, "models/umbrellas"), 0.883, 5e-4);
  // Days that come together are days.
  EXPECT_NEAR(days.Rain({1, 1}, "", true), 0.883, 5e-4);
  days.End();
}

TEST_F(SequenceServiceTest, AMessageMayEndASequenceAndBeginOthers) {
  MakeUmbrellas("umbrellas");
  Days days(*client_);
  EXPECT_NEAR(days.Rain({1}, "models/umbrellas"), 0.818, 5e-4);
  v1::StreamPredictRequest request;
  for (const double umbrella : {1, 0, 1}) request.mutable_table()->add_values(umbrella);
  for (const int64_t length : {1, 1, 1}) {
    request.mutable_sequences()->mutable_lengths()->add_lengths(length);
  }
  request.add_outputs(v1::PREDICTION_OUTPUT_FILTERED);
  request.add_outputs(v1::PREDICTION_OUTPUT_SEQUENCE_LOG_LIKELIHOODS);
  Outputs outputs = OutputsOf(days.Ask(request));
  EXPECT_NEAR(outputs["filtered"][0], 0.883, 5e-4);
  EXPECT_NEAR(outputs["filtered"][4], 0.818, 5e-4);
  EXPECT_THAT(outputs["sequence_log_likelihoods"],
              Pointwise(DoubleNear(1e-6),
                        std::vector<double>{std::log(0.639091), std::log(0.45), std::log(0.55)}));
  EXPECT_NEAR(days.Rain({1}), 0.883, 5e-4);  // after the last of them
  // A path is of a whole sequence.
  v1::StreamPredictRequest path;
  path.mutable_table()->add_values(1);
  path.add_outputs(v1::PREDICTION_OUTPUT_PATH_LOG_PROBABILITIES);
  EXPECT_EQ(days.Ask(path).status().code(), static_cast<int>(kInvalid));
  path.set_new_sequence(true);
  EXPECT_NEAR(OutputsOf(days.Ask(path))["path_log_probabilities"].at(0), std::log(0.45), 1e-12);
  days.End();
}

TEST_F(SequenceServiceTest, ASequenceIsOfTheVersionThatItBeganWith) {
  MakeUmbrellas("umbrellas");
  Days days(*client_);
  EXPECT_NEAR(days.Rain({1}, "models/umbrellas"), 0.818, 5e-4);
  MakeUmbrellas("umbrellas", 0.2);  // umbrellas tell nothing any more
  EXPECT_NEAR(days.Rain({1}, "models/umbrellas"), 0.883, 5e-4);
  EXPECT_EQ(days.version(), "models/umbrellas/versions/1");
  EXPECT_NEAR(days.Rain({1}, "", true), 0.5, 1e-12);
  EXPECT_EQ(days.version(), "models/umbrellas/versions/2");
  // Another model begins a sequence of its own.
  EXPECT_NEAR(days.Rain({1}, "models/umbrellas/versions/1"), 0.818, 5e-4);
  days.End();
}

TEST_F(SequenceServiceTest, ASequenceEndsWithItsVersion) {
  MakeUmbrellas("umbrellas");
  MakeUmbrellas("umbrellas", 0.2);
  Days days(*client_);
  EXPECT_NEAR(days.Rain({1}, "models/umbrellas"), 0.5, 1e-12);
  grpc::ClientContext context;
  v1::DeleteModelVersionRequest request;
  request.set_name("models/umbrellas/versions/2");
  v1::DeleteModelVersionResponse response;
  ASSERT_TRUE(client_->models->DeleteModelVersion(&context, request, &response).ok());
  v1::StreamPredictRequest day;
  day.mutable_table()->add_values(1);
  const v1::StreamPredictResponse answer = days.Ask(day);
  EXPECT_EQ(answer.status().code(), static_cast<int>(grpc::StatusCode::NOT_FOUND));
  EXPECT_NE(answer.status().message().find("begin another with new_sequence"), std::string::npos);
  EXPECT_NEAR(days.Rain({1}, "", true), 0.818, 5e-4);
  // The same version by another name.
  EXPECT_NEAR(days.Rain({1}, "models/umbrellas/versions/1"), 0.883, 5e-4);
  days.End();
}

// Messages come and go; what is known of a sequence stays.
TEST_F(SequenceServiceTest, WhatAStreamRemembersCounts) {
  ServerOptions options = TestOptions();
  options.max_call_bytes = 1'000'000;
  StartServer(options);
  MakeUmbrellas("umbrellas", 0.9, 10'000);
  v1::StreamPredictRequest day;
  day.set_model("models/umbrellas");
  day.mutable_table()->add_values(1);
  Days first(*client_);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(first.Ask(day).status().code(), 0);  // counted once
  Days second(*client_);
  EXPECT_EQ(second.Ask(day).status().code(),
            static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED));
  second.End();
  first.End();
}

TEST_F(SequenceServiceTest, SamplesAreSequences) {
  MakeUmbrellas("umbrellas");
  const auto sample = [this](int64_t rows, const std::vector<int64_t>& lengths,
                             const std::string& model, v1::SampleResponse* response) {
    grpc::ClientContext context;
    v1::SampleRequest request;
    request.set_model(model);
    request.set_num_rows(rows);
    request.mutable_sequence_lengths()->Assign(lengths.begin(), lengths.end());
    return client_->predictions->Sample(&context, request, response);
  };
  const std::string umbrellas = "models/umbrellas";
  v1::SampleResponse one, same, many, none;
  ASSERT_TRUE(sample(100, {}, umbrellas, &one).ok());
  ASSERT_TRUE(sample(100, {100}, umbrellas, &same).ok());
  ASSERT_TRUE(sample(0, std::vector<int64_t>(100, 1), umbrellas, &many).ok());
  EXPECT_THAT(many.rows().shape(), ElementsAre(100, 1));
  EXPECT_EQ(many.labels().values_size(), 100);
  EXPECT_EQ(one.SerializeAsString(), same.SerializeAsString());
  EXPECT_NE(one.SerializeAsString(), many.SerializeAsString());
  EXPECT_THAT(sample(99, {1, 60, 39}, umbrellas, &none),
              IsBadField(kInvalid, "sequence_lengths[2]"));
  EXPECT_THAT(sample(101, {1, 60, 39}, umbrellas, &none), IsBadField(kInvalid, "sequence_lengths"));
  EXPECT_THAT(sample(0, {5, -1}, umbrellas, &none), IsBadField(kInvalid, "sequence_lengths[1]"));
  EXPECT_THAT(sample(0, {5, std::numeric_limits<int64_t>::max()}, umbrellas, &none),
              IsBadField(kInvalid, "sequence_lengths[1]"));
  EXPECT_THAT(sample(2, {1, 1, 1}, umbrellas, &none), IsBadField(kInvalid, "sequence_lengths"));
  EXPECT_THAT(sample(0, {}, umbrellas, &none), IsBadField(kInvalid, "num_rows"));
  v1::FitRequest mixture = FaithfulFit(2);
  mixture.mutable_fit()->set_model_id("geyser");
  Fit(mixture);
  EXPECT_THAT(sample(0, {3}, "models/geyser", &none), IsBadField(kInvalid, "sequence_lengths"));
}

TEST_F(SequenceServiceTest, AnExportedModelComesBackBitForBit) {
  v1::FitRequest request = Earthquakes(3);
  request.mutable_fit()->mutable_sequences()->set_column("era");
  v1::HiddenMarkovSpec& hmm = *request.mutable_fit()->mutable_model()->mutable_hidden_markov();
  hmm.set_transitions(v1::TRANSITION_PATTERN_LEFT_RIGHT);
  hmm.set_stickiness(2);
  Fit(request);
  v1::ModelVersion imported;
  const grpc::Status status = Import("copy", Export("models/earthquakes"), &imported);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const v1::ModelVersion original = Get("models/earthquakes");
  EXPECT_EQ(imported.parameters().SerializeAsString(), original.parameters().SerializeAsString());
  EXPECT_EQ(imported.spec().SerializeAsString(), original.spec().SerializeAsString());
  // Transitions back are none.
  EXPECT_EQ(original.parameters().arrays(1).tensor().values(3), 0);

  // An update goes on from it, with its own cut.
  v1::FitRequest update = Earthquakes(3);
  *update.mutable_fit()->mutable_model() = request.fit().model();
  update.mutable_fit()->clear_model_id();
  update.mutable_fit()->mutable_sequences()->set_column("era");
  update.mutable_fit()->mutable_start()->set_model("models/copy");
  update.mutable_fit()->mutable_update()->set_weight(50);
  EXPECT_EQ(Fit(update).fit_result().model_version(), "models/copy/versions/2");
}

TEST_F(SequenceServiceTest, SequencesToDrawAreAsManyAsTheirRowsFit) {
  ServerOptions options = TestOptions();
  options.max_message_bytes = 1 << 20;
  StartServer(options);
  MakeUmbrellas("umbrellas");
  v1::SampleRequest request;
  request.set_model("models/umbrellas");
  for (int i = 0; i < 100'000; ++i) request.add_sequence_lengths(1);
  grpc::ClientContext context;
  v1::SampleResponse response;
  const grpc::Status status = client_->predictions->Sample(&context, request, &response);
  EXPECT_THAT(status, IsBadField(kInvalid, "sequence_lengths"));
  EXPECT_THAT(status, IsStatus(kInvalid, "got 100000 of them, must be at most 61440"));
}

// Whoever writes a file can seal what he likes.
TEST_F(SequenceServiceTest, ForgedChainsAreRefusedWithTheField) {
  MakeUmbrellas("umbrellas");
  const v1::ModelVersion genuine = Unsealed(Export("models/umbrellas"));
  const auto refused = [&](const char* field, auto edit) {
    v1::ModelVersion forged = genuine;
    edit(forged, *forged.mutable_spec()->mutable_model()->mutable_hidden_markov());
    v1::ModelVersion version;
    EXPECT_THAT(Import("forged", Sealed(forged), &version), IsStatus(kInvalid, field));
  };
  const auto set = [](v1::ModelVersion& version, int array, int element, double value) {
    version.mutable_parameters()->mutable_arrays(array)->mutable_tensor()->set_values(element,
                                                                                      value);
  };
  refused("parameters.initial", [&](auto& v, auto&) { set(v, 0, 0, 0.75); });
  refused("parameters.transitions", [&](auto& v, auto&) { set(v, 1, 2, std::nan("")); });
  refused("parameters", [](auto&, auto& hmm) { hmm.set_num_states(3); });
  refused("model_version.spec.model.hidden_markov.num_states",
          [](auto&, auto& hmm) { hmm.set_num_states(0); });
  refused("model_version.spec.model.hidden_markov.allowed_transitions",
          [](auto&, auto& hmm) { hmm.add_allowed_transitions(true); });
  refused("model_version.spec.model.hidden_markov.initial", [](auto&, auto& hmm) {
    hmm.set_transitions(v1::TRANSITION_PATTERN_LEFT_RIGHT);
    hmm.set_initial(v1::INITIAL_DISTRIBUTION_STATIONARY);
  });
  refused("model_version.spec.model.hidden_markov.max_duration", [](auto&, auto& hmm) {
    hmm.set_durations(v1::DURATION_KIND_FREE);
    hmm.set_max_duration(2'147'483'647);
  });
  // Nothing is made of as many states as a file claims before their parameters are there.
  for (const auto pattern : {v1::TRANSITION_PATTERN_FULL, v1::TRANSITION_PATTERN_STEPWISE}) {
    for (const int num_states : {100'000'000, 2'147'483'647}) {
      refused("model_version.", [&](auto& v, auto& hmm) {
        hmm.set_num_states(num_states);
        hmm.set_transitions(pattern);
        v.set_num_rows(int64_t{1} << 62);
      });
    }
  }
}

}  // namespace
}  // namespace emserve::server
