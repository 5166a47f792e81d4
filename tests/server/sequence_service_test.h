// What service tests of models of sequences share: models, requests and answers.
#ifndef EMSERVE_TESTS_SERVER_SEQUENCE_SERVICE_TEST_H_
#define EMSERVE_TESTS_SERVER_SEQUENCE_SERVICE_TEST_H_

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "tests/server/service_test.h"

namespace emserve::server {

class SequenceServiceTest : public ServiceTest {
 protected:
  // Counts of earthquakes with an era, 0 for the first 40 years, then 7.
  static v1::FitRequest Earthquakes(int num_states) {
    v1::FitRequest request;
    v1::HiddenMarkovSpec& hmm = *request.mutable_fit()->mutable_model()->mutable_hidden_markov();
    hmm.set_num_states(num_states);
    hmm.mutable_emission()->mutable_poisson();
    v1::InlineTable& table = *request.mutable_inline_data();
    for (const char* name : {"count", "era"}) table.add_columns(name);
    for (const std::vector<std::string>& row : emserve::testing::ReadCsv("earthquakes.csv")) {
      const bool early = table.values_size() < 2 * 40;
      table.add_values(std::strtod(row.at(1).c_str(), nullptr));
      table.add_values(early ? 0 : 7);
    }
    request.mutable_fit()->set_model_id("earthquakes");
    return request;
  }

  // The world of Russell & Norvig (2021), chapter 14, as a model of its own: state 0 is rain. With
  // a `max_duration` rain and sun take turns, each for a Poisson number of days.
  void MakeUmbrellas(const std::string& id, double umbrella_in_rain = 0.9, int max_duration = 0) {
    v1::FitRequest request;
    v1::FitSpec& fit = *request.mutable_fit();
    fit.set_model_id(id);
    v1::HiddenMarkovSpec& hmm = *fit.mutable_model()->mutable_hidden_markov();
    hmm.set_num_states(2);
    hmm.mutable_emission()->mutable_bernoulli();
    fit.mutable_stopping()->set_max_iterations(0);
    const auto start = [&](const char* name, std::vector<int64_t> shape,
                           const std::vector<double>& values) {
      v1::NamedTensor& array = *fit.mutable_start()->mutable_parameters()->add_arrays();
      array.set_name(name);
      array.mutable_tensor()->mutable_shape()->Assign(shape.begin(), shape.end());
      array.mutable_tensor()->mutable_values()->Assign(values.begin(), values.end());
    };
    start("initial", {2}, {0.5, 0.5});
    if (max_duration > 0) {
      hmm.set_durations(v1::DURATION_KIND_POISSON);
      hmm.set_max_duration(max_duration);
      start("transitions", {2, 2}, {0, 1, 1, 0});
      start("duration_rates", {2}, {3, 4});
    } else {
      start("transitions", {2, 2}, {0.7, 0.3, 0.3, 0.7});
    }
    start("probabilities", {2, 1}, {umbrella_in_rain, 0.2});
    v1::InlineTable& table = *request.mutable_inline_data();
    table.add_columns("umbrella");
    for (const double umbrella : {1, 1, 0, 1, 1}) table.add_values(umbrella);
    Fit(request);
  }

  // The status of a Fit that is refused.
  grpc::Status Refused(const v1::FitRequest& request) {
    grpc::ClientContext context;
    const auto reader = client_->jobs->Fit(&context, request);
    v1::FitResponse message;
    EXPECT_FALSE(reader->Read(&message)) << message.ShortDebugString();
    return reader->Finish();
  }

  grpc::Status Predict(const v1::PredictRequest& request, v1::PredictResponse* response) {
    grpc::ClientContext context;
    return client_->predictions->Predict(&context, request, response);
  }
};

using Outputs = std::map<std::string, std::vector<double>>;

// The arrays of an answer by name.
template <typename Answer>
Outputs OutputsOf(const Answer& answer) {
  Outputs outputs;
  for (const v1::NamedTensor& output : answer.outputs()) {
    const auto& values = output.tensor().values();
    outputs[output.name()] = {values.begin(), values.end()};
  }
  return outputs;
}

}  // namespace emserve::server

#endif  // EMSERVE_TESTS_SERVER_SEQUENCE_SERVICE_TEST_H_
