// Models, sweeps and capabilities as emctl prints them.
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/emctl/info.h"
#include "client/emctl/json.h"
#include "client/emctl/summary.h"
#include "client/emctl/sweep.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace emserve::emctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::ModelVersion Version() {
  v1::ModelVersion version;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(
        name: "models/geyser/versions/1"
        family: "gaussian_mixture"
        job: "jobs/j1"
        num_rows: 272
        columns { name: "eruptions" }
        columns { name: "waiting" }
        spec {
          seed: 18446744073709551615
          model {
            mixture {
              num_components: 2
              emission { gaussian { covariance: COVARIANCE_TIED_DIAGONAL } }
            }
          }
        }
        parameters {
          arrays {
            name: "weights"
            tensor { shape: 2 values: 0.25 values: 0.75 }
          }
          arrays {
            name: "means"
            tensor {
              shape: 2
              shape: 2
              values: 2.03639
              values: 54.4785
              values: 4.28966
              values: 79.9681
            }
          }
          arrays {
            name: "variances"
            tensor { shape: 2 values: 0.125 values: 33.5 }
          }
        }
        report {
          objective: -1130.25
          log_likelihood: -1130.25
          termination: TERMINATION_CONVERGED
          message: "change 1e-10 <= 1e-9 x 1131"
          iterations: 23
          total_iterations: 200
          restart: 3
          criteria {
            degrees_of_freedom: 7
            num_observations: 272
            aic: 2274.5
            bic: 2299.75
            icl: 2300.5
          }
          optima { objective: -1130.25 count: 8 first_restart: 0 }
          optima { objective: -1150 count: 2 first_restart: 5 }
          repairs { reason: "VARIANCE_FLOORED" component: 1 amount: 0.5 }
        }
      )pb",
      &version));
  return version;
}

v1::SweepResult Swept() {
  v1::SweepResult result;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(
        rows {
          candidate: 0
          num_components: 1
          covariance: COVARIANCE_VEV
          family: "gaussian_mixture"
          log_likelihood: -10.5
          degrees_of_freedom: 5
          aic: 31
          bic: 40
          icl: 40
          termination: TERMINATION_CONVERGED
        }
        rows {
          candidate: 1
          num_components: 2
          covariance: COVARIANCE_VEV
          family: "gaussian_mixture"
          error { code: 9 message: "too few rows" }
        }
        best: 0
        model_version: "models/m/versions/1"
      )pb",
      &result));
  return result;
}

// Two states of one column of counts.
v1::ModelVersion Chain(const std::string& spec, const std::string& parameters) {
  v1::ModelVersion version;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(absl::StrCat(R"(num_rows: 107
                      columns { name: "count" }
                      spec {
                        sequences { lengths { lengths: 50 lengths: 57 } }
                        model {
                          hidden_markov {
                            num_states: 2
                            emission { poisson {} }
                    )",
                                                                         spec, R"(} } } parameters {
                              arrays {
                                name: "initial"
                                tensor { shape: 2 values: 1 values: 0 }
                              }
                    )",
                                                                         parameters, "}"),
                                                            &version));
  return version;
}

// A figure of each of two states, as the server derives it.
void AddDerived(const char* name, double first, double second, v1::ModelVersion& version) {
  v1::NamedTensor& array = *version.add_derived();
  array.set_name(name);
  array.mutable_tensor()->add_shape(2);
  for (const double value : {first, second}) array.mutable_tensor()->add_values(value);
}

constexpr char kTransitions[] = R"(arrays {
                                     name: "transitions"
                                     tensor {
                                       shape: 2
                                       shape: 2
                                       values: 0.9
                                       values: 0.1
                                       values: 0.2
                                       values: 0.8
                                     }
                                   })";

TEST(Summary, ShowsHowStatesFollowEachOther) {
  v1::ModelVersion version = Chain("initial: INITIAL_DISTRIBUTION_STATIONARY", kTransitions);
  AddDerived("expected_durations", 10, 5, version);
  AddDerived("stationary", 2.0 / 3, 1.0 / 3, version);
  const std::string text = Summary(version, {});
  EXPECT_THAT(text, HasSubstr("Poisson hidden Markov model, stationary beginnings\n"));
  EXPECT_THAT(text, HasSubstr("107 rows of count, 2 sequences\n"));
  EXPECT_THAT(text, HasSubstr("state  initial  expected duration  stationary\n"
                              "    0        1                 10    0.666667\n"
                              "    1        0                  5    0.333333\n"));
  EXPECT_THAT(text, HasSubstr("transitions    0    1\n"
                              "0            0.9  0.1\n"
                              "1            0.2  0.8\n"));
  const Json document = FitDocument(version, {});
  EXPECT_EQ(document["expected_durations"], Json({10, 5}));
  EXPECT_NEAR(document["stationary"][0], 2.0 / 3, 1e-15);
}

TEST(Summary, ShowsDurationsOfSemiMarkovChains) {
  const v1::ModelVersion free =
      Chain("durations: DURATION_KIND_FREE max_duration: 3", absl::StrCat(kTransitions, R"(
              arrays {
                name: "durations"
                tensor {
                  shape: 2
                  shape: 3
                  values: 1
                  values: 0
                  values: 0
                  values: 0
                  values: 0
                  values: 1
                }
              })"));
  const std::string text = Summary(free, {});
  EXPECT_THAT(text, HasSubstr("hidden Markov model, free durations of at most 3\n"));
  EXPECT_THAT(text, HasSubstr("durations  1  2  3\n0          1  0  0\n"));
}

// Servers do not derive everything of every model.
TEST(Summary, ShowsWhatIsDerivedAndNoMore) {
  v1::ModelVersion version = Chain("", kTransitions);
  EXPECT_THAT(Summary(version, {}), Not(HasSubstr("stationary")));
  EXPECT_FALSE(FitDocument(version, {}).contains("stationary"));
  AddDerived("expected_durations", 10, std::numeric_limits<double>::infinity(), version);
  const std::string text = Summary(version, {});
  EXPECT_THAT(text, HasSubstr("state  initial  expected duration\n"));
  EXPECT_THAT(text, HasSubstr("    1        0                inf\n"));
  EXPECT_THAT(text, Not(HasSubstr("stationary")));
  const Json document = FitDocument(version, {});
  EXPECT_TRUE(document["stationary"].is_null());
  // As models get --json has them; null would be a number that there is not.
  EXPECT_EQ(document["expected_durations"], Json::array({10, "Infinity"}));
  EXPECT_EQ(ToJson(version)["derived"][0]["tensor"], document["expected_durations"]);
  version.mutable_report()->set_log_likelihood(-std::numeric_limits<double>::infinity());
  EXPECT_EQ(FitDocument(version, {})["log_likelihood"], "-Infinity");
}

TEST(SweepTable, ShowsEveryCandidateTheBestAndTheConvention) {
  const std::string text = SweepTable(Swept());
  EXPECT_THAT(text, HasSubstr("gaussian_mixture           1  VEV             -10.500000   5  "
                              "31.000000  40.000000  40.000000  best\n"));
  EXPECT_THAT(text, HasSubstr("failed: too few rows\n"));
  EXPECT_THAT(text, HasSubstr("smaller is better (R mclust's BIC and ICL are the negatives)"));
  EXPECT_THAT(text, HasSubstr("Best by BIC: candidate 0, models/m/versions/1\n"));
  EXPECT_THAT(CandidateLine(Swept().rows(0)),
              HasSubstr("1 component  VEV  log-likelihood -10.500000  BIC 40.000000"));
  EXPECT_THAT(CandidateLine(Swept().rows(1)), HasSubstr("failed: too few rows"));
}

TEST(SweepDocument, HoldsTheRowsAndTheFitOfTheBest) {
  v1::Job job;
  job.set_name("jobs/s");
  *job.mutable_sweep_result() = Swept();
  const Json document = SweepDocument(job, Version(), {});
  EXPECT_EQ(document["best"], 0);
  EXPECT_EQ(document["criterion"], "bic");
  EXPECT_EQ(document["rows"][0]["bic"], 40);
  EXPECT_EQ(document["rows"][0]["covariance"], "vev");
  EXPECT_EQ(document["rows"][1]["error"]["message"], "too few rows");
  EXPECT_EQ(document["fit"]["bic"], 2299.75);
}

TEST(CapabilityTable, MarksWhatEachFamilyCanDo) {
  v1::GetServerInfoResponse info;
  for (const char* name : {"a_mixture", "b_mixture"}) {
    v1::Family& family = *info.add_families();
    family.set_name(name);
    family.set_summary("One.");
    family.add_capabilities("row_weights");
    family.add_outputs("labels");
  }
  info.mutable_families(1)->add_capabilities("noise");
  const std::string text = CapabilityTable(info);
  EXPECT_THAT(text, HasSubstr("1  a_mixture  One.\n"));
  EXPECT_THAT(text, HasSubstr("row_weights        x  x\n"));
  EXPECT_THAT(text, HasSubstr("noise              -  x\n"));
  EXPECT_THAT(text, HasSubstr("labels             x  x\n"));
}

TEST(FitDocument, HoldsTheFiguresFlatAndParametersNested) {
  v1::WarningEvent warning;
  warning.set_reason("RESTART_FAILED");
  const Json document = FitDocument(Version(), {warning});
  EXPECT_EQ(document["log_likelihood"], -1130.25);
  EXPECT_EQ(document["bic"], 2299.75);
  EXPECT_EQ(document["aic"], 2274.5);
  EXPECT_EQ(document["icl"], 2300.5);
  EXPECT_EQ(document["degrees_of_freedom"], 7);
  EXPECT_EQ(document["termination"], "converged");
  EXPECT_EQ(document["message"], "change 1e-10 <= 1e-9 x 1131");
  EXPECT_EQ(document["iterations"], 23);
  EXPECT_EQ(document["restart"], 3);
  EXPECT_EQ(document["seed"], 18446744073709551615u);
  EXPECT_EQ(document["model"], "models/geyser/versions/1");
  EXPECT_EQ(document["job"], "jobs/j1");
  EXPECT_EQ(document["parameters"]["weights"].dump(), "[0.25,0.75]");
  EXPECT_EQ(document["parameters"]["means"].dump(), "[[2.03639,54.4785],[4.28966,79.9681]]");
  EXPECT_EQ(document["optima"][1]["count"], 2);
  EXPECT_EQ(document["repairs"][0]["reason"], "VARIANCE_FLOORED");
  EXPECT_EQ(document["warnings"][0]["reason"], "RESTART_FAILED");
}

TEST(Summary, ShowsFiguresTablesOptimaAndRepairs) {
  const std::string text = Summary(Version(), {});
  EXPECT_THAT(text, HasSubstr("Gaussian mixture, tied-diagonal covariance"));
  EXPECT_THAT(text, HasSubstr("272 rows of eruptions, waiting"));
  EXPECT_THAT(text, HasSubstr("converged after 23 iterations of restart 3"));
  EXPECT_THAT(text, HasSubstr("log-likelihood   -1130.250000"));
  EXPECT_THAT(text, HasSubstr("component  weights\n"
                              "        0     0.25\n"
                              "        1     0.75\n"));
  EXPECT_THAT(text, HasSubstr("means  eruptions  waiting\n"
                              "0        2.03639  54.4785\n"
                              "1        4.28966  79.9681\n"));
  // Two columns and two components: the shape alone would not tell which one this is.
  EXPECT_THAT(text, HasSubstr("variances  eruptions  waiting\n"
                              "all            0.125     33.5\n"));
  EXPECT_THAT(text, HasSubstr("-1130.250000         8\n"));
  EXPECT_THAT(text, HasSubstr("repair: VARIANCE_FLOORED, component 1, amount 0.5"));
}

v1::ModelVersion MixedVersion() {
  v1::ModelVersion version;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(
        name: "models/mixed/versions/1"
        num_rows: 9
        columns {
          name: "x"
          summary { observed: 0.75 }
        }
        columns { name: "y" }
        columns { name: "t" levels: "blue" levels: "red" kind: COLUMN_KIND_CATEGORICAL }
        spec {
          model {
            mixture {
              num_components: 2
              noise: true
              emission {
                product {
                  parts {
                    name: "size"
                    columns: "y"
                    columns: "x"
                    emission { gaussian { covariance: COVARIANCE_EVI } }
                  }
                  parts {
                    name: "kind"
                    columns: "t"
                    emission { categorical {} }
                  }
                }
              }
            }
          }
        }
        parameters {
          arrays {
            name: "weights"
            tensor { shape: 3 values: 0.25 values: 0.5 values: 0.25 }
          }
          arrays {
            name: "size.variances"
            tensor { shape: 2 shape: 2 values: 1 values: 2 values: 3 values: 4 }
          }
          arrays {
            name: "kind.probabilities_0"
            tensor { shape: 2 shape: 2 values: 0.1 values: 0.9 values: 0.8 values: 0.2 }
          }
        }
        report {
          objective: -5.5
          log_likelihood: -5
          log_prior: -0.5
          evaluations: 20
          total_evaluations: 300
          criteria {
            entropy: 1.5
            relative_entropy: 0.875
            separation: [ 1, 0.5, 0.75 ]
          }
        }
      )pb",
      &version));
  return version;
}

TEST(Summary, NamesColumnsAndCategoriesOfEachPart) {
  const std::string text = Summary(MixedVersion(), {});
  EXPECT_THAT(text, HasSubstr("Product mixture, size of y, x, kind of t, with noise"));
  EXPECT_THAT(text, HasSubstr("25% of x"));
  EXPECT_THAT(text, HasSubstr("20, of all restarts 300"));
  EXPECT_THAT(text, HasSubstr("log-prior"));
  EXPECT_THAT(text, HasSubstr("1.5 nats, relative 0.875"));
  EXPECT_THAT(text, HasSubstr("component  weights  separation\n"
                              "        0     0.25           1\n"
                              "        1      0.5         0.5\n"
                              "    noise     0.25        0.75\n"));
  EXPECT_THAT(text, HasSubstr("size.variances  y  x\n"
                              "0               1  2\n"
                              "1               3  4\n"));
  EXPECT_THAT(text, HasSubstr("kind.probabilities_0 of t  blue  red\n"
                              "0                           0.1  0.9\n"
                              "1                           0.8  0.2\n"));
  const Json document = FitDocument(MixedVersion(), {});
  EXPECT_EQ(document["levels"].dump(), R"({"t":["blue","red"]})");
  EXPECT_EQ(document["evaluations"], 20);
  EXPECT_EQ(document["separation"].size(), 3u);
}

TEST(Summary, ShowsTheSumOfSquaresOfKMeans) {
  v1::ModelVersion version = Version();
  version.mutable_spec()->mutable_model()->mutable_kmeans()->set_spherical(true);
  const std::string text = Summary(version, {});
  EXPECT_THAT(text, HasSubstr("spherical k-means"));
  EXPECT_THAT(text, HasSubstr("sum of squares  1130.250000"));
  EXPECT_THAT(text, Not(HasSubstr("BIC")));
}

TEST(Summary, CountsRepairsForTheSameReason) {
  v1::ModelVersion version = Version();
  for (int k = 2; k < 6; ++k) {
    v1::Repair& repair = *version.mutable_report()->add_repairs();
    repair.set_reason("VARIANCE_FLOORED");
    repair.set_component(k);
    repair.set_amount(k == 3 ? 7.5 : 0.25);
  }
  v1::Repair& empty = *version.mutable_report()->add_repairs();
  empty.set_reason("COMPONENT_EMPTY");
  empty.set_component(0);
  EXPECT_THAT(
      Summary(version, {}),
      HasSubstr("\nrepair: VARIANCE_FLOORED, 5 times, the largest, component 3, amount 7.5\n"
                "repair: COMPONENT_EMPTY, component 0, amount 0\n"));
}

TEST(Summary, MarksOptimaThatLostBecauseTheyAreDegenerate) {
  v1::ModelVersion version = Version();
  v1::FitReport& report = *version.mutable_report();
  EXPECT_THAT(Summary(version, {}), Not(HasSubstr("degenerate")));
  v1::Optimum& higher = *report.add_optima();
  higher.set_objective(-900);
  higher.set_count(3);
  higher.set_degenerate(true);
  EXPECT_THAT(Summary(version, {}),
              HasSubstr("-1130.250000         8\n"
                        "-1150.000000         2\n"
                        " -900.000000         3  (degenerate, not chosen)\n"));
  report.mutable_optima(0)->set_degenerate(true);
  EXPECT_THAT(Summary(version, {}), HasSubstr("-1130.250000         8  (degenerate)\n"));
}

TEST(Summary, LeavesOutWhatIsNotKnownOfADeletedVersion) {
  v1::ModelVersion version = Version();
  version.clear_parameters();
  version.clear_columns();
  version.clear_num_rows();
  const std::string text = Summary(version, {});
  EXPECT_THAT(text, HasSubstr("log-likelihood   -1130.250000"));
  EXPECT_THAT(text, Not(HasSubstr("component  ")));
  EXPECT_THAT(text, Not(HasSubstr("rows of")));
  const Json document = FitDocument(version, {});
  EXPECT_EQ(document["bic"], 2299.75);
  for (const char* key : {"parameters", "columns", "num_rows"}) {
    EXPECT_TRUE(document[key].is_null()) << key;
  }
}

TEST(Summary, ShowsTheFirstWarningsAndCountsTheOthers) {
  v1::WarningEvent warning;
  warning.set_reason("RESTART_FAILED");
  warning.set_message("component 1 is empty");
  warning.set_restart(7);
  const std::string text = Summary(Version(), std::vector<v1::WarningEvent>(12, warning));
  EXPECT_THAT(text, HasSubstr("\nwarning RESTART_FAILED, restart 7: component 1 is empty\n"));
  EXPECT_THAT(text, HasSubstr("\nand 2 more warnings (use --json)\n"));
  warning.set_restart(-1);
  EXPECT_EQ(WarningLine(warning), "warning RESTART_FAILED: component 1 is empty");
}

TEST(Summary, NamesParametersThatAreTooLarge) {
  v1::ModelVersion version = Version();
  for (int c = 0; c < 50; ++c) version.add_columns()->set_name("c" + std::to_string(c));
  EXPECT_THAT(Summary(version, {}), HasSubstr("not shown (use --json): means [2, 2]"));
}

}  // namespace
}  // namespace emserve::emctl
