// Specifications of models: every option comes back the same, what cannot be is refused.
#include "server/codec/model_spec.h"

#include <string>
#include <variant>
#include <vector>

#include "server/codec/fit_spec.h"
#include "tests/server/codec_cases.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

// What the options say, as bytes that are the same for the same options.
std::string Told(const ModelOptions& options) {
  v1::ModelSpec spec;
  EncodeModelSpec(options, spec);
  return spec.SerializeAsString();
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

}  // namespace
}  // namespace emserve::server
