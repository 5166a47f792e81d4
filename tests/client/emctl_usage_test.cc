// emctl without a server: usage, bad data, nobody there.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/process.h"

namespace emserve {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kFaithful[] = EMSERVE_TEST_DATA "/faithful.csv";

// Wrong usage or data: status 2, one line of error, nothing on the standard output.
void ExpectRefused(const std::vector<std::string>& arguments, const std::string& why) {
  SCOPED_TRACE(testing::PrintToString(arguments));
  const Outcome outcome = RunEmctl(0, arguments);
  EXPECT_EQ(outcome.exit_status, 2);
  EXPECT_THAT(outcome.output, IsEmpty());
  EXPECT_THAT(outcome.error, StartsWith("emctl: "));
  EXPECT_THAT(outcome.error, HasSubstr(why));
  EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
}

TEST(EmctlUsage, RefusesWhatItDoesNotUnderstandWithStatusTwo) {
  ExpectRefused({}, "see emctl --help");
  ExpectRefused({"fit"}, "see emctl fit --help");
  ExpectRefused({"fly"}, "fly");
  ExpectRefused({"fit", "gaussian-mixture", "--frobnicate"}, "--frobnicate");
  ExpectRefused({"fit", "gaussian-mixture"}, "--data, --dataset: must be given");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--dataset", "d"}, "one of them");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "-k", "two"}, "--components");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--covariance", "VEV"},
                "--covariance: got VEV, must be full, tied");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--start", "luck"}, "kmeans++");
  ExpectRefused({"fit", "gaussian-mixture", "--data", kFaithful, "--timeout", "-3s"}, "--timeout");
  ExpectRefused({"predict", "m"}, "--data, --dataset: must be given");
  ExpectRefused({"predict", "m", "--data", kFaithful, "--outputs", "colours"}, "got colours");
  ExpectRefused({"predict", "m", "--data", kFaithful, "--output", "x.npy"}, "must be a CSV file");
  ExpectRefused({"jobs", "list", "--state", "tired"}, "got tired");
  ExpectRefused({"models", "tag", "m", "novalue"}, "must be key=value");
  ExpectRefused({"models", "list", "-n", "0"}, "--limit");
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
}

TEST(EmctlUsage, SaysThatTheServerCannotBeReachedWithStatusThree) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"info"},
        {"jobs", "list", "--json"},
        {"fit", "gaussian-mixture", "--data", kFaithful, "-k", "2", "--json"}}) {
    const Outcome outcome = RunEmctl(0, arguments);
    EXPECT_EQ(outcome.exit_status, 3);
    EXPECT_THAT(outcome.output, IsEmpty());
    EXPECT_THAT(outcome.error, StartsWith("emctl: 127.0.0.1:1: cannot be reached"));
    EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << outcome.error;
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
  EXPECT_THAT(RunEmctl(0, {"--version"}).output, StartsWith("emctl "));
}

}  // namespace
}  // namespace emserve
