// The codec without a network: what goes out comes back the same, what cannot be is refused.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/codec/fit_request.h"
#include "server/codec/fit_spec.h"
#include "server/codec/model_spec.h"
#include "server/codec/outputs.h"
#include "server/codec/parameters.h"
#include "server/codec/prediction.h"
#include "server/codec/report.h"
#include "server/codec/sequences.h"
#include "tests/server/chain_versions.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

// Every option of every emission with a value that is no default.
std::vector<EmissionOptions> Emissions() {
  const NormalInverseWishart prior{
      .mean = {1, 2}, .shrinkage = 0.5, .degrees_of_freedom = 7.5, .scale = {1, 0.25, 0.25, 2}};
  GammaOptions gamma;
  gamma.ridge = 1e-3;
  gamma.prior = {.observations = 2, .mean = 3, .shape = 4};
  LogNormalOptions log_normal;
  log_normal.ridge = 1e-3;
  log_normal.prior = {.mean = -1, .observations = 2, .shape = 3, .scale = 4};
  return {
      GaussianOptions{.covariance = Covariance::kVEV, .ridge = 1.0 / 3, .prior = prior},
      StudentTOptions{.covariance = Covariance::kTied,
                      .ridge = 1e-3,
                      .estimate_degrees_of_freedom = false,
                      .shared_degrees_of_freedom = true,
                      .degrees_of_freedom = 4.5,
                      .minimum_degrees_of_freedom = 2,
                      .maximum_degrees_of_freedom = 200,
                      .prior = prior},
      BernoulliOptions{.alpha = 2, .beta = 3},
      CategoricalOptions{.first = {1, -5}, .num_levels = {3, 4}, .concentration = 1.5},
      MultinomialOptions{.concentration = 1.5, .trials = 20},
      PoissonOptions{.prior = {.shape = 2, .rate = 3}},
      NegativeBinomialOptions{.mean_prior = {.shape = 2, .rate = 3},
                              .dispersion_prior = {.shape = 4, .rate = 5}},
      ExponentialOptions{.ridge = 1e-3, .prior = {.shape = 2, .rate = 3}},
      gamma,
      log_normal,
      VonMisesFisherOptions{
          .shared_concentration = true, .prior_mean = {0.6, 0.8}, .prior_strength = 2},
      ProductOptions{{{"a", 2, GaussianOptions{.ridge = 0.25, .prior = prior}},
                      {"b", 1, PoissonOptions{.prior = {.shape = 2, .rate = 3}}}}},
  };
}

// Through bytes, as on the wire.
template <typename Message>
Message Sent(const Message& message) {
  Message received;
  EXPECT_TRUE(received.ParseFromString(message.SerializeAsString()));
  return received;
}

// What the options say, as bytes that are the same for the same options.
std::string Told(const ModelOptions& options) {
  v1::ModelSpec spec;
  EncodeModelSpec(options, spec);
  return spec.SerializeAsString();
}

// Completed with the columns of a product's parts, which are no options.
v1::FitSpec SpecOf(const ModelOptions& options) {
  v1::FitSpec spec;
  for (const char* name : {"x", "y", "z"}) spec.add_columns(name);
  CompleteModel(options, spec);
  return spec;
}

TEST(CodecTest, ModelSpecsComeBackTheSame) {
  ASSERT_EQ(Emissions().size(), std::variant_size_v<EmissionOptions>);
  for (const EmissionOptions& emission : Emissions()) {
    MixtureOptions options{.num_components = 7, .emission = emission};
    options.noise = true;
    options.weight_concentration = 1.25;
    options.constraints.fixed = {{"means", {0, 3}, {1.5, -2}}};
    options.constraints.tied = {{"weights", {}}};
    const absl::StatusOr<ModelOptions> back = DecodeModelSpec(Sent(SpecOf(options).model()), "m");
    ASSERT_THAT(back, IsOk());
    EXPECT_EQ(Told(*back), Told(options));
    EXPECT_TRUE(SameStructure(options, *back));
    const auto& mixture = std::get<MixtureOptions>(*back);
    EXPECT_EQ(mixture.num_components, 7);
    EXPECT_TRUE(mixture.noise);
    EXPECT_EQ(mixture.weight_concentration, 1.25);
    EXPECT_EQ(mixture.constraints.fixed.at(0).values, (std::vector<double>{1.5, -2}));
    EXPECT_EQ(mixture.constraints.tied.at(0).array, "weights");
    // Every option has a value of its own, so that one that is forgotten shows.
    EXPECT_NE(Told(MixtureOptions{7, EmissionOptions()}), Told(options));
  }
  KMeansOptions kmeans{.num_components = 3, .spherical = true};
  kmeans.constraints.fixed = {{"centres", {0}, {1}}};
  const ModelOptions back = DecodeModelSpec(Sent(SpecOf(kmeans).model()), "m").value();
  EXPECT_EQ(std::get<KMeansOptions>(back).num_components, 3);
  EXPECT_TRUE(std::get<KMeansOptions>(back).spherical);
  EXPECT_EQ(Told(back), Told(kmeans));
}

// Every field of `message` is set, and of the messages in it; of a oneof one is.
void ExpectFull(const google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  for (int f = 0; f < type.field_count(); ++f) {
    const google::protobuf::FieldDescriptor* const field = type.field(f);
    if (field->is_repeated()) {
      EXPECT_GT(reflection.FieldSize(message, field), 0) << field->full_name();
      if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        ExpectFull(reflection.GetRepeatedMessage(message, field, i));
      }
      continue;
    }
    const google::protobuf::OneofDescriptor* const choice = field->real_containing_oneof();
    if (choice != nullptr) {
      EXPECT_TRUE(reflection.HasOneof(message, choice)) << choice->full_name();
    } else {
      EXPECT_TRUE(reflection.HasField(message, field)) << field->full_name();
    }
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE &&
        reflection.HasField(message, field)) {
      ExpectFull(reflection.GetMessage(message, field));
    }
  }
}

// No field of an emission is lost on the way: what is set on the wire is on the wire again.
TEST(CodecTest, EveryFieldOfEveryEmissionIsTranslated) {
  for (const EmissionOptions& emission : Emissions()) {
    ExpectFull(SpecOf(MixtureOptions{7, emission}).model().mixture().emission());
  }
}

// Every option of a hidden Markov model with a value that is no default.
HmmOptions HiddenMarkov(const EmissionOptions& emission) {
  HmmOptions options{.num_states = 2, .emission = emission};
  options.initial = InitialDistribution::kStationary;
  options.transitions = TransitionPattern::kLeftRight;
  options.allowed_transitions = {1, 0, 1, 1};
  options.initial_concentration = 1.5;
  options.transition_concentration = 2.5;
  options.stickiness = 10;
  options.durations = DurationKind::kNegativeBinomial;
  options.max_duration = 20;
  options.duration_concentration = 3.5;
  options.constraints.fixed = {{"transitions", {0, 3}, {0.5, 0.25}}};
  options.constraints.tied = {{"initial", {0, 1}}};
  return options;
}

TEST(CodecTest, HiddenMarkovSpecsComeBackTheSame) {
  for (const EmissionOptions& emission : Emissions()) {
    const HmmOptions options = HiddenMarkov(emission);
    const v1::FitSpec spec = SpecOf(options);
    ExpectFull(spec.model().hidden_markov());
    const absl::StatusOr<ModelOptions> back = DecodeModelSpec(Sent(spec.model()), "m");
    ASSERT_THAT(back, IsOk());
    EXPECT_EQ(Told(*back), Told(options));
    const auto& hmm = std::get<HmmOptions>(*back);
    EXPECT_EQ(hmm.allowed_transitions, options.allowed_transitions);
    EXPECT_EQ(hmm.stickiness, 10);
    EXPECT_NE(Told(HmmOptions{.num_states = 2, .emission = emission}), Told(options));
  }
  for (const TransitionPattern pattern :
       {TransitionPattern::kFull, TransitionPattern::kLeftRight, TransitionPattern::kStepwise}) {
    v1::ModelSpec spec;
    HmmOptions options{.num_states = 2, .emission = PoissonOptions{}, .transitions = pattern};
    EncodeModelSpec(options, spec);
    EXPECT_NE(spec.hidden_markov().transitions(), v1::TRANSITION_PATTERN_UNSPECIFIED);
    const ModelOptions back = DecodeModelSpec(spec, "m").value();
    EXPECT_EQ(std::get<HmmOptions>(back).transitions, pattern);
  }
  v1::ModelSpec spec;
  v1::HiddenMarkovSpec& hmm = *spec.mutable_hidden_markov();
  const auto refused = [&spec](const char* text) {
    EXPECT_THAT(DecodeModelSpec(spec, "m"), FailsWith(StatusCode::kInvalidArgument, text));
  };
  refused("m.hidden_markov.emission: got none");
  hmm.mutable_emission()->mutable_poisson();
  const ModelOptions defaults = DecodeModelSpec(spec, "m").value();
  EXPECT_EQ(Told(defaults), Told(HmmOptions{.num_states = 1, .emission = PoissonOptions{}}));
  hmm.set_durations(static_cast<v1::DurationKind>(99));
  refused("m.hidden_markov.durations: got 99");
  hmm.set_transitions(static_cast<v1::TransitionPattern>(99));
  refused("m.hidden_markov.transitions: got 99");
  hmm.set_initial(static_cast<v1::InitialDistribution>(99));
  refused("m.hidden_markov.initial: got 99");
}

TEST(CodecTest, EveryCovarianceStructureHasAName) {
  for (const CovarianceInfo& info : CovarianceStructures()) {
    const ModelOptions options = MixtureOptions{2, GaussianOptions{.covariance = info.covariance}};
    v1::ModelSpec spec;
    EncodeModelSpec(options, spec);
    EXPECT_NE(spec.mixture().emission().gaussian().covariance(), v1::COVARIANCE_UNSPECIFIED)
        << info.name;
    EXPECT_TRUE(SameStructure(DecodeModelSpec(Sent(spec), "m").value(), options)) << info.name;
  }
}

TEST(CodecTest, FieldsOfOptionsHaveTheirPathsInTheSpecification) {
  const ModelOptions product = MixtureOptions{2, Emissions().back()};
  EXPECT_EQ(ModelSpecField(product, "num_components"), "mixture.num_components");
  EXPECT_EQ(ModelSpecField(product, "noise"), "mixture.noise");
  EXPECT_EQ(ModelSpecField(product, "constraints.fixed[0].array"),
            "mixture.constraints.fixed[0].array");
  EXPECT_EQ(ModelSpecField(product, "emission.parts[1].name"),
            "mixture.emission.product.parts[1].name");
  EXPECT_EQ(ModelSpecField(product, "emission.parts[1].emission.prior.shape"),
            "mixture.emission.product.parts[1].emission.poisson.prior.shape");
  EXPECT_EQ(ModelSpecField(MixtureOptions{2, StudentTOptions{}}, "emission.prior.scale"),
            "mixture.emission.student_t.prior.scale");
  const ModelOptions hmm = HiddenMarkov(Emissions().back());
  EXPECT_EQ(ModelSpecField(hmm, "num_states"), "hidden_markov.num_states");
  EXPECT_EQ(ModelSpecField(hmm, "allowed_transitions"), "hidden_markov.allowed_transitions");
  EXPECT_EQ(ModelSpecField(hmm, "emission.parts[1].emission.prior.shape"),
            "hidden_markov.emission.product.parts[1].emission.poisson.prior.shape");
  EXPECT_EQ(ModelSpecField(hmm, "num_components"), "");
  EXPECT_EQ(ModelSpecField(KMeansOptions{}, "constraints"), "kmeans.constraints");
  EXPECT_EQ(ModelSpecField(KMeansOptions{}, "columns[x]"), "");
  EXPECT_EQ(ModelSpecField(KMeansOptions{}, "nonsense"), "");
}

TEST(CodecTest, BadProductsAreRefusedByTheirPart) {
  v1::FitSpec good = SpecOf(MixtureOptions{2, Emissions().back()});
  const auto refused = [&](const char* text, auto spoil) {
    v1::ModelSpec spec = good.model();
    spoil(*spec.mutable_mixture()->mutable_emission()->mutable_product());
    EXPECT_THAT(DecodeModelSpec(spec, "m"), FailsWith(StatusCode::kInvalidArgument, text));
  };
  refused("m.mixture.emission.product.parts[1].columns: got none",
          [](auto& p) { p.mutable_parts(1)->clear_columns(); });
  refused("m.mixture.emission.product.parts[1].columns[0]: got \"y\" a second time",
          [](auto& p) { p.mutable_parts(1)->set_columns(0, "y"); });
  refused("m.mixture.emission.product.parts[0].emission: got none",
          [](auto& p) { p.mutable_parts(0)->clear_emission(); });
  refused("m.mixture.emission.product.parts[0].emission: got a product",
          [](auto& p) { p.mutable_parts(0)->mutable_emission()->mutable_product(); });
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

// A sweep over inline data with two numbers of components.
v1::SweepSpec TwoNumbers() {
  v1::SweepSpec spec;
  v1::MixtureSpec& mixture = *spec.mutable_base()->mutable_model()->mutable_mixture();
  mixture.mutable_emission()->mutable_gaussian();
  spec.add_num_components(2);
  spec.add_num_components(5);
  return spec;
}

absl::StatusOr<SweepRequest> Decoded(const v1::SweepSpec& spec) {
  const auto kept = std::make_shared<const v1::SweepSpec>(spec);
  auto table = std::make_shared<v1::InlineTable>();
  for (int i = 0; i < 6; ++i) table->add_values(i);
  for (const char* name : {"x", "y", "z"}) table->add_columns(name);
  return DecodeSweepRequest(kept, {table.get(), table, 1 << 20}, "sweep");
}

TEST(CodecTest, ASweepTriesAllCombinationsAndKnowsWhereTheyComeFrom) {
  v1::SweepSpec spec = TwoNumbers();
  spec.add_covariances(v1::COVARIANCE_TIED);
  spec.add_covariances(v1::COVARIANCE_EEV);
  spec.add_emissions()->mutable_gaussian();
  spec.add_emissions()->mutable_poisson();
  spec.set_criterion(v1::SWEEP_CRITERION_ICL);
  spec.mutable_base()->set_seed(7);
  const absl::StatusOr<SweepRequest> sweep = Decoded(spec);
  ASSERT_THAT(sweep, IsOk());
  EXPECT_EQ(sweep->criterion, SweepCriterion::kIcl);
  EXPECT_EQ(sweep->base.options.seed, 7u);
  std::vector<std::string> tried;
  for (size_t i = 0; i < sweep->num_candidates; ++i) {
    const SweepCandidate candidate = sweep->candidate(i).value();
    const auto& mixture = std::get<MixtureOptions>(candidate.model);
    const auto* gaussian = std::get_if<GaussianOptions>(&mixture.emission);
    tried.push_back(std::to_string(mixture.num_components) +
                    (gaussian == nullptr                         ? "p"
                     : gaussian->covariance == Covariance::kTied ? "t"
                                                                 : "e"));
    EXPECT_EQ(candidate.emission, gaussian == nullptr ? 1 : 0);
  }
  EXPECT_EQ(tried, (std::vector<std::string>{"2t", "5t", "2e", "5e", "2p", "5p"}));
  EXPECT_EQ(sweep->path(3, "model.mixture.num_components"), "num_components[1]");
  EXPECT_EQ(sweep->path(3, "model.mixture.emission.gaussian.covariance"), "covariances[1]");
  EXPECT_EQ(sweep->path(5, "model.mixture.emission.poisson.prior.shape"),
            "emissions[1].poisson.prior.shape");
  EXPECT_EQ(sweep->path(5, "restarts"), "base.restarts");
  EXPECT_EQ(sweep->model_field(5, "emission.prior.shape"), "mixture.emission.poisson.prior.shape");
  // The version keeps the specification of the candidate that it is.
  const ModelOptions fourth = sweep->candidate(3).value().model;
  v1::FitSpec kept;
  ASSERT_TRUE(
      kept.ParseFromString(sweep->base.respecify(sweep->base.spec, {fourth, "", std::nullopt})));
  EXPECT_EQ(kept.model().mixture().num_components(), 5);
  EXPECT_EQ(kept.model().mixture().emission().gaussian().covariance(), v1::COVARIANCE_EEV);
  EXPECT_EQ(kept.seed(), 7u);
}

TEST(CodecTest, ASweepOverStatesIsOneOverComponents) {
  v1::SweepSpec spec;
  v1::HiddenMarkovSpec& hmm = *spec.mutable_base()->mutable_model()->mutable_hidden_markov();
  hmm.set_stickiness(3);
  for (const int number : {2, 3}) spec.add_num_components(number);
  spec.add_covariances(v1::COVARIANCE_TIED);
  spec.add_emissions()->mutable_gaussian();
  spec.add_emissions()->mutable_poisson();
  const absl::StatusOr<SweepRequest> sweep = Decoded(spec);
  ASSERT_THAT(sweep, IsOk());
  ASSERT_EQ(sweep->num_candidates, 4u);
  for (size_t i = 0; i < 4; ++i) {
    const ModelOptions model = sweep->candidate(i).value().model;
    const auto& states = std::get<HmmOptions>(model);
    EXPECT_EQ(states.num_states, i % 2 == 0 ? 2 : 3);
    EXPECT_EQ(states.stickiness, 3);
    EXPECT_EQ(std::holds_alternative<GaussianOptions>(states.emission), i < 2);
  }
  EXPECT_EQ(sweep->path(3, "model.hidden_markov.num_states"), "num_components[1]");
  EXPECT_EQ(sweep->path(0, "model.hidden_markov.emission.gaussian.covariance"), "covariances[0]");
  EXPECT_EQ(sweep->path(3, "model.hidden_markov.emission.poisson.prior.shape"),
            "emissions[1].poisson.prior.shape");
  EXPECT_EQ(sweep->path(3, "model.hidden_markov.stickiness"),
            "base.model.hidden_markov.stickiness");
}

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

// What all candidates share is decoded for each of them.
TEST(CodecTest, ASweepOfTooLargeModelsIsRefused) {
  v1::SweepSpec spec = TwoNumbers();
  v1::FixedElements& fixed =
      *spec.mutable_base()->mutable_model()->mutable_mixture()->mutable_constraints()->add_fixed();
  fixed.set_array("means");
  for (int i = 0; i < 200'000; ++i) fixed.add_values(0.5);
  EXPECT_THAT(Decoded(spec), IsOk());
  for (int k = 10; k < 310; ++k) spec.add_num_components(k);
  EXPECT_THAT(Decoded(spec), FailsWith(StatusCode::kInvalidArgument, "sweep.base.model: got 48"));
  spec.mutable_base()->mutable_model()->mutable_mixture()->clear_constraints();
  EXPECT_THAT(Decoded(spec), IsOk());
  v1::NormalInverseWishart& prior = *spec.add_emissions()->mutable_gaussian()->mutable_prior();
  for (int i = 0; i < 200'000; ++i) prior.add_scale(0.5);
  EXPECT_THAT(Decoded(spec), FailsWith(StatusCode::kInvalidArgument, "sweep.emissions: got 48"));
}

// Requests keep their message, which all paths are decoded from.
TEST(CodecTest, ARequestCountsWhatItsOptionsHold) {
  v1::SweepSpec spec = TwoNumbers();
  v1::FixedElements& fixed =
      *spec.mutable_base()->mutable_model()->mutable_mixture()->mutable_constraints()->add_fixed();
  fixed.set_array("means");
  for (int i = 0; i < 100'000; ++i) fixed.add_values(0.5);
  EXPECT_GE(Decoded(spec)->base.options_bytes, 800'000);
  spec.mutable_base()->set_dataset("datasets/d");
  const auto fit = std::make_shared<const v1::FitSpec>(spec.base());
  EXPECT_GE(DecodeFitRequest(fit, {nullptr, fit, 1 << 20}, "fit")->options_bytes, 2 * 800'000);
}

TEST(CodecTest, ACriterionThatIsNotNamedIsLeftOpen) {
  v1::SweepSpec spec = TwoNumbers();
  EXPECT_FALSE(Decoded(spec)->criterion.has_value());
  spec.set_criterion(v1::SWEEP_CRITERION_BIC);
  EXPECT_EQ(Decoded(spec)->criterion, SweepCriterion::kBic);
}

TEST(CodecTest, AVersionsSpecificationNamesTheVersionAndWhatItCountedFor) {
  v1::FitSpec spec = SpecOf(MixtureOptions{2, GaussianOptions{}});
  spec.mutable_start()->set_model("models/m@good");
  spec.mutable_update();
  const auto kept = std::make_shared<const v1::FitSpec>(spec);
  auto table = std::make_shared<v1::InlineTable>();
  for (int i = 0; i < 6; ++i) table->add_values(i);
  for (const char* name : {"x", "y", "z"}) table->add_columns(name);
  const FitRequest fit = DecodeFitRequest(kept, {table.get(), table, 1 << 20}, "fit").value();
  v1::FitSpec made;
  ASSERT_TRUE(
      made.ParseFromString(fit.respecify(fit.spec, {fit.model, "models/m/versions/3", 272})));
  EXPECT_EQ(made.start().model(), "models/m/versions/3");
  EXPECT_EQ(made.update().weight(), 272);
}

TEST(CodecTest, BadSweepsAreRefusedByTheirField) {
  const auto refused = [](const char* text, auto spoil) {
    v1::SweepSpec spec = TwoNumbers();
    spoil(spec);
    EXPECT_THAT(Decoded(spec), FailsWith(StatusCode::kInvalidArgument, text));
  };
  refused("sweep.num_components[1]: got 2 a second time",
          [](auto& s) { s.set_num_components(1, 2); });
  refused("sweep.covariances[0]: got 0",
          [](auto& s) { s.add_covariances(v1::COVARIANCE_UNSPECIFIED); });
  refused("sweep.covariances[0]: got 77",
          [](auto& s) { s.add_covariances(static_cast<v1::Covariance>(77)); });
  refused("sweep.covariances: got some, must be absent", [](auto& s) {
    s.add_covariances(v1::COVARIANCE_TIED);
    s.add_emissions()->mutable_poisson();
  });
  refused("sweep.emissions[1]: got none", [](auto& s) {
    s.add_emissions()->mutable_poisson();
    s.add_emissions();
  });
  refused("sweep.emissions[0].gaussian.covariance: got 77", [](auto& s) {
    s.add_emissions()->mutable_gaussian()->set_covariance(static_cast<v1::Covariance>(77));
  });
  refused("sweep.emissions: got some with kmeans", [](auto& s) {
    s.mutable_base()->mutable_model()->mutable_kmeans();
    s.add_emissions()->mutable_poisson();
  });
  refused("sweep.base.model: got none", [](auto& s) {
    s.clear_base();
    s.clear_num_components();
  });
  refused("sweep.base.restarts: got 2", [](auto& s) {
    s.mutable_base()->mutable_start()->set_model("models/m");
    s.mutable_base()->set_restarts(2);
  });
  refused("sweep.criterion: got 99",
          [](auto& s) { s.set_criterion(static_cast<v1::SweepCriterion>(99)); });
  refused("sweep.num_components: got more than 1000 candidates", [](auto& s) {
    for (int k = 10; k < 200; ++k) s.add_num_components(k);
    for (int c = 1; c <= 6; ++c) s.add_covariances(static_cast<v1::Covariance>(c));
  });
  refused("sweep.num_components: got 1102 entries", [](auto& s) {
    for (int k = 10; k < 1110; ++k) s.add_num_components(k);
  });
}

TEST(CodecTest, AProductModelsTheColumnsOfItsParts) {
  v1::FitSpec spec = SpecOf(MixtureOptions{1, Emissions().back()});
  const auto decoded = [](const v1::FitSpec& fit) {
    const auto kept = std::make_shared<const v1::FitSpec>(fit);
    auto table = std::make_shared<v1::InlineTable>();
    for (int i = 0; i < 6; ++i) table->add_values(i);
    for (const char* name : {"z", "y", "x"}) table->add_columns(name);
    return DecodeFitRequest(kept, {table.get(), table, 1 << 20}, "fit");
  };
  spec.clear_columns();
  const absl::StatusOr<FitRequest> fit = decoded(spec);
  ASSERT_THAT(fit, IsOk());
  EXPECT_THAT(fit->source.columns, ::testing::ElementsAre("x", "y", "z"));
  v1::FitSpec kept;
  ASSERT_TRUE(kept.ParseFromString(fit->respecify(fit->spec, {fit->model, "", std::nullopt})));
  EXPECT_EQ(kept.model().mixture().emission().product().parts(0).columns(1), "y");
  EXPECT_EQ(kept.model().mixture().emission().product().parts(1).columns(0), "z");
  for (const char* name : {"z", "x", "y"}) spec.add_columns(name);
  EXPECT_THAT(decoded(spec)->source.columns, ::testing::ElementsAre("x", "y", "z"));
  spec.set_columns(0, "x");
  EXPECT_THAT(decoded(spec), FailsWith(StatusCode::kInvalidArgument, "fit.columns: got others"));
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
  report.past_observations = 2.5;
  report.criteria = {.degrees_of_freedom = 5,
                     .num_observations = 7,
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
  EXPECT_EQ(back.past_observations, 2.5);
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
}

}  // namespace
}  // namespace emserve::server
