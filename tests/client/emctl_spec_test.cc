// The words of options and the fields they stand for.
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "client/emctl/constraints.h"
#include "client/emctl/field_options.h"
#include "client/emctl/fit_request.h"
#include "client/emctl/set_field.h"
#include "client/emctl/spec_options.h"
#include "client/emctl/words.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace emserve::emctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Words, CompleteAndReduceResourceNames) {
  EXPECT_EQ(ResourceName("models", "geyser@prod"), "models/geyser@prod");
  EXPECT_EQ(ResourceName("models", "models/geyser"), "models/geyser");
  EXPECT_EQ(ResourceId("models", "models/geyser"), "geyser");
  EXPECT_EQ(ResourceId("models", "geyser"), "geyser");
  EXPECT_TRUE(NamesVersion("models/m@a"));
  EXPECT_TRUE(NamesVersion("models/m/versions/3"));
  EXPECT_FALSE(NamesVersion("models/m"));
}

TEST(Words, NameEnumValuesWithoutTheirPrefix) {
  EXPECT_EQ(StateWord(v1::JOB_STATE_CANCELLING), "cancelling");
  EXPECT_EQ(EnumWord(*v1::Termination_descriptor(), v1::TERMINATION_ITERATION_LIMIT),
            "iteration_limit");
  EXPECT_EQ(EnumWord(*v1::Termination_descriptor(), 0), "");
  EXPECT_EQ(EnumWord(*v1::Termination_descriptor(), 99), "99");
}

TEST(Words, KnowCovariancesByOurNamesAndMclusts) {
  EXPECT_EQ(ParseCovariance("full"), v1::COVARIANCE_FULL);
  EXPECT_EQ(ParseCovariance("tied_diagonal"), v1::COVARIANCE_TIED_DIAGONAL);
  EXPECT_EQ(ParseCovariance("EEI"), v1::COVARIANCE_TIED_DIAGONAL);
  EXPECT_EQ(ParseCovariance("EII"), v1::COVARIANCE_TIED_SPHERICAL);
  EXPECT_EQ(ParseCovariance("vev"), v1::COVARIANCE_VEV);
  EXPECT_EQ(ParseCovariance("XYZ"), std::nullopt);
  EXPECT_EQ(CovarianceWord(v1::COVARIANCE_EVE), "EVE");
  EXPECT_EQ(CovarianceWords().size(), static_cast<size_t>(v1::Covariance_MAX));
}

TEST(Words, NameEnumValuesInOptions) {
  EXPECT_EQ(ParseEnumWord(*v1::StartMethod_descriptor(), "KMEANS++"),
            v1::START_METHOD_KMEANS_PLUS_PLUS);
  EXPECT_EQ(ParseEnumWord(*v1::StartMethod_descriptor(), "random_rows"),
            v1::START_METHOD_RANDOM_ROWS);
  EXPECT_EQ(ParseEnumWord(*v1::Algorithm_descriptor(), "em"), v1::ALGORITHM_EM);
  EXPECT_EQ(ParseEnumWord(*v1::Algorithm_descriptor(), "stepwise"), v1::ALGORITHM_STEPWISE_EM);
  EXPECT_EQ(ParseEnumWord(*v1::Algorithm_descriptor(), "stepwise-em"), v1::ALGORITHM_STEPWISE_EM);
  EXPECT_EQ(ParseEnumWord(*v1::PredictionOutput_descriptor(), "imputed-variances"),
            v1::PREDICTION_OUTPUT_IMPUTED_VARIANCES);
  EXPECT_EQ(ParseEnumWord(*v1::Algorithm_descriptor(), "unspecified"), std::nullopt);
}

TEST(SpecOptions, SetFieldsThatThereAre) {
  for (const SpecOption& option : FitSpecOptions()) {
    EXPECT_TRUE(HasField(*v1::FitSpec::descriptor(), option.field)) << option.name;
  }
  std::set<std::string_view> names;
  for (const FamilyCommand& family : FamilyCommands()) {
    EXPECT_TRUE(names.insert(family.name).second);
    EXPECT_TRUE(HasField(*v1::ModelSpec::descriptor(), family.message)) << family.name;
    const auto expect_fields = [](std::string_view message, std::span<const SpecOption> options) {
      for (const SpecOption& option : options) {
        const std::string path = std::string(message) + "." + std::string(option.field);
        EXPECT_TRUE(HasField(*v1::ModelSpec::descriptor(), path)) << path;
      }
    };
    expect_fields(family.structure, family.structure_options);
    expect_fields(family.message, family.options);
  }
  // Every emission of rows and of sequences, and k-means.
  const int num_emissions = v1::EmissionSpec::descriptor()->oneof_decl(0)->field_count();
  EXPECT_EQ(names.size(), size_t(2 * num_emissions + 1));
  for (const SpecOption& option : SequenceOptions()) {
    EXPECT_TRUE(HasField(*v1::SequenceSpec::descriptor(), option.field)) << option.name;
  }
  for (const SpecOption& option : SequenceOptions().first(kNumCuts)) {
    EXPECT_NE(option.field, "weights");
  }
}

TEST(SpecOptions, KnowTheFamilyOfASpecification) {
  v1::ModelSpec spec;
  EXPECT_EQ(FindFamily(spec), nullptr);
  for (const FamilyCommand& family : FamilyCommands()) {
    v1::ModelSpec of_family;
    SetField(of_family, family.message, "");
    EXPECT_EQ(FindFamily(of_family), &family) << family.name;
    EXPECT_EQ(family.sequential(), of_family.has_hidden_markov()) << family.name;
  }
  EXPECT_EQ(FindEmission("student_t")->name, "student-t-mixture");
}

// The transitions that there are of three states, row by row, or why not.
std::string Transitions(const std::string& pattern, std::vector<std::string> allow,
                        std::vector<std::string> forbid) {
  FitOptions options;
  options.data = "data.csv";
  options.allow_transitions = std::move(allow);
  options.forbid_transitions = std::move(forbid);
  for (const FamilyCommand& family : FamilyCommands()) {
    if (family.name == "poisson-hmm") options.family = &family;
  }
  SetField(options.spec, "model.hidden_markov.num_states", "3");
  if (!pattern.empty()) SetField(options.spec, "model.hidden_markov.transitions", pattern);
  const absl::StatusOr<v1::FitSpec> spec = SpecOf(options);
  if (!spec.ok()) return std::string(spec.status().message());
  std::string text;
  for (const bool allowed : spec->model().hidden_markov().allowed_transitions()) {
    text += allowed ? '1' : '0';
  }
  return text;
}

TEST(SpecOf, AddsTransitionsToThoseOfThePatternAndTakesThemAway) {
  EXPECT_EQ(Transitions("", {}, {}), "");
  EXPECT_EQ(Transitions("left-right", {}, {}), "");
  EXPECT_EQ(Transitions("", {}, {"0,2"}), "110111111");
  EXPECT_EQ(Transitions("stepwise", {"2,0"}, {}), "110011101");
  EXPECT_EQ(Transitions("left-right", {"1,0"}, {"0,2", "2,2"}), "110111000");
  EXPECT_THAT(Transitions("", {"0,1"}, {}), StartsWith("--allow-transition: got 0,1, must be with "
                                                       "--transitions left-right or stepwise"));
  EXPECT_THAT(Transitions("stepwise", {"0,1"}, {}),
              StartsWith("--allow-transition: got 0,1, must be a transition that there is not"));
  for (const char* word : {"0", "0,3", "-1,0", "a,b", "0,1,2", ""}) {
    EXPECT_THAT(Transitions("", {}, {word}), HasSubstr("each from 0 to 2")) << word;
  }
}

TEST(SetField, WritesEachKindOfField) {
  v1::FitSpec spec;
  EXPECT_EQ(SetField(spec, "restarts", "3"), "");
  EXPECT_EQ(SetField(spec, "columns", "a,\"b,c\""), "");
  EXPECT_EQ(SetField(spec, "stopping.time_budget", "1m"), "");
  EXPECT_EQ(SetField(spec, "start.responsibility_columns.columns", "r0,r1"), "");
  EXPECT_EQ(SetField(spec, "model.mixture.emission.gaussian.covariance", "vev"), "");
  EXPECT_EQ(SetField(spec, "model.mixture.emission.gaussian.prior", "true"), "");
  EXPECT_EQ(SetField(spec, "model.mixture.emission.gaussian.prior.mean", "1,-2.5"), "");
  EXPECT_EQ(SetField(spec, "model.mixture.noise", "true"), "");
  EXPECT_EQ(spec.restarts(), 3);
  EXPECT_EQ(spec.columns(1), "b,c");
  EXPECT_EQ(spec.stopping().time_budget().seconds(), 60);
  EXPECT_EQ(spec.start().responsibility_columns().columns_size(), 2);
  const v1::MixtureSpec& mixture = spec.model().mixture();
  EXPECT_EQ(mixture.emission().gaussian().covariance(), v1::COVARIANCE_VEV);
  EXPECT_EQ(mixture.emission().gaussian().prior().mean(1), -2.5);
  EXPECT_TRUE(mixture.noise());
  EXPECT_EQ(SetField(spec, "restarts", "x"), "an integer from -2147483648 to 2147483647");
  EXPECT_EQ(SetField(spec, "stopping.time_budget", "-1"),
            "a positive duration such as 90s, 5m or 1h30m");
  EXPECT_EQ(SetField(spec, "storage", "half"), "float64, float32");
}

TEST(AddConstraints, CountsElementsRowByRowAndTakesNames) {
  const std::map<std::string, ModelledColumns> blocks = {
      {"", {{"a", "b", "t"}, {{}, {}, {"blue", "red"}}, {0, 0, 2}}}, {"p", {{"b"}, {{}}, {0}}}};
  v1::Constraints constraints;
  ASSERT_TRUE(
      AddConstraints({"means[1,b]=2.5", "means[0,0]=-1", "weights=0.25,0.75", "p.rates[2,b]=3",
                      "covariances[1,2,0]=0", "probabilities_t[1,red]=0.5"},
                     {"weights[0]=weights[2]", "variances"}, blocks, constraints)
          .ok());
  ASSERT_EQ(constraints.fixed_size(), 5);
  EXPECT_EQ(constraints.fixed(0).array(), "means");
  EXPECT_THAT(constraints.fixed(0).elements(), ElementsAre(4, 0));
  EXPECT_THAT(constraints.fixed(0).values(), ElementsAre(2.5, -1));
  EXPECT_EQ(constraints.fixed(1).elements_size(), 0);
  EXPECT_THAT(constraints.fixed(1).values(), ElementsAre(0.25, 0.75));
  EXPECT_EQ(constraints.fixed(2).array(), "p.rates");
  EXPECT_THAT(constraints.fixed(2).elements(), ElementsAre(2));
  EXPECT_THAT(constraints.fixed(3).elements(), ElementsAre(9 + 6));
  EXPECT_EQ(constraints.fixed(4).array(), "probabilities_2");
  EXPECT_THAT(constraints.fixed(4).elements(), ElementsAre(3));
  EXPECT_THAT(constraints.tied(0).elements(), ElementsAre(0, 2));
  EXPECT_EQ(constraints.tied(1).elements_size(), 0);
}

TEST(AddConstraints, KnowsTransitionsFromStateToState) {
  ModelledColumns columns{{"a"}, {{}}, {0}};
  columns.widths = {{"transitions", {.size = 3, .option = "--states"}},
                    {"durations", {.size = 0, .option = "--max-duration"}}};
  const std::map<std::string, ModelledColumns> blocks = {{"", columns}};
  v1::Constraints constraints;
  ASSERT_TRUE(AddConstraints({"transitions[1,2]=0.5", "initial[2]=1", "rates[1,a]=3"},
                             {"transitions[0,0]=transitions[1,1]"}, blocks, constraints)
                  .ok());
  EXPECT_THAT(constraints.fixed(0).elements(), ElementsAre(5));
  EXPECT_THAT(constraints.fixed(1).elements(), ElementsAre(2));
  EXPECT_THAT(constraints.fixed(2).elements(), ElementsAre(1));
  EXPECT_THAT(constraints.tied(0).elements(), ElementsAre(0, 4));
  const auto refused = [&](const char* word) {
    return std::string(AddConstraints({word}, {}, blocks, constraints).message());
  };
  EXPECT_EQ(refused("transitions[0,3]=1"),
            "--fix: transitions[0,3]: got 3, must be an index from 0 to 2");
  EXPECT_THAT(refused("durations[0,1]=1"), HasSubstr("say --max-duration"));
}

TEST(AddConstraints, TakesCovariancesAsMatrices) {
  const std::map<std::string, ModelledColumns> blocks = {{"", {{"a", "b"}, {{}, {}}, {0, 0}}},
                                                         {"p", {{"b"}, {{}}, {0}}}};
  v1::Constraints constraints;
  ASSERT_TRUE(AddConstraints({"covariances[1]=2,0,0,3"},
                             {"covariances[0]=covariances[2]", "p.covariances[0]=p.covariances[1]"},
                             blocks, constraints)
                  .ok());
  EXPECT_THAT(constraints.fixed(0).elements(), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(constraints.fixed(0).values(), ElementsAre(2, 0, 0, 3));
  ASSERT_EQ(constraints.tied_size(), 5);
  EXPECT_THAT(constraints.tied(0).elements(), ElementsAre(0, 8));
  EXPECT_THAT(constraints.tied(3).elements(), ElementsAre(3, 11));
  EXPECT_THAT(constraints.tied(4).elements(), ElementsAre(0, 1));
  for (const char* word : {"covariances[0]=1", "covariances[0]=1,0,0"}) {
    EXPECT_FALSE(AddConstraints({word}, {}, blocks, constraints).ok()) << word;
  }
  EXPECT_FALSE(AddConstraints({}, {"covariances[0]=covariances[1,0,0]"}, blocks, constraints).ok());
}

TEST(Words, ReadDurations) {
  EXPECT_EQ(ParseSeconds("90"), absl::Seconds(90));
  EXPECT_EQ(ParseSeconds("1m30s"), absl::Seconds(90));
  EXPECT_EQ(ParseSeconds("0.5"), absl::Milliseconds(500));
  for (const char* text : {"", "0", "-1s", "nan", "inf", "1e300", "soon"}) {
    EXPECT_EQ(ParseSeconds(text), std::nullopt) << text;
  }
  EXPECT_EQ(ToProto(absl::Milliseconds(1500)).seconds(), 1);
  EXPECT_EQ(ToProto(absl::Milliseconds(1500)).nanos(), 500'000'000);
}

TEST(Words, ReadSeparators) {
  EXPECT_EQ(ParseSeparator("tab"), '\t');
  EXPECT_EQ(ParseSeparator("\\t"), '\t');
  EXPECT_EQ(ParseSeparator("\t"), '\t');
  EXPECT_EQ(ParseSeparator(";"), ';');
  EXPECT_EQ(ParseSeparator(" "), ' ');
  for (const char* word : {"", ";;", "\"", "a", "1", ".", "-", "\n"}) {
    EXPECT_EQ(ParseSeparator(word), std::nullopt) << word;
  }
}

TEST(InOptions, NamesTheOptionInThePlaceOfTheField) {
  const auto options = [](const char* message) { return InOptions(message); };
  EXPECT_EQ(options("job.fit.model.mixture.num_components: got 0, must be at least 1"),
            "-k/--components: got 0, must be at least 1");
  EXPECT_EQ(options("job.fit.model.mixture.emission.gaussian.ridge: got 3"), "--ridge: got 3");
  EXPECT_EQ(options("job.fit.model.hidden_markov.num_states: got 0"),
            "-k/--states/--components: got 0");
  EXPECT_EQ(options("job.fit.model.hidden_markov.emission.gaussian.ridge: got 3"),
            "--ridge: got 3");
  EXPECT_EQ(options("job.sweep.base.model.hidden_markov.stickiness: got -1"),
            "--stickiness: got -1");
  EXPECT_EQ(options("job.fit.model.hidden_markov.allowed_transitions: got none"),
            "--allow-transition/--forbid-transition: got none");
  EXPECT_EQ(options("job.fit.model.hidden_markov.constraints.fixed[1].elements[0]: got 9"),
            "--fix: got 9");
  EXPECT_EQ(options("job.fit.sequences: got neither"),
            "--sequence-column/--sequence-lengths: got neither");
  EXPECT_EQ(options("job.fit.sequences.column: got 1"), "--sequence-column: got 1");
  EXPECT_EQ(options("job.fit.sequences.lengths.lengths[3]: got 0"), "--sequence-lengths: got 0");
  EXPECT_EQ(options("job.fit.sequences.weights[0]: got -1"), "--sequence-weights: got -1");
  EXPECT_EQ(options("job.predict.sequences.lengths.lengths[3]: got 0"),
            "--sequence-lengths: got 0");
  EXPECT_EQ(options("job.predict.sequences.column: got 1"), "--sequence-column: got 1");
  EXPECT_EQ(options("sequences.lengths.lengths: got 0"), "--sequence-lengths: got 0");
  EXPECT_EQ(options("sequence_lengths[2]: got 0"), "--sequence-lengths: got 0");
  EXPECT_EQ(options("job.fit.model_id: got x"), "--model: got x");
  EXPECT_EQ(options("job.fit.model.mixture.emission.student_t.degrees_of_freedom: got 0"),
            "--degrees-of-freedom: got 0");
  EXPECT_EQ(options("job.fit.model.kmeans.num_components: got 0"), "-k/--components: got 0");
  EXPECT_EQ(options("job.fit.model.mixture.emission.gaussian.prior.scale: got 1"),
            "--prior-scale: got 1");
  EXPECT_EQ(options("job.fit.model.mixture.emission.product.parts[0].emission.gaussian.ridge: x"),
            "--part/--part-option: x");
  EXPECT_EQ(options("job.fit.model.mixture.constraints.fixed[1].elements[0]: got 9"),
            "--fix: got 9");
  EXPECT_EQ(options("job.fit.plausibility_columns[1]: got \"z\""), "--plausibilities: got \"z\"");
  EXPECT_EQ(options("job.fit.label_column: got \"z\""), "--label: got \"z\"");
  EXPECT_EQ(options("job.fit.variant.stepwise_exponent: got 2"), "--stepwise-exponent: got 2");
  EXPECT_EQ(options("job.sweep.base.stopping.aitken_tolerance: got -1"),
            "--aitken-tolerance: got -1");
  EXPECT_EQ(options("job.sweep.num_components[2]: got 0"), "--components: got 0");
  EXPECT_EQ(options("job.sweep.emissions[1].gaussian.ridge: got 2"), "--emissions: got 2");
  EXPECT_EQ(options("job.fit.columns[2]: got \"z\""), "--columns: got \"z\"");
  EXPECT_EQ(options("job.fit.columns[a b]: got inf in row 1, must be finite"),
            "column \"a b\": got inf in row 1, must be finite; rows count from 0");
  EXPECT_EQ(options("job.fit.sequences.column: got 1 again in row 3 after other sequences"),
            "--sequence-column: got 1 again in row 3 after other sequences; rows count from 0");
  EXPECT_EQ(options("job.fit.start.parameters.transitions[2]: got a sum of 1.1, must be 1"),
            "--start-from: transitions[2]: got a sum of 1.1, must be 1");
  EXPECT_EQ(options("job.fit.start.parameters: got none"), "--start-from: got none");
  EXPECT_EQ(options("job.predict.outputs[0]: got 9"), "--outputs: got 9");
  EXPECT_EQ(options("num_rows: got 0"), "-n/--rows: got 0");
  EXPECT_EQ(options("models/m: got 2 aliases; delete the aliases or use force"),
            "models/m: got 2 aliases; delete the aliases or use --force");
  EXPECT_EQ(options("h:1: the server there does not speak TLS; connect without TLS"),
            "h:1: the server there does not speak TLS; leave out --tls");
}

TEST(InOptions, LeavesEverythingElseAsItIs) {
  for (const char* message :
       {"", "job.fit.something_new: got 0", "job.fit.restarts", "job.fit.columns[a",
        "models/m: not found", "job.fit.restarts_more: got 1",
        "f.csv:3: column \"b\": is missing"}) {
    EXPECT_EQ(InOptions(message), message);
    EXPECT_EQ(FieldOf(message), "") << message;
  }
}

}  // namespace
}  // namespace emserve::emctl
