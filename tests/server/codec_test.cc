// The codec without a network: sequences, outputs, parameters, reports and predictions. What goes
// out comes back the same, what cannot be is refused.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "server/codec/outputs.h"
#include "server/codec/parameters.h"
#include "server/codec/prediction.h"
#include "server/codec/report.h"
#include "server/codec/sequences.h"
#include "tests/server/chain_versions.h"
#include "tests/server/codec_cases.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

TEST(CodecTest, SequencesAreAColumnOrLengths) {
  v1::SequenceSpec spec;
  EXPECT_THAT(DecodeSequences(spec, "fit.sequences"),
              FailsWith(StatusCode::kInvalidArgument, "fit.sequences: got neither"));
  spec.set_column("day");
  spec.add_weights(2);
  const SequenceSource by_column = DecodeSequences(spec, "s").value();
  EXPECT_EQ(by_column.column, "day");
  EXPECT_EQ(by_column.weights, std::vector<double>{2});
  EXPECT_THAT(DecodeUnweightedSequences(spec, "s"),
              FailsWith(StatusCode::kInvalidArgument, "s.weights: got 1 weights"));
  spec.clear_weights();
  for (const int64_t length : {3, 4}) spec.mutable_lengths()->add_lengths(length);
  const SequenceSource by_length = DecodeUnweightedSequences(spec, "s").value();
  EXPECT_FALSE(by_length.column.has_value());
  EXPECT_EQ(by_length.lengths, (std::vector<int64_t>{3, 4}));
}

// Every output has a field of its own, and options go with theirs.
TEST(CodecTest, OutputsComeWithTheirOptions) {
  const google::protobuf::EnumDescriptor& all = *v1::PredictionOutput_descriptor();
  PredictionOutputs none;
  EXPECT_FALSE(none.any());
  for (int i = 0; i < all.value_count(); ++i) {
    v1::PredictSpec spec;
    spec.add_outputs(static_cast<v1::PredictionOutput>(all.value(i)->number()));
    const auto outputs = DecodeOutputs(NamedOutputs::Of(spec), "job.predict.");
    if (all.value(i)->number() == 0) {
      EXPECT_THAT(outputs, FailsWith(StatusCode::kInvalidArgument, "job.predict.outputs[0]: got"));
      continue;
    }
    ASSERT_TRUE(outputs.ok()) << all.value(i)->name() << outputs.status();
    EXPECT_TRUE(outputs->any()) << all.value(i)->name();
    EXPECT_EQ(outputs->labels, i == 1) << all.value(i)->name();
  }
  v1::PredictSpec spec;
  EXPECT_TRUE(DecodeOutputs(NamedOutputs::Of(spec), "").value().labels);
  spec.set_forecast_horizon(3);
  EXPECT_THAT(DecodeOutputs(NamedOutputs::Of(spec), "job.predict."),
              FailsWith(StatusCode::kInvalidArgument,
                        "job.predict.forecast_horizon: got 3 without FORECASTS"));
  spec.add_outputs(v1::PREDICTION_OUTPUT_FORECASTS);
  EXPECT_EQ(DecodeOutputs(NamedOutputs::Of(spec), "").value().forecast_horizon, 3);
  spec.set_num_paths(4);
  EXPECT_THAT(DecodeOutputs(NamedOutputs::Of(spec), ""),
              FailsWith(StatusCode::kInvalidArgument, "num_paths: got 4 without BEST_PATHS"));
  spec.add_outputs(v1::PREDICTION_OUTPUT_BEST_PATHS);
  EXPECT_EQ(DecodeOutputs(NamedOutputs::Of(spec), "").value().num_paths, 4);
}

TEST(CodecTest, ParametersComeBackBitForBitInAnyOrder) {
  Layout layout;
  layout.Add("weights", {2});
  layout.Add("means", {2, 1});
  layout.Add("covariances", {2, 1, 1});
  const std::vector<double> theta = {0.1, -0.0, 5e-324, 1.7976931348623157e308, 1.0 / 3, 1e-17};
  v1::Parameters parameters;
  EncodeParameters(theta, layout, parameters);
  parameters.mutable_arrays()->SwapElements(0, 2);
  const absl::StatusOr<std::vector<double>> back =
      DecodeParameters(Sent(parameters), layout, "start.parameters");
  ASSERT_THAT(back, IsOk());
  ASSERT_EQ(back->size(), theta.size());
  for (size_t i = 0; i < theta.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint64_t>((*back)[i]), std::bit_cast<uint64_t>(theta[i])) << i;
  }

  const auto refused = [&](const char* text, auto spoil) {
    v1::Parameters bad = parameters;
    spoil(bad);
    EXPECT_THAT(DecodeParameters(bad, layout, "p"), FailsWith(StatusCode::kInvalidArgument, text));
  };
  refused("p.arrays: got 2 arrays", [](auto& p) { p.mutable_arrays()->RemoveLast(); });
  refused("p.arrays[1].name: got \"mean\"", [](auto& p) { p.mutable_arrays(1)->set_name("mean"); });
  refused("p.arrays[2].name: got \"weights\" again",
          [](auto& p) { *p.mutable_arrays(1) = p.arrays(2); });
  refused("p.arrays[1].tensor.shape: got [2]",
          [](auto& p) { p.mutable_arrays(1)->mutable_tensor()->mutable_shape()->RemoveLast(); });
  refused("means",
          [](auto& p) { p.mutable_arrays(1)->mutable_tensor()->mutable_values()->RemoveLast(); });
}

TEST(CodecTest, ReportsComeBackTheSame) {
  FitReport report;
  report.objective = -10.5;
  report.log_likelihood = -10;
  report.log_prior = -0.5;
  report.best = {.restart = 1,
                 .status = absl::OkStatus(),
                 .termination = Termination::kTimeBudget,
                 .message = "time",
                 .objective = -10.5,
                 .iterations = 12,
                 .evaluations = 14};
  report.total_iterations = 30;
  report.total_evaluations = 40;
  report.past = {2.5, 3};
  report.criteria = {.degrees_of_freedom = 5,
                     .num_observations = 7,
                     .num_sequences = 4,
                     .aic = 1,
                     .bic = 2,
                     .icl = 3,
                     .entropy = 0.5,
                     .relative_entropy = 0.75,
                     .separation = {0.875, 1}};
  report.repairs = {{.reason = kVarianceFloored, .component = -1, .amount = 0.25}};
  report.restarts = {RestartOutcome(), report.best};
  report.restarts[0].status = absl::FailedPreconditionError("why");
  report.optima = {{-10.5, 1, 1, false}, {-11, 2, 0, true}};
  v1::FitReport wire;
  EncodeReport(report, wire);
  FitReport back;
  ASSERT_THAT(DecodeReport(Sent(wire), "report", back), IsOk());
  v1::FitReport again;
  EncodeReport(back, again);
  EXPECT_EQ(again.SerializeAsString(), wire.SerializeAsString()) << again.DebugString();
  EXPECT_EQ(back.best.termination, Termination::kTimeBudget);
  EXPECT_EQ(back.restarts[0].status.message(), "why");
  EXPECT_EQ(back.repairs[0].component, -1);
  EXPECT_EQ(back.criteria.icl, 3);
  EXPECT_EQ(back.criteria.entropy, 0.5);
  EXPECT_EQ(back.criteria.relative_entropy, 0.75);
  EXPECT_EQ(back.criteria.separation, (std::vector<double>{0.875, 1}));
  EXPECT_EQ(back.best.evaluations, 14);
  EXPECT_EQ(back.restarts[1].evaluations, 14);
  EXPECT_EQ(back.total_evaluations, 40);
  EXPECT_EQ(back.past.num_observations, 2.5);
  EXPECT_EQ(back.past.num_sequences, 3);
  EXPECT_EQ(back.criteria.num_sequences, 4);
  EXPECT_FALSE(back.optima[0].degenerate);
  EXPECT_TRUE(back.optima[1].degenerate);

  // Without a likelihood there are no criteria, and none come back as 0.
  FitReport of_kmeans = report;
  of_kmeans.criteria = {.degrees_of_freedom = 5,
                        .num_observations = 7,
                        .aic = {},
                        .bic = {},
                        .icl = {},
                        .entropy = {},
                        .relative_entropy = {},
                        .separation = {}};
  v1::FitReport wire_of_kmeans;
  EncodeReport(of_kmeans, wire_of_kmeans);
  FitReport back_of_kmeans;
  ASSERT_THAT(DecodeReport(Sent(wire_of_kmeans), "report", back_of_kmeans), IsOk());
  EXPECT_EQ(back_of_kmeans.criteria.num_observations, 7);
  EXPECT_FALSE(back_of_kmeans.criteria.bic.has_value());
  EXPECT_FALSE(back_of_kmeans.criteria.entropy.has_value());

  const auto refused = [&](const char* text, auto spoil) {
    v1::FitReport bad = wire;
    spoil(bad);
    FitReport out;
    EXPECT_THAT(DecodeReport(bad, "report", out), FailsWith(StatusCode::kInvalidArgument, text));
  };
  refused("report.message: got 2000 bytes", [](auto& r) { r.set_message(std::string(2000, 'x')); });
  refused("report.repairs.reason",
          [](auto& r) { r.mutable_repairs(0)->set_reason(std::string(2000, 'x')); });
  refused("report.restarts[1].termination",
          [](auto& r) { r.mutable_restarts(1)->set_termination(v1::TERMINATION_UNSPECIFIED); });
  refused("report.total_evaluations", [](auto& r) { r.set_total_evaluations(-1); });
  refused("report.criteria.separation",
          [](auto& r) { r.mutable_criteria()->set_separation(0, HUGE_VAL); });
  refused("report.past_observations: got -1", [](auto& r) { r.set_past_observations(-1); });
  refused("report.past_observations: got inf", [](auto& r) { r.set_past_observations(HUGE_VAL); });
  refused("report.past_sequences: got -1", [](auto& r) { r.set_past_sequences(-1); });
  refused("report.criteria.num_sequences: got -1",
          [](auto& r) { r.mutable_criteria()->set_num_sequences(-1); });
  refused("report.optima.count", [](auto& r) { r.mutable_optima(0)->set_count(-1); });
}

// gRPC's own threads must not be held up by a model with few parameters but much that is hidden.
TEST(PredictionCodecTest, OnlyAFewCheapRowsAreQuick) {
  const auto with_durations = [](int max_duration) {
    return VersionOf(HmmOptions{.num_states = 2,
                                .emission = PoissonOptions{},
                                .durations = DurationKind::kPoisson,
                                .max_duration = max_duration},
                     {0.5, 0.5, 0, 1, 1, 0, 3, 4, 2, 9});
  };
  v1::PredictRequest request;
  request.mutable_table()->add_values(1);
  EXPECT_TRUE(IsQuick(Umbrellas(), request));
  EXPECT_TRUE(IsQuick(with_durations(100), request));
  EXPECT_FALSE(IsQuick(with_durations(20'000), request));
  while (request.table().values_size() < 512) request.mutable_table()->add_values(1);
  EXPECT_TRUE(IsQuick(Umbrellas(), request));
  EXPECT_TRUE(IsQuick(TwoClusterVersion(), request));
  EXPECT_FALSE(IsQuick(with_durations(200), request));
  request.mutable_table()->add_values(1);
  EXPECT_FALSE(IsQuick(Umbrellas(), request));
  request.mutable_table()->mutable_values()->Truncate(1);
  request.set_forecast_horizon(1);
  EXPECT_FALSE(IsQuick(Umbrellas(), request));
  request.Clear();
  for (int i = 0; i < 2000; ++i) request.add_outputs(v1::PREDICTION_OUTPUT_LABELS);
  EXPECT_FALSE(IsQuick(Umbrellas(), request));
}

}  // namespace
}  // namespace emserve::server
