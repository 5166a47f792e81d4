// Every family and capability from the command line, against the real server.
#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/emctl_run.h"
#include "tests/client/temp_dir.h"

namespace emserve {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

constexpr char kFaithful[] = EMSERVE_TEST_DATA "/faithful.csv";
constexpr char kIris[] = EMSERVE_TEST_DATA "/iris.csv";
constexpr char kGss82[] = EMSERVE_TEST_DATA "/gss82.csv";

class EmctlFamilies : public EmctlRun {
 protected:
  static Words Fit(const std::string& family, const std::string& data, const Words& more = {}) {
    return With({"fit", family, "--data", data, "-k", "2", "--seed", "1"}, more);
  }

  // Counts and positive numbers in two clusters.
  std::string Counts() const {
    std::string csv = "a,b\n";
    for (int i = 0; i < 40; ++i) {
      const int base = i % 2 == 0 ? 3 : 20;
      csv += std::to_string(base + i % 5) + "," + std::to_string(base + 1 + i % 7) + "\n";
    }
    return dir_.Write("counts.csv", csv);
  }
};

TEST_F(EmctlFamilies, FitEachOfThemAndPredict) {
  const std::string counts = Counts();
  const std::string bits =
      dir_.Write("bits.csv", "a,b,c\n0,1,1\n1,0,0\n0,1,0\n1,0,1\n0,1,1\n1,0,0\n0,0,1\n1,1,0\n");
  const std::string directions =
      dir_.Write("directions.csv", "x,y\n1,0\n0.8,0.6\n0.96,0.28\n-1,0\n-0.8,0.6\n-0.96,0.28\n");
  const std::pair<const char*, std::string> families[] = {{"student-t-mixture", kFaithful},
                                                          {"bernoulli-mixture", bits},
                                                          {"categorical-mixture", kGss82},
                                                          {"multinomial-mixture", counts},
                                                          {"poisson-mixture", counts},
                                                          {"negative-binomial-mixture", counts},
                                                          {"exponential-mixture", counts},
                                                          {"gamma-mixture", kFaithful},
                                                          {"log-normal-mixture", kFaithful},
                                                          {"von-mises-fisher-mixture", directions},
                                                          {"kmeans", kFaithful},
                                                          {"gaussian-mixture", kFaithful}};
  for (const auto& [family, data] : families) {
    SCOPED_TRACE(family);
    const Json fit = RunJson(Fit(family, data, {"--model", family}));
    EXPECT_TRUE(fit.contains("parameters")) << fit;
    EXPECT_GT(fit.value("evaluations", 0), 0);
    const Outcome show = Run({"models", "get", family});
    EXPECT_EQ(show.exit_status, 0) << show.error;
    const Outcome predicted = Run({"predict", family, "--data", data});
    EXPECT_EQ(predicted.exit_status, 0) << predicted.error;
    EXPECT_THAT(predicted.output, StartsWith("label\n"));
  }
}

TEST_F(EmctlFamilies, NameCategoriesFromTheFileToTheImputedCell) {
  const Json fit = RunJson(Fit("latent-class", kGss82, {"--model", "gss", "--restarts", "5"}));
  EXPECT_EQ(fit["levels"]["UNDERSTA"], Json({"Fair/Poor", "Good"}));
  EXPECT_THAT(Run({"models", "get", "gss"}).output,
              ContainsRegex("probabilities_[0-9] of UNDERSTA"));
  const std::string holes = dir_.Write(
      "holes.csv", "COOPERAT,UNDERSTA,PURPOSE,ACCURACY\nInterested,?,Good,Mostly true\n");
  const Outcome imputed = Run({"predict", "gss", "--data", holes, "--outputs", "imputed"});
  EXPECT_EQ(imputed.exit_status, 0) << imputed.error;
  EXPECT_EQ(imputed.output,
            "imputed_PURPOSE,imputed_ACCURACY,imputed_UNDERSTA,imputed_COOPERAT\n"
            "Good,Mostly true,Good,Interested\n");
  const Outcome unknown =
      Run({"predict", "gss", "--data",
           dir_.Write("u.csv",
                      "PURPOSE,ACCURACY,UNDERSTA,COOPERAT\nGood,Mostly true,Bad,Interested\n")});
  EXPECT_EQ(unknown.exit_status, 2);
  EXPECT_THAT(unknown.error,
              HasSubstr("u.csv:2: column \"UNDERSTA\": got \"Bad\", must be one of"));
  const Outcome sample = Run({"sample", "gss", "-n", "3"});
  EXPECT_THAT(sample.output, StartsWith("PURPOSE,ACCURACY,UNDERSTA,COOPERAT\n"));
  EXPECT_THAT(sample.output, HasSubstr("Good"));
}

TEST_F(EmctlFamilies, MixTypesInAProduct) {
  const Words product = {"--part",        "size=gaussian:Petal.Length,Petal.Width",
                         "--part",        "kind=categorical:Species",
                         "--part-option", "size.covariance=EEE"};
  const Json fit = RunJson(Fit("product-mixture", kIris, With(product, {"--model", "mixed"})));
  EXPECT_EQ(fit["columns"], Json({"Petal.Length", "Petal.Width", "Species"}));
  EXPECT_EQ(fit["parameters"]["size.covariances"].size(), 2u);
  EXPECT_EQ(fit["parameters"]["kind.probabilities_0"][0].size(), 3u);
  EXPECT_THAT(Run({"models", "get", "mixed"}).output, HasSubstr("setosa"));
}

TEST_F(EmctlFamilies, KnowLabelsFixedTiedAndPriors) {
  const Json labelled = RunJson({"fit", "gaussian-mixture", "--data", kIris, "-k", "3", "--label",
                                 "Species", "--columns", "Petal.Length,Petal.Width"});
  // Components are the species, in sorted order.
  EXPECT_NEAR(labelled["parameters"]["means"][0][0], 1.462, 1e-6);
  EXPECT_NEAR(labelled["parameters"]["weights"][1], 1.0 / 3, 1e-9);
  const Json fixed = RunJson(Fit("gaussian-mixture", kFaithful,
                                 {"--fix", "means[0,waiting]=55.5", "--fix", "means[1,0]=4.25",
                                  "--tie", "weights[0]=weights[1]"}));
  EXPECT_EQ(fixed["parameters"]["means"][0][1], 55.5);
  EXPECT_EQ(fixed["parameters"]["means"][1][0], 4.25);
  EXPECT_NEAR(fixed["parameters"]["weights"][0], 0.5, 1e-12);
  const Json prior = RunJson(Fit("gaussian-mixture", kFaithful, {"--prior"}));
  EXPECT_NE(prior["log_prior"], 0);
  const Json noise = RunJson(Fit("gaussian-mixture", kFaithful, {"--noise", "--model", "n"}));
  EXPECT_EQ(noise["parameters"]["weights"].size(), 3u);
  EXPECT_THAT(Run({"models", "get", "n"}).output, HasSubstr("noise "));
}

TEST_F(EmctlFamilies, StartFromAFileAModelAndResponsibilities) {
  const Outcome fit = Run(Fit("gaussian-mixture", kFaithful, {"--json", "--model", "m"}));
  const double best = Json::parse(fit.output)["log_likelihood"];
  const std::string path = dir_.Write("fit.json", fit.output);
  const Words base = {"fit", "gaussian-mixture", "--data", kFaithful, "-k", "2"};
  for (const std::string& from : {path, std::string("m"), std::string("m/versions/1")}) {
    const Json again = RunJson(With(base, {"--start-from", from}));
    EXPECT_LE(again["iterations"], 3) << from;
    EXPECT_NEAR(again["log_likelihood"], best, 1e-3) << from;
  }
  const client::Table faithful = ParseTable(ReadAll(kFaithful));
  std::string csv = "eruptions,waiting,z\n";
  for (size_t i = 0; i < faithful.values.size(); i += 2) {
    const double row[] = {faithful.values[i], faithful.values[i + 1],
                          faithful.values[i] > 3 ? 1.0 : 0.0};
    client::AppendCsvRecord(row, csv);
  }
  const Json given = RunJson({"fit", "gaussian-mixture", "--data", dir_.Write("z.csv", csv), "-k",
                              "2", "--start-responsibilities", "z"});
  EXPECT_NEAR(given["log_likelihood"], best, 1e-3);
  EXPECT_EQ(given["columns"], Json({"eruptions", "waiting"}));
  const Json updated = RunJson(With(base, {"--start-from", "m", "--update", "--model", "m"}));
  EXPECT_EQ(updated["past_observations"], 272);
}

TEST_F(EmctlFamilies, ClimbInEveryWay) {
  const double best = RunJson(Fit("gaussian-mixture", kFaithful))["log_likelihood"];
  for (const Words& more :
       {Words{"--algorithm", "stochastic", "--stochastic-iterations", "20"},
        Words{"--algorithm", "annealed", "--temperature-growth", "1.5"},
        Words{"--algorithm", "stepwise", "--stepwise-epochs", "2"},
        Words{"--accelerate", "squarem"},
        Words{"--accelerate", "anderson", "--anderson-depth", "3"},
        Words{"--start", "short-runs", "--short-runs", "3"}, Words{"--start", "agglomerative"},
        Words{"--start", "random-responsibilities"}, Words{"--collapse", "respawn"},
        Words{"--aitken-tolerance", "1e-8"}, Words{"--parameter-tolerance", "1e-6"}}) {
    SCOPED_TRACE(testing::PrintToString(more));
    EXPECT_NEAR(RunJson(Fit("gaussian-mixture", kFaithful, more))["log_likelihood"], best, 1e-2);
  }
  // Hard assignments have an optimum of their own.
  EXPECT_LT(
      RunJson(Fit("gaussian-mixture", kFaithful, {"--algorithm", "classification"}))["objective"],
      best);
  const Outcome phases =
      Run(Fit("gaussian-mixture", kFaithful, {"--algorithm", "annealed", "--restarts", "1"}));
  EXPECT_THAT(phases.error, HasSubstr("restart 0  annealed  iteration    0"));
}

TEST_F(EmctlFamilies, SweepComponentsAndStructures) {
  const Words sweep = {
      "sweep",         "gaussian-mixture", "--data",     kFaithful, "--components", "1-3",
      "--covariances", "VVV,eee",          "--restarts", "3",       "--model",      "best"};
  const Json document = RunJson(sweep);
  ASSERT_EQ(document["rows"].size(), 6u);
  EXPECT_EQ(document["model"], "models/best/versions/1");
  const Json& best = document["rows"][size_t(document["best"])];
  for (const Json& row : document["rows"]) EXPECT_GE(row["bic"], best["bic"]);
  EXPECT_EQ(document["fit"]["bic"], best["bic"]);
  EXPECT_EQ(RunJson({"jobs", "watch", document["job"]}), document);
  EXPECT_THAT(Run({"jobs", "get", document["job"]}).output, HasSubstr("sweep around Gaussian"));
  const Outcome shown = Run(sweep);
  EXPECT_EQ(shown.exit_status, 0) << shown.error;
  EXPECT_THAT(shown.error, HasSubstr("candidate 5  gaussian_mixture  3 components  tied"));
  EXPECT_THAT(shown.output, HasSubstr("smaller is better"));
  EXPECT_THAT(shown.output, HasSubstr("Best by BIC: candidate "));
  EXPECT_THAT(shown.output, HasSubstr("models/best/versions/2"));
  const Json icl = RunJson(With(sweep, {"--criterion", "icl"}));
  EXPECT_EQ(icl["criterion"], "icl");
  const Json families = RunJson({"sweep", "gaussian-mixture", "--data", kFaithful, "--emissions",
                                 "gaussian,student-t", "-k", "2", "--restarts", "1"});
  EXPECT_EQ(families["rows"][1]["family"], "student_t_mixture");
}

TEST_F(EmctlFamilies, SweepKMeansByItsObjective) {
  const Words sweep = {"sweep", "kmeans", "--data", kFaithful, "--components", "1-3"};
  const Json document = RunJson(sweep);
  ASSERT_EQ(document["rows"].size(), 3u);
  EXPECT_EQ(document["criterion"], "log_likelihood");
  EXPECT_EQ(document["best"], 2);
  EXPECT_FALSE(document["rows"][0].contains("bic"));
  EXPECT_TRUE(document["fit"]["bic"].is_null());
  const Outcome shown = Run(sweep);
  EXPECT_THAT(shown.error,
              HasSubstr("candidate 0  kmeans  1 component  sum of squares 50440.157025"));
}

TEST_F(EmctlFamilies, UpdateAModelOfCategoriesWithFewerOfThem) {
  const TempDir dir;
  const std::string all = dir.Write("all.csv", "x,y\na,u\nb,v\nc,u\na,u\nb,v\nc,v\n");
  const std::string some = dir.Write("some.csv", "x,y\nc,u\na,v\nc,u\n");
  const Words family = {"fit", "latent-class", "-k", "1", "-q"};
  RunJson(With(family, {"--data", all, "--model", "m"}));
  const Json updated =
      RunJson(With(family, {"--data", some, "--start-from", "m", "--update", "--model", "m"}));
  // "c" counts where it did before: 2 of 6 and 2 of 3.
  const Json& probabilities = updated["parameters"]["probabilities_0"][0];
  ASSERT_EQ(probabilities.size(), 3u);
  EXPECT_NEAR(probabilities[2], 4.0 / 9, 1e-9);
  const Outcome other =
      Run(With(family, {"--data", dir.Write("new.csv", "x,y\na,u\nd,v\n"), "--start-from", "m"}));
  EXPECT_EQ(other.exit_status, 2);
  EXPECT_THAT(other.error, HasSubstr("got \"d\", must be one of the model's categories: a, b, c"));
  // A dataset keeps the names too.
  RunJson({"datasets", "upload", all, "--id", "kept", "--categories", "all", "-q"});
  const Json stored = RunJson(With(family, {"--dataset", "kept"}));
  EXPECT_EQ(stored["levels"]["x"], Json({"a", "b", "c"}));
}

TEST_F(EmctlFamilies, ExplainRefusalsInOptions) {
  const auto refused = [this](const std::string& family, const Words& more) {
    const Outcome outcome = Run(Fit(family, kFaithful, With(more, {"-q"})));
    EXPECT_EQ(outcome.exit_status, 2) << outcome.error;
    return outcome.error;
  };
  EXPECT_THAT(refused("student-t-mixture", {"--degrees-of-freedom", "-1"}),
              StartsWith("emctl: --degrees-of-freedom: got -1"));
  EXPECT_THAT(refused("gaussian-mixture", {"--prior-shrinkage", "-1"}),
              StartsWith("emctl: --prior-shrinkage: got -1"));
  EXPECT_THAT(refused("gaussian-mixture", {"--label", "none"}), HasSubstr("none"));
  EXPECT_THAT(refused("gaussian-mixture", {"--algorithm", "stepwise", "--stepwise-exponent", "2"}),
              StartsWith("emctl: --stepwise-exponent: got 2"));
  EXPECT_THAT(refused("gaussian-mixture", {"--aitken-tolerance", "-1"}),
              StartsWith("emctl: --aitken-tolerance: got -1"));
  EXPECT_THAT(refused("gaussian-mixture", {"--fix", "means[0,0]=1", "--fix", "means[0,0]=2"}),
              StartsWith("emctl: --fix: "));
  EXPECT_THAT(
      refused("product-mixture", {"--part", "a=gaussian:eruptions", "--part-option", "a.ridge=2"}),
      StartsWith("emctl: --part/--part-option: got 2"));
}

TEST_F(EmctlFamilies, AreListedWithTheirCapabilities) {
  const Outcome capabilities = Run({"capabilities"});
  EXPECT_EQ(capabilities.exit_status, 0);
  EXPECT_THAT(capabilities.output, HasSubstr("13  kmeans"));
  EXPECT_THAT(capabilities.output, HasSubstr("missing_cells "));
  EXPECT_THAT(capabilities.output, HasSubstr("imputed_variances "));
}

}  // namespace
}  // namespace emserve
