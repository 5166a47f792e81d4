// Requests for fits and sweeps: their candidates, the specifications that versions keep, what is
// refused.
#include "server/codec/fit_request.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tests/server/codec_cases.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

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

}  // namespace
}  // namespace emserve::server
