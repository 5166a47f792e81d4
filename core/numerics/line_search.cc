#include "core/numerics/line_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace emserve {
namespace {

constexpr double kFirstStep = 0.125;
constexpr int kMaxSteps = 60;
constexpr double kGolden = 0.3819660112501051;  // (3 - sqrt 5) / 2
constexpr double kPrecision = 1e-9;             // of the variable; f moves by its square

struct Point {
  double at;
  double value;
};

struct Bracket {
  double low;
  Point middle;
  double high;
};

}  // namespace

double MaximizeOnLine(absl::FunctionRef<double(double)> f, double start, double low, double high) {
  const auto point = [&](double at) {
    const double value = f(at);
    return Point{at, std::isnan(value) ? -std::numeric_limits<double>::infinity() : value};
  };
  // Walks from `from` uphill in direction `sign` until f falls or the range ends.
  const auto walk = [&](Point from, double sign, Bracket& bracket) {
    const double end = sign < 0 ? low : high;
    double& behind = sign < 0 ? bracket.high : bracket.low;
    double& ahead = sign < 0 ? bracket.low : bracket.high;
    bracket.middle = from;
    ahead = from.at;
    double step = kFirstStep;
    for (int i = 0; i < kMaxSteps && ahead != end; ++i, step *= 2) {
      const Point next = point(std::clamp(from.at + sign * step, low, high));
      ahead = next.at;
      if (!(next.value > bracket.middle.value)) return;
      behind = bracket.middle.at;
      bracket.middle = next;
    }
  };

  const Point first = point(std::clamp(start, low, high));
  Bracket bracket{first.at, first, first.at};
  walk(first, 1, bracket);
  if (bracket.middle.at == first.at) walk(first, -1, bracket);

  Point best = bracket.middle;
  Point second = best;
  Point third = best;
  double a = bracket.low;
  double b = bracket.high;
  double last = 0;
  double before_last = 0;
  for (int i = 0; i < 100; ++i) {
    const double tolerance = kPrecision * (1 + std::abs(best.at));
    const double centre = 0.5 * (a + b);
    if (std::abs(best.at - centre) <= 2 * tolerance - 0.5 * (b - a)) break;
    double step = 0;
    bool parabola = false;
    if (std::abs(before_last) > tolerance) {
      const double r = (best.at - second.at) * (best.value - third.value);
      double q = (best.at - third.at) * (best.value - second.value);
      double p = (best.at - third.at) * q - (best.at - second.at) * r;
      q = 2 * (q - r);
      if (q > 0) p = -p;
      q = std::abs(q);
      if (std::abs(p) < std::abs(0.5 * q * before_last) && p > q * (a - best.at) &&
          p < q * (b - best.at)) {
        step = p / q;
        parabola = true;
      }
    }
    before_last = last;
    if (!parabola) {
      before_last = best.at < centre ? b - best.at : a - best.at;
      step = kGolden * before_last;
    }
    last = step;
    if (std::abs(step) < tolerance) step = std::copysign(tolerance, step);
    const Point next = point(std::clamp(best.at + step, a, b));
    if (next.value >= best.value) {
      (next.at < best.at ? b : a) = best.at;
      third = second;
      second = best;
      best = next;
    } else {
      (next.at < best.at ? a : b) = next.at;
      if (next.value >= second.value || second.at == best.at) {
        third = second;
        second = next;
      } else if (next.value >= third.value || third.at == best.at || third.at == second.at) {
        third = next;
      }
    }
  }
  return best.value > first.value ? best.at : first.at;
}

}  // namespace emserve
