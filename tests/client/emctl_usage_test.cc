// emctl without a server: usage, bad data, nobody there.
#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/process.h"

namespace emserve {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr char kFaithful[] = EMSERVE_TEST_DATA "/faithful.csv";

// Wrong usage or data: status 2, one line of error, nothing on the standard output; with --json the
// same as a document there.
void ExpectRefused(std::vector<std::string> arguments, const std::string& why) {
  SCOPED_TRACE(testing::PrintToString(arguments));
  const Outcome outcome = RunEmctl(0, arguments);
  EXPECT_EQ(outcome.exit_status, 2);
  EXPECT_THAT(outcome.output, IsEmpty());
  EXPECT_THAT(outcome.error, StartsWith("emctl: "));
  EXPECT_THAT(outcome.error, HasSubstr(why));
  EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
  arguments.push_back("--json");
  const Outcome as_json = RunEmctl(0, arguments);
  EXPECT_EQ(as_json.exit_status, 2);
  const Json error = Json::parse(as_json.output, nullptr, false)["error"];
  EXPECT_EQ(error["code"], "INVALID_ARGUMENT");
  EXPECT_EQ("emctl: " + error.value("message", "") + "\n", as_json.error);
}

TEST(EmctlUsage, RefusesWhatItDoesNotUnderstandWithStatusTwo) {
  ExpectRefused({}, "see emctl --help");
  ExpectRefused({"fit"}, "see emctl fit --help");
  ExpectRefused({"fly"}, "fly");
  ExpectRefused({"fit", "gaussian-mixture", "--frobnicate"}, "--frobnicate");
  ExpectRefused({"fit", "gaussian-mixture"}, "--data, --dataset: must be given");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--dataset", "d"}, "one of them");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "-k", "two"}, "--components");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--covariance", "XYZ"},
                "--covariance: got XYZ, must be full, tied");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--start", "luck"}, "kmeans++");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--timeout", "-3s"}, "--timeout");
  ExpectRefused({"predict", "m"}, "--data, --dataset: must be given");
  ExpectRefused({"predict", "m", "--data", kFaithful, "--outputs", "colours"}, "got colours");
  ExpectRefused({"predict", "m", "--data", kFaithful, "--output", "x.npy"}, "must be a CSV file");
  ExpectRefused({"jobs", "list", "--state", "tired"}, "got tired");
  ExpectRefused({"models", "tag", "m", "novalue"}, "must be key=value");
  ExpectRefused({"models", "list", "-n", "0"}, "--limit");
  ExpectRefused({"predict", "m", "--dataset", "d", "--by-position"}, "must go with --data");
}

TEST(EmctlUsage, RefusesNumbersThatAreNotWhatTheySay) {
  const auto fit = [](const char* option, const char* value) {
    return std::vector<std::string>{"fit", "gaussian-mixture", "--data", kFaithful, option, value};
  };
  constexpr char kHuge[] = "99999999999999999999999";
  const std::string seed = "must be an integer from 0 to 18446744073709551615";
  for (const char* value : {"-1", kHuge, "0x", "1.5", "one", ""}) {
    ExpectRefused(fit("--seed", value), seed);
    ExpectRefused({"sample", "m", "--seed", value}, seed);
  }
  for (const char* value : {kHuge, "-99999999999999999999999", "1e3", "2147483648"}) {
    ExpectRefused(fit("-k", value), "-k/--components: got ");
    ExpectRefused(fit("--restarts", value), "--restarts: got ");
  }
  for (const char* value : {kHuge, "9223372036854775808", "1e3"}) {
    ExpectRefused(fit("--max-iterations", value), "--max-iterations: got ");
    ExpectRefused({"sample", "m", "-n", value}, "-n/--rows: got ");
    ExpectRefused({"jobs", "list", "-n", value}, "-n/--limit: got ");
  }
  for (const char* option : {"--ridge", "--tolerance", "--absolute-tolerance"}) {
    for (const char* value : {"nan", "inf", "1e999", "1,5", "x"}) {
      ExpectRefused(fit(option, value), "must be a finite number");
    }
  }
}

TEST(EmctlUsage, RefusesSpecificationsThatCannotBeMeant) {
  const auto fit = [](const std::string& family, std::vector<std::string> more) {
    std::vector<std::string> all = {"fit", family, "--data", kFaithful, "-k", "2"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::string gaussian = "gaussian-mixture";
  ExpectRefused(
      fit(gaussian, {"--algorithm", "magic"}),
      "--algorithm: got magic, must be em, classification, stochastic, annealed, stepwise");
  ExpectRefused(fit(gaussian, {"--accelerate", "x"}), "must be none, squarem, anderson");
  ExpectRefused(fit(gaussian, {"--collapse", "x"}), "must be ridge, fail, respawn, drop");
  ExpectRefused(fit(gaussian, {"--storage", "x"}), "must be float64, float32");
  ExpectRefused(fit(gaussian, {"--start", "kmeans", "--start-from", "m"}), "excludes");
  ExpectRefused(fit(gaussian, {"--prior-mean", "1,x"}), "must be a finite number");
  ExpectRefused(fit(gaussian, {"--fix", "means[0,2]=1"}),
                "--fix: means[0,2]: got 2, must be an index from 0 to 1 or a name");
  ExpectRefused(fit(gaussian, {"--fix", "means[0,waiting]"}), "must be ARRAY[I,J]=VALUE");
  ExpectRefused(fit(gaussian, {"--fix", "means[0,waiting]=x"}), "a finite number");
  ExpectRefused(fit(gaussian, {"--tie", "means[0,0]=weights[1]"}), "must be elements of one array");
  ExpectRefused(fit(gaussian, {"--tie", "weights[0]"}), "--tie: got weights[0], must be");
  ExpectRefused(fit("poisson-mixture", {"--noise"}), "--noise");
  for (const std::vector<std::string>& update :
       {std::vector<std::string>{"--update"}, {"--update-weight", "5"}}) {
    ExpectRefused(fit(gaussian, update),
                  "--update: got it without a model, must go with "
                  "--start-from MODEL");
  }
  ExpectRefused(fit("kmeans", {"--covariance", "full"}), "--covariance");
  const std::string product = "product-mixture";
  ExpectRefused(fit(product, {}), "--part: must be given");
  ExpectRefused(fit(product, {"--part", "a=normal:eruptions"}), "the family one of gaussian");
  ExpectRefused(fit(product, {"--part", "a=gaussian"}), "NAME=FAMILY:COLUMN");
  ExpectRefused(fit(product, {"--part", "a=gaussian:eruptions", "--part-option", "b.ridge=1"}),
                "must be of a part that --part names");
  ExpectRefused(fit(product, {"--part", "a=gaussian:eruptions", "--part-option", "a.alpha=1"}),
                "must be an option of emctl fit gaussian-mixture");
  ExpectRefused(fit(product, {"--part", "a=gaussian:eruptions", "--part-option", "a.covariance=x"}),
                "must be full, tied");
  const TempDir dir;
  ExpectRefused(fit(gaussian, {"--start-from", dir.Write("p.json", "[1]")}), "got no parameters");
  ExpectRefused(fit(gaussian, {"--start-from", dir.Write("q.json", R"({"means":[[1],[2,3]]})")}),
                "means: must be numbers in nested arrays of one shape");
}

TEST(EmctlUsage, RefusesSequencesThatCannotBeMeant) {
  const auto fit = [](std::vector<std::string> more) {
    std::vector<std::string> all = {"fit", "gaussian-hmm", "--data", kFaithful, "--states", "2"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  ExpectRefused(fit({"--sequence-lengths", "1,x"}), "--sequence-lengths: got 1,x, must be an");
  ExpectRefused(fit({"--sequence-column", "a", "--sequence-lengths", "272"}), "excludes");
  ExpectRefused(fit({"--sequence-weights", "1,nan"}), "must be a finite number");
  ExpectRefused({"fit", "gaussian-hmm", "--data", kFaithful, "--states", "two"},
                "-k/--states/--components: got two");
  ExpectRefused(fit({"--transitions", "up"}), "got up, must be full, left-right, stepwise");
  ExpectRefused(fit({"--initial", "x"}), "--initial: got x, must be free, stationary");
  ExpectRefused(fit({"--durations", "x"}), "must be geometric, free, poisson, negative-binomial");
  ExpectRefused(fit({"--forbid-transition", "0,2"}),
                "--forbid-transition: got 0,2, must be I,J: from state I to state J");
  ExpectRefused(fit({"--allow-transition", "1,0"}), "must be with --transitions left-right");
  ExpectRefused(fit({"--fix", "transitions[0,2]=1"}), "got 2, must be an index from 0 to 1");
  ExpectRefused(fit({"--noise"}), "--noise");
  const std::vector<std::string> mixture = {"fit", "gaussian-mixture", "--data", kFaithful};
  for (const char* option : {"--sequence-column", "--states", "--transitions"}) {
    std::vector<std::string> all = mixture;
    all.insert(all.end(), {option, "2"});
    ExpectRefused(all, option);
  }
  ExpectRefused({"sweep", "gaussian-hmm", "--data", kFaithful, "--states", "3-1"},
                "--states: got 3-1, must be numbers and ranges");
  ExpectRefused({"sweep", "gaussian-hmm", "--data", kFaithful, "--forbid-transition", "0,1"},
                "--forbid-transition");
  ExpectRefused({"predict", "m", "--data", kFaithful, "--sequence-weights", "1"},
                "--sequence-weights");
  ExpectRefused({"predict", "m", "--data", kFaithful, "--sequence-lengths", "1.5"},
                "--sequence-lengths: got 1.5");
  ExpectRefused({"sample", "m", "--sequence-lengths", "2,0"},
                "--sequence-lengths: got 0, must be at least 1");
  ExpectRefused({"sample", "m", "-n", "3", "--sequence-lengths", "2,2"},
                "-n/--rows: got 3, must be 4, the rows of --sequence-lengths together");
}

TEST(EmctlUsage, RefusesSweepsThatCannotBeMeant) {
  const auto sweep = [](const char* option, const char* value) {
    return std::vector<std::string>{"sweep", "gaussian-mixture", "--data", kFaithful, option,
                                    value};
  };
  for (const char* value : {"0-3", "5-2", "1-", "x", "1-100000", ""}) {
    ExpectRefused(sweep("--components", value), "--components: got");
  }
  ExpectRefused(sweep("--covariances", "full,round"),
                "--covariances: got round, must be all, full");
  ExpectRefused(sweep("--emissions", "gaussian,normal"), "--emissions: got normal");
  std::vector<std::string> without_own = sweep("--emissions", "student-t");
  without_own.insert(without_own.end(), {"--ridge", "1e-6"});
  ExpectRefused(without_own, "must be with gaussian among them, whose options are given");
  ExpectRefused(sweep("--criterion", "luck"), "must be bic, aic, icl, log-likelihood");
  ExpectRefused({"sweep", "poisson-mixture", "--covariances", "all"}, "--covariances");
}

TEST(EmctlUsage, HasACommandForEveryFamily) {
  for (const char* family : {"gaussian-mixture",
                             "student-t-mixture",
                             "bernoulli-mixture",
                             "categorical-mixture",
                             "latent-class",
                             "multinomial-mixture",
                             "poisson-mixture",
                             "negative-binomial-mixture",
                             "exponential-mixture",
                             "gamma-mixture",
                             "log-normal-mixture",
                             "von-mises-fisher-mixture",
                             "product-mixture",
                             "kmeans",
                             "gaussian-hmm",
                             "student-t-hmm",
                             "bernoulli-hmm",
                             "categorical-hmm",
                             "multinomial-hmm",
                             "poisson-hmm",
                             "negative-binomial-hmm",
                             "exponential-hmm",
                             "gamma-hmm",
                             "log-normal-hmm",
                             "von-mises-fisher-hmm",
                             "product-hmm"}) {
    for (const char* command : {"fit", "sweep"}) {
      const Outcome help = RunEmctl(0, {command, family, "--help"});
      EXPECT_EQ(help.exit_status, 0) << family;
      for (const char* option : {"--components", "--accelerate", "--missing"}) {
        EXPECT_THAT(help.output, HasSubstr(option)) << family;
      }
      // Candidates of a sweep differ in their parameters.
      const bool is_fit = command == std::string_view("fit");
      for (const char* option : {"--start-from", "--start-responsibilities", "--update"}) {
        EXPECT_EQ(help.output.find(option) != std::string::npos, is_fit) << family << option;
      }
    }
  }
}

TEST(EmctlUsage, RefusesAddressesThatCannotWorkWithStatusTwo) {
  ExpectRefused({"info", "--server", "http://127.0.0.1:50551"},
                "--server (or EMSERVE_SERVER): got \"http://127.0.0.1:50551\", must be host:port");
  ExpectRefused({"info", "--server", "127.0.0.1"}, "must be host:port, such as 127.0.0.1:50551");
  ExpectRefused({"info", "--server", "nobody.onion:50551"}, "must name a host that exists");
}

TEST(EmctlUsage, RefusesDataThatCannotBeReadWithStatusTwo) {
  const TempDir dir;
  const auto fit = [](const std::string& path) {
    return std::vector<std::string>{"fit", "gaussian-mixture", "--data", path, "-k", "2"};
  };
  ExpectRefused(fit(dir.path("none.csv")), "none.csv: cannot be read: No such file");
  ExpectRefused(fit(dir.Write("bad.csv", "a,b\n1,2\n3,x\n")),
                "bad.csv:3: column \"b\": got \"x\", must be a number");
  ExpectRefused(fit(dir.Write("empty.csv", "")), "empty file");
  ExpectRefused(fit(dir.Write("bad.npy", "\x93NUMPY\x01")), "no .npy header");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--columns", "eruptions,height"},
                "has no column \"height\"; it has eruptions, waiting");
  ExpectRefused({"models", "import", dir.path("none.bin"), "--model", "m"}, "cannot be read");
  ExpectRefused(fit(dir.Write("inf.csv", "a,b\n1,2\n3,inf\n")),
                "inf.csv:3: column \"b\": got Inf, must be finite");
  ExpectRefused({"fit", "multinomial-mixture", "--data", dir.Write("m.csv", "a,b\n1,2\n3,?\n")},
                "m.csv:3: column \"b\": is missing; leave the row out");
  ExpectRefused(fit(dir.Write("latin.csv", "gr\xF6sse\n1\n")),
                "latin.csv:1: the header is not UTF-8");
}

TEST(EmctlUsage, RefusesAFirstLineOfNumbersEvenQuietly) {
  const TempDir dir;
  const std::string path = dir.Write("numbers.csv", "1,2\n3,4\n");
  for (std::vector<std::string> arguments :
       {std::vector<std::string>{"fit", "gaussian-mixture", "--data"}, {"datasets", "upload"}}) {
    arguments.insert(arguments.end(), {path, "-q"});
    ExpectRefused(arguments, "numbers.csv:1: the first line holds only numbers; say --no-header");
    // Past that, and to the server that is not there.
    for (const char* option : {"--header", "--no-header"}) {
      std::vector<std::string> told = arguments;
      told.insert(told.end(), {option, "--connect-timeout", "0.1"});
      EXPECT_EQ(RunEmctl(0, told).exit_status, 3) << option;
    }
    arguments.insert(arguments.end(), {"--header", "--no-header"});
    ExpectRefused(arguments, "--header");
  }
}

TEST(EmctlUsage, NamesTheSeparatorThatAFileSeemsToHave) {
  const TempDir dir;
  std::vector<std::string> fit = {"fit", "gaussian-mixture", "--data",
                                  dir.Write("s.csv", "a;b\n1;2\n")};
  ExpectRefused(fit, "say --separator ';'");
  fit.insert(fit.end(), {"--separator", ";", "--connect-timeout", "0.1"});
  EXPECT_EQ(RunEmctl(0, fit).exit_status, 3);
  fit.insert(fit.end(), {"--separator", "ab"});
  ExpectRefused(fit, "--separator");
}

TEST(EmctlUsage, SaysThatTheServerCannotBeReachedWithStatusThree) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"info"},
        {"jobs", "list"},
        {"fit", "gaussian-mixture", "--data", kFaithful, "-k", "2"}}) {
    for (const bool json : {false, true}) {
      std::vector<std::string> all = arguments;
      all.insert(all.end(), {"--connect-timeout", "0.1"});
      if (json) all.push_back("--json");
      const Outcome outcome = RunEmctl(0, all);
      EXPECT_EQ(outcome.exit_status, 3);
      if (json) {
        EXPECT_EQ(Json::parse(outcome.output, nullptr, false)["error"]["code"], "UNAVAILABLE");
      } else {
        EXPECT_THAT(outcome.output, IsEmpty());
      }
      EXPECT_THAT(outcome.error, StartsWith("emctl: 127.0.0.1:1: cannot be reached within 100ms"));
      EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
    }
  }
}

TEST(EmctlUsage, HelpsOnTheStandardOutput) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"},
                                                    {"fit", "--help"},
                                                    {"fit", "gaussian-mixture", "--help"},
                                                    {"predict", "--help"},
                                                    {"sample", "--help"},
                                                    {"jobs", "watch", "--help"},
                                                    {"models", "export", "--help"},
                                                    {"model", "import", "--help"},
                                                    {"datasets", "--help"},
                                                    {"info", "--help"}}) {
    const Outcome outcome = RunEmctl(0, arguments);
    EXPECT_EQ(outcome.exit_status, 0);
    EXPECT_THAT(outcome.output, HasSubstr("Usage: "));
    EXPECT_THAT(outcome.error, IsEmpty());
  }
  EXPECT_THAT(RunEmctl(0, {"--help"}).output, HasSubstr("Exit status: 0 done; 1 the job failed"));
  EXPECT_THAT(RunEmctl(0, {"--version"}).output, StartsWith("emctl "));
}

}  // namespace
}  // namespace emserve
