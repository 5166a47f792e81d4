// The codec without a network: what goes out comes back the same, what cannot be is refused.
#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "server/codec/fit_spec.h"
#include "server/codec/model_spec.h"
#include "server/codec/parameters.h"
#include "server/codec/report.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

constexpr Covariance kCovariances[] = {Covariance::kFull,      Covariance::kTied,
                                       Covariance::kDiagonal,  Covariance::kTiedDiagonal,
                                       Covariance::kSpherical, Covariance::kTiedSpherical};

// Through bytes, as on the wire.
template <typename Message>
Message Sent(const Message& message) {
  Message received;
  EXPECT_TRUE(received.ParseFromString(message.SerializeAsString()));
  return received;
}

TEST(CodecTest, ModelSpecsComeBackTheSame) {
  for (const Covariance covariance : kCovariances) {
    const ModelOptions options =
        MixtureOptions{7, GaussianOptions{.covariance = covariance, .ridge = 1.0 / 3}};
    v1::ModelSpec spec;
    EncodeModelSpec(options, spec);
    const absl::StatusOr<ModelOptions> back = DecodeModelSpec(Sent(spec), "model");
    ASSERT_THAT(back, IsOk());
    const auto& mixture = std::get<MixtureOptions>(*back);
    const auto& gaussian = std::get<GaussianOptions>(mixture.emission);
    EXPECT_EQ(mixture.num_components, 7);
    EXPECT_EQ(gaussian.covariance, covariance);
    EXPECT_EQ(gaussian.ridge, 1.0 / 3);
    EXPECT_TRUE(SameStructure(options, *back));
  }
}

TEST(CodecTest, AnEmptySpecHasTheDefaultsOfCore) {
  v1::ModelSpec spec;
  spec.mutable_mixture()->mutable_emission()->mutable_gaussian();
  const ModelOptions options = DecodeModelSpec(spec, "model").value();
  const auto& gaussian = std::get<GaussianOptions>(std::get<MixtureOptions>(options).emission);
  EXPECT_EQ(gaussian.covariance, GaussianOptions().covariance);
  EXPECT_EQ(gaussian.ridge, GaussianOptions().ridge);
  const FitOptions fit = DecodeFitOptions(v1::FitSpec(), "fit").value();
  EXPECT_EQ(fit.restarts, FitOptions().restarts);
  EXPECT_EQ(fit.max_iterations, FitOptions().max_iterations);
  EXPECT_EQ(fit.relative_tolerance, FitOptions().relative_tolerance);
}

TEST(CodecTest, SpecsWithoutAChoiceOrWithAnUnknownOneAreRefused) {
  v1::ModelSpec spec;
  EXPECT_THAT(DecodeModelSpec(spec, "model"), FailsWith(StatusCode::kInvalidArgument, "model: "));
  spec.mutable_mixture();
  EXPECT_THAT(DecodeModelSpec(spec, "model"),
              FailsWith(StatusCode::kInvalidArgument, "model.mixture.emission: "));
  spec.mutable_mixture()->mutable_emission()->mutable_gaussian()->set_covariance(
      static_cast<v1::Covariance>(99));
  EXPECT_THAT(DecodeModelSpec(spec, "model"),
              FailsWith(StatusCode::kInvalidArgument,
                        "model.mixture.emission.gaussian.covariance: got 99"));
  v1::FitSpec fit;
  fit.mutable_start()->set_method(static_cast<v1::StartMethod>(99));
  EXPECT_THAT(DecodeFitOptions(fit, "fit"),
              FailsWith(StatusCode::kInvalidArgument, "fit.start.method: got 99"));
}

TEST(CodecTest, ACompletedFitSpecRepeatsTheFit) {
  FitOptions options;
  options.seed = std::numeric_limits<uint64_t>::max();
  options.restarts = 3;
  options.start = StartMethod::kRandomRows;
  options.max_iterations = int64_t{1} << 50;
  options.relative_tolerance = 1e-300;
  options.absolute_tolerance = 0.1;
  v1::FitSpec spec;
  CompleteFitSpec(MixtureOptions{2, GaussianOptions{}}, options, spec);
  const absl::StatusOr<FitOptions> back = DecodeFitOptions(Sent(spec), "fit");
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->seed, options.seed);
  EXPECT_EQ(back->restarts, options.restarts);
  EXPECT_EQ(back->start, options.start);
  EXPECT_EQ(back->max_iterations, options.max_iterations);
  EXPECT_EQ(back->relative_tolerance, options.relative_tolerance);
  EXPECT_EQ(back->absolute_tolerance, options.absolute_tolerance);
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
                 .iterations = 12};
  report.total_iterations = 30;
  report.criteria = {.degrees_of_freedom = 5, .num_observations = 7, .aic = 1, .bic = 2, .icl = 3};
  report.repairs = {{.reason = kVarianceFloored, .component = -1, .amount = 0.25}};
  report.restarts = {RestartOutcome(), report.best};
  report.restarts[0].status = absl::FailedPreconditionError("why");
  report.optima = {{-10.5, 1, 1}};
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
  refused("report.optima.count", [](auto& r) { r.mutable_optima(0)->set_count(-1); });
}

}  // namespace
}  // namespace emserve::server
