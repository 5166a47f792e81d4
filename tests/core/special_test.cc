// Special functions against 60-digit values of mpmath, and the line search on known functions.
#include "core/numerics/special.h"

#include <cmath>
#include <limits>

#include "core/numerics/line_search.h"
#include "gtest/gtest.h"

namespace emserve {
namespace {

struct Golden {
  double x;
  double log_gamma;
  double stirling_error;
  double log_minus_digamma;
  double digamma;
  double trigamma;
};

constexpr Golden kGolden[] = {
    {1e-8, 18.420680738180209, 8.2914020272061609, 99999982.156534904, -100000000.57721565,
     10000000000000002.0},
    {0.1, 2.252712651734206, 0.51274008133191494, 8.1211698474170311, -10.423754940411077,
     101.43329915079276},
    {0.5, 0.57236494292470009, 0.15342640972002735, 1.2703628454614782, -1.9635100260214235,
     4.9348022005446793},
    {1, 0, 0.081061466795327258, 0.57721566490153286, -0.57721566490153286, 1.6449340668482264},
    {1.5, -0.12078223763524522, 0.054814121051917654, 0.36897513412958786, 0.036489973978576521,
     0.93480220054467931},
    {2, 0, 0.041340695955409294, 0.27036284546147817, 0.42278433509846714, 0.64493406684822644},
    {3.7, 1.4280723266653879, 0.022468770580143147, 0.14117928028866737, 1.1671535393615114,
     0.31003785767003832},
    {15.9, 27.625493215168691, 0.0052403998807561083, 0.031776039050411984, 2.7345430701757739,
     0.064912281599060115},
    {16, 27.899271383840892, 0.0052076559196096404, 0.031575393912320869, 2.7410133283274604,
     0.064493783403239362},
    {40, 106.63176026064346, 0.0020832899383024217, 0.012552080079093177, 3.6763273740348431,
     0.025315103841291028},
    {1e3, 5905.2204232091812, 8.3333330555556349e-5, 0.000500083333325, 6.9072551956488121,
     0.0010005001666666333},
    {1e9, 19723265827.503717, 8.3333333333333333e-11, 5.0000000008333333e-10, 20.723265836446411,
     1.0000000005e-9},
    {1e15, 33538776394910669.0, 8.3333333333333333e-17, 5.0000000000000008e-16, 34.538776394910685,
     1.0000000000000005e-15},
};

void ExpectClose(double actual, double expected, double tolerance, const char* what, double x) {
  EXPECT_LE(std::abs(actual - expected), tolerance)
      << what << " of " << x << ": " << actual << " against " << expected;
}

TEST(SpecialFunctions, MatchManyDigits) {
  for (const Golden& g : kGolden) {
    ExpectClose(LogGamma(g.x), g.log_gamma, 4e-15 * std::max(4.0, std::abs(g.log_gamma)),
                "LogGamma", g.x);
    ExpectClose(StirlingError(g.x), g.stirling_error, g.x >= 16 ? 1e-13 * g.stirling_error : 4e-14,
                "StirlingError", g.x);
    ExpectClose(LogMinusDigamma(g.x), g.log_minus_digamma,
                (g.x >= 16 ? 4e-16 : 5e-14) * g.log_minus_digamma, "LogMinusDigamma", g.x);
    ExpectClose(Digamma(g.x), g.digamma, 2e-15 * std::max(1.0, std::abs(g.digamma)), "Digamma",
                g.x);
    ExpectClose(Trigamma(g.x), g.trigamma, 1e-15 * g.trigamma, "Trigamma", g.x);
  }
}

TEST(SpecialFunctions, HalfDevianceKeepsItsDigitsNearZero) {
  const double golden[][2] = {{-1, 1.0},
                              {-0.999, 0.99209224472101786},
                              {-0.5, 0.15342640972002735},
                              {-0.1, 0.0051755359079563289},
                              {-0.01, 5.0167505033573228e-5},
                              {-1e-6, 5.0000016666675e-13},
                              {1e-12, 4.9999999999983333e-25},
                              {1e-4, 4.9998333416661667e-9},
                              {0.05, 0.0012296723779036032},
                              {0.0999, 0.0048316713123692063},
                              {0.11, 0.0058396170099094722},
                              {3, 2.5451774444795625},
                              {1e6, 12815525.373475332}};
  for (const auto& [t, expected] : golden) {
    ExpectClose(HalfDeviance(t), expected, 1e-14 * expected, "HalfDeviance", t);
  }
  EXPECT_EQ(HalfDeviance(0), 0);
}

TEST(SpecialFunctions, LogDeficitKeepsItsDigitsNearZero) {
  const double golden[][2] = {{-0.999, 5.9087552789821371},     {-0.5, 0.19314718055994531},
                              {-0.0626, 0.0020451934935313028}, {-0.0624, 0.002031860159388883},
                              {-1e-3, 5.0033358353350014e-7},   {1e-8, 4.9999999666666669e-17},
                              {1e-15, 4.9999999999999967e-31},  {1e-4, 4.9996666916646668e-9},
                              {0.0624, 0.0018695002599676467},  {0.0626, 0.0018812649652941953},
                              {3, 1.6137056388801094},          {1e9, 999999979.27673416}};
  for (const auto& [u, expected] : golden) {
    ExpectClose(LogDeficit(u), expected, 2e-14 * expected, "LogDeficit", u);
  }
  EXPECT_EQ(LogDeficit(0), 0);
}

TEST(SpecialFunctions, RisesAndFallsKeepTheirDigitsWhereDispersionsAreLarge) {
  const double golden[][4] = {{0.3, 5, 5.0729351538249415, 12.037773657085232},
                              {2, 100, 4.1972785077386302, 0.63508192978983356},
                              {20, 33, 0.99030429355376728, 0.032223779706208289},
                              {1e6, 40, 3.9999220020539392e-5, 3.9998440061617566e-11},
                              {1e12, 100, 9.999999999505e-11, 9.99999999901e-23},
                              {1e15, 1e9, 9.9999950000033383e-7, 9.99999000001001e-22},
                              {5, 1e9, 19.217148173014611, 0.22132295473711533},
                              {1e-6, 3, 1000001.49999875, 1000000000001.25}};
  for (const auto& [r, x, rise, fall] : golden) {
    ExpectClose(DigammaRise(r, x), rise, 1e-13 * rise, "DigammaRise", r);
    ExpectClose(TrigammaFall(r, x), fall, 1e-13 * fall, "TrigammaFall", r);
  }
}

TEST(SpecialFunctions, LogFactorialsOfTheTableAndBeyondAgree) {
  EXPECT_EQ(LogFactorial(0), 0);
  EXPECT_EQ(LogFactorial(1), 0);
  double sum = 0;
  for (int n = 2; n < 600; ++n) {
    sum += std::log(n);
    EXPECT_NEAR(LogFactorial(n), sum, 1e-14 * sum) << n;
  }
  EXPECT_NEAR(LogFactorial(2.5), LogGamma(3.5), 1e-15);
}

TEST(SpecialFunctions, InversesInvert) {
  for (const double x : {1e-6, 1e-3, 0.2, 1.0, 7.0, 15.99, 16.01, 1e4, 1e9, 1e14}) {
    EXPECT_NEAR(InverseLogMinusDigamma(LogMinusDigamma(x)) / x, 1, 1e-12) << x;
    EXPECT_NEAR(InverseDigamma(Digamma(x)) / x, 1, 1e-13) << x;
  }
  EXPECT_EQ(InverseLogMinusDigamma(0), std::numeric_limits<double>::infinity());
}

TEST(LineSearch, FindsAMaximumFarFromItsStart) {
  for (const double peak : {-300.0, -1.0, 0.0, 0.01, 5.0, 1e4}) {
    const double found =
        MaximizeOnLine([peak](double t) { return -std::cosh((t - peak) / 50); }, 0.5, -1e9, 1e9);
    EXPECT_NEAR(found, peak, 1e-5 * (1 + std::abs(peak)));
  }
}

TEST(LineSearch, StaysInItsRangeAndEndsAtItsEnd) {
  EXPECT_EQ(MaximizeOnLine([](double t) { return t; }, 0, -3, 7), 7);
  EXPECT_EQ(MaximizeOnLine([](double t) { return -t; }, 0, -3, 7), -3);
  EXPECT_EQ(MaximizeOnLine([](double) { return 1; }, 2, -3, 7), 2);
  EXPECT_NEAR(MaximizeOnLine([](double t) { return std::log(t) - t; }, 0.5, -3, 7), 1, 1e-7)
      << "NaN counts as -infinity";
}

}  // namespace
}  // namespace emserve
