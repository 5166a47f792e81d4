// Elements that are held: lists resolved against a layout, beside those that a model excludes.
#include "core/em/constraints.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace emserve::testing {
namespace {

Layout TwoArrays() {
  Layout layout;
  layout.Add("initial", {2}, /*by_component=*/false);
  layout.Add("transitions", {2, 2});
  return layout;
}

// No transition from state 1 to state 0.
ExcludedElements OneExcluded() { return {.array = "transitions", .excluded = {0, 0, 1, 0}}; }

std::string Refusal(const ConstraintOptions& options, const ExcludedElements& excluded = {}) {
  return std::string(Constraints::Make(TwoArrays(), options, excluded).status().message());
}

TEST(Constraints, HoldValuesZerosAndTies) {
  const ConstraintOptions options{.fixed = {{"initial", {1, 0}, {0.75, 0.25}}},
                                  .tied = {{"transitions", {3, 0}}}};
  const Constraints all = Constraints::Make(TwoArrays(), options, OneExcluded()).value();
  EXPECT_EQ(all.value(0), 0.25);
  EXPECT_EQ(all.value(1), 0.75);
  EXPECT_EQ(all.Leader(5), 2);
  EXPECT_EQ(all.Leader(3), 3);
  EXPECT_TRUE(all.IsTied(2) && all.IsTied(5));
  EXPECT_TRUE(all.IsFixed(4));
  EXPECT_EQ(all.value(4), 0);
  EXPECT_EQ(all.NumFree(), 2);
  EXPECT_TRUE(all.Joins(2, 2));
  EXPECT_FALSE(all.Joins(2, 4));

  const Constraints slice = all.Slice(2, 4);
  EXPECT_EQ(slice.Leader(3), 0);
  EXPECT_EQ(slice.value(2), 0);
  EXPECT_FALSE(slice.Restricts(1));
  EXPECT_TRUE(all.Slice(3, 1).empty());
  std::vector<double> params(6, 9);
  all.Apply(params);
  EXPECT_EQ(params, (std::vector<double>{0.25, 0.75, 9, 9, 0, 9}));
}

TEST(Constraints, MayFixToZeroWhatTheModelExcludes) {
  EXPECT_EQ(Refusal({.fixed = {{"transitions", {2}, {0}}}, .tied = {}}, OneExcluded()), "");
  EXPECT_EQ(Refusal({.fixed = {{"transitions", {}, {0.5, 0.5, 0, 1}}}, .tied = {}}, OneExcluded()),
            "");
}

TEST(Constraints, ThatContradictTheModelAreNamedAsTheyWereGiven) {
  EXPECT_EQ(Refusal({.fixed = {{"initial", {}, {0.5}}, {"transitions", {3, 2}, {0.5}}}, .tied = {}},
                    OneExcluded()),
            "constraints.fixed[1].values: got 0.5 for transitions[1, 0], must be 0, at which the "
            "model's structure holds it");
  EXPECT_EQ(Refusal({.fixed = {}, .tied = {{"transitions", {0, 2}}}}, OneExcluded()),
            "constraints.tied[0].elements: got transitions[1, 0], must be elements that the "
            "model's structure does not hold at 0");
}

TEST(Constraints, AreGivenOnce) {
  EXPECT_EQ(Refusal({.fixed = {{"initial", {0}, {0}}, {"initial", {0}, {0}}}, .tied = {}}),
            "constraints.fixed[1].elements: got an element of initial that is fixed before, must "
            "be fixed once");
  EXPECT_EQ(Refusal({.fixed = {{"initial", {0}, {0}}}, .tied = {{"initial", {}}}}),
            "constraints.tied[0].elements: got an element of initial that is fixed, must be free; "
            "fix all of them to the same value instead");
}

}  // namespace
}  // namespace emserve::testing
