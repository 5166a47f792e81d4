// Specifications of fits: every way to search comes back the same, unknown ones are refused.
#include "server/codec/fit_spec.h"

#include <cstdint>
#include <limits>

#include "tests/server/codec_cases.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

TEST(CodecTest, ACompletedFitSpecRepeatsTheFit) {
  FitOptions options;
  options.seed = std::numeric_limits<uint64_t>::max();
  options.restarts = 3;
  options.start = StartMethod::kShortRuns;
  options.short_runs = 4;
  options.short_iterations = 5;
  options.max_iterations = int64_t{1} << 50;
  options.relative_tolerance = 1e-300;
  options.absolute_tolerance = 0.1;
  options.parameter_tolerance = 0.2;
  options.aitken_tolerance = 0.3;
  options.algorithm = Algorithm::kStepwiseEm;
  options.stochastic_iterations = 6;
  options.initial_inverse_temperature = 0.25;
  options.temperature_growth = 1.75;
  options.stepwise_epochs = 7;
  options.stepwise_batch_rows = 8;
  options.stepwise_exponent = 0.875;
  options.stepwise_delay = 9;
  options.acceleration = Acceleration::kAnderson;
  options.anderson_depth = 10;
  options.collapse = CollapsePolicy::kDrop;
  options.max_respawns = 11;
  v1::FitSpec spec;
  CompleteFitSpec(MixtureOptions{2, GaussianOptions{}}, options, spec);
  EXPECT_EQ(spec.storage(), v1::STORAGE_FLOAT64);
  const absl::StatusOr<FitOptions> back = DecodeFitOptions(Sent(spec), "fit");
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->seed, options.seed);
  EXPECT_EQ(back->restarts, options.restarts);
  EXPECT_EQ(back->start, options.start);
  EXPECT_EQ(back->short_runs, options.short_runs);
  EXPECT_EQ(back->short_iterations, options.short_iterations);
  EXPECT_EQ(back->max_iterations, options.max_iterations);
  EXPECT_EQ(back->relative_tolerance, options.relative_tolerance);
  EXPECT_EQ(back->absolute_tolerance, options.absolute_tolerance);
  EXPECT_EQ(back->parameter_tolerance, options.parameter_tolerance);
  EXPECT_EQ(back->aitken_tolerance, options.aitken_tolerance);
  EXPECT_EQ(back->algorithm, options.algorithm);
  EXPECT_EQ(back->stochastic_iterations, options.stochastic_iterations);
  EXPECT_EQ(back->initial_inverse_temperature, options.initial_inverse_temperature);
  EXPECT_EQ(back->temperature_growth, options.temperature_growth);
  EXPECT_EQ(back->stepwise_epochs, options.stepwise_epochs);
  EXPECT_EQ(back->stepwise_batch_rows, options.stepwise_batch_rows);
  EXPECT_EQ(back->stepwise_exponent, options.stepwise_exponent);
  EXPECT_EQ(back->stepwise_delay, options.stepwise_delay);
  EXPECT_EQ(back->acceleration, options.acceleration);
  EXPECT_EQ(back->anderson_depth, options.anderson_depth);
  EXPECT_EQ(back->collapse, options.collapse);
  EXPECT_EQ(back->max_respawns, options.max_respawns);
}

// What stands for core's values on the wire, unspecified for what is no value of the field: a
// switch, so that a value more in core does not compile before it has its place here.
v1::StartMethod WireOf(StartMethod start) {
  switch (start) {
    case StartMethod::kAuto:
      return v1::START_METHOD_AUTO;
    case StartMethod::kKMeansPlusPlus:
      return v1::START_METHOD_KMEANS_PLUS_PLUS;
    case StartMethod::kRandomRows:
      return v1::START_METHOD_RANDOM_ROWS;
    case StartMethod::kKMeans:
      return v1::START_METHOD_KMEANS;
    case StartMethod::kKMeansParallel:
      return v1::START_METHOD_KMEANS_PARALLEL;
    case StartMethod::kRandomResponsibilities:
      return v1::START_METHOD_RANDOM_RESPONSIBILITIES;
    case StartMethod::kShortRuns:
      return v1::START_METHOD_SHORT_RUNS;
    case StartMethod::kAgglomerative:
      return v1::START_METHOD_AGGLOMERATIVE;
    case StartMethod::kResponsibilities:
    case StartMethod::kGiven:
      break;
  }
  return v1::START_METHOD_UNSPECIFIED;
}
v1::Algorithm WireOf(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEm:
      return v1::ALGORITHM_EM;
    case Algorithm::kClassificationEm:
      return v1::ALGORITHM_CLASSIFICATION_EM;
    case Algorithm::kStochasticEm:
      return v1::ALGORITHM_STOCHASTIC_EM;
    case Algorithm::kAnnealedEm:
      return v1::ALGORITHM_ANNEALED_EM;
    case Algorithm::kStepwiseEm:
      return v1::ALGORITHM_STEPWISE_EM;
  }
  return v1::ALGORITHM_UNSPECIFIED;
}
v1::Acceleration WireOf(Acceleration acceleration) {
  switch (acceleration) {
    case Acceleration::kNone:
      return v1::ACCELERATION_NONE;
    case Acceleration::kSquarem:
      return v1::ACCELERATION_SQUAREM;
    case Acceleration::kAnderson:
      return v1::ACCELERATION_ANDERSON;
  }
  return v1::ACCELERATION_UNSPECIFIED;
}
v1::CollapsePolicy WireOf(CollapsePolicy policy) {
  switch (policy) {
    case CollapsePolicy::kRidge:
      return v1::COLLAPSE_POLICY_RIDGE;
    case CollapsePolicy::kFail:
      return v1::COLLAPSE_POLICY_FAIL;
    case CollapsePolicy::kRespawn:
      return v1::COLLAPSE_POLICY_RESPAWN;
    case CollapsePolicy::kDrop:
      return v1::COLLAPSE_POLICY_DROP;
  }
  return v1::COLLAPSE_POLICY_UNSPECIFIED;
}

// Calls `with` for every value of an enum on the wire but the unspecified one.
template <typename Wire, typename With>
void ForEach(With with) {
  const google::protobuf::EnumDescriptor& type = *google::protobuf::GetEnumDescriptor<Wire>();
  ASSERT_GT(type.value_count(), 1);
  for (int i = 0; i < type.value_count(); ++i) {
    const int number = type.value(i)->number();
    if (number != 0) with(static_cast<Wire>(number));
  }
}

// Every value on the wire is one of core's of the same name, and comes back from there.
TEST(CodecTest, EveryWayToStartClimbAndCollapseComesBack) {
  const auto decoded = [](const v1::FitSpec& spec) {
    const absl::StatusOr<FitOptions> options = DecodeFitOptions(spec, "fit");
    EXPECT_THAT(options, IsOk());
    return options.value_or(FitOptions());
  };
  const auto back = [](const FitOptions& options) {
    v1::FitSpec spec;
    CompleteFitSpec(MixtureOptions{2, GaussianOptions{}}, options, spec);
    return spec;
  };
  ForEach<v1::StartMethod>([&](v1::StartMethod wire) {
    v1::FitSpec spec;
    spec.mutable_start()->set_method(wire);
    const FitOptions options = decoded(spec);
    EXPECT_EQ(WireOf(options.start), wire);
    EXPECT_EQ(back(options).start().method(), wire);
  });
  ForEach<v1::Algorithm>([&](v1::Algorithm wire) {
    v1::FitSpec spec;
    spec.mutable_variant()->set_algorithm(wire);
    const FitOptions options = decoded(spec);
    EXPECT_EQ(WireOf(options.algorithm), wire);
    EXPECT_EQ(back(options).variant().algorithm(), wire);
  });
  ForEach<v1::Acceleration>([&](v1::Acceleration wire) {
    v1::FitSpec spec;
    spec.set_acceleration(wire);
    const FitOptions options = decoded(spec);
    EXPECT_EQ(WireOf(options.acceleration), wire);
    EXPECT_EQ(back(options).acceleration(), wire);
  });
  ForEach<v1::CollapsePolicy>([&](v1::CollapsePolicy wire) {
    v1::FitSpec spec;
    spec.set_collapse(wire);
    const FitOptions options = decoded(spec);
    EXPECT_EQ(WireOf(options.collapse), wire);
    EXPECT_EQ(back(options).collapse(), wire);
  });
}

TEST(CodecTest, StartsFromColumnsAreGivenStarts) {
  v1::FitSpec spec;
  spec.mutable_start()->mutable_responsibility_columns();
  EXPECT_THAT(DecodeFitOptions(spec, "fit"),
              FailsWith(StatusCode::kInvalidArgument,
                        "fit.start.responsibility_columns.columns: got none"));
  spec.mutable_start()->mutable_responsibility_columns()->add_columns("p");
  const FitOptions options = DecodeFitOptions(spec, "fit").value();
  EXPECT_EQ(options.start, StartMethod::kResponsibilities);
  EXPECT_EQ(options.restarts, 1);
  spec.set_restarts(2);
  EXPECT_THAT(DecodeFitOptions(spec, "fit"),
              FailsWith(StatusCode::kInvalidArgument, "fit.restarts: got 2"));
  // A stored specification keeps where it started.
  spec.set_restarts(1);
  CompleteFitSpec(MixtureOptions{2, GaussianOptions{}}, options, spec);
  EXPECT_EQ(spec.start().responsibility_columns().columns(0), "p");
}

TEST(CodecTest, UnknownChoicesAreRefusedByTheirField) {
  const auto refused = [](const char* text, auto spoil) {
    v1::FitSpec spec;
    spoil(spec);
    const absl::StatusOr<Storage> storage = DecodeStorage(spec, "fit");
    EXPECT_THAT(storage.ok() ? DecodeFitOptions(spec, "fit").status() : storage.status(),
                FailsWith(StatusCode::kInvalidArgument, text));
  };
  refused("fit.variant.algorithm: got 99",
          [](auto& s) { s.mutable_variant()->set_algorithm(static_cast<v1::Algorithm>(99)); });
  refused("fit.acceleration: got 99",
          [](auto& s) { s.set_acceleration(static_cast<v1::Acceleration>(99)); });
  refused("fit.collapse: got 99",
          [](auto& s) { s.set_collapse(static_cast<v1::CollapsePolicy>(99)); });
  refused("fit.storage: got 99", [](auto& s) { s.set_storage(static_cast<v1::Storage>(99)); });
}

}  // namespace
}  // namespace emserve::server
